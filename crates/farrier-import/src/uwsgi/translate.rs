//! Translates options into settings: first those that stand alone, then those that are translated together.

use super::draft::{Draft, Fate};
use super::options::{self, Becomes, By, Role, UwsgiOption};
use super::placeholders::{self, Machine};
use super::read::Read;
use super::{application, logs, sockets, static_map};
use farrier_config::Source;
use farrier_config::nearest;

/// Translates a configuration that was read.
pub(super) fn translate(read: Read, machine: &Machine) -> Draft {
    let section = read.section.unwrap_or(Source::Default);
    let mut draft = Draft::new(filled(read.entries, machine), section);
    for index in 0..draft.entries.len() {
        match options::by_name(&draft.entries[index].name) {
            Some(option) => one(&mut draft, index, option),
            None => unknown(&mut draft, index),
        }
    }
    application::translate(&mut draft, machine);
    static_map::translate(&mut draft);
    sockets::translate(&mut draft);
    workers(&mut draft);
    requests(&mut draft);
    process(&mut draft);
    logs::translate(&mut draft);
    includes(&mut draft, read.includes);
    notes(&mut draft);
    draft
}

/// Fills in `$(NAME)` and `%(name)`; the names are looked up among all options, as uWSGI does.
fn filled(entries: Vec<super::read::Entry>, machine: &Machine) -> Vec<super::read::Entry> {
    let mut done = entries.clone();
    for entry in &mut done {
        let (value, obstacle) = placeholders::named(&entry.value, &entries, machine);
        entry.value = value;
        entry.obstacle = entry.obstacle.take().or(obstacle);
    }
    done
}

fn one(draft: &mut Draft, index: usize, option: &UwsgiOption) {
    let obstacle = draft.entries[index].obstacle.clone();
    match option.becomes {
        Becomes::Needless => draft.needless(index, option.says),
        Becomes::Without if is_off(&draft.value(index)) => draft.needless(index, "it is turned off"),
        Becomes::Without => draft.without(index, option.says),
        Becomes::Placeholder => draft.needless(index, option.says),
        Becomes::Setting(..) | Becomes::Part(..) if obstacle.is_some() => {
            draft.problem(index, obstacle.unwrap_or_default());
        }
        Becomes::Setting(setting, by) => {
            value(draft, index, setting, by);
            if !option.says.is_empty() && draft.given.contains_key(setting) {
                draft.remark(setting, option.says);
            }
        }
        Becomes::Part(role, _) => draft.parts.push((role, index)),
    }
}

fn value(draft: &mut Draft, index: usize, setting: &'static str, by: By) {
    let value = draft.value(index);
    match by {
        By::Text if value.is_empty() => draft.problem(index, "it has no value"),
        By::Text => draft.set(setting, value, index),
        By::Item => draft.add(setting, value, index),
        By::Switch => draft.set(setting, draft.entries[index].is_on().to_string(), index),
        By::Mode => draft.set(setting, value.trim_start_matches("0o").to_string(), index),
        By::Number | By::Seconds | By::Mebibytes => {
            let Some(number) = draft.number(index) else { return };
            let unit = match by {
                By::Seconds => "s",
                By::Mebibytes => "MiB",
                _ => "",
            };
            draft.set(setting, format!("{number}{unit}"), index);
        }
    }
}

/// An option that uWSGI would not know either, unless another one takes its value by `%(name)`.
fn unknown(draft: &mut Draft, index: usize) {
    let name = draft.entries[index].name.clone();
    let is_taken = draft.entries.iter().any(|entry| placeholders::names_in(&entry.written).contains(&name.as_str()));
    draft.fates[index] = if is_taken {
        Fate::Needless("filled in where `%(name)` stands".replace("name", &name))
    } else {
        let known = || options::OPTIONS.iter().flat_map(UwsgiOption::names).filter(|name| !name.ends_with('*'));
        let dashed = name.replace('_', "-").to_ascii_lowercase();
        let meant = known().find(|known| *known == dashed).or_else(|| nearest(&dashed, known()));
        Fate::Unknown(match meant {
            Some(meant) => format!("did you mean `{meant}`? uWSGI ignores names that it does not know"),
            None => "it has no effect".to_string(),
        })
    };
}

fn workers(draft: &mut Draft) {
    if let Some(index) = draft.last(Role::Processes) {
        if draft.entries[index].written == "%k" {
            draft.set("workers", "auto", index);
        } else if let Some(number) = draft.number(index) {
            draft.set("workers", number.max(1).to_string(), index);
        }
    }
    match draft.last(Role::Threads) {
        Some(index) => {
            if let Some(number) = draft.number(index) {
                draft.set("threads", number.max(1).to_string(), index);
            }
        }
        None => draft.imply(
            "threads",
            "1",
            "There is no `threads`, so uWSGI makes one call at a time in a process. Take this line away if the application \
             is thread-safe: then threads start as they are needed.",
        ),
    }
    let lazy = draft.last(Role::Lazy);
    match lazy {
        Some(index) if draft.entries[index].is_on() => draft.set("preload_app", "false", index),
        Some(index) => draft.set("preload_app", "true", index),
        None => draft.imply(
            "preload_app",
            "true",
            "There is no `lazy-apps`, so uWSGI loads the application once and forks.",
        ),
    }
    // `worker-reload-mercy` counts, even if another of these options comes later.
    let mercies = draft.of(Role::Mercy);
    let own = mercies.iter().rev().find(|index| draft.entries[**index].name == "worker-reload-mercy");
    if let Some(index) = own.or(mercies.last()).copied() {
        if let Some(number) = draft.number(index) {
            draft.set("graceful_timeout", format!("{number}s"), index);
        }
        for other in mercies.into_iter().filter(|other| *other != index) {
            draft.needless(other, "another line sets `graceful_timeout`");
        }
    }
}

