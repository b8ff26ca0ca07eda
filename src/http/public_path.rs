//! [`PublicPath`]: the path of `public_url`, which a gateway removes from requests and responses must have.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The path of a base URL, without a trailing slash; empty if there is none, as on the operator's listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PublicPath(String);

impl PublicPath {
    /// Returns the path of a base URL.
    pub(crate) fn of(public_url: &str) -> Self {
        let after_scheme = public_url.split_once("://").map_or("", |(_, rest)| rest);
        let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..));
        Self(path.unwrap_or_default().trim_end_matches('/').to_owned())
    }

    /// Puts the path before a path of this service.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Puts the path before the relative URLs in the headers of a response.
    ///
    /// Responses pass here before they are sent, so that no handler needs to know the path, and the reply that is stored
    /// under an idempotency key has the path that is set when it is sent again.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        rewrite(headers, header::LOCATION, |location| {
            is_path(location).then(|| self.join(location))
        });
        rewrite(headers, header::LINK, |link| {
            let target = link.strip_prefix('<').filter(|it| is_path(it))?;
            Some(format!("<{}", self.join(target)))
        });
    }
}

/// Replaces the value of a header if `replacement` returns one.
fn rewrite(
    headers: &mut HeaderMap,
    name: HeaderName,
    replacement: impl Fn(&str) -> Option<String>,
) {
    let Some(value) = headers.get_mut(name) else {
        return;
    };
    let replaced = value.to_str().ok().and_then(replacement);
    if let Some(Ok(replaced)) = replaced.map(HeaderValue::try_from) {
        *value = replaced;
    }
}

/// Returns whether a URL is a path on this host.
fn is_path(url: &str) -> bool {
    url.starts_with('/') && !url.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(public_url: &str, location: &'static str, link: &'static str) -> [String; 2] {
        let mut headers = HeaderMap::from_iter([
            (header::LOCATION, HeaderValue::from_static(location)),
            (header::LINK, HeaderValue::from_static(link)),
        ]);
        PublicPath::of(public_url).add_to(&mut headers);
        [header::LOCATION, header::LINK].map(|name| headers[name].to_str().unwrap().to_owned())
    }

    #[test]
    fn relative_urls_begin_with_the_path_of_the_public_url() {
        let (location, link) = ("/v1/orders/1", "</v1/orders?cursor=a%2Fb>; rel=\"next\"");
        for public_url in ["https://api.example.com", "https://api.example.com/"] {
            assert_eq!(sent(public_url, location, link), [location, link]);
        }
        for public_url in ["https://a.example:8443/lmn/v2", "http://[::1]/lmn/v2/"] {
            let expected = [
                "/lmn/v2/v1/orders/1",
                "</lmn/v2/v1/orders?cursor=a%2Fb>; rel=\"next\"",
            ];
            assert_eq!(sent(public_url, location, link), expected);
        }
        let absolute = ["https://b.example/a", "<//b.example/a>; rel=\"next\""];
        let [location, link] = absolute;
        assert_eq!(sent("https://a.example/lmn", location, link), absolute);
    }
}
