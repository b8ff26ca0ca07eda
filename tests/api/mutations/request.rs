//! Requests as raw bytes, which can be malformed in every way, and their responses.

use std::{fmt, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// A time longer than any limit of the service under test.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A request in parts.
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub version: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Value of `Content-Length` in place of the true length.
    pub length: Option<usize>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            version: b"HTTP/1.1".into(),
            headers: vec![
                (b"host".into(), b"lmn.test".into()),
                (b"connection".into(), b"close".into()),
            ],
            body: Vec::new(),
            length: None,
        }
    }

    pub fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.into(), value.into()));
    }

    /// Returns whether it is a POST or DELETE with a non-empty `Idempotency-Key`.
    pub fn is_keyed(&self) -> bool {
        let key = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(b"idempotency-key"));
        let method = self.method.as_slice();
        matches!(method, b"POST" | b"DELETE")
            && key.is_some_and(|(_, it)| !it.trim_ascii().is_empty())
    }

    /// Returns whether its target asks for a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.target.windows(12).any(|it| it == b"dry_run=true")
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.method[..], b" ", &self.target, b" ", &self.version].concat();
        for (name, value) in &self.headers {
            bytes.extend([b"\r\n", &name[..], b": ", value].concat());
        }
        let length = self.length.unwrap_or(self.body.len());
        if length > 0 {
            bytes.extend(format!("\r\ncontent-length: {length}").into_bytes());
        }
        bytes.extend(b"\r\n\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let shown = bytes.get(..2_000).unwrap_or(&bytes);
        write!(f, "{} ({} bytes)", shown.escape_ascii(), bytes.len())
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes the connection; returns `None` if no response has arrived.
    pub async fn read(socket: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let read = timeout(TIMEOUT, socket.read_to_end(&mut bytes));
        // A reset also closes the connection; the bytes before it count.
        let _ = read.await.expect("every connection comes to an end");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let end = rest.windows(4).position(|it| it == b"\r\n\r\n")?;
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 4..];
            let mut lines = head.split("\r\n");
            let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
            if status == 100 {
                continue;
            }
            let headers = lines.filter_map(|line| line.split_once(": "));
            return Some(Self {
                status,
                headers: headers
                    .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                    .collect(),
                body: rest.to_vec(),
            });
        }
        None
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }
}
