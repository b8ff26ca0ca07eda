//! Reading of `[rate_limit]`: the policies and the shared store.

use std::fs;

use redis::IntoConnectionInfo;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};

use super::{
    model::{RateLimit, SharedLimits},
    reader::Reader,
};
use crate::middleware::rate_limit::model::Policy;

/// The URL of the store, and the file that may contain it instead.
const URL: &str = "rate_limit.shared.url";
const URL_FILE: &str = "rate_limit.shared.url_file";
/// The file of certificate authorities.
const AUTHORITY_FILE: &str = "rate_limit.shared.authority_file";

impl Reader {
    /// Reads the section.
    pub(super) fn rate_limit(&mut self) -> Option<RateLimit> {
        let keys_max = self.positive("rate_limit.keys_max");
        let read = self.policy("rate_limit.read");
        let write = self.policy("rate_limit.write");
        let shared = self.shared_limits();
        Some(RateLimit {
            keys_max: keys_max?.into(),
            read: read?,
            write: write?,
            shared: shared?,
        })
    }

    /// Reads a policy.
    pub(super) fn policy(&mut self, key: &str) -> Option<Policy> {
        let limit = self.positive(&format!("{key}.limit"));
        let window_seconds = self.positive(&format!("{key}.window_seconds"));
        let burst = self.positive(&format!("{key}.burst"));
        let policy = Policy::new(limit?, window_seconds?, burst?);
        if policy.is_none() {
            self.complain(
                key,
                "limit, window_seconds and burst must be at most 1000000, and the burst must refill within a day",
            );
        }
        policy
    }

    /// Reads the shared store; there is none if no URL is set.
    fn shared_limits(&mut self) -> Option<Option<SharedLimits>> {
        let url = self.store_url();
        let authority = self.store_authority();
        let patience = self.milliseconds("rate_limit.shared.timeout_milliseconds");
        let connect = self.milliseconds("rate_limit.shared.connect_milliseconds");
        let retry = self.milliseconds("rate_limit.shared.retry_milliseconds");
        let is_tls = |url: &SecretString| {
            let url = url.expose_secret();
            url.starts_with("rediss://") || url.starts_with("valkeys://")
        };
        let is_plain = !url.as_ref()?.as_ref().is_some_and(is_tls);
        if is_plain && authority.as_ref().is_some_and(Option::is_some) {
            self.complain(
                AUTHORITY_FILE,
                "is only used if the URL begins with rediss://",
            );
        }
        let (authority, patience) = (authority?, patience?);
        let (connect, retry) = (connect?, retry?);
        Some(url?.map(|url| SharedLimits {
            url,
            authority,
            patience,
            connect,
            retry,
        }))
    }

    /// Reads the URL of the store. Error messages do not contain it, because it may contain a password.
    fn store_url(&mut self) -> Option<Option<SecretString>> {
        let (url, file): (String, String) = (self.get(URL)?, self.get(URL_FILE)?);
        let url = match (url.is_empty(), file.is_empty()) {
            (_, true) => url,
            (true, false) => match fs::read_to_string(&file) {
                Ok(url) => url.trim().to_owned(),
                Err(error) => {
                    self.complain(URL_FILE, format!("{file}: {error}"));
                    return None;
                }
            },
            (false, false) => {
                self.complain(URL_FILE, format!("must not be set together with {URL}"));
                return None;
            }
        };
        if url.is_empty() {
            return Some(None);
        }
        // A fragment would disable the verification of the store's certificate.
        if url.contains('#') || url.as_str().into_connection_info().is_err() {
            self.complain(
                URL,
                "must be redis://host:6379, rediss://user:password@host:6379 or redis+unix:///path",
            );
            return None;
        }
        Some(Some(url.into()))
    }

    /// Reads the certificate authorities that are trusted for the store.
    fn store_authority(&mut self) -> Option<Option<Vec<u8>>> {
        let file: String = self.get(AUTHORITY_FILE)?;
        if file.is_empty() {
            return Some(None);
        }
        let complaint = match fs::read(&file) {
            Ok(pem) => {
                let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                if read.is_ok_and(|it| !it.is_empty()) {
                    return Some(Some(pem));
                }
                format!("{file}: contains no certificate in PEM")
            }
            Err(error) => format!("{file}: {error}"),
        };
        self.complain(AUTHORITY_FILE, complaint);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn read(store: &[(&str, &str)]) -> Result<Option<SharedLimits>, Vec<String>> {
        let mut variables = vec![("DATABASE_URL".to_owned(), "postgres://localhost".to_owned())];
        let named = |name: &str| format!("LMN_RATE_LIMIT__SHARED__{name}");
        let store = store.iter();
        variables.extend(store.map(|(name, value)| (named(name), (*value).to_owned())));
        let settings = Settings::read(None, &variables);
        settings
            .map(|it| it.rate_limit.shared)
            .map_err(|complaints| complaints.0)
    }

    #[test]
    fn shared_store_is_read_from_its_url_or_a_file() {
        assert!(read(&[]).unwrap().is_none());
        for url in [
            "redis://store",
            "rediss://user:hunter2@store:6380/1",
            "redis+unix:///run/store?pass=hunter2",
            "valkey://[::1]:6379",
        ] {
            let shared = read(&[("URL", url)]).unwrap().unwrap();
            assert_eq!(shared.url.expose_secret(), url);
            assert!(!format!("{shared:?}").contains("hunter2"));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "redis://from-a-file\n").unwrap();
        let file = ("URL_FILE", file.path().to_str().unwrap());
        let shared = read(&[file]).unwrap().unwrap();
        assert_eq!(shared.url.expose_secret(), "redis://from-a-file");
        let complaints = read(&[file, ("URL", "redis://store")]).unwrap_err();
        let both =
            "rate_limit.shared.url_file: must not be set together with rate_limit.shared.url";
        assert_eq!(complaints, [both]);
    }

    #[test]
    fn invalid_url_is_refused_without_being_printed() {
        for url in [
            "http://:hunter2@store",
            "redis://:hunter2@",
            "redis://:hunter2@[nonsense",
            "rediss://:hunter2@store#insecure",
            "redis://:hunter2@store/first",
        ] {
            let complaints = read(&[("URL", url)]).unwrap_err();
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(complaints[0].starts_with("rate_limit.shared.url: must be redis://host:6379"));
            assert!(!complaints[0].contains("hunter2"));
        }
    }

    #[test]
    fn authority_file_needs_a_certificate_and_a_tls_url() {
        let authority = rcgen::generate_simple_self_signed(["store".to_owned()]).unwrap();
        let (good, bad) = (
            tempfile::NamedTempFile::new(),
            tempfile::NamedTempFile::new(),
        );
        let (good, bad) = (good.unwrap(), bad.unwrap());
        fs::write(good.path(), authority.cert.pem()).unwrap();
        let good = ("AUTHORITY_FILE", good.path().to_str().unwrap());
        let bad = ("AUTHORITY_FILE", bad.path().to_str().unwrap());
        let tls = ("URL", "rediss://store");
        assert!(read(&[good, tls]).unwrap().unwrap().authority.is_some());
        for (wrong, complaint) in [
            ([bad, tls], "contains no certificate in PEM"),
            (
                [good, ("URL", "redis://store")],
                "is only used if the URL begins with rediss://",
            ),
        ] {
            let complaints = read(&wrong).unwrap_err();
            assert_eq!(complaints.len(), 1, "{complaints:?}");
            assert!(complaints[0].starts_with("rate_limit.shared.authority_file: "));
            assert!(complaints[0].ends_with(complaint), "{complaints:?}");
        }
    }
}
