//! Tests of the documents that are made from the table.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use farrier_config::{
    Config, GUNICORN_TABLE_MARKS, Mount, Outcome, Upstream, UpstreamServer, gather, gunicorn_table_markdown,
    reference_markdown,
};

fn printed(arguments: &[&str], file: &str) -> (Config, String) {
    let outcome = gather(arguments.iter().chain(&["--print-config"]), [("PORT", "5000")], |_| Ok(file.to_string()));
    match outcome {
        Ok(Outcome::PrintConfig { config, text }) => (*config, text),
        other => panic!("{other:?}"),
    }
}

/// Values that are hard to write: quotes, escapes, odd units, empty lists.
const HARD: &str = r#"
wsgi_app = 'app:create("a\b")'
chdir = "/srv/ü \" \\ \u0001"
pythonpath = ["a", "b"]
raw_env = ["A=1,2", "B=", "C=\t\n"]
bind = ["[::1]:80", "unix:/run/x.sock", "unix:@y", ":0", "fd://3"]
unix_socket_mode = 0o60
unix_socket_owner = ":web"
workers = "auto"
timeout = 0
keepalive = "1.5s"
slow_call = "250us"
limit_request_body = "1MB"
server_header = ""
sendfile = false
accesslog = "-"
access_log_format = "json"
errorlog = "/var/log/x"
loglevel = "WARNING"
forwarded_allow_ips = ["10.0.0.0/8", "::/0", "*"]
"#;

#[test]
fn what_is_printed_is_a_file_that_gives_the_same_config() {
    for file in ["", HARD, "forwarded_allow_ips = []\nraw_env = []\n"] {
        let (config, text) = printed(&[], file);
        let (again, _) = printed(&[], &text);
        assert_eq!(again, config, "{text}");
        assert!(again.source_of("backlog").is_some_and(|source| source.to_string().starts_with("farrier.toml:")));
    }
}

#[test]
fn what_is_printed_names_the_source_of_each_value() {
    let (_, text) = printed(&["-w", "2", "app:app"], "\nthreads = 8\n");
    for line in [
        "# Application",
        "wsgi_app = \"app:app\"                          # command line APP",
        "bind = [\"0.0.0.0:5000\"]                       # environment PORT",
        "workers = 2                                   # command line -w",
        "threads = 8                                   # farrier.toml:2",
        "keepalive = \"75s\"                             # default",
        "accesslog = \"none\"                            # default",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn the_reference_page_is_up_to_date() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/settings.md");
    if std::env::var_os("FARRIER_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(&path, reference_markdown())?;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == reference_markdown(),
        "docs/reference/settings.md is not what the table says; run `FARRIER_BLESS=1 cargo test -p farrier-config`"
    );
    Ok(())
}

#[test]
fn the_table_of_gunicorns_settings_is_up_to_date() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/coming-from-gunicorn.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page.split_once(GUNICORN_TABLE_MARKS.0).unwrap_or_else(|| panic!("the mark is gone"));
    let (committed, after) =
        rest.split_once(GUNICORN_TABLE_MARKS.1).unwrap_or_else(|| panic!("the end's mark is gone"));
    let table = gunicorn_table_markdown();
    if std::env::var_os("FARRIER_BLESS").is_some() {
        let (begin, end) = GUNICORN_TABLE_MARKS;
        return std::fs::write(&path, format!("{before}{begin}{table}{end}{after}"));
    }
    assert!(
        committed == table,
        "docs/coming-from-gunicorn.md is not what the table says; run `FARRIER_BLESS=1 cargo test -p farrier-config`"
    );
    Ok(())
}

#[test]
fn bash_understands_its_completions() -> io::Result<()> {
    let script = match gather(["--completions", "bash"], [("", ""); 0], |_| Ok(String::new())) {
        Ok(Outcome::Completions(script)) => script,
        other => panic!("{other:?}"),
    };
    let ask = r#"
        COMP_WORDS=(farrier --log-level wa) COMP_CWORD=2; _farrier; echo "${COMPREPLY[@]}"
        COMP_WORDS=(farrier --no-send) COMP_CWORD=1; _farrier; echo "${COMPREPLY[@]}"
        COMP_WORDS=(farrier --threads '') COMP_CWORD=2; _farrier; echo "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = bash.stdin.take() {
        write!(stdin, "{script}\n{ask}")?;
    }
    let answer = bash.wait_with_output()?;
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "warning\n--no-sendfile\n\n");
    Ok(())
}

#[test]
fn the_page_on_the_reverse_proxy_has_every_key_with_its_default() -> io::Result<()> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxy.md"))?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let own = Mount::KEYS.iter().skip_while(|key| key.name != "strip_prefix");
    for key in own.chain(Upstream::KEYS).chain(UpstreamServer::KEYS) {
        let name = format!("`{}`", key.name);
        let of_key = |row: &&&str| row.split('|').nth(1).is_some_and(|cell| cell.contains(&name));
        let found: Vec<&&str> = rows.iter().filter(of_key).collect();
        assert!(!found.is_empty(), "docs/proxy.md has no row for {name}");
        // Lists and words are written in more than one way.
        let is_plain = key.default.bytes().all(|b| b.is_ascii_digit()) || matches!(key.default, "true" | "false");
        let has_default = |row: &&&str| row.contains(key.default);
        assert!(!is_plain || found.iter().any(has_default), "docs/proxy.md: {name} is {}", key.default);
    }
    Ok(())
}
