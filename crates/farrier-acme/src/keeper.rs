//! Keeps one certificate valid: checks it, asks for the authority's renewal time, orders, and records the results.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use instant_acme::Account;

use crate::account::account;
use crate::certificate::Leaf;
use crate::challenge::sweep;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::moment::{date, of_unix_s, span, unix_s};
use crate::order::Ordering;
use crate::record::Record;
use crate::schedule::{LOOK_AFTER_FAILURE, Suggestion, allowed_at, renew_at, retry_delay};
use crate::settings::{Challenge, Names, Settings};
use crate::state::{State, StateError};
use crate::{IsPublished, Level, Say};

/// The interval of checks whether the other server, which has the lock, has gone.
const STANDBY: Duration = Duration::from_secs(5);

/// The parts that all certificates share.
pub(crate) struct Surroundings<'k> {
    pub(crate) settings: &'k Settings,
    pub(crate) state: &'k State,
    pub(crate) connection: &'k Connection,
    pub(crate) say: &'k Say<'k>,
    pub(crate) is_published: &'k IsPublished<'k>,
}

/// One certificate, and its state in this process.
pub(crate) struct Keeper<'k> {
    around: &'k Surroundings<'k>,
    names: Names,
    lock: Option<OwnedFd>,
    stands_by: bool,
    /// Failures in a row.
    failures: u32,
    /// Failed validations in a row; the number selects the challenge.
    validations: usize,
    not_before: SystemTime,
    /// Do not ask for a renewal time before this: the authority has none, or could not be reached.
    look_not_before: SystemTime,
    /// Between 0 and 1, for as long as this certificate is kept.
    chance: f64,
    told: Option<SystemTime>,
}

