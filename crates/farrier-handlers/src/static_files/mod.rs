//! Serves the files of a folder, without a seat and without the interpreter. A cached file costs one system call, the
//! one that sends it.

pub(crate) mod answer;
mod cache;
mod clock;
mod folder;
pub(crate) mod found;
mod hidden;
mod name;
pub(crate) mod room;
mod root;
mod single;

use std::path::Path;
use std::sync::Arc;

use farrier_http::{AcceptEncoding, Error, Handler, Kind, Request, Respond, ResponseHead, Status};

use self::answer::{Plan, carry_out, plan, refuse};
use self::found::{Found, Representation, StaticFile, What};
use self::name::NoName;
use self::room::{Lookup, Room};
use self::root::Root;
use farrier_log::error::ErrorLog;

pub use self::cache::{Cache, CacheBounds};
pub use self::folder::Folder;
pub use self::hidden::HiddenNames;

/// The handler for a folder. It shares `cache` with other folders.
///
/// # Errors
/// The folder cannot be served. The message says why.
pub fn serve(folder: Folder, cache: &Arc<Cache>, log: &Arc<ErrorLog>) -> Result<Arc<dyn Handler>, String> {
    let (folder, file) = match single::file(&folder.prefix, &folder.directory) {
        Some((parent, name)) => (Folder { directory: parent, ..folder }, Some(name)),
        None => (folder, None),
    };
    let room = Room::open(folder, file, Arc::clone(cache), Arc::clone(log))?;
    Ok(Arc::new(StaticFiles { room: Arc::new(room) }))
}

/// Checks that a folder, or a file, can be served at a path.
///
/// # Errors
/// It cannot. The message says why.
pub fn check(prefix: &str, directory: &Path) -> Result<(), String> {
    match single::file(prefix, directory) {
        Some((parent, _)) => Root::open(&parent).map(drop),
        None => Root::open(directory).map(drop),
    }
}

struct StaticFiles {
    room: Arc<Room>,
}

impl Handler for StaticFiles {
    fn plan(&self, request: &mut Request) -> farrier_http::Plan {
        if !is_read(request) {
            return farrier_http::Plan::Now;
        }
        let found = match self.room.name_of(request) {
            Ok(name) => self.room.look(&name),
            Err(_) => return farrier_http::Plan::Now,
        };
        match found {
            Some(found) => {
                request.found = Some(found);
                farrier_http::Plan::Now
            }
            None => farrier_http::Plan::Disk(Box::new(Lookup(Arc::clone(&self.room)))),
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        if !is_read(request) {
            let is_options = request.method() == b"OPTIONS";
            let status = if is_options { Status::NO_CONTENT } else { Status::METHOD_NOT_ALLOWED };
            return refuse(respond, status, &[(b"Allow", b"GET, HEAD, OPTIONS")]);
        }
        let found = request.found.take().and_then(|found| found.downcast::<Found>().ok());
        let found = match (found, self.room.name_of(request)) {
            (Some(found), _) => found,
            (None, Ok(name)) => self.room.look_and_wait(&name),
            (None, Err(NoName::Malformed)) => return refuse(respond, Status::BAD_REQUEST, &[]),
            (None, Err(NoName::Hidden)) => return refuse(respond, Status::NOT_FOUND, &[]),
        };
        let found = match (&found.what, self.room.name_of(request)) {
            // The file has changed since the lookup, which is valid for a second.
            (What::File(file), Ok(name)) if !choose(file, request).is_there() => self.room.look_again(&name),
            _ => found,
        };
        match &found.what {
            What::File(file) => serve_file(file, request, respond),
            What::Folder => redirect_to_slash(&self.room, request, respond),
            What::Nothing => refuse(respond, Status::NOT_FOUND, &[]),
            What::Unreadable => refuse(respond, Status::FORBIDDEN, &[]),
            // The error log has the reason already.
            What::Unknown => Err(Error::server(Kind::Overloaded, "")),
        }
    }
}

fn is_read(request: &Request) -> bool {
    matches!(request.method(), b"GET" | b"HEAD")
}

fn serve_file(file: &StaticFile, request: &Request, respond: &mut dyn Respond) -> Result<(), Error> {
    let representation = choose(file, request);
    match plan(request, representation) {
        // Nearly all requests end here, with a prepared head.
        Plan::Whole => {
            respond.head(&representation.whole, Some(representation.bytes));
            if request.method() == b"GET" {
                let whole = farrier_http::ranges::ByteRange { start: 0, end: representation.bytes };
                // An error means that the client has disconnected: nothing is left to do.
                let _ = answer::send(respond, representation, whole);
            }
            respond.finish();
            Ok(())
        }
        Plan::NotModified => {
            respond.head(&representation.unchanged, None);
            respond.finish();
            Ok(())
        }
        plan => carry_out(&plan, request, representation, respond, &|status, media_type| {
            head_like(&representation.whole, status, media_type)
        }),
    }
}

/// The form that the client prefers.
fn choose<'a>(file: &'a StaticFile, request: &Request) -> &'a Representation {
    if file.encoded.is_empty() {
        return &file.plain;
    }
    let at_hand = file.encoded.iter().map(|(coding, _)| *coding);
    match AcceptEncoding::of_request(request).best(at_hand) {
        Some(best) => file.encoded.iter().find(|(coding, _)| *coding == best).map_or(&file.plain, |(_, form)| form),
        None => &file.plain,
    }
}

/// The same fields with another status, and with another Content-Type if one is given.
fn head_like(whole: &ResponseHead, status: Status, media_type: Option<&str>) -> Result<ResponseHead, Error> {
    let mut head = ResponseHead::new(status);
    for (name, value) in whole.fields() {
        match media_type {
            Some(media_type) if name.eq_ignore_ascii_case(b"content-type") => {
                head.add(name, media_type.as_bytes())?;
            }
            _ => head.add(name, value)?,
        }
    }
    Ok(head)
}

/// Redirects to the folder's name with a slash at its end, so that relative links in its index work.
fn redirect_to_slash(room: &Room, request: &Request, respond: &mut dyn Respond) -> Result<(), Error> {
    let Ok(name) = room.name_of(request) else { return refuse(respond, Status::NOT_FOUND, &[]) };
    let mut location = Vec::new();
    name::encode(room.folder.prefix.as_bytes(), &mut location);
    name::encode(&name, &mut location);
    location.push(b'/');
    if !request.query().is_empty() {
        location.push(b'?');
        location.extend_from_slice(request.query());
    }
    refuse(respond, Status::MOVED_PERMANENTLY, &[(b"Location", &location)])
}
