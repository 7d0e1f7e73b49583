//! Measures the cost of decoding one request with each protocol: `cargo bench -p farrier-http --bench parse`.
//!
//! The same three requests, as nginx passes them on, in HTTP/1.1, uwsgi and FastCGI, are decoded into the same request.
//! A round copies the bytes into the arena first, because two of the codecs rewrite names in place. The copy is
//! measured separately too.

use std::hint::black_box;
use std::time::Instant;

use farrier_http::wire::{fastcgi, h1, uwsgi};
use farrier_http::{Limits, Request};

/// Measurements of each; their median is printed.
const MEASUREMENTS: usize = 41;

/// Requests in one measurement.
const REQUESTS: u32 = 5_000;

fn main() {
    let limits = Limits { field_bytes_max: 16 * 1024, ..Limits::default() };
    println!("| request | fields | protocol | bytes | ns a request | from | to |");
    println!("|---|---|---|---|---|---|---|");
    for (name, fields) in shapes() {
        let http = as_http(&fields);
        let (by_uwsgi, by_fastcgi) = (as_uwsgi(&fields), as_fastcgi(&fields));
        let report = |protocol: &str, bytes: &[u8], decode: &mut dyn FnMut(&mut Request)| {
            let (middle, low, high) = measure(bytes, decode);
            println!(
                "| {name} | {} | {protocol} | {} | {middle:.0} | {low:.0} | {high:.0} |",
                fields.len(),
                bytes.len()
            );
        };
        report("(copy alone)", &http, &mut |_| {});
        report("HTTP/1.1", &http, &mut |request| {
            let Request { arena, head, .. } = request;
            let complete = h1::HeadDecoder::default().decode(arena.filled(), &limits, head);
            assert_eq!(complete, Ok(true));
        });
        report("uwsgi", &by_uwsgi, &mut |request| {
            let Request { arena, head, .. } = request;
            let kind = uwsgi::HeadDecoder::default().decode(arena.filled_mut(), &limits, head);
            assert_eq!(kind, Ok(Some(uwsgi::PacketKind::Request)));
        });
        report("FastCGI", &by_fastcgi, &mut |request| {
            let Request { arena, head, .. } = request;
            let complete = fastcgi::HeadDecoder::default().decode(arena, &limits, head, &mut Vec::new());
            assert_eq!(complete, Ok(true));
        });
    }
}

/// Median, minimum and maximum of the time for one request, in ns.
fn measure(bytes: &[u8], decode: &mut dyn FnMut(&mut Request)) -> (f64, f64, f64) {
    let mut request = Request::with_room(16 * 1024);
    let mut times: Vec<f64> = (0..MEASUREMENTS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..REQUESTS {
                request.arena.clear(16 * 1024);
                request.head.clear();
                request.arena.append(black_box(bytes));
                decode(&mut request);
                black_box(&request.head);
            }
            began.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[MEASUREMENTS / 2], times[0], times[MEASUREMENTS - 1])
}

type Fields = Vec<(&'static str, String)>;

/// A request of a command-line client, of a browser, and of a browser with 6 KiB of cookies.
fn shapes() -> Vec<(&'static str, Fields)> {
    let field = |name, value: &str| (name, value.to_owned());
    let curl = vec![
        field("Host", "shop.example"),
        field("User-Agent", "curl/7.88.1"),
        field("Accept", "*/*"),
        field("X-Real-IP", "203.0.113.7"),
        field("X-Forwarded-Proto", "https"),
    ];
    let mut browser = vec![
        field("Host", "shop.example"),
        field("X-Real-IP", "203.0.113.7"),
        field("X-Forwarded-For", "203.0.113.7"),
        field("X-Forwarded-Proto", "https"),
        field("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        field("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        field("Accept-Language", "de,en-US;q=0.7,en;q=0.3"),
        field("Accept-Encoding", "gzip, deflate, br, zstd"),
        field("Referer", "https://shop.example/wares/?page=2&sort=price"),
        field("DNT", "1"),
        field("Sec-GPC", "1"),
        field("Upgrade-Insecure-Requests", "1"),
        field("Sec-Fetch-Dest", "document"),
        field("Sec-Fetch-Mode", "navigate"),
        field("Sec-Fetch-Site", "same-origin"),
        field("Sec-Fetch-User", "?1"),
        field("If-None-Match", "\"5f3a-60c2b1d4\""),
        field("Priority", "u=0, i"),
        field("Cache-Control", "max-age=0"),
        field("Cookie", "sessionid=q8w2ozkfb1c0u7v3m9x5; csrftoken=Zk3vT8yQmB1xN6cR"),
    ];
    let mut cookies = browser.clone();
    browser.shrink_to_fit();
    if let Some(cookie) = cookies.last_mut() {
        cookie.1 = (0..120).map(|number| format!("c{number}=0123456789abcdef0123456789abcdef0123456789; ")).collect();
        cookie.1.truncate(6 * 1024 - 1);
        cookie.1.push('x');
    }
    vec![("curl", curl), ("browser", browser), ("cookies", cookies)]
}

fn as_http(fields: &Fields) -> Vec<u8> {
    let mut bytes = b"GET /wares/17/?page=2 HTTP/1.1\r\n".to_vec();
    for (name, value) in fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// What nginx sends with its stock parameters.
fn variables(fields: &Fields) -> Vec<(String, String)> {
    let stock = [
        ("QUERY_STRING", "page=2"),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", "/wares/17/?page=2"),
        ("PATH_INFO", "/wares/17/"),
        ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_SCHEME", "http"),
        ("REMOTE_ADDR", "203.0.113.7"),
        ("REMOTE_PORT", "51034"),
        ("SERVER_PORT", "80"),
        ("SERVER_NAME", "shop.example"),
    ];
    let own = stock.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let of_client =
        fields.iter().map(|(name, value)| (format!("HTTP_{}", name.to_uppercase().replace('-', "_")), value.clone()));
    own.chain(of_client).collect()
}

fn as_uwsgi(fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in variables(fields) {
        for text in [name, value] {
            block.extend_from_slice(&(text.len() as u16).to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(block.len() as u16).to_le_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&block);
    bytes
}

fn as_fastcgi(fields: &Fields) -> Vec<u8> {
    let mut params = Vec::new();
    for (name, value) in variables(fields) {
        for length in [name.len(), value.len()] {
            match u8::try_from(length).ok().filter(|length| *length < 128) {
                Some(length) => params.push(length),
                None => params.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes()),
            }
        }
        params.extend_from_slice(name.as_bytes());
        params.extend_from_slice(value.as_bytes());
    }
    let record = |kind: u8, content: &[u8]| {
        let [high, low] = (content.len() as u16).to_be_bytes();
        let padding = (8 - content.len() % 8) % 8;
        let mut bytes = vec![1, kind, 0, 1, high, low, padding as u8, 0];
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + padding, 0);
        bytes
    };
    [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, &params), record(4, &[]), record(5, &[])].concat()
}
