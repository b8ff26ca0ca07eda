//! TLS on the partners' listener: where its certificate is, and reading it, at the start and again whenever it changes.

use std::{fmt, fs, io, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};

use super::reader::Reader;

/// Where the certificate is.
const CERTIFICATE_FILE: &str = "server.tls.certificate_file";
const PRIVATE_KEY_FILE: &str = "server.tls.private_key_file";
/// An instant that no certificate reaches; what expires says then when it did.
const NEVER: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));

/// How partners are spoken to in secret.
#[derive(Clone)]
pub struct Tls {
    /// The chain in PEM, the server's own certificate first.
    pub certificate_file: PathBuf,
    /// The key to it in PEM.
    pub private_key_file: PathBuf,
    /// How often they are looked at.
    pub reload: Duration,
    /// Time for a handshake.
    pub handshake: Duration,
    /// What they held at the start.
    pub(crate) first: Pair,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tls");
        shown.field("certificate_file", &self.certificate_file);
        shown.finish_non_exhaustive()
    }
}

/// A certificate and the key to it.
#[derive(Clone)]
pub(crate) struct Pair {
    /// Both, as rustls wants them.
    pub(crate) certified: Arc<CertifiedKey>,
    /// When the certificate expires.
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

/// Why files are no pair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairFault {
    #[error("{CERTIFICATE_FILE}: {0}: {1}")]
    CertificateUnread(String, io::Error),
    #[error("{PRIVATE_KEY_FILE}: {0}: {1}")]
    KeyUnread(String, io::Error),
    #[error("{CERTIFICATE_FILE}: holds no certificate in PEM")]
    NoCertificate,
    #[error("{PRIVATE_KEY_FILE}: holds no private key in PEM")]
    NoKey,
    #[error("{PRIVATE_KEY_FILE}: does not fit the certificate: {0}")]
    Unfit(#[from] rustls::Error),
}

/// What the files held when they were looked at.
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads them.
    pub(crate) fn read(certificate: &PathBuf, key: &PathBuf) -> Result<Self, PairFault> {
        let name = |path: &PathBuf| path.display().to_string();
        let unread = |error| PairFault::CertificateUnread(name(certificate), error);
        let key_unread = |error| PairFault::KeyUnread(name(key), error);
        Ok(Self {
            certificate: fs::read(certificate).map_err(unread)?,
            key: fs::read(key).map_err(key_unread)?,
        })
    }

    /// Returns what tells these contents from others.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(&self.certificate);
        // So that nothing can move from one file to the other unnoticed.
        digest.update(self.certificate.len().to_be_bytes());
        digest.update(&self.key);
        digest.finalize().into()
    }

    /// Makes a pair of them.
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

/// Returns when a certificate expires. Whether it is valid, its readers decide.
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

impl Reader {
    /// Reads the part; there is none where no file is named.
    pub(super) fn tls(&mut self) -> Option<Option<Tls>> {
        let reload = self.seconds("server.tls.reload_seconds");
        let handshake = self.seconds("server.tls.handshake_seconds");
        let certificate_file: String = self.get(CERTIFICATE_FILE)?;
        let private_key_file: String = self.get(PRIVATE_KEY_FILE)?;
        let lonely = match (certificate_file.is_empty(), private_key_file.is_empty()) {
            (true, true) => return Some(None),
            (true, false) => Some((PRIVATE_KEY_FILE, CERTIFICATE_FILE)),
            (false, true) => Some((CERTIFICATE_FILE, PRIVATE_KEY_FILE)),
            (false, false) => None,
        };
        if let Some((set, missing)) = lonely {
            self.complain(set, format!("is set without {missing}"));
            return None;
        }
        let (certificate_file, private_key_file) = (
            PathBuf::from(certificate_file),
            PathBuf::from(private_key_file),
        );
        let files = Files::read(&certificate_file, &private_key_file);
        let first = match files.and_then(|files| files.pair()) {
            Ok(first) => first,
            Err(fault) => {
                self.object(fault);
                return None;
            }
        };
        Some(Some(Tls {
            certificate_file,
            private_key_file,
            reload: reload?,
            handshake: handshake?,
            first,
        }))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;
    use crate::settings::Settings;

    fn made(until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 2, 3);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// Reads settings that name files of some contents; no contents, no setting.
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
    fn a_pair_is_read_with_the_day_on_which_it_expires() {
        let (certificate, key) = made(2030);
        let tls = read(&certificate, &key).unwrap().unwrap();
        let expires_at = tls.first.expires_at.unwrap().to_rfc3339();
        assert_eq!(expires_at, "2030-02-03T00:00:00+00:00");
        let past = read(&made(2010).0, "").unwrap_err();
        assert_eq!(
            past,
            ["server.tls.certificate_file: is set without server.tls.private_key_file"]
        );
        let (certificate, key) = made(2010);
        assert!(
            read(&certificate, &key).unwrap().is_some(),
            "it is only warned of"
        );
        assert!(!format!("{tls:?}").contains("PRIVATE KEY"));
        assert!(read("", "").unwrap().is_none());
    }

    #[test]
    fn files_that_are_no_pair_are_complained_of() {
        let ((certificate, key), (other, _)) = (made(2030), made(2030));
        for (certificate, key, complaint) in [
            ("nothing", key.as_str(), "server.tls.certificate_file: /"),
            (&certificate, "nothing", "server.tls.private_key_file: /"),
            (
                "text",
                &key,
                "server.tls.certificate_file: holds no certificate",
            ),
            (
                &certificate,
                "text",
                "server.tls.private_key_file: holds no private key",
            ),
            (
                &certificate,
                &certificate,
                "server.tls.private_key_file: holds no private key",
            ),
            (
                &other,
                &key,
                "server.tls.private_key_file: does not fit the certificate",
            ),
            (
                "",
                &key,
                "server.tls.private_key_file: is set without server.tls.certificate_file",
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
