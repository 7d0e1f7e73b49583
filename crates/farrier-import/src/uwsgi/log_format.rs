//! Translates uWSGI's `log-format` into the atoms of the access log.

/// uWSGI's variables and the atoms with the same meaning.
const ATOMS: &[(&str, &str)] = &[
    ("addr", "%(h)s"),
    ("user", "%(u)s"),
    ("method", "%(m)s"),
    ("uri", "%(U)s"),
    ("proto", "%(H)s"),
    ("status", "%(s)s"),
    ("size", "%(B)s"),
    ("referer", "%(f)s"),
    ("uagent", "%(a)s"),
    ("host", "%({host}i)s"),
    ("cl", "%({content-length}i)s"),
    ("micros", "%(D)s"),
    ("msecs", "%(M)s"),
    ("secs", "%(T)s"),
    ("ltime", "%(t)s"),
    ("ctime", "%(t)s"),
    ("ftime", "%(t)s"),
    ("time", "%(t)s"),
    ("pid", "%(p)s"),
];

/// The format, and the variables that have no atom.
pub(super) fn translated(format: &str) -> (String, Vec<String>) {
    // The atoms of a whole request line and of a time in brackets are one each.
    let format = format.replace("%(method) %(uri) %(proto)", "%(request line)");
    let format = ["ltime", "ctime", "ftime", "time"]
        .iter()
        .fold(format, |format, time| format.replace(&format!("[%({time})]"), &format!("%({time})")));
    let (mut made, mut lost, mut rest) = (String::new(), Vec::new(), format.as_str());
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let variable = behind.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let Some((name, after)) = variable else {
            made.push_str("%%");
            rest = behind;
            continue;
        };
        match atom(name) {
            Some(atom) => made.push_str(&atom),
            None => {
                made.push('-');
                lost.push(name.to_string());
            }
        }
        rest = after;
    }
    made.push_str(rest);
    (made, lost)
}

fn atom(name: &str) -> Option<String> {
    if name == "request line" {
        return Some("%(r)s".to_string());
    }
    if let Some(variable) = name.strip_prefix("var.HTTP_") {
        return Some(format!("%({{{}}}i)s", variable.to_ascii_lowercase().replace('_', "-")));
    }
    ATOMS.iter().find(|(known, _)| *known == name).map(|(_, atom)| (*atom).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_atoms() {
        for (format, expected, without) in [
            (
                r#"%(addr) - %(user) [%(ltime)] "%(method) %(uri) %(proto)" %(status) %(size) "%(referer)" "%(uagent)""#,
                r#"%(h)s - %(u)s %(t)s "%(r)s" %(s)s %(B)s "%(f)s" "%(a)s""#,
                "",
            ),
            ("%(method) %(uri) took %(msecs) ms", "%(m)s %(U)s took %(M)s ms", ""),
            ("%(var.HTTP_X_REQUEST_ID) 100%", "%({x-request-id}i)s 100%%", ""),
            ("%(wid) %(status)", "- %(s)s", "wid"),
        ] {
            let (made, lost) = translated(format);
            assert_eq!((made.as_str(), lost.join(" ").as_str()), (expected, without), "{format}");
        }
    }
}
