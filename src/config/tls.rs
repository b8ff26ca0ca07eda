//! The settings of TLS, and the certificate, which is read at the start and again when its files change.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};

use super::reader::{Setting, section};

/// The file of the certificate chain, and the file of its private key.
const CERTIFICATE_FILE: &str = "server.tls.certificate_file";
const PRIVATE_KEY_FILE: &str = "server.tls.private_key_file";
/// A time after the expiry of every certificate. Verification at this time fails with the time of expiry.
const NEVER: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));

section! {
    /// TLS on the partners' listener.
    #[derive(Clone)]
    pub struct Tls {
        /// The certificate chain in PEM, the server's own certificate first.
        pub certificate_file: PathBuf = value,
        /// The private key of the certificate, in PEM.
        pub private_key_file: PathBuf = value,
        /// Time between two checks of the files.
        pub reload: Duration = seconds(1..=3600),
        /// Time for a handshake.
        pub handshake: Duration = seconds(1..=3600),
        /// The certificate and key that the files contained at the start. Not a setting of its own.
        pub(crate) first: Pair = pair(certificate_file.as_deref(), private_key_file.as_deref()),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tls");
        shown.field("certificate_file", &self.certificate_file);
        shown.finish_non_exhaustive()
    }
}

/// A certificate and its private key.
#[derive(Clone)]
pub(crate) struct Pair {
    /// Both, in the form of rustls.
    pub(crate) certified: Arc<CertifiedKey>,
    /// When the certificate expires, if it can be parsed.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Reasons why files are not a valid pair of certificate and key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairFault {
    #[error("{CERTIFICATE_FILE}: {0}: {1}")]
    CertificateUnread(String, io::Error),
    #[error("{PRIVATE_KEY_FILE}: {0}: {1}")]
    KeyUnread(String, io::Error),
    #[error("{CERTIFICATE_FILE}: contains no certificate in PEM")]
    NoCertificate,
    #[error("{PRIVATE_KEY_FILE}: contains no private key in PEM")]
    NoKey,
    #[error("{PRIVATE_KEY_FILE}: does not fit the certificate: {0}")]
    Unfit(#[from] rustls::Error),
}

/// The contents of the two files.
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads the files.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, PairFault> {
        let name = |path: &Path| path.display().to_string();
        let unread = |error| PairFault::CertificateUnread(name(certificate), error);
        let key_unread = |error| PairFault::KeyUnread(name(key), error);
        Ok(Self {
            certificate: fs::read(certificate).map_err(unread)?,
            key: fs::read(key).map_err(key_unread)?,
        })
    }

    /// Returns a digest of both files.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(&self.certificate);
        // The length separates the files, so that moving bytes from one to the other changes the digest.
        digest.update(self.certificate.len().to_be_bytes());
        digest.update(&self.key);
        digest.finalize().into()
    }

    /// Parses the certificate and the key.
    pub(crate) fn pair(&self) -> Result<Pair, PairFault> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|_| PairFault::NoCertificate)?;
        let first = chain.first().ok_or(PairFault::NoCertificate)?;
        let expires_at = expires_at(first);
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| PairFault::NoKey)?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())?;
        Ok(Pair {
            certified: Arc::new(certified),
            expires_at,
        })
    }
}

/// Returns when a certificate expires. Whether it is valid is for the clients to decide.
fn expires_at(certificate: &CertificateDer<'_>) -> Option<DateTime<Utc>> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let usage = KeyUsage::server_auth();
    let checked = certificate.verify_for_usage(&[], &[], &[], NEVER, usage, None, None);
    match checked.err() {
        Some(webpki::Error::CertExpired { not_after, .. }) => {
            DateTime::from_timestamp(i64::try_from(not_after.as_secs()).ok()?, 0)
        }
        _ => None,
    }
}

impl Setting<'_> {
    /// Reads the certificate and the key. If neither file is set, there is no pair, which is not an error.
    fn pair(mut self, certificate_file: Option<&Path>, key_file: Option<&Path>) -> Option<Pair> {
        let (certificate_file, key_file) = (certificate_file?, key_file?);
        let is_set = |file: &Path| !file.as_os_str().is_empty();
        let without_other = match (is_set(certificate_file), is_set(key_file)) {
            (false, false) => return None,
            (false, true) => Some((PRIVATE_KEY_FILE, CERTIFICATE_FILE)),
            (true, false) => Some((CERTIFICATE_FILE, PRIVATE_KEY_FILE)),
            (true, true) => None,
        };
        if let Some((set, missing)) = without_other {
            self.report(format_args!("{set}: must not be set without {missing}"));
            return None;
        }
        let files = Files::read(certificate_file, key_file);
        files
            .and_then(|files| files.pair())
            .map_err(|fault| self.report(fault))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;
    use crate::config::Settings;

    fn certificate(until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 2, 3);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// Reads settings with files of these contents. For `"nothing"` the file is missing, for `""` it is not set.
    fn read(certificate: &str, key: &str) -> Result<Option<Tls>, Vec<String>> {
        let folder = TempDir::new().unwrap();
        let mut variables = vec![("DATABASE_URL".to_owned(), "postgres://localhost".to_owned())];
        for (name, text) in [("CERTIFICATE", certificate), ("PRIVATE_KEY", key)] {
            let path = folder.path().join(name);
            if text != "nothing" {
                fs::write(&path, text).unwrap();
            }
            if !text.is_empty() {
                let variable = format!("LMN_SERVER__TLS__{name}_FILE");
                variables.push((variable, path.display().to_string()));
            }
        }
        let settings = Settings::read(None, &variables);
        settings.map(|it| it.server.tls).map_err(|it| it.0)
    }

    #[test]
    fn certificate_and_key_are_read_with_the_expiry() {
        let (chain, key) = certificate(2030);
        let tls = read(&chain, &key).unwrap().unwrap();
        let expires_at = tls.first.expires_at.unwrap().to_rfc3339();
        assert_eq!(expires_at, "2030-02-03T00:00:00+00:00");
        let error = read(&certificate(2010).0, "").unwrap_err();
        assert_eq!(
            error,
            [
                "server.tls.certificate_file: must not be set without server.tls.private_key_file \
              (set by LMN_SERVER__TLS__CERTIFICATE_FILE)"
            ]
        );
        let (chain, key) = certificate(2010);
        assert!(
            read(&chain, &key).unwrap().is_some(),
            "an expired certificate is accepted with a warning"
        );
        assert!(!format!("{tls:?}").contains("PRIVATE KEY"));
        assert!(read("", "").unwrap().is_none());
    }

    #[test]
    fn files_without_a_valid_pair_are_refused() {
        let ((chain, key), (other, _)) = (certificate(2030), certificate(2030));
        for (certificate, key, complaint) in [
            ("nothing", key.as_str(), "server.tls.certificate_file: /"),
            (&chain, "nothing", "server.tls.private_key_file: /"),
            (
                "text",
                &key,
                "server.tls.certificate_file: contains no certificate",
            ),
            (
                &chain,
                "text",
                "server.tls.private_key_file: contains no private key",
            ),
            (
                &chain,
                &chain,
                "server.tls.private_key_file: contains no private key",
            ),
            (
                &other,
                &key,
                "server.tls.private_key_file: does not fit the certificate",
            ),
            (
                "",
                &key,
                "server.tls.private_key_file: must not be set without server.tls.certificate_file",
            ),
        ] {
            let complaints = read(certificate, key).unwrap_err();
            assert!(
                complaints.len() == 1 && complaints[0].starts_with(complaint),
                "{complaints:?}"
            );
        }
    }
}
