//! The reference page of the settings, docs/reference/settings.md.

use crate::documents::facts::{Fact, elsewhere, facts};
use crate::lookup::is_action;
use crate::setting::Setting;
use crate::table::{ACTIONS, SETTINGS};

const INTRODUCTION: &str = "\
<!-- Made from crates/farrier-config/src/table.rs: change the row there, then run
     `FARRIER_BLESS=1 cargo test -p farrier-config`. -->

# Settings

A setting can be given in five places. A later one overrides an earlier one:

1. a variable that hosting platforms set for any server, such as `PORT` and `WEB_CONCURRENCY`;
2. one file: the one that `--config` or `FARRIER_CONFIG` names; otherwise the first of `farrier.toml`, `farrier.conf.py`
   and `gunicorn.conf.py` that exists in the folder where Farrier starts;
3. the variable `FARRIER_` and the name in capitals;
4. the variable `GUNICORN_CMD_ARGS`, which holds flags;
5. a flag.

`farrier --print-config` shows every value and where it came from. An unknown name in a TOML file,
a variable or a flag is an error. So is a value that a setting does not accept.

A Python file is run, and its variables are settings, as in `gunicorn.conf.py`. It may have other variables too: an unknown
name is ignored, with a warning if it looks misspelt. Only a Python file can define
[hooks](../coming-from-gunicorn.md). `farrier.toml` and `farrier.conf.py` in the same folder are an error. The file is read
again at each reload; if that fails, the server keeps its settings.

```toml
# farrier.toml
wsgi_app = \"mysite.wsgi\"
bind = [\"127.0.0.1:8000\", \"unix:/run/mysite.sock\"]
workers = \"auto\"
keepalive = \"75s\"
limit_request_body = \"20MiB\"
```

```python
# farrier.conf.py
import multiprocessing

bind = [\"127.0.0.1:8000\", \"unix:/run/mysite.sock\"]
workers = multiprocessing.cpu_count()
keepalive = 75


def post_fork(server, worker):
    server.log.info(\"worker %s\", worker.pid)
```

How values are written:

- A **duration** is a number of seconds (`30`, `0.5`) or a number with a unit: `300us`, `500ms`, `30s`, `5m`, `1h`, `1d`.
- A **size** is a number of bytes or a number with a unit: `64KiB`, `10MiB` or `1GiB`. These units and the
  short forms `64k`, `10m`, `1g` are multiples of 1024; `64kB`, `10MB`, `1GB` are multiples of 1000.
- A **switch** is `true` or `false` in the file. In a variable it is `true`, `yes`, `on` or `1`, or `false`, `no`, `off` or
  `0`. On the command line its flag turns it on, and the flag with `--no-` turns it off.
- A **list** is an array or a list in the file, separated by commas in a variable, and a repeated flag on the command line.
  A list replaces the whole list of an earlier place.
- `none` unsets a setting that may have no value.
- A **table** such as `[[static]]` stands at the end of `farrier.toml`, after all other keys, once for each folder, mount or
  site. In a Python file it is a list of dictionaries (`static = [{\"url\": \"/static/\", \"dir\": \"static\"}]`).
";

/// The page: every setting with its documentation and its facts, then the names in other servers.
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_string();
    let mut section = "";
    for row in SETTINGS.iter().chain(ACTIONS) {
        if row.section != section {
            section = row.section;
            page.push_str(&format!("\n## {section}\n"));
        }
        page.push_str(&entry(row));
    }
    page.push_str(&names_elsewhere());
    page
}

fn entry(row: &Setting) -> String {
    let mut entry = format!("\n### `{}`\n\n{}\n", title(row), row.summary());
    if !row.details().is_empty() {
        entry.push_str(&format!("\n{}\n", row.details()));
    }
    entry.push('\n');
    for Fact { label, values, is_code } in facts(row) {
        let values: Vec<String> =
            values.into_iter().map(|value| if is_code { format!("`{value}`") } else { value }).collect();
        entry.push_str(&format!("- {label}: {}\n", values.join(", ")));
    }
    entry.push_str(&keys(row));
    entry
}

/// The keys of a row that is written as tables.
fn keys(row: &Setting) -> String {
    if row.keys.is_empty() {
        return String::new();
    }
    let mut table =
        format!("\nKeys of `[[{}]]`:\n\n| key | meaning | accepts | default |\n|---|---|---|---|\n", row.name);
    for key in row.keys {
        let accepts = match key.keys {
            [] => key.expected.to_string(),
            _ => format!("tables `[[{}.{}]]`, see [`{}`](#{})", row.name, key.name, key.name, key.name),
        };
        let default = if key.is_required() { "required".to_string() } else { format!("`{}`", key.default) };
        let cell = |text: &str| text.replace('|', "\\|");
        let (text, accepts) = (cell(&key.text()), cell(&accepts));
        table.push_str(&format!("| `{}` | {text} | {accepts} | {default} |\n", key.name));
    }
    table
}

/// The heading of an entry: a setting's name, or an action's flag.
fn title(row: &Setting) -> String {
    if is_action(row) { row.long_flag() } else { row.name.to_string() }
}

fn names_elsewhere() -> String {
    let mut rows: Vec<(&str, &str, String)> = Vec::new();
    for row in SETTINGS.iter().chain(ACTIONS) {
        let foreign = row.attributes.iter().filter_map(elsewhere).filter(|(_, name)| *name != row.name);
        rows.extend(foreign.map(|(program, name)| (program, name, title(row))));
    }
    rows.sort();
    let mut table = "
## Names in other servers

A setting that Gunicorn has too goes by Gunicorn's name here, and Gunicorn's flags are accepted. These names differ:

| program | its name | here |
|---|---|---|
"
    .to_string();
    for (program, there, here) in rows {
        table.push_str(&format!("| {program} | `{there}` | `{here}` |\n"));
    }
    table
}
