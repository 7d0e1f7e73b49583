//! Gunicorn's worker classes: the two that Farrier accepts, and why it refuses the others.

use super::{Completes, Rejected, Value};

/// How a worker makes its calls, in Gunicorn's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkerClass {
    /// One call at a time.
    Sync,
    /// As many calls at a time as there are threads.
    Gthread,
}

impl WorkerClass {
    /// Gunicorn's word for it.
    pub fn word(self) -> &'static str {
        match self {
            WorkerClass::Sync => "sync",
            WorkerClass::Gthread => "gthread",
        }
    }
}

/// Every spelling of the two classes, in lower case.
const KNOWN: &[(&str, WorkerClass)] = &[
    ("sync", WorkerClass::Sync),
    ("gthread", WorkerClass::Gthread),
    ("egg:gunicorn#sync", WorkerClass::Sync),
    ("egg:gunicorn#gthread", WorkerClass::Gthread),
    ("gunicorn.workers.sync.syncworker", WorkerClass::Sync),
    ("gunicorn.workers.gthread.threadworker", WorkerClass::Gthread),
];

const FOR_WAITING: &str = "its green threads are Python's own here: leave `worker_class` away, and calls that wait get \
                           threads, up to `threads`, without patching the standard library";
const FOR_ASYNC: &str = "Farrier serves WSGI applications: keep an ASGI server for this one";
const FOR_TORNADO: &str =
    "leave `worker_class` away for a WSGI application; a Tornado application runs on Tornado's own server";
const FOR_OTHERS: &str = "a worker class is a part of Gunicorn that Farrier does without: leave `worker_class` away, and \
                          see `max_worker_rss`, `max_worker_lifetime` and the hooks for what such classes are written for";

/// Parts of class names, and the message for a class whose name has one.
const REFUSED: &[(&str, &str)] = &[
    ("gevent", FOR_WAITING),
    ("eventlet", FOR_WAITING),
    ("meinheld", FOR_WAITING),
    ("tornado", FOR_TORNADO),
    ("asgi", FOR_ASYNC),
    ("uvicorn", FOR_ASYNC),
    ("aiohttp", FOR_ASYNC),
    ("hypercorn", FOR_ASYNC),
];

impl Value for WorkerClass {
    const EXPECTED: &'static str = "`sync` or `gthread`";
    const METAVAR: &'static str = "CLASS";
    const COMPLETES: Completes = Completes::Words(&["sync", "gthread"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim().to_ascii_lowercase();
        if let Some((_, class)) = KNOWN.iter().find(|(name, _)| *name == word) {
            return Ok(*class);
        }
        if let Some((_, why)) = REFUSED.iter().find(|(part, _)| word.contains(part)) {
            return Err(Rejected::because(format!("there is no worker class `{text}`; {why}")));
        }
        match word.contains(['.', ':']) {
            true => Err(Rejected::because(format!("there is no worker class `{text}`; {FOR_OTHERS}"))),
            false => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        self.word().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn the_two_classes_are_known_by_all_their_names() {
        for (name, class) in KNOWN {
            assert_eq!(WorkerClass::parse(&name.to_uppercase()), Ok(*class));
        }
    }

    #[test]
    fn other_classes_are_refused_with_what_to_do_instead() {
        for (name, word) in [
            ("gevent", "up to `threads`"),
            ("eventlet", "up to `threads`"),
            ("gevent_pywsgi", "up to `threads`"),
            ("egg:meinheld#gunicorn_worker", "up to `threads`"),
            ("tornado", "Tornado's own"),
            ("asgi", "ASGI server"),
            ("uvicorn.workers.UvicornWorker", "ASGI server"),
            ("uvicorn_worker.UvicornWorker", "ASGI server"),
            ("mysite.workers.RssWorker", "max_worker_rss"),
        ] {
            match WorkerClass::parse(name) {
                Err(Rejected { reason: Reason::Because(sentence), .. }) => {
                    assert!(sentence.contains(word), "{sentence}")
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(WorkerClass::parse("snyc"), Err(Rejected::unexpected("snyc")));
    }
}