/// Farrier's defaults, in bytes.
const HEAD_BYTES_USUAL: u64 = 64 * 1024;
const PART_BYTES_USUAL: u64 = 8190;
const BODY_BUFFER_BYTES_USUAL: u64 = 256 * 1024;

fn requests(draft: &mut Draft) {
    if let Some(index) = draft.last(Role::BufferSize)
        && let Some(bytes) = draft.number(index)
    {
        if bytes > PART_BYTES_USUAL {
            draft.set("limit_request_line", bytes.to_string(), index);
            draft.set("limit_request_field_size", bytes.to_string(), index);
            draft.set("limit_request_head", bytes.max(HEAD_BYTES_USUAL).to_string(), index);
        } else {
            draft
                .needless(index, format!("a head of 64 KiB with lines of {PART_BYTES_USUAL} bytes is accepted anyway"));
        }
    }
    match draft.last(Role::LimitPost) {
        Some(index) => match draft.number(index) {
            Some(0) => draft.without(index, NO_LIMIT),
            Some(bytes) => draft.set("limit_request_body", bytes.to_string(), index),
            None => {}
        },
        None => draft.notes.push(format!("There is no `limit-post`: {NO_LIMIT}.")),
    }
    if let Some(index) = draft.last(Role::PostBuffering)
        && let Some(bytes) = draft.number(index)
    {
        if bytes > BODY_BUFFER_BYTES_USUAL {
            draft.set("body_buffer_bytes", bytes.to_string(), index);
        } else {
            draft.needless(
                index,
                "bodies are complete before the application is called; 256 KiB are kept in memory anyway",
            );
        }
    }
    if let Some(index) = draft.last(Role::KeepAlive) {
        match draft.value(index).parse::<u64>() {
            Ok(seconds) if seconds > 1 => draft.set("keepalive", format!("{seconds}s"), index),
            _ => draft.needless(index, "connections are kept alive anyway"),
        }
    }
    if let Some(index) = draft.last(Role::ProxyProtocol) {
        if draft.entries[index].is_on() {
            draft.set("proxy_protocol", "v1", index);
            draft.remark("proxy_protocol", "Balancers beside this machine must be named in `proxy_allow_ips`.");
        } else {
            draft.needless(index, "it is turned off");
        }
    }
    for index in draft.of(Role::AddHeader) {
        let field = draft.value(index).to_ascii_lowercase().replace(' ', "");
        if field == "connection:close" {
            draft.set("keepalive", "0", index);
        } else {
            draft.without(index, "a header field is the application's or the proxy's to add");
        }
    }
}

const NO_LIMIT: &str =
    "uWSGI takes a body of any size, Farrier one of 10 MiB; set `limit_request_body` if more is sent";

fn process(draft: &mut Draft) {
    let reload = draft.last(Role::AutoReload);
    let reloads = reload.filter(|index| draft.entries[*index].is_on());
    if let Some(index) = reload {
        draft.set("reload", reloads.is_some().to_string(), index);
    }
    for index in draft.of(Role::TouchReload) {
        if reloads.is_some() {
            let file = draft.value(index);
            draft.add("reload_extra_files", file, index);
        } else {
            draft.without(index, "send SIGHUP to the arbiter, which reloads without losing a request");
        }
    }
    for index in draft.of(Role::Hook) {
        let action = draft.value(index);
        if action.starts_with("unix_signal:") && action.ends_with("gracefully_kill_them_all") {
            draft.needless(index, "SIGTERM stops gracefully");
        } else {
            let instead = "write a function in farrier.conf.py (`when_ready`, `post_fork`, `on_exit`), or let the service \
                           manager run it";
            draft.without(index, instead);
        }
    }
    for index in draft.of(Role::Plugins) {
        let value = draft.value(index);
        let is_needless = |plugin: &str| {
            let plugin = plugin.trim();
            plugin.starts_with("python") || ["http", "corerouter", "logfile", "ping", "uwsgi", "0"].contains(&plugin)
        };
        if value.split(',').all(is_needless) {
            draft.needless(index, "nothing needs to be loaded");
        } else {
            draft.without(index, "there are no plugins: what it is for is done elsewhere, or not");
        }
    }
    match draft.last(Role::DieOnTerm) {
        Some(index) => draft.needless(index, "SIGTERM always stops gracefully"),
        None => draft
            .notes
            .push("There is no `die-on-term`: SIGTERM reloads uWSGI, but stops Farrier; SIGHUP reloads it.".into()),
    }
}

fn includes(draft: &mut Draft, includes: Vec<super::read::Entry>) {
    for entry in includes {
        draft.entries.push(entry);
        draft.fates.push(Fate::Needless("its options stand here with their own lines".to_string()));
    }
}

fn notes(draft: &mut Draft) {
    draft.notes.push(
        "uWSGI trusts anybody's `X-Forwarded-Proto`; Farrier trusts unix sockets and `forwarded_allow_ips`, which is \
         this machine unless it is set."
            .to_string(),
    );
}

fn is_off(value: &str) -> bool {
    ["false", "off", "no"].contains(&value.to_ascii_lowercase().as_str())
}
