//! What becomes of each directive: every one is accounted for, and none is dropped silently.

use super::tree::Directive;

/// What became of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is a part of the settings.
    Became,
    /// It is not needed, for this reason.
    Needless(String),
    /// It has no counterpart; the text says what to do.
    Without(String),
    /// It restricts access and has no counterpart; the text says what to do.
    Dropped(String),
    /// nginx does not have it, or the importer does not know it.
    Unknown(String),
}

impl Fate {
    /// A directive may be used at several places; the place where most is lost counts.
    fn weight(&self) -> u8 {
        match self {
            Fate::Needless(_) => 0,
            Fate::Became => 1,
            Fate::Without(_) | Fate::Unknown(_) => 2,
            Fate::Dropped(_) => 3,
        }
    }
}

/// The directives and their fates.
#[derive(Debug)]
pub(super) struct Account {
    /// The directives, in the order of the files.
    pub(super) lines: Vec<Line>,
    fates: Vec<Option<Fate>>,
}

/// A directive for messages.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Its name.
    pub(super) name: String,
    /// It, on one line.
    pub(super) written: String,
    /// The file.
    pub(super) path: String,
    /// The line in the file.
    pub(super) line: usize,
}

impl Account {
    /// An account of the directives of a tree.
    pub(super) fn of(top: &[Directive], count: usize) -> Account {
        let empty = || Line { name: String::new(), written: String::new(), path: String::new(), line: 0 };
        let mut account = Account { lines: (0..count).map(|_| empty()).collect(), fates: vec![None; count] };
        account.list(top);
        account
    }

    fn list(&mut self, directives: &[Directive]) {
        for directive in directives {
            if let Some(line) = self.lines.get_mut(directive.index) {
                *line = Line {
                    name: directive.name.clone(),
                    written: directive.written(),
                    path: directive.path.to_string(),
                    line: directive.line,
                };
            }
            self.list(directive.children());
        }
    }

    /// Notes a fate.
    pub(super) fn note(&mut self, directive: &Directive, fate: Fate) {
        if let Some(known) = self.fates.get_mut(directive.index)
            && known.as_ref().is_none_or(|known| fate.weight() > known.weight())
        {
            *known = Some(fate);
        }
    }

    /// It became a part of the settings.
    pub(super) fn became(&mut self, directive: &Directive) {
        self.note(directive, Fate::Became);
    }

    /// It is not needed.
    pub(super) fn needless(&mut self, directive: &Directive, why: impl Into<String>) {
        self.note(directive, Fate::Needless(why.into()));
    }

    /// It has no counterpart.
    pub(super) fn without(&mut self, directive: &Directive, instead: impl Into<String>) {
        self.note(directive, Fate::Without(instead.into()));
    }

    /// It restricts access, and has no counterpart.
    pub(super) fn dropped(&mut self, directive: &Directive, instead: impl Into<String>) {
        self.note(directive, Fate::Dropped(instead.into()));
    }

    /// Notes a fate for a block and everything inside of it.
    pub(super) fn whole(&mut self, directive: &Directive, fate: &Fate) {
        self.note(directive, fate.clone());
        for child in directive.children() {
            self.whole(child, fate);
        }
    }

    /// Notes a fate for a block and everything inside of it that has none yet.
    pub(super) fn rest(&mut self, directive: &Directive, fate: &Fate) {
        if self.fate(directive.index).is_none() {
            self.note(directive, fate.clone());
        }
        for child in directive.children() {
            self.rest(child, fate);
        }
    }

    /// What became of the directive of this number, if it is known.
    pub(super) fn fate(&self, index: usize) -> Option<&Fate> {
        self.fates.get(index).and_then(Option::as_ref)
    }

    /// The directives with their fates, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Line, &Fate)> {
        self.lines.iter().zip(&self.fates).filter_map(|(line, fate)| Some((line, fate.as_ref()?)))
    }
}
