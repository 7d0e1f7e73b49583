//! Sends a file in place of an application's response that names one: in `X-Sendfile` by path, or in `X-Accel-Redirect`
//! by URL. The file must be in a declared folder.

mod filter;

use std::fs::File;
use std::sync::Arc;

use farrier_http::{
    AnswerFilter, Bytes, Error, Flush, Handler, Kind, Request, Respond, ResponseHead, SendError, Status, percent,
};

use self::filter::DivertingFilter;
use crate::static_files::answer::{self, Plan, carry_out, refuse};
use crate::static_files::found::{Found, Representation, What};
use crate::static_files::room::Room;
use crate::static_files::{Cache, Folder};
use farrier_log::access::printable;
use farrier_log::error::{ErrorLog, Level};
use farrier_protocol::host::Host;

/// The folders whose files applications may name. All applications of a worker share them.
pub struct InternalFiles {
    rooms: Vec<Room>,
    log: Arc<ErrorLog>,
    host: Arc<dyn Host>,
}

impl InternalFiles {
    /// Opens the folders. `None` if there are none.
    ///
    /// # Errors
    /// A folder cannot be served. The message says why.
    pub fn open(
        folders: Vec<Folder>,
        cache: &Arc<Cache>,
        log: &Arc<ErrorLog>,
        host: Arc<dyn Host>,
    ) -> Result<Option<Arc<InternalFiles>>, String> {
        if folders.is_empty() {
            return Ok(None);
        }
        let rooms = folders.into_iter().map(|folder| Room::open(folder, None, Arc::clone(cache), Arc::clone(log)));
        let rooms = rooms.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Arc::new(InternalFiles { rooms, log: Arc::clone(log), host })))
    }
}

/// Sends the files that the application behind `inner` names, if folders are declared.
pub fn around(inner: Arc<dyn Handler>, files: Option<&Arc<InternalFiles>>) -> Arc<dyn Handler> {
    match files {
        Some(files) => Arc::new(Diverted { files: Arc::clone(files), inner }),
        None => inner,
    }
}

/// The handler around `inner`.
struct Diverted {
    files: Arc<InternalFiles>,
    inner: Arc<dyn Handler>,
}

impl Handler for Diverted {
    fn plan(&self, request: &mut Request) -> farrier_http::Plan {
        let filter = || Box::new(DivertingFilter::new(Arc::clone(&self.files))) as Box<dyn AnswerFilter>;
        self.inner.plan(request).filtered(|| Some(filter()))
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let mut diverting = Diverting { inner: respond, order: None, is_dropped: false, is_finished: false };
        self.inner.handle(request, &mut diverting)?;
        let Diverting { inner, order, is_finished, .. } = diverting;
        match order {
            Some(order) if is_finished => self.files.carry_out(&order, request, inner, Looking::Detached),
            // The application failed to complete its response: it stays incomplete, as without a file.
            _ => Ok(()),
        }
    }
}

/// Who looks a name up, if the kernel must ask the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looking {
    /// A thread in a call of the application: it releases the interpreter meanwhile.
    Detached,
    /// A thread that has no interpreter.
    Here,
}

/// A response that names a file.
struct Order {
    file: Named,
    /// The application's fields, without those that describe its content.
    head: ResponseHead,
}

/// The name of the file.
enum Named {
    /// A path of the file system.
    Path(Vec<u8>),
    /// The path of a URL.
    Url(Vec<u8>),
}

impl Named {
    /// As the application wrote it.
    fn text(&self) -> &[u8] {
        match self {
            Named::Path(text) | Named::Url(text) => text,
        }
    }

    /// The field that named it.
    fn field(&self) -> &'static str {
        match self {
            Named::Path(_) => "X-Sendfile",
            Named::Url(_) => "X-Accel-Redirect",
        }
    }
}

impl InternalFiles {
    fn carry_out(
        &self,
        order: &Order,
        request: &Request,
        respond: &mut dyn Respond,
        looking: Looking,
    ) -> Result<(), Error> {
        let (room, names) = self.place(&order.file)?;
        if names.iter().any(|name| name.contains(&0)) {
            // No file has such a name. The kernel would end it at the NUL, behind an application's check of the ending.
            self.log.write(
                Level::Error,
                &format!(
                    "the application names {} in {}, which contains a NUL byte; the answer is 404",
                    printable(order.file.text()),
                    order.file.field()
                ),
            );
            return refuse(respond, Status::NOT_FOUND, &[]);
        }
        let mut found = self.look(room, &names[0], looking);
        if let (What::Nothing, Some(other)) = (&found.what, names.get(1)) {
            found = self.look(room, other, looking);
        }
        let mut representation = match &found.what {
            What::File(file) => &file.plain,
            What::Unreadable => return refuse(respond, Status::FORBIDDEN, &[]),
            // The error log has the reason already.
            What::Unknown => return Err(Error::server(Kind::Overloaded, "")),
            What::Folder | What::Nothing => return refuse(respond, Status::NOT_FOUND, &[]),
        };
        let again;
        if !representation.is_there() {
            again = room.look_again(&names[0]);
            match &again.what {
                What::File(file) => representation = &file.plain,
                _ => return refuse(respond, Status::NOT_FOUND, &[]),
            }
        }
        // Conditions and ranges apply to GET and HEAD. Any other method gets the whole file, as with nginx.
        let plan = match request.method() {
            b"GET" | b"HEAD" => answer::plan(request, representation),
            _ => Plan::Whole,
        };
        carry_out(&plan, request, representation, respond, &|status, media_type| {
            head_of(&order.head, representation, status, media_type)
        })
    }

