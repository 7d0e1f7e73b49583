//! Translates the options that name the application: module, file, callable, mounts and the Python environment.

use std::path::{Component, Path};

use super::draft::Draft;
use super::options::Role;
use super::placeholders::Machine;
use farrier_config::value::{UrlPrefix, Value};

/// Translates the options of the application into `wsgi_app` and what it needs.
pub(super) fn translate(draft: &mut Draft, machine: &Machine) {
    let module = draft.last(Role::Module);
    let file = draft.last(Role::File);
    let callable = draft.last(Role::Callable);
    let mounts = draft.of(Role::Mount);
    let mut named = false;
    match (module, file) {
        (Some(index), other) => {
            let value = draft.value(index);
            named = name(draft, index, &value, callable);
            if let Some(other) = other {
                draft.without(other, "`module` is served; one application is served");
            }
        }
        (None, Some(index)) => {
            let value = draft.value(index);
            named = name(draft, index, &value, callable);
        }
        (None, None) => {}
    }
    // A single application serves every path, whatever its prefix: the proxy may pass on the prefix or remove it.
    let is_only_one = !named && mounts.len() == 1;
    let mut prefixes: Vec<String> = Vec::new();
    for index in mounts {
        let value = draft.value(index);
        // `mount` takes a file or module by the prefix before the first `=`; without one it is for the root.
        let (prefix, application) = value.split_once('=').unwrap_or(("", &value));
        let prefix = prefix.trim().trim_end_matches('/').to_string();
        if prefix.is_empty() || is_only_one {
            if named {
                draft.without(index, "there is an application for `/` already");
                continue;
            }
            named = name(draft, index, application.trim(), callable);
            if named && !prefix.is_empty() {
                draft.add("raw_env", format!("SCRIPT_NAME={prefix}"), index);
            }
            continue;
        }
        if UrlPrefix::parse(&prefix).is_err() || prefixes.contains(&prefix) {
            draft.without(index, "`[[mount]]` takes each path once, as `/path`");
            continue;
        }
        if let Some(application) = specification(draft, index, application.trim(), callable) {
            draft.add("mount", format!("{prefix}={application}"), index);
            prefixes.push(prefix);
        }
    }
    if let Some(callable) = callable.filter(|_| !named && !prefixes.is_empty()) {
        draft.comes_from("mount", callable);
    }
    named |= !prefixes.is_empty();
    if let Some(index) = callable
        && !named
    {
        draft.without(index, "it is a name in a module, and no module is named");
    }
    if !named {
        draft.notes.push("No application is named: give one as `wsgi_app` or on the command line.".to_string());
    }
    environment(draft, machine);
}

/// Makes `wsgi_app` from the option at `index`; returns whether it could.
fn name(draft: &mut Draft, index: usize, value: &str, callable: Option<usize>) -> bool {
    let Some(application) = specification(draft, index, value, callable) else { return false };
    draft.set("wsgi_app", application, index);
    if let Some(callable) = callable {
        if value.contains(':') {
            draft.needless(callable, "the application's name is already given after the colon");
        } else {
            draft.comes_from("wsgi_app", callable);
        }
    }
    true
}

/// The application that the option at `index` names, as `MODULE` or `MODULE:NAME`.
fn specification(draft: &mut Draft, index: usize, value: &str, callable: Option<usize>) -> Option<String> {
    let (target, own_name) = match value.split_once(':') {
        Some((target, name)) => (target, Some(name.to_string())),
        None => (value, None),
    };
    let is_file = target.contains('/') || Path::new(target).extension().is_some_and(|end| end == "py");
    let is_file = is_file || draft.of(Role::File).contains(&index);
    let module = if is_file {
        let chdir = draft.given.get("chdir").and_then(|given| given.items.last()).map(|(folder, _)| folder.clone());
        match module_of(target, chdir.as_deref()) {
            Ok((module, folder)) => {
                if let Some(folder) = folder {
                    draft.add("pythonpath", folder, index);
                }
                module
            }
            Err(why) => {
                draft.problem(index, why);
                return None;
            }
        }
    } else {
        target.to_string()
    };
    let name = own_name.or_else(|| callable.map(|index| draft.value(index)));
    Some(name.map_or(module.clone(), |name| format!("{module}:{name}")))
}

/// The module name of a file, and the folder that must be on `sys.path` for it.
fn module_of(file: &str, chdir: Option<&str>) -> Result<(String, Option<String>), String> {
    let path = Path::new(file);
    let rename = || format!("`{file}` cannot be imported: give it a name like `wsgi.py`, of letters, digits and `_`");
    if path.extension().is_none_or(|end| end != "py") {
        return Err(rename());
    }
    let within = chdir.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path).with_extension("");
    let mut words = Vec::new();
    let mut is_plain = true;
    for part in within.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(word) => {
                let word = word.to_str().ok_or_else(rename)?;
                is_plain &= is_identifier(word);
                words.push(word);
            }
            _ => is_plain = false,
        }
    }
    let stem = *words.last().filter(|word| is_identifier(word)).ok_or_else(rename)?;
    if is_plain {
        return Ok((words.join("."), None));
    }
    let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned());
    Ok((stem.to_string(), folder))
}

fn is_identifier(word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    word.starts_with(|c: char| is_letter(c) && !c.is_numeric()) && word.chars().all(is_letter)
}

/// Farrier must be installed in the Python environment that is named.
fn environment(draft: &mut Draft, machine: &Machine) {
    for index in draft.of(Role::Virtualenv) {
        let folder = draft.value(index);
        let folder = folder.trim_end_matches('/');
        if machine.python_prefix == machine.folder.join(folder) {
            draft.needless(index, "it is the environment that Farrier is installed in");
        } else {
            let instead =
                format!("install Farrier into it and start `{folder}/bin/farrier`: a server runs in its own Python");
            draft.without(index, instead);
        }
    }
}
