//! The settings of TLS, and the certificate, which is read at the start and again when its files change.

use std::{
    fmt, fs,
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

/// The settings of the two files, in the section of a listener.
const CERTIFICATE_FILE: &str = "certificate_file";
const PRIVATE_KEY_FILE: &str = "private_key_file";
/// A time after the expiry of every certificate. Verification at this time fails with the time of expiry.
const NEVER: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));

section! {
    /// TLS on a listener.
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

/// The reason why files are not a valid pair of certificate and key.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {reason}")]
pub(crate) struct PairFault {
    /// The setting of the wrong file, in its section.
    setting: &'static str,
    reason: String,
}

impl PairFault {
    fn new(setting: &'static str, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        Self { setting, reason }
    }
}

/// The contents of the two files.
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads the files.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, PairFault> {
        let read = |setting, path: &Path| {
            fs::read(path).map_err(|error| {
                let reason = format!("{}: {error}", path.display());
                PairFault::new(setting, reason)
            })
        };
        Ok(Self {
            certificate: read(CERTIFICATE_FILE, certificate)?,
            key: read(PRIVATE_KEY_FILE, key)?,
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
        let no_certificate = || PairFault::new(CERTIFICATE_FILE, "contains no certificate in PEM");
        let no_key = |_| PairFault::new(PRIVATE_KEY_FILE, "contains no private key in PEM");
        let unfit = |error: rustls::Error| {
            let reason = format!("does not fit the certificate: {error}");
            PairFault::new(PRIVATE_KEY_FILE, reason)
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        let expires_at = expires_at(chain.first().ok_or_else(no_certificate)?);
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(no_key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(unfit)?;
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
        let alone = |set, missing: &str| {
            let reason = format!("must not be set without {missing}");
            Err(PairFault::new(set, reason))
        };
        let pair = match (is_set(certificate_file), is_set(key_file)) {
            (false, false) => return None,
            (false, true) => alone(PRIVATE_KEY_FILE, CERTIFICATE_FILE),
            (true, false) => alone(CERTIFICATE_FILE, PRIVATE_KEY_FILE),
            (true, true) => Files::read(certificate_file, key_file).and_then(|files| files.pair()),
        };
        pair.map_err(|fault| self.beside(fault.setting).complain(fault.reason))
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

    /// Reads settings with files of these contents for a listener. For `"nothing"` the file is missing, for `""` it is
    /// not set.
    fn read(listener: &str, certificate: &str, key: &str) -> Result<Option<Tls>, Vec<String>> {
        let folder = TempDir::new().unwrap();
        let mut variables = vec![("DATABASE_URL".to_owned(), "postgres://localhost".to_owned())];
        for (name, text) in [("CERTIFICATE", certificate), ("PRIVATE_KEY", key)] {
            let path = folder.path().join(name);
            if text != "nothing" {
                fs::write(&path, text).unwrap();
            }
            if !text.is_empty() {
                let variable = format!("LMN_{}__TLS__{name}_FILE", listener.to_uppercase());
                variables.push((variable, path.display().to_string()));
            }
        }
        let settings = Settings::read(None, &variables).map_err(|it| it.0)?;
        Ok(match listener {
            "server" => settings.server.tls,
            _ => settings.operator.tls,
        })
    }

    #[test]
    fn certificate_and_key_are_read_with_the_expiry() {
        let (chain, key) = certificate(2030);
        let tls = read("server", &chain, &key).unwrap().unwrap();
        let expires_at = tls.first.expires_at.unwrap().to_rfc3339();
        assert_eq!(expires_at, "2030-02-03T00:00:00+00:00");
        let error = read("server", &certificate(2010).0, "").unwrap_err();
        assert_eq!(
            error,
            [
                "server.tls.certificate_file: must not be set without private_key_file \
              (set by LMN_SERVER__TLS__CERTIFICATE_FILE)"
            ]
        );
        let (chain, key) = certificate(2010);
        assert!(
            read("server", &chain, &key).unwrap().is_some(),
            "an expired certificate is accepted with a warning"
        );
        assert!(!format!("{tls:?}").contains("PRIVATE KEY"));
        assert!(read("server", "", "").unwrap().is_none());
    }

    #[test]
    fn files_without_a_valid_pair_are_refused_on_both_listeners() {
        let ((chain, key), (other, _)) = (certificate(2030), certificate(2030));
        for (certificate, key, complaint) in [
            ("nothing", key.as_str(), "certificate_file: /"),
            (&chain, "nothing", "private_key_file: /"),
            ("text", &key, "certificate_file: contains no certificate"),
            (&chain, "text", "private_key_file: contains no private key"),
            (&chain, &chain, "private_key_file: contains no private key"),
            (
                &other,
                &key,
                "private_key_file: does not fit the certificate",
            ),
            (
                "",
                &key,
                "private_key_file: must not be set without certificate_file",
            ),
        ] {
            for listener in ["server", "operator"] {
                let complaints = read(listener, certificate, key).unwrap_err();
                let complaint = format!("{listener}.tls.{complaint}");
                assert!(
                    complaints.len() == 1 && complaints[0].starts_with(&complaint),
                    "{complaints:?}"
                );
            }
        }
    }
}
