//! A handler with a fixed response: a status, with or without a text.

use farrier_http::{Error, Flush, Handler, Plan, Request, Respond, ResponseHead, Status};

/// Sends the same response to every request.
pub struct Fixed {
    status: Status,
    /// Media type and content. Without them the error page for the status is shown.
    content: Option<(String, Vec<u8>)>,
}

impl Fixed {
    /// A response with a status and a text of this media type. Without a text it is the site's error page for the
    /// status.
    pub fn new(status: u16, content: Option<(String, String)>) -> Fixed {
        Fixed { status: Status(status), content: content.map(|(kind, text)| (kind, text.into_bytes())) }
    }
}

impl Handler for Fixed {
    fn plan(&self, _: &mut Request) -> Plan {
        Plan::Now
    }

    fn handle(&self, _: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let Some((content_type, content)) = &self.content else { return Err(Error::answer(self.status)) };
        let mut head = ResponseHead::new(self.status);
        head.add(b"Content-Type", content_type.as_bytes())?;
        respond.head(&head, Some(content.len() as u64));
        // An error means that the client has disconnected: nothing is left to do.
        let _ = respond.send(content, Flush::Later);
        respond.finish();
        Ok(())
    }
}
