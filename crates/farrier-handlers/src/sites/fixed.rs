//! A fixed answer: a status, and perhaps a text.

use farrier_http::{Error, Flush, Handler, Occupies, Request, Respond, ResponseHead, Status};

/// Answers every request in the same way.
pub struct Fixed {
    status: Status,
    /// Media type and content; without them the page of the status is shown.
    content: Option<(String, Vec<u8>)>,
}

impl Fixed {
    /// An answer with a status and a text of this media type; without a text it is the page that a site has for the status.
    pub fn new(status: u16, content: Option<(String, String)>) -> Fixed {
        Fixed { status: Status(status), content: content.map(|(kind, text)| (kind, text.into_bytes())) }
    }
}

impl Handler for Fixed {
    fn occupies(&self, _: &mut Request) -> Occupies {
        Occupies::Nothing
    }

    fn handle(&self, _: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let Some((content_type, content)) = &self.content else { return Err(Error::answer(self.status)) };
        let mut head = ResponseHead::new(self.status);
        head.add(b"Content-Type", content_type.as_bytes())?;
        respond.head(&head, Some(content.len() as u64));
        // A client that has left need not know.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}
