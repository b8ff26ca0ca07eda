//! A client for single HTTP/1.1 requests, bounded in time and bytes, without redirects and proxies.
//!
//! It is built on `hyper`, like the client for deliveries, so that an endpoint meets the same behavior, and so that a
//! request that cannot be sent differs from a response that does not arrive.

use std::{io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request,
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// The `User-Agent` of requests.
const AGENT: &str = concat!("lmn-certify/", env!("CARGO_PKG_VERSION"));
/// The timeout for connecting, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// The timeout from the request to the end of the response: what LMN grants a receiver.
const RESPOND: Duration = Duration::from_secs(10);
/// The maximum number of bytes read from a response body.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The maximum size of a response's head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The reason why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResponse {
    /// There is no connection, or TLS cannot be used on it.
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The response did not arrive in time.
    #[error("did not respond within {} seconds", RESPOND.as_secs())]
    TooLate,
    /// The other side does not speak HTTP, or closed the connection.
    #[error("did not send a complete HTTP response: {0}")]
    Protocol(String),
}

/// A request.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: &'a Url,
    /// Headers besides `Host`, `User-Agent` and `Connection`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Bytes,
}

/// A response with its complete body.
#[derive(Debug)]
pub(super) struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The client.
pub(super) struct Client {
    tls: TlsConnector,
}

impl Client {
    /// Creates a client that trusts the certificate authorities of `webpki-roots`.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        // The provider is explicit, because rustls otherwise uses the one that the process has installed.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore { roots })
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Sends a request on a connection of its own, and returns the response.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, NoResponse> {
        let request = request(call)?;
        let connected = timeout(CONNECT, connect(call.url)).await;
        let stream = connected.map_err(io::Error::from)??;
        let answered = if call.url.scheme() == "https" {
            let secured = timeout(CONNECT, self.secure(call.url, stream)).await;
            let stream = secured.map_err(io::Error::from)??;
            timeout(RESPOND, exchange(stream, request)).await
        } else {
            timeout(RESPOND, exchange(stream, request)).await
        };
        answered.map_err(|_| NoResponse::TooLate)?
    }

    async fn secure(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        let name = match url.host() {
            Some(Host::Domain(name)) => {
                ServerName::try_from(name.to_owned()).map_err(io::Error::other)?
            }
            Some(Host::Ipv4(address)) => ServerName::IpAddress(address.into()),
            Some(Host::Ipv6(address)) => ServerName::IpAddress(address.into()),
            None => return Err(no_host()),
        };
        self.tls.connect(name, stream).await
    }
}

/// Connects to the first address of the URL's host that accepts.
async fn connect(url: &Url) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().ok_or_else(no_host)?;
    let stream = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await?,
        Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await?,
        Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await?,
        None => return Err(no_host()),
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn no_host() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the URL has no host and port")
}

fn request(call: &Call<'_>) -> Result<Request<Full<Bytes>>, NoResponse> {
    let url = call.url;
    let query = url.query().map(|it| format!("?{it}"));
    let target = format!("{}{}", url.path(), query.unwrap_or_default());
    let port = url.port().map(|it| format!(":{it}"));
    let host = format!(
        "{}{}",
        url.host_str().unwrap_or_default(),
        port.unwrap_or_default()
    );
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close");
    for (name, value) in call.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(call.body.clone()));
    request.map_err(|error| NoResponse::Protocol(error.to_string()))
}

/// Sends the request over an open connection.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response, NoResponse>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let protocol = |error: hyper::Error| NoResponse::Protocol(error.to_string());
    let handshake = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(protocol)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(protocol)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| NoResponse::Protocol(error.to_string()))?;
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    };
    let (mut answering, mut connection) = (pin!(answering), pin!(connection));
    tokio::select! {
        answered = &mut answering => answered,
        // The connection may end before its response was taken.
        _ = &mut connection => answering.await,
    }
}