impl<'k> Keeper<'k> {
    pub(crate) fn new(around: &'k Surroundings<'k>, names: &Names) -> Keeper<'k> {
        Keeper {
            around,
            names: names.clone(),
            lock: None,
            stands_by: false,
            failures: 0,
            validations: 0,
            not_before: SystemTime::UNIX_EPOCH,
            look_not_before: SystemTime::UNIX_EPOCH,
            chance: chance(),
            told: None,
        }
    }

    /// Does what is due and returns when to call it again.
    pub(crate) async fn tend(&mut self) -> SystemTime {
        match self.look().await {
            Ok(again) => again,
            Err(error) => {
                let again = self.pause(None);
                self.say(Level::Error, &format!("{error}; next try {}", self.when(again)));
                again
            }
        }
    }

    async fn look(&mut self) -> Result<SystemTime, StateError> {
        let now = SystemTime::now();
        if !self.has_lock()? {
            return Ok(now + STANDBY);
        }
        let place = self.around.state.record(&self.names);
        let mut record = Record::read(&place)?.until(now);
        let held = self.held()?;
        let due = match &held {
            Some(leaf) if self.is_good(leaf, &record) => {
                self.ask_for_suggestion(leaf, &mut record, &place, now).await?;
                let due = renew_at(
                    (leaf.not_before, leaf.not_after),
                    self.around.settings.renew_before,
                    record.suggestion.as_ref(),
                    self.chance,
                );
                // An authority that wants every certificate renewed at once, or a wrong clock, must not cause endless
                // orders.
                due.max(of_unix_s(record.issued_unix_s) + (leaf.life() / 10).min(self.around.settings.retry_delay_max))
            }
            _ => SystemTime::UNIX_EPOCH,
        };
        let due = due.max(self.not_before).max(allowed_at(&record.failures_unix_s));
        if due > now {
            if self.told != Some(due) {
                self.told = Some(due);
                if let Some(leaf) = held.as_ref().filter(|leaf| !leaf.is_self_signed) {
                    let ends = date(leaf.not_after);
                    self.say(Level::Info, &format!("valid until {ends}, to be renewed {}", self.when(due)));
                } else if allowed_at(&record.failures_unix_s) >= due {
                    let text = format!("too many orders have failed in the last hour; next try {}", self.when(due));
                    self.say(Level::Warning, &text);
                }
            }
            let look = record.suggestion.as_ref().map(|suggestion| of_unix_s(suggestion.look_unix_s));
            return Ok(look.map_or(due, |look| due.min(look.max(self.look_not_before))));
        }
        self.order(held.as_ref(), record, &place).await
    }

    async fn order(&mut self, held: Option<&Leaf>, mut record: Record, place: &Path) -> Result<SystemTime, StateError> {
        let challenge = self.challenge();
        let reason = match held {
            Some(leaf) if leaf.is_self_signed => "first order",
            Some(leaf) if !leaf.covers(&self.names) => "the certificate is not for all of the names",
            Some(_) if record.directory != self.around.settings.directory => "another authority is set",
            Some(leaf) if leaf.not_after <= SystemTime::now() => "it has expired",
            Some(_) => "renewal",
            None => "first order",
        };
        let host = self.around.settings.directory.split('/').nth(2).unwrap_or_default();
        self.say(Level::Info, &format!("ordering at {host} by {} ({reason})", challenge.word()));
        let outcome = self.issue(held, &record, challenge).await;
        let now = SystemTime::now();
        match outcome {
            Ok((pem, leaf)) => {
                self.around.state.put(&self.names, &pem)?;
                record = Record {
                    directory: self.around.settings.directory.clone(),
                    names: self.names.all().to_vec(),
                    issued_unix_s: unix_s(now),
                    expires_unix_s: unix_s(leaf.not_after),
                    failures_unix_s: record.failures_unix_s,
                    ..Record::default()
                };
                record.write(place)?;
                (self.failures, self.validations, self.told) = (0, 0, None);
                (self.not_before, self.look_not_before, self.chance) =
                    (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH, chance());
                self.say(Level::Info, &format!("issued, valid until {}", date(leaf.not_after)));
                Ok(now)
            }
            Err(failure) => {
                record.failed(&failure.reason, failure.counts, now);
                record.write(place)?;
                if failure.is_validation {
                    self.validations += 1;
                }
                let again = self.pause(failure.wait).max(allowed_at(&record.failures_unix_s));
                self.not_before = again;
                self.told = Some(again);
                let hint = if failure.is_validation { hint(challenge) } else { "" };
                let text = format!("not issued: {failure}{hint}; {}; next try {}", served(held), self.when(again));
                self.say(Level::Error, &text);
                Ok(again)
            }
        }
    }

    async fn issue(
        &self,
        held: Option<&Leaf>,
        record: &Record,
        challenge: Challenge,
    ) -> Result<(String, Leaf), Failure> {
        let mut account = self.account(false).await?;
        let replaces = || held.filter(|leaf| self.is_good(leaf, record)).and_then(Leaf::identifier);
        // An authority without renewal information does not know which certificate it replaces.
        let replaces = || record.suggestion.as_ref().and_then(|_| replaces());
        let mut anew = false;
        let pem = loop {
            let ordering = Ordering {
                account: &account,
                connection: self.around.connection,
                state: self.around.state,
                names: &self.names,
                challenge,
                replaces: replaces(),
                timeout: self.around.settings.timeout,
                is_published: self.around.is_published,
            };
            match ordering.run().await {
                Err(failure) if failure.lost_account && !anew => {
                    self.say(Level::Warning, "the authority does not know the account any more: making a new one");
                    anew = true;
                    account = self.account(true).await?;
                }
                outcome => break outcome?,
            }
        };
        let leaf = Leaf::of(&pem).map_err(Failure::of_ours)?;
        Ok((pem, leaf))
    }

    async fn account(&self, anew: bool) -> Result<Account, Failure> {
        account(self.around.settings, self.around.state, self.around.connection, anew).await
    }

    /// Asks for the authority's renewal time, if it is time to ask.
    async fn ask_for_suggestion(
        &mut self,
        leaf: &Leaf,
        record: &mut Record,
        place: &Path,
        now: SystemTime,
    ) -> Result<(), StateError> {
        let Some(identifier) = leaf.identifier() else { return Ok(()) };
        let is_known = record.suggestion.as_ref().is_some_and(|known| of_unix_s(known.look_unix_s) > now);
        if is_known || self.not_before.max(self.look_not_before) > now {
            return Ok(());
        }
        // Replaced if an answer says when to ask again.
        self.look_not_before = now + LOOK_AFTER_FAILURE;
        // If the authority cannot be reached, the usual time applies, and the order will report the error.
        let Ok(account) = self.account(false).await else { return Ok(()) };
        let before = record.suggestion.clone();
        match account.renewal_info(&identifier).await {
            Ok((info, look_after)) => {
                let window = &info.suggested_window;
                let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
                let window = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
                let page =
                    info.explanation_url.map(|page| page.chars().filter(|c| !c.is_control()).take(300).collect());
                record.suggestion = Suggestion::of(window, look_after, page, before.as_ref(), chance(), now);
                if record.suggestion.is_some() {
                    self.look_not_before = SystemTime::UNIX_EPOCH;
                }
            }
            Err(instant_acme::Error::Unsupported(_)) => record.suggestion = None,
            // The known time still holds; it is asked for again later.
            Err(_) => {}
        }
        if record.suggestion == before {
            return Ok(());
        }
        let windows = [&before, &record.suggestion].map(|it| it.as_ref().map(|it| (it.start_unix_s, it.end_unix_s)));
        if let Some(new) = record.suggestion.as_ref().filter(|_| windows[0] != windows[1]) {
            let page = new.explanation.as_ref().map_or_else(String::new, |page| format!(" (see {page})"));
            let (start, end) = (date(of_unix_s(new.start_unix_s)), date(of_unix_s(new.end_unix_s)));
            self.say(Level::Info, &format!("the authority suggests to renew between {start} and {end}{page}"));
        }
        record.write(place)
    }

    /// The certificate in use; `None` if there is none, or if it cannot be read.
    fn held(&self) -> Result<Option<Leaf>, StateError> {
        let place = self.around.state.certificate(&self.names);
        let Some(text) = State::read(&place)? else { return Ok(None) };
        match Leaf::of(&text) {
            Ok(leaf) => Ok(Some(leaf)),
            Err(reason) => {
                self.say(Level::Warning, &format!("{}: {reason}", place.display()));
                Ok(None)
            }
        }
    }

    /// Whether the certificate in use matches the settings, so that only its age counts.
    fn is_good(&self, leaf: &Leaf, record: &Record) -> bool {
        !leaf.is_self_signed && leaf.covers(&self.names) && record.directory == self.around.settings.directory
    }

    fn has_lock(&mut self) -> Result<bool, StateError> {
        if self.lock.is_none() {
            self.lock = self.around.state.lock(&self.names)?;
            match (&self.lock, self.stands_by) {
                (None, false) => {
                    self.say(Level::Info, "another server with this state directory orders; its certificate is used");
                }
                (Some(_), true) => self.say(Level::Info, "the other server has gone; this one orders from now on"),
                _ => {}
            }
            self.stands_by = self.lock.is_none();
            if self.lock.is_some() {
                let own: Vec<String> = self.names.all().iter().map(|name| format!("{name}.pem")).collect();
                sweep(self.around.state, Challenge::TlsAlpn01, |file| own.iter().any(|name| name == file));
            }
        }
        Ok(self.lock.is_some())
    }

    /// The challenge to try: the next one after each failed validation.
    fn challenge(&self) -> Challenge {
        let challenges = &self.around.settings.challenges;
        challenges.get(self.validations % challenges.len().max(1)).copied().unwrap_or(Challenge::Http01)
    }

    /// When to try again after one more failure.
    fn pause(&mut self, asked: Option<Duration>) -> SystemTime {
        self.failures = self.failures.saturating_add(1);
        let Settings { retry_delay: first, retry_delay_max: longest, .. } = *self.around.settings;
        SystemTime::now() + retry_delay(self.failures, first, longest, asked, chance())
    }

    fn when(&self, at: SystemTime) -> String {
        match at.duration_since(SystemTime::now()) {
            Ok(wait) => format!("in {} ({})", span(wait), date(at)),
            Err(_) => "now".to_owned(),
        }
    }

    fn say(&self, level: Level, text: &str) {
        (self.around.say)(level, &format!("Certificate for {}: {text}", self.names.text()));
    }
}

/// Which certificate is served meanwhile.
fn served(held: Option<&Leaf>) -> String {
    match held {
        None => "nothing is served for it".to_owned(),
        Some(leaf) if leaf.is_self_signed => "the temporary self-signed one is served".to_owned(),
        Some(leaf) => match leaf.not_after.duration_since(SystemTime::now()) {
            Ok(rest) => format!("the one that is served is valid for another {}", span(rest)),
            Err(late) => format!("the one that is served EXPIRED {} ago", span(late.duration())),
        },
    }
}

/// A hint about the most common cause.
fn hint(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::Http01 => " (does port 80 of the name lead to a plain-HTTP address of this server?)",
        Challenge::TlsAlpn01 => " (does port 443 of the name lead to this server, without a proxy that ends TLS?)",
    }
}

/// Between 0 and 1.
fn chance() -> f64 {
    let mut bytes = [0_u8; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
