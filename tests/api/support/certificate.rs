//! A certificate and its private key in files, and clients that trust it.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject},
    version::TLS13,
};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::settings::Setting;

/// Timeout longer than any limit that tests of TLS set.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with the files of a certificate and its private key.
pub struct CertificateFiles(TempDir);

impl CertificateFiles {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate")
    }

    pub fn key(&self) -> PathBuf {
        self.0.path().join("key")
    }

    /// Writes a new pair, valid until the beginning of a year; returns the certificate.
    pub fn renew(&self, year: i32) -> CertificateDer<'static> {
        let until = date_time_ymd(year, 1, 1).unix_timestamp();
        self.renew_until(until.unsigned_abs())
    }

    /// Writes a new pair, valid until a Unix time in seconds; returns the certificate.
    pub fn renew_until(&self, second: u64) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(second);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(self.certificate(), certificate.pem()).unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    /// Returns the settings with which a listener, `SERVER` or `OPERATOR`, presents the certificate.
    pub fn settings(&self, listener: &str) -> [Setting; 2] {
        let files = [
            ("CERTIFICATE_FILE", self.certificate()),
            ("PRIVATE_KEY_FILE", self.key()),
        ];
        files.map(|(setting, file)| -> Setting {
            let name = format!("{listener}__TLS__{setting}");
            (name.leak(), file.display().to_string().leak())
        })
    }
}

/// Returns the configuration of a client that trusts the certificate now in the file.
pub fn client(
    files: &CertificateFiles,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(files.certificate()).unwrap())
        .unwrap();
    ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Returns the address in a URL without a path.
pub fn address(url: &str) -> String {
    let address = url.rsplit("//").next().unwrap();
    address.to_owned()
}

/// Opens a connection and completes the handshake.
pub async fn connect(config: ClientConfig, url: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address(url)).await?;
    let name = "localhost".try_into().unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    timeout(PATIENCE, connector.connect(name, stream))
        .await
        .expect("the server answers")
}

/// Returns the certificate that the server presents to a new connection.
pub async fn presented(files: &CertificateFiles, url: &str) -> Option<CertificateDer<'static>> {
    let stream = connect(client(files, &[&TLS13]), url).await.ok()?;
    let certificates = stream.get_ref().1.peer_certificates()?;
    Some(certificates[0].clone().into_owned())
}
