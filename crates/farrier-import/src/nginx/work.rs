//! An nginx configuration during its translation.

use super::account::{Account, Fate};
use super::output::{Items, Table};
use super::tree::{Directive, Files};

/// The translation so far.
pub(super) struct Work<'t, 'f> {
    /// What became of each directive.
    pub(super) account: Account,
    /// The settings of the whole server.
    pub(super) settings: Items,
    /// The `upstream` blocks.
    pub(super) groups: Vec<&'t Directive>,
    /// The upstreams, as mounts need them.
    pub(super) upstreams: Vec<Table>,
    pub(super) internals: Vec<Table>,
    pub(super) sites: Vec<SiteOut>,
    /// Remarks that belong to no single directive.
    pub(super) notes: Vec<String>,
    /// The files of this machine, which `try_files` looks at.
    pub(super) files: &'f mut dyn Files,
    /// The application that answers in the place of the server behind the proxy.
    pub(super) app: Option<String>,
    /// The server that the application replaces.
    pub(super) replaced: Option<String>,
}

/// A site with its mounts.
#[derive(Debug, Default)]
pub(super) struct SiteOut {
    pub(super) table: Table,
    pub(super) mounts: Vec<Table>,
}

impl Work<'_, '_> {
    /// Sets a setting that all sites share. The first value counts.
    pub(super) fn global(&mut self, key: &'static str, value: impl Into<String>, from: &Directive) {
        let value = value.into();
        match self.settings.value(key) {
            Some(known) if known != value => {
                let message = format!("the whole server has one `{key}`, which is {known} already");
                self.account.without(from, message);
            }
            _ => {
                self.settings.set(key, value, &[from]);
                self.account.became(from);
            }
        }
    }

    /// Adds a text to a setting that is a list.
    pub(super) fn global_item(&mut self, key: &'static str, text: &str, from: &Directive) {
        let item = farrier_config::value::quoted(text);
        let value = match self.settings.value(key).and_then(|known| known.strip_suffix(']')) {
            Some(known) if known[1..].split(", ").any(|its| its == item) => format!("{known}]"),
            Some(known) => format!("{known}, {item}]"),
            None => format!("[{item}]"),
        };
        self.settings.set(key, value, &[from]);
        self.account.became(from);
    }

    /// A time as a setting has it. A value that is none is noted.
    pub(super) fn duration(&mut self, from: &Directive, text: &str) -> Option<String> {
        let time = super::units::milliseconds(text).map(super::units::duration);
        if time.is_none() {
            self.account.without(from, format!("`{text}` is not a time"));
        }
        time
    }

    /// A size in bytes. A value that is none is noted.
    pub(super) fn bytes(&mut self, from: &Directive, text: &str) -> Option<u64> {
        let size = super::units::bytes(text);
        if size.is_none() {
            self.account.without(from, format!("`{text}` is not a size"));
        }
        size
    }

    /// Notes the fates of all directives that nobody looked at, by the table.
    pub(super) fn account_for_the_rest(&mut self, top: &[Directive]) {
        use super::directives::{BY_HAND, Becomes, by_name};
        for directive in top {
            if self.account.fate(directive.index).is_none() {
                let fate = match by_name(&directive.name).map(|known| (known.becomes, known.says)) {
                    Some((Becomes::Needless, says)) => Fate::Needless(says.to_owned()),
                    Some((Becomes::Without, says)) => Fate::Without(says.to_owned()),
                    Some((Becomes::Access(_), _)) => Fate::Dropped(BY_HAND.to_owned()),
                    Some((Becomes::Part(_), _)) => Fate::Needless("nothing here uses it".to_owned()),
                    None => Fate::Unknown(unknown(&directive.name)),
                };
                let is_opaque =
                    matches!(directive.name.as_str(), "types" | "map" | "geo" | "split_clients" | "stream" | "mail");
                if is_opaque || directive.name.ends_with("_by_lua_block") {
                    self.account.whole(directive, &fate);
                } else {
                    self.account.note(directive, fate);
                }
            }
            self.account_for_the_rest(directive.children());
        }
    }
}

fn unknown(name: &str) -> String {
    use super::directives::{DIRECTIVES, Known};
    let known: Vec<String> = DIRECTIVES.iter().flat_map(Known::names).filter(|name| !name.ends_with('*')).collect();
    match farrier_config::nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`? It was not translated"),
        None => "it was not translated: look up what it does".to_owned(),
    }
}
