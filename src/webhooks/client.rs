//! The HTTP client for deliveries: one POST to a checked address, bounded in time and bytes.
//!
//! A connection serves one delivery. It goes to one of the addresses that were resolved and checked, without a second
//! DNS lookup, a proxy or a redirect. The response body is read up to a limit, never decoded, and discarded.
//!
//! It is built on `hyper`, because `reqwest` has no setting for the maximum size of a response's head, and no step
//! between connecting and sending, at which the lease is checked.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{
    target::{HostOf, Refused, Target},
    worker::Lease,
};
use crate::{
    events::model::DeliveryError,
    values::{address::Guard, environment::Environment},
};

/// The `User-Agent` of deliveries.
const AGENT: &str = "LMN-Webhooks/1";
/// The maximum number of bytes read from a response body.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The maximum size of a response's head, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The maximum number of addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// The timeout for connecting to one address.
const CONNECT: Duration = Duration::from_secs(3);
/// The timeout of the DNS lookup.
const LOOK_UP: Duration = Duration::from_secs(5);

/// The reason why there was no response. It is logged; partners see its [`cause`](SendError::cause).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The target is not allowed.
    #[error("{}", list(.0))]
    Refused(Vec<Refused>),
    /// The host name cannot be resolved.
    #[error("the host cannot be resolved: {0}")]
    Unresolved(#[source] io::Error),
    /// The endpoint cannot be reached.
    #[error("the endpoint cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The endpoint does not speak HTTP.
    #[error("the endpoint did not send an HTTP response: {0}")]
    Protocol(#[from] hyper::Error),
    /// The request cannot be built.
    #[error("the request cannot be built: {0}")]
    Unwritable(#[from] hyper::http::Error),
    /// The endpoint did not respond in time.
    #[error("the endpoint did not respond in time")]
    TooLate,
    /// The lease has ended; another worker may be sending the event by now.
    #[error("the attempt was abandoned because its lease has ended")]
    LeaseEnded,
}

impl SendError {
    /// Returns the cause that partners see; `None` if the attempt was abandoned, which is not recorded.
    pub(crate) fn cause(&self) -> Option<DeliveryError> {
        Some(match self {
            Self::Refused(_) => DeliveryError::AddressNotPublic,
            Self::Unresolved(_) => DeliveryError::Dns,
            Self::Unreachable(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                DeliveryError::Refused
            }
            Self::Unreachable(error) if error.kind() == io::ErrorKind::TimedOut => {
                DeliveryError::Timeout
            }
            Self::Handshake(_) => DeliveryError::Tls,
            Self::Unreachable(_) | Self::Protocol(_) | Self::Unwritable(_) => {
                DeliveryError::Connection
            }
            Self::TooLate => DeliveryError::Timeout,
            Self::LeaseEnded => return None,
        })
    }
}

fn list(refused: &[Refused]) -> String {
    let texts: Vec<_> = refused.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// The parts of an endpoint's response that are used.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
}

/// A client that sends deliveries.
pub(crate) struct Client {
    guard: Guard,
    environment: Environment,
    /// The timeout of a whole attempt.
    time: Duration,
    tls: TlsConnector,
}

/// A delivery request.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    /// The URL to send it to.
    pub target: &'a Target,
    /// The headers that identify and sign the event.
    pub headers: [(&'static str, String); 6],
    /// The body.
    pub body: Bytes,
    /// The lease without which it is not sent.
    pub lease: &'a Lease,
}

impl Client {
    /// Creates a client that trusts the certificate authorities of `webpki-roots`.
    ///
    /// # Errors
    ///
    /// If TLS cannot be configured.
    pub(crate) fn new(
        guard: Guard,
        environment: Environment,
        time: Duration,
    ) -> Result<Self, rustls::Error> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        Self::trusting(RootCertStore { roots }, guard, environment, time)
    }

    fn trusting(
        roots: RootCertStore,
        guard: Guard,
        environment: Environment,
        time: Duration,
    ) -> Result<Self, rustls::Error> {
        // The provider is explicit, because rustls otherwise uses the one that the process has installed.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            guard,
            environment,
            time,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Sends a delivery and returns the head of the response.
    pub(crate) async fn post(&self, post: Post<'_>) -> Result<Answered, SendError> {
        let deadline = Instant::now() + self.time;
        let opened = timeout_at(deadline, self.open(post.target)).await;
        let stream = opened.map_err(|_| SendError::TooLate)??;
        match post.target.is_secure() {
            true => {
                let secured = timeout_at(deadline, self.secure(post.target, stream)).await;
                exchange(secured.map_err(|_| SendError::TooLate)??, post, deadline).await
            }
            false => exchange(stream, post, deadline).await,
        }
    }

    /// Resolves the host, checks all its addresses and connects to the first one that accepts.
    async fn open(&self, target: &Target) -> Result<TcpStream, SendError> {
        let addresses = look_up(target).await.map_err(SendError::Unresolved)?;
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        let checked = target.check(&self.guard, self.environment, &ips);
        checked.map_err(SendError::Refused)?;
        let mut last = io::Error::other("the host has no address");
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(late) => last = late.into(),
            }
        }
        Err(last.into())
    }

    async fn secure(
        &self,
        target: &Target,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, SendError> {
        let name = match target.host() {
            HostOf::Name(name) => ServerName::try_from(name.to_owned()).map_err(io::Error::other),
            HostOf::Address(address) => Ok(ServerName::IpAddress(address.into())),
        };
        let name = name.map_err(SendError::Handshake)?;
        let connected = self.tls.connect(name, stream).await;
        connected.map_err(SendError::Handshake)
    }
}

/// Returns the addresses of a target's host.
async fn look_up(target: &Target) -> io::Result<Vec<SocketAddr>> {
    match target.host() {
        HostOf::Address(address) => Ok(vec![SocketAddr::new(address, target.port())]),
        HostOf::Name(name) => {
            let found = timeout(LOOK_UP, lookup_host((name, target.port()))).await??;
            Ok(found.collect())
        }
    }
}

/// Checks a target before it is saved as an endpoint. A name that cannot be resolved has no public address.
pub(crate) async fn check(
    guard: &Guard,
    target: &Target,
    environment: Environment,
) -> Result<(), Vec<Refused>> {
    let addresses = look_up(target).await.unwrap_or_default();
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    target.check(guard, environment, &ips)
}

/// Sends the request over an open connection.
async fn exchange<S>(stream: S, post: Post<'_>, deadline: Instant) -> Result<Answered, SendError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    let request = request(&post)?;
    let answering = async {
        // A process that was suspended must not send an event that another worker has sent since.
        if post.lease.has_ended() {
            return Err(SendError::LeaseEnded);
        }
        let answer = timeout_at(deadline, sender.send_request(request)).await;
        let answer = answer.map_err(|_| SendError::TooLate)??;
        let head = head(&answer);
        // The body is not used; it is read so that the endpoint can finish sending it.
        let rest = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        let _ = timeout_at(deadline, rest).await;
        Ok(head)
    };
    let (mut answering, mut connection) = (pin!(answering), pin!(connection));
    tokio::select! {
        answered = &mut answering => answered,
        // The connection may end before its response was taken.
        _ = &mut connection => answering.await,
    }
}

fn request(post: &Post<'_>) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::post(post.target.path_and_query())
        .header(HOST, post.target.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close");
    for (name, value) in &post.headers {
        request = request.header(*name, value);
    }
    Ok(request.body(Full::new(post.body.clone()))?)
}

fn head(answer: &Response<Incoming>) -> Answered {
    let retry_after = answer.headers().get(RETRY_AFTER);
    Answered {
        status: answer.status().as_u16(),
        retry_after: retry_after.and_then(|it| Some(it.to_str().ok()?.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{values::id::EventId, webhooks::signature};

    /// Starts a TLS server for one name. It responds 202 and passes on the request that it received.
    async fn serve(
        CertifiedKey { cert, signing_key }: CertifiedKey<rcgen::KeyPair>,
    ) -> (u16, tokio::sync::oneshot::Receiver<String>) {
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = tokio::sync::oneshot::channel();
        let serving = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
                return;
            };
            let mut request = vec![0; 64 * 1024];
            let read = stream.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let _ = sender.send(String::from_utf8_lossy(&request[..read]).into_owned());
        };
        #[expect(clippy::disallowed_methods, reason = "a test ends with its runtime")]
        tokio::spawn(serving);
        (port, received)
    }

    async fn post(client: &Client, url: &str) -> Result<Answered, SendError> {
        let body = Bytes::from_static(b"{\"a\":1}");
        let id = EventId::new(chrono::DateTime::UNIX_EPOCH);
        let post = Post {
            target: &Target::parse(url).unwrap(),
            headers: signature::headers(id, chrono::DateTime::UNIX_EPOCH, &body, &[]),
            body,
            lease: &Lease::new(Instant::now(), Duration::from_secs(5)),
        };
        client.post(post).await
    }

    #[tokio::test]
    async fn certificate_must_match_the_host_and_have_a_trusted_issuer() {
        let guard = Guard {
            ports: vec![443],
            open_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        };
        let (production, time) = (Environment::Production, Duration::from_secs(5));
        let failed = Some(DeliveryError::Tls);
        for (is_trusted, name, error) in [
            (true, "localhost", None),
            (true, "127.0.0.1", failed),
            (false, "localhost", failed),
        ] {
            let is_sent = error.is_none();
            let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let mut roots = RootCertStore::empty();
            if is_trusted {
                roots.add(certified.cert.der().clone()).unwrap();
            }
            let client = Client::trusting(roots, guard.clone(), production, time).unwrap();
            let (port, received) = serve(certified).await;
            let answered = post(&client, &format!("https://{name}:{port}/hook")).await;
            let cause = answered.as_ref().err().and_then(SendError::cause);
            assert_eq!(
                (answered.is_ok(), cause),
                (is_sent, error),
                "{is_trusted} {name}: {answered:?}"
            );
            let request = received.await.unwrap_or_default();
            assert_eq!(request.starts_with("POST /hook HTTP/1.1\r\n"), is_sent);
            assert_eq!(
                request.contains(&format!("host: localhost:{port}\r\n")),
                is_sent
            );
        }
    }

    #[tokio::test]
    async fn request_whose_lease_has_ended_is_not_sent() {
        let guard = Guard {
            ports: Vec::new(),
            open_networks: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = Client::new(guard, Environment::Sandbox, Duration::from_secs(5)).unwrap();
        let target = Target::parse(&url).unwrap();
        let post = Post {
            target: &target,
            headers: signature::headers(
                EventId::new(chrono::DateTime::UNIX_EPOCH),
                chrono::DateTime::UNIX_EPOCH,
                b"",
                &[],
            ),
            body: Bytes::new(),
            lease: &Lease::new(Instant::now(), Duration::ZERO),
        };
        let refused = client.post(post).await.unwrap_err();
        assert!(matches!(refused, SendError::LeaseEnded), "{refused}");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty(), "nothing was sent");
    }
}
