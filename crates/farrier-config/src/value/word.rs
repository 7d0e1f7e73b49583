//! Settings that are one word of a few.

use super::{Completes, Rejected, Value};

/// Makes an enum whose values are words.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        enum $name:ident takes $metavar:literal expects $expected:literal {
            $( $(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[doc = $variant_doc])+ $variant, )+
        }

        impl Value for $name {
            const EXPECTED: &'static str = $expected;
            const METAVAR: &'static str = $metavar;
            const COMPLETES: Completes = Completes::Words(&[ $($word),+ ]);

            fn parse(text: &str) -> Result<Self, Rejected> {
                match text.trim().to_ascii_lowercase().as_str() {
                    $( $word => Ok($name::$variant), )+
                    _ => Err(Rejected::unexpected(text)),
                }
            }

            fn text(&self) -> String {
                match self {
                    $( $name::$variant => $word.to_string(), )+
                }
            }
        }
    };
}

pub(super) use words;

words! {
    /// How changes of the application's files are detected.
    enum ReloadEngine takes "ENGINE" expects "`auto`, `inotify` or `poll`" {
        /// By inotify if possible, otherwise by polling.
        Auto = "auto",
        /// By inotify.
        Inotify = "inotify",
        /// By polling once a second.
        Poll = "poll",
    }
}

words! {
    /// The protocol of a listener.
    enum Protocol takes "PROTOCOL" expects "`http`, `uwsgi`, `fastcgi` or `auto`" {
        /// HTTP/1.1.
        Http = "http",
        /// The uwsgi protocol, which web servers use to reach applications.
        Uwsgi = "uwsgi",
        /// FastCGI, which web servers use to reach applications.
        FastCgi = "fastcgi",
        /// Any of these, detected by a connection's first bytes.
        Auto = "auto",
    }
}

words! {
    /// A version of TLS.
    enum TlsVersion takes "VERSION" expects "`1.2` or `1.3`" {
        /// RFC 5246.
        V1_2 = "1.2",
        /// RFC 8446.
        V1_3 = "1.3",
    }
}

words! {
    /// How control of a name is proven to an authority.
    enum AcmeChallenge takes "CHALLENGE" expects "`auto`, `http-01` or `tls-alpn-01`" {
        /// The one that the addresses allow, and the other when it fails.
        Auto = "auto",
        /// A file, fetched over plain HTTP from port 80.
        Http01 = "http-01",
        /// A certificate, looked at on port 443.
        TlsAlpn01 = "tls-alpn-01",
    }
}

words! {
    /// How a header field whose name has an underscore is handled.
    enum HeaderMap takes "WORD" expects "`drop`, `refuse` or `dangerous`" {
        /// The application does not see it.
        Drop = "drop",
        /// The request is answered with 400.
        Refuse = "refuse",
        /// The application sees it.
        Dangerous = "dangerous",
    }
}

words! {
    /// A header field in which a proxy reports something about the client other than the scheme.
    enum ProxyHeader takes "NAME"
        expects "`x-forwarded-for`, `x-forwarded-host`, `x-forwarded-port`, `x-forwarded-prefix`, `x-real-ip` or `forwarded`" {
        /// The client's address and those of the proxies before this one.
        XForwardedFor = "x-forwarded-for",
        /// The host that the client asked for.
        XForwardedHost = "x-forwarded-host",
        /// The port that the client connected to.
        XForwardedPort = "x-forwarded-port",
        /// The prefix that the proxy removed from the path.
        XForwardedPrefix = "x-forwarded-prefix",
        /// The client's address.
        XRealIp = "x-real-ip",
        /// All of these (RFC 7239).
        Forwarded = "forwarded",
    }
}

words! {
    /// The part of the system that a line in syslog is about (RFC 5424 §6.2.1).
    enum SyslogFacility takes "FACILITY"
        expects "a facility of syslog: `auth`, `authpriv`, `cron`, `daemon`, `ftp`, `kern`, `lpr`, `mail`, `news`, `syslog`, `user`, `uucp`, `local0` to `local7`" {
        /// Authentication.
        Auth = "auth",
        /// Authentication, private.
        Authpriv = "authpriv",
        /// Clock daemon.
        Cron = "cron",
        /// Daemons without a facility of their own.
        Daemon = "daemon",
        /// File transfer.
        Ftp = "ftp",
        /// The kernel.
        Kern = "kern",
        /// Printing.
        Lpr = "lpr",
        /// Mail.
        Mail = "mail",
        /// News.
        News = "news",
        /// Authentication, in an old word.
        Security = "security",
        /// Syslog itself.
        Syslog = "syslog",
        /// Programs of users.
        User = "user",
        /// Copying between systems.
        Uucp = "uucp",
        /// For the site's own use.
        Local0 = "local0",
        /// For the site's own use.
        Local1 = "local1",
        /// For the site's own use.
        Local2 = "local2",
        /// For the site's own use.
        Local3 = "local3",
        /// For the site's own use.
        Local4 = "local4",
        /// For the site's own use.
        Local5 = "local5",
        /// For the site's own use.
        Local6 = "local6",
        /// For the site's own use.
        Local7 = "local7",
    }
}

impl ProxyHeader {
    /// Every one.
    pub const ALL: [ProxyHeader; 6] = [
        ProxyHeader::XForwardedFor,
        ProxyHeader::XForwardedHost,
        ProxyHeader::XForwardedPort,
        ProxyHeader::XForwardedPrefix,
        ProxyHeader::XRealIp,
        ProxyHeader::Forwarded,
    ];
}

impl SyslogFacility {
    /// The facility's number in a line's priority.
    pub fn code(self) -> u8 {
        match self {
            SyslogFacility::Kern => 0,
            SyslogFacility::User => 1,
            SyslogFacility::Mail => 2,
            SyslogFacility::Daemon => 3,
            SyslogFacility::Auth | SyslogFacility::Security => 4,
            SyslogFacility::Syslog => 5,
            SyslogFacility::Lpr => 6,
            SyslogFacility::News => 7,
            SyslogFacility::Uucp => 8,
            SyslogFacility::Cron => 9,
            SyslogFacility::Authpriv => 10,
            SyslogFacility::Ftp => 11,
            SyslogFacility::Local0 => 16,
            SyslogFacility::Local1 => 17,
            SyslogFacility::Local2 => 18,
            SyslogFacility::Local3 => 19,
            SyslogFacility::Local4 => 20,
            SyslogFacility::Local5 => 21,
            SyslogFacility::Local6 => 22,
            SyslogFacility::Local7 => 23,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_in_any_case_and_written_back() {
        assert_eq!(HeaderMap::parse("Drop"), Ok(HeaderMap::Drop));
        assert_eq!(ReloadEngine::Poll.text(), "poll");
        assert_eq!(SyslogFacility::parse("LOCAL7").map(SyslogFacility::code), Ok(23));
        assert_eq!(HeaderMap::parse("keep"), Err(Rejected::unexpected("keep")));
    }
}
