//! Requests as bytes on raw sockets.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Partner, Service, key};

/// Timeout longer than any limit that these tests set.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn socket(service: &Service) -> TcpStream {
    TcpStream::connect(service.url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Reads until the other end closes.
pub async fn rest(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, socket.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    // A reset closes the connection, too.
    let _ = read;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one response with a `Content-Length`: its head and its body. Returns `None` if the connection is closed.
pub async fn answer(socket: &mut TcpStream) -> Option<(String, String)> {
    let reading = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let length = lines.find_map(|it| it.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
        socket.read_exact(&mut body).await.ok()?;
        Some((head, String::from_utf8_lossy(&body).into_owned()))
    };
    timeout(PATIENCE, reading)
        .await
        .expect("the server answers")
}

/// Sends bytes on a new connection, even if the server stops reading, and returns everything that the server sends
/// until it closes the connection.
pub async fn exchange(service: &Service, bytes: impl AsRef<[u8]>) -> String {
    let mut socket = socket(service).await;
    let _ = socket.write_all(bytes.as_ref()).await;
    rest(&mut socket).await
}

/// Returns the statuses of the responses in a text, in their order.
pub fn statuses(answers: &str) -> Vec<u16> {
    let heads = answers.match_indices("HTTP/1.");
    heads
        .map(|(at, _)| answers[at + 9..at + 12].parse().unwrap())
        .collect()
}

/// Returns the request line and the headers of a request that needs a key, without the blank line.
pub fn head(partner: &Partner, line: &str) -> String {
    format!(
        "{line}\r\nhost: x\r\nx-api-key: {}\r\nidempotency-key: {}\r\ncontent-type: application/json\r\n",
        partner.api_key,
        key()
    )
}

/// Returns a whole request that orders a vehicle.
pub fn order(partner: &Partner, vehicle_id: &str) -> String {
    let body = format!("{{\"vehicle_id\":\"{vehicle_id}\",\"max_bid_amount_usd\":12000}}");
    let head = head(partner, "POST /v1/orders HTTP/1.1");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}
