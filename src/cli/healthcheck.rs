//! `lmn healthcheck`: probes a running server, for example as the health check of a container.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Source, block_on, from_here, print_outcome, url_from_here};
use crate::config;

/// The maximum number of bytes read from a response.
const ANSWER_MAX: u64 = 64 * 1024;

/// The arguments of `lmn healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    source: Source,
    /// Check only that the process is alive, not that it is ready.
    #[arg(long)]
    live: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// The response of a server.
struct Answer {
    status: u16,
    body: Value,
}

impl Healthcheck {
    /// Runs the command. Anything but the expected response in time is a failure.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = self.source.config.as_deref();
        let settings = config::Healthcheck::read(config, &config::environment())?;
        let (path, expected) = match self.live {
            true => ("/healthz", "alive"),
            false => ("/readyz", "ready"),
        };
        if settings.listen.port() == 0 {
            bail!("operator.listen has port 0, so the port to probe is unknown; set a fixed port");
        }
        let address = from_here(settings.listen);
        let url = url_from_here(address, settings.has_tls) + path;
        let answer = block_on(async {
            timeout(settings.timeout, ask(address, settings.has_tls, path))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .with_context(|| format!("{url} does not answer"))
        });
        let has_status = |body: &Value| body.get("status").is_some_and(|it| it == expected);
        let is_healthy = |it: &Answer| it.status == 200 && has_status(&it.body);
        let healthy = answer.as_ref().is_ok_and(is_healthy);
        if self.json {
            let body = answer.as_ref().ok().map(|it| &it.body);
            print_outcome(json!({"url": url, "healthy": healthy, "answer": body}))?;
        }
        let Answer { status, body } = answer?;
        if !healthy {
            bail!("{url} answers {status}: {}", reasons(&body));
        }
        Ok(())
    }
}

/// Returns the messages of the readiness conditions that are not met.
fn reasons(body: &Value) -> String {
    let missing = body.get("missing").and_then(Value::as_array);
    let messages = missing.into_iter().flatten();
    let messages = messages.filter_map(|it| it.get("message")?.as_str());
    match messages.collect::<Vec<_>>().join("; ") {
        reasons if reasons.is_empty() => "this is not an LMN server".to_owned(),
        reasons => reasons,
    }
}

/// Connects to a listener, sends a GET request and reads the response to the end.
async fn ask(address: SocketAddr, has_tls: bool, path: &str) -> io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let stream = TcpStream::connect(address).await?;
    if !has_tls {
        return exchange(stream, &request).await;
    }
    let connector = connector().map_err(io::Error::other)?;
    let stream = connector.connect(address.ip().into(), stream).await?;
    exchange(stream, &request).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<Answer> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).await?;
    read_answer(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP response"))
}

/// Returns the client side of TLS. Fails if the cryptography provider cannot be used.
fn connector() -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

/// Accepts every certificate, as the probes of Kubernetes do.
///
/// The request goes to an address of this machine and contains no secret. The certificate names another host than that
/// address, differs from the file while it is being renewed, and is served after its expiry: none of this makes a server
/// unhealthy.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Parses the status and, if it is JSON, the body.
fn read_answer(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut parts = head.strip_prefix("HTTP/1.")?.split_whitespace();
    let status = parts.nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).unwrap_or_default();
    Some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_parsed_into_status_and_json() {
        let ready = read_answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((ready.status, ready.body), (200, json!({})));
        let other = read_answer("HTTP/1.0 404 Not Found\r\n\r\n<html>").unwrap();
        assert_eq!((other.status, other.body), (404, Value::Null));
        for broken in [
            "",
            "SSH-2.0-OpenSSH_9\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 fine\r\n\r\n",
        ] {
            assert!(read_answer(broken).is_none(), "{broken}");
        }
    }
}
