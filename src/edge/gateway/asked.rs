//! What a gateway tells of the request that it asks about.

use http::HeaderMap;

/// The request that a gateway asks about, borrowed from where it was told.
///
/// A text that is not UTF-8 is told as [`ODD`].
#[derive(Clone, Copy)]
pub(in crate::edge) struct Asked<'a, H> {
    /// The method; empty: not known.
    pub(in crate::edge) method: &'a str,
    /// The host, perhaps with a port; empty: not known.
    pub(in crate::edge) host: &'a str,
    /// The path with its query, as the client has sent it; empty: not known.
    pub(in crate::edge) path: &'a str,
    /// The headers.
    pub(in crate::edge) headers: H,
    /// The address that it came from, which the client could not choose; none: not
    /// known.
    pub(in crate::edge) source_address: Option<&'a str>,
}

/// Stands for a text that means nothing: no method, host, path or workspace is
/// spelled so.
pub(in crate::edge) const ODD: &str = "\0";

/// `bytes` as text, or [`ODD`].
pub(in crate::edge) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or(ODD)
}

/// The headers of a request, which are looked for by name.
pub(in crate::edge) trait Headers<'a>: Copy {
    /// The header of this name, which is in lower case.
    fn find(self, name: &str) -> Found<'a>;
}

/// What is found of one header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Found<'a> {
    /// The request has none of that name.
    Nothing,
    /// It has one, with this value.
    One(&'a [u8]),
    /// It has several.
    Several,
}

impl<'a> Found<'a> {
    /// The value of a header that is there once; none of two is picked.
    pub(in crate::edge) const fn one(self) -> Option<&'a [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Several => None,
        }
    }
}

impl<'a> Headers<'a> for &'a HeaderMap {
    fn find(self, name: &str) -> Found<'a> {
        let mut values = self.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some(value), None) => Found::One(value.as_bytes()),
            (Some(_), Some(_)) => Found::Several,
        }
    }
}

impl<'a, H: Headers<'a>> Asked<'a, H> {
    /// Whether the caller speaks gRPC, and so has to be told in its words.
    pub(super) fn is_grpc(&self) -> bool {
        let media_type = self.headers.find("content-type").one();
        let rest = media_type.and_then(|media_type| media_type.strip_prefix(b"application/grpc"));
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
    }

    /// The method that a CORS preflight is for, which browsers send without a
    /// credential; none: it is no preflight.
    pub(super) fn preflight_for(&self) -> Option<&'a str> {
        if self.method != "OPTIONS" {
            return None;
        }
        self.headers.find("origin").one()?;
        let wanted = self.headers.find("access-control-request-method").one();
        wanted.map(text)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().copied() {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn asked<'a>(method: &'a str, headers: &'a HeaderMap) -> Asked<'a, &'a HeaderMap> {
        Asked {
            method,
            host: "",
            path: "",
            headers,
            source_address: None,
        }
    }

    #[test]
    fn a_header_is_there_once_or_it_is_none() {
        let headers = headers(&[("a", "1"), ("b", "2"), ("b", "2")]);
        assert!((&headers).find("a") == Found::One(b"1"));
        assert!((&headers).find("b") == Found::Several);
        assert!((&headers).find("c") == Found::Nothing);
        let one = |name| (&headers).find(name).one();
        assert_eq!(
            (one("a"), one("b"), one("c")),
            (Some(&b"1"[..]), None, None)
        );
    }

    #[test]
    fn who_speaks_grpc_is_known_by_its_content_type() {
        for (media_type, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            let headers = headers(&[("content-type", media_type)]);
            assert_eq!(asked("POST", &headers).is_grpc(), grpc, "{media_type}");
        }
        assert!(!asked("POST", &HeaderMap::new()).is_grpc());
    }

    #[test]
    fn a_preflight_has_what_browsers_send() {
        let whole = [
            ("origin", "https://app.test"),
            ("access-control-request-method", "PUT"),
        ];
        let preflight_for = |method: &str, sent: &[_]| {
            let headers = headers(sent);
            asked(method, &headers).preflight_for().map(str::to_owned)
        };
        assert_eq!(preflight_for("OPTIONS", &whole).as_deref(), Some("PUT"));
        assert_eq!(preflight_for("GET", &whole), None);
        assert_eq!(preflight_for("OPTIONS", &whole[..1]), None);
        assert_eq!(preflight_for("OPTIONS", &whole[1..]), None);
        assert_eq!(
            preflight_for("OPTIONS", &[whole[0], whole[1], whole[0]]),
            None
        );
    }
}
