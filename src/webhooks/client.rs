//! The client: one POST to a checked address, bounded in time and bytes.
//!
//! A connection serves one delivery. It goes to one of the very addresses that were looked up and checked, without a
//! second look-up, a proxy or a redirect; what is answered is read to a bound, never decoded, and thrown away.

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

use super::address::{Guard, HostOf, Refused, Target};
use crate::environment::Environment;

/// How a delivery names us.
const AGENT: &str = "LMN-Webhooks/1";
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long the head of an answer may be.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// How long one of several addresses may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a name may take to be looked up before an endpoint is made of it.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Why there was no answer. It is for the log; the partner sees that there was none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Where it was to go is not allowed.
    #[error("{}", list(.0))]
    Refused(Vec<Refused>),
    /// It cannot be reached.
    #[error("the endpoint cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// It does not speak HTTP.
    #[error("the endpoint does not answer in HTTP: {0}")]
    Protocol(#[from] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Unwritable(#[from] hyper::http::Error),
    /// It did not answer in time.
    #[error("the endpoint did not answer in time")]
    TooLate,
    /// Too much time went by before the request: somebody else may be sending it by now.
    #[error("the request was not sent, because its lease is nearly over")]
    LeaseOver,
}

fn list(refused: &[Refused]) -> String {
    let texts: Vec<_> = refused.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// What an endpoint answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The status.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<String>,
}

/// What sends.
#[derive(Clone)]
pub(crate) struct Client {
    guard: Guard,
    environment: Environment,
    /// For a whole attempt.
    time: Duration,
    tls: TlsConnector,
}

/// A request that is about to be sent.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    /// Where.
    pub target: &'a Target,
    /// The headers that prove it.
    pub headers: [(&'static str, String); 6],
    /// The body.
    pub body: Bytes,
    /// When the head of the request must be on its way.
    pub send_by: Instant,
}

impl Client {
    /// Makes a client that trusts the usual authorities, or says what is wrong with its cryptography.
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
        // Named, because rustls otherwise looks for one that the process has installed.
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

    /// Sends, and returns the answer's head.
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

    /// Connects to one of the addresses, after a look at all of them.
    async fn open(&self, target: &Target) -> Result<TcpStream, SendError> {
        let addresses = look_up(target).await?;
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        let checked = self.guard.check(target, self.environment, &ips);
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
            HostOf::Name(name) => {
                ServerName::try_from(name.to_owned()).map_err(io::Error::other)?
            }
            HostOf::Address(address) => ServerName::IpAddress(address.into()),
        };
        Ok(self.tls.connect(name, stream).await?)
    }
}

/// Returns the addresses of a target's host.
async fn look_up(target: &Target) -> io::Result<Vec<SocketAddr>> {
    match target.host() {
        HostOf::Address(address) => Ok(vec![SocketAddr::new(address, target.port())]),
        HostOf::Name(name) => Ok(lookup_host((name, target.port())).await?.collect()),
    }
}

/// Checks a target before an endpoint is made of it. A name that cannot be looked up has no public address.
pub(crate) async fn check(
    guard: &Guard,
    target: &Target,
    environment: Environment,
) -> Result<(), Vec<Refused>> {
    let found = timeout(LOOK_UP, look_up(target)).await;
    let addresses = found.ok().and_then(Result::ok).unwrap_or_default();
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    guard.check(target, environment, &ips)
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
        // A process that stood still must not send what another one has sent since.
        if Instant::now() > post.send_by {
            return Err(SendError::LeaseOver);
        }
        let answer = timeout_at(deadline, sender.send_request(request)).await;
        let answer = answer.map_err(|_| SendError::TooLate)??;
        let head = head(&answer);
        // Politeness only: the head has said it all.
        let rest = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        let _ = timeout_at(deadline, rest).await;
        Ok(head)
    };
    let (mut answering, mut connection) = (pin!(answering), pin!(connection));
    tokio::select! {
        answered = &mut answering => answered,
        // The connection may be over before its answer was taken.
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
    use crate::{id::EventId, webhooks::signature};

    /// A server over TLS that knows one name; it answers 202 and gives what it was sent.
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
        let (say, said) = tokio::sync::oneshot::channel();
        let serving = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
                return;
            };
            let mut request = vec![0; 64 * 1024];
            let read = stream.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            let _ = say.send(String::from_utf8_lossy(&request[..read]).into_owned());
        };
        #[expect(clippy::disallowed_methods, reason = "a test ends with its runtime")]
        tokio::spawn(serving);
        (port, said)
    }

    async fn post(client: &Client, url: &str) -> Result<Answered, SendError> {
        let body = Bytes::from_static(b"{\"a\":1}");
        let id = EventId::new(chrono::DateTime::UNIX_EPOCH);
        let post = Post {
            target: &Target::parse(url).unwrap(),
            headers: signature::headers(id, chrono::DateTime::UNIX_EPOCH, &body, &[]),
            body,
            send_by: Instant::now() + Duration::from_secs(5),
        };
        client.post(post).await
    }

    #[tokio::test]
    async fn only_a_known_authority_and_the_very_name_are_trusted() {
        let guard = Guard {
            ports: vec![443],
            open_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        };
        let (production, time) = (Environment::Production, Duration::from_secs(5));
        for (known, name, is_sent) in [
            (true, "localhost", true),
            (true, "127.0.0.1", false),
            (false, "localhost", false),
        ] {
            let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let mut roots = RootCertStore::empty();
            if known {
                roots.add(certified.cert.der().clone()).unwrap();
            }
            let client = Client::trusting(roots, guard.clone(), production, time).unwrap();
            let (port, said) = serve(certified).await;
            let answered = post(&client, &format!("https://{name}:{port}/hook")).await;
            assert_eq!(answered.is_ok(), is_sent, "{known} {name}: {answered:?}");
            let said = said.await.unwrap_or_default();
            assert_eq!(said.starts_with("POST /hook HTTP/1.1\r\n"), is_sent);
            assert_eq!(
                said.contains(&format!("host: localhost:{port}\r\n")),
                is_sent
            );
        }
    }

    #[tokio::test]
    async fn what_comes_too_late_for_its_lease_is_not_sent() {
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
            send_by: Instant::now() - Duration::from_millis(1),
        };
        let refused = client.post(post).await.unwrap_err();
        assert!(matches!(refused, SendError::LeaseOver), "{refused}");
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = Vec::new();
        stream.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty(), "nothing was sent");
    }
}
