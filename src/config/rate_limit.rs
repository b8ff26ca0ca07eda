//! The settings of rate limits: the policies and the shared store.

use std::{fs, time::Duration};

use redis::IntoConnectionInfo;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};

use super::reader::{Setting, section};
use crate::values::rate_limit::Policy;

section! {
    /// Rate limits of an API key whose partner has no limits of its own.
    #[derive(Debug, Clone)]
    pub struct RateLimit {
        /// Maximum number of keys whose requests are counted.
        pub keys_max: u64 = number(1..),
        /// GET and HEAD.
        pub read: Policy = policy,
        /// POST, PUT and DELETE.
        pub write: Policy = policy,
        /// The store in which all replicas count together. Without one each replica counts alone.
        pub shared: Option<SharedLimits> = shared_limits,
    }
}

section! {
    /// A Redis or Valkey server in which replicas count together.
    #[derive(Debug, Clone)]
    pub struct SharedLimits {
        /// Its URL; a secret, because it may contain a password.
        pub url: SecretString = store_url,
        /// The trusted certificate authorities in PEM; the public ones if `None`.
        pub authority: Option<Vec<u8>> = store_authority named "authority_file",
        /// Time for the response to one request.
        pub patience: Duration = milliseconds(1..) named "timeout",
        /// Time to connect.
        pub connect: Duration = milliseconds(1..),
        /// Time between two attempts to reach an unavailable store, and between two health checks of an idle one.
        pub retry: Duration = milliseconds(1..),
    }
    rules {
        |authority, url| authority.is_none() || is_tls(url)
            => "rate_limit.shared.authority_file: is only used if the URL begins with rediss://",
    }
}

/// Returns whether the store at a URL is reached by TLS.
fn is_tls(url: &SecretString) -> bool {
    let url = url.expose_secret();
    url.starts_with("rediss://") || url.starts_with("valkeys://")
}

impl Setting<'_> {
    /// Reads a policy, which is a section of three numbers.
    pub(super) fn policy(mut self) -> Option<Policy> {
        let limit = self.below("limit").number(1..);
        let window_seconds = self.below("window_seconds").number(1..);
        let burst = self.below("burst").number(1..);
        let policy = Policy::new(limit?, window_seconds?, burst?);
        if policy.is_none() {
            self.complain(
                "limit, window_seconds and burst must be at most 1000000, and the burst must refill within a day",
            );
        }
        policy
    }

    /// Reads the shared store; there is none if its URL is empty.
    fn shared_limits(self) -> Option<Option<SharedLimits>> {
        let limits: SharedLimits = self.section()?;
        let is_set = !limits.url.expose_secret().is_empty();
        Some(is_set.then_some(limits))
    }

    /// Reads the URL of the store, which may be in a file. Errors do not contain it, because it may contain a password.
    fn store_url(mut self) -> Option<SecretString> {
        let url: String = self.value()?;
        let mut url_file = self.beside("url_file");
        let file: String = url_file.value()?;
        let url = match (url.is_empty(), file.is_empty()) {
            (_, true) => url,
            (true, false) => match fs::read_to_string(&file) {
                Ok(url) => url.trim().to_owned(),
                Err(error) => {
                    url_file.complain(format_args!("{file}: {error}"));
                    return None;
                }
            },
            (false, false) => {
                url_file.complain("must not be set together with rate_limit.shared.url");
                return None;
            }
        };
        // A fragment would disable the verification of the store's certificate.
        let is_valid = !url.contains('#') && url.as_str().into_connection_info().is_ok();
        if !url.is_empty() && !is_valid {
            self.complain(
                "must be redis://host:6379, rediss://user:password@host:6379 or redis+unix:///path; a password with \
                 other characters than letters and digits must be percent-encoded",
            );
            return None;
        }
        Some(url.into())
    }

    /// Reads the certificate authorities that are trusted for the store.
    fn store_authority(mut self) -> Option<Option<Vec<u8>>> {
        let file: String = self.value()?;
        if file.is_empty() {
            return Some(None);
        }
        match fs::read(&file) {
            Ok(pem) => {
                let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
                if read.is_ok_and(|it| !it.is_empty()) {
                    return Some(Some(pem));
                }
                self.complain(format_args!("{file}: contains no certificate in PEM"));
            }
            Err(error) => self.complain(format_args!("{file}: {error}")),
        }
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
        let both = "rate_limit.shared.url_file: must not be set together with rate_limit.shared.url \
             (set by LMN_RATE_LIMIT__SHARED__URL_FILE)";
        assert_eq!(complaints, [both]);
    }

    #[test]
    fn invalid_url_is_refused_without_being_printed() {
        for url in [
            "http://:hunter2@store",
            "redis://:hunter2@",
            "redis://:hunter2@[nonsense",
            "rediss://:hunter2@store#insecure",
            "redis://:hunter2#@store",
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
            assert!(complaints[0].contains(complaint), "{complaints:?}");
        }
    }
}