    /// The folder of the file, and the names that it may have there: as written, and decoded.
    fn place(&self, file: &Named) -> Result<(&Room, Vec<Vec<u8>>), Error> {
        let below = |prefix: &[u8], name: &[u8]| {
            let rest = name.strip_prefix(prefix)?;
            (rest.starts_with(b"/") && rest.len() > 1).then(|| rest.to_vec())
        };
        let decoded = |name: &[u8]| {
            let mut decoded = Vec::with_capacity(name.len());
            percent::decode(name, &mut decoded);
            decoded
        };
        match file {
            Named::Path(path) => {
                let place = self.rooms.iter().find_map(|room| {
                    let name = below(room.folder.directory.as_os_str().as_encoded_bytes(), path)?;
                    Some((room, name))
                });
                let Some((room, name)) = place else {
                    return Err(Error::application(format!(
                        "the application names {} in X-Sendfile, but no folder of the setting internal contains it",
                        printable(path)
                    )));
                };
                // Some applications escape the path and some do not. The kernel keeps both forms inside of the folder.
                let names = if name.contains(&b'%') { vec![name.clone(), decoded(&name)] } else { vec![name] };
                Ok((room, names))
            }
            Named::Url(url) => {
                let path = url.split(|&byte| byte == b'?').next().unwrap_or_default();
                let path = decoded(path);
                let place =
                    self.rooms.iter().find_map(|room| Some((room, below(room.folder.prefix.as_bytes(), &path)?)));
                let Some((room, name)) = place else {
                    return Err(Error::application(format!(
                        "the application names {} in X-Accel-Redirect, but it is below no path of the setting internal",
                        printable(url)
                    )));
                };
                Ok((room, vec![name]))
            }
        }
    }

    fn look(&self, room: &Room, name: &[u8], looking: Looking) -> Arc<Found> {
        if let Some(found) = room.look(name) {
            return found;
        }
        if looking == Looking::Here {
            return room.look_and_wait(name);
        }
        let mut found = None;
        self.host.detached(&mut || found = Some(room.look_and_wait(name)));
        found.unwrap_or_else(|| Arc::new(Found::new(What::Nothing)))
    }
}

/// The head with the application's fields and those that describe the file.
fn head_of(
    own: &ResponseHead,
    representation: &Representation,
    status: Status,
    media_type: Option<&str>,
) -> Result<ResponseHead, Error> {
    let mut head = ResponseHead::new(status);
    head.take_after(own);
    let mut has_type = false;
    for (name, value) in own.fields() {
        let tells_of_content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
        if name.eq_ignore_ascii_case(b"content-type") {
            has_type = true;
            if status != Status::NOT_MODIFIED {
                head.add(name, media_type.map_or(value, str::as_bytes))?;
            }
        } else if status != Status::NOT_MODIFIED || !tells_of_content {
            head.add(name, value)?;
        }
    }
    if !has_type && status != Status::NOT_MODIFIED {
        head.add(b"Content-Type", media_type.unwrap_or(representation.media_type).as_bytes())?;
    }
    representation.identify(&mut head)?;
    if status != Status::NOT_MODIFIED {
        head.add(b"Accept-Ranges", b"bytes")?;
    }
    Ok(head)
}

/// A `Respond` around another one. It holds a response back if its head names a file.
struct Diverting<'a> {
    inner: &'a mut dyn Respond,
    order: Option<Order>,
    /// Whether content was dropped. Then the head can no longer be replaced.
    is_dropped: bool,
    is_finished: bool,
}

impl Respond for Diverting<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if self.is_dropped {
            return;
        }
        self.order = if head.names_file() { order_of(head) } else { None };
        if self.order.is_none() {
            self.inner.head(head, length);
        }
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.inner.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        self.inner.inform(interim)
    }

    fn head_sent(&self) -> bool {
        self.is_dropped || self.inner.head_sent()
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        if self.order.is_none() {
            return self.inner.send(chunk, flush);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.is_dropped = true;
        // The content will not be sent, so the application need not produce more.
        Err(SendError::Full)
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        match self.order {
            None => self.inner.send_shared(chunk, flush, keep),
            Some(_) => self.send(chunk, flush),
        }
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        match self.order {
            None => self.inner.send_file(file, offset, bytes),
            Some(_) => Err(SendError::Full),
        }
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        // Trailers describe content that is not sent.
        if self.order.is_none() {
            self.inner.trailers(trailers);
        }
    }

    fn finish(&mut self) {
        match self.order {
            None => self.inner.finish(),
            Some(_) => self.is_finished = true,
        }
    }

    fn client_gone(&self) -> bool {
        self.inner.client_gone()
    }
}

/// The file that a head names. If it has both fields, `X-Accel-Redirect` is used, as in nginx.
fn order_of(head: &ResponseHead) -> Option<Order> {
    let mut file = None;
    let mut own = ResponseHead::new(Status::OK);
    for (name, value) in head.fields() {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"x-accel-redirect") {
            file = Some(Named::Url(value.to_vec()));
        } else if is(b"x-sendfile") {
            file = file.or_else(|| Some(Named::Path(value.to_vec())));
        } else if !(is(b"etag")
            || is(b"last-modified")
            || is(b"accept-ranges")
            || is(b"content-range")
            || is(b"content-encoding")
            || is(b"x-sendfile-type")
            || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"x-accel-")))
        {
            // This cannot fail: the field was accepted once already.
            let _ = own.add(name, value);
        }
    }
    Some(Order { file: file?, head: own })
}
