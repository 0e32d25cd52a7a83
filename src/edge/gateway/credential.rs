//! Which of a request's headers carries the credential: the one that counts, or
//! several that agree. Nothing is picked where two differ.

use crate::domain::credential::{self, Scratch};
use crate::domain::token::{Shape, shape};

use super::asked::{Found, Headers};

/// The header that counts where nobody names another.
pub(super) const USUAL: &str = "authorization";

/// What is judged in the place of headers that are more than one credential: a
/// comma is malformed wherever it stands.
const SEVERAL: &[u8] = b",";

/// The value to judge: that of the one header among `names`, in lower case, that
/// has something in it. Where several do, they have to present one token.
pub(super) fn select<'a, 'n>(
    headers: impl Headers<'a>,
    names: impl Iterator<Item = &'n str>,
) -> &'a [u8] {
    let mut selected: Option<&'a [u8]> = None;
    for name in names {
        let value = match headers.find(name) {
            Found::Nothing => continue,
            // A client that repeats a header may mean anything by it.
            Found::Several => return SEVERAL,
            Found::One(value) if is_blank(value) => continue,
            Found::One(value) => value,
        };
        match selected {
            None => selected = Some(value),
            Some(other) if present_one_token(value, other) => {}
            Some(_) => return SEVERAL,
        }
    }
    selected.unwrap_or_default()
}

/// Those of `names`, in lower case, under which the request has a token that is
/// built like one of ours. What else stands there is somebody else's: a login, or
/// a JWT for the upstream.
pub(super) fn with_tokens<'a, 'n>(
    headers: impl Headers<'a>,
    names: impl Iterator<Item = &'n str>,
) -> impl Iterator<Item = &'n str> {
    names.filter(move |name| match headers.find(name) {
        Found::Nothing => false,
        Found::One(value) => has_token(value),
        // It may be in any of them.
        Found::Several => true,
    })
}

/// Whether a token that is built like one of ours is in `value`: alone, or in one
/// of several values that a proxy has joined by commas.
fn has_token(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let mut scratch = Scratch::new();
        let token = credential::parse(part.trim_ascii(), &mut scratch);
        // A typo leaves most of the secret as it is.
        token.is_ok_and(|token| matches!(shape(token), Shape::Native | Shape::BadChecksum))
    })
}

/// What [`credential::parse`] finds nothing in, however long it is.
fn is_blank(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b' ')
}

/// Whether both values present the same token, in whatever form.
fn present_one_token(one: &[u8], other: &[u8]) -> bool {
    let (mut here, mut there) = (Scratch::new(), Scratch::new());
    let tokens = (
        credential::parse(one, &mut here),
        credential::parse(other, &mut there),
    );
    matches!(tokens, (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::domain::credential::CredentialError;
    use crate::domain::token::{Token, TokenPrefix};

    /// A basic credential whose password is the token.
    fn basic(token: &str) -> String {
        let pair = format!("user:{token}");
        format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()))
    }

    #[test]
    fn one_credential_is_selected_and_never_one_of_two() {
        let prefix = TokenPrefix::try_from("klg").unwrap();
        let (t, u) = (Token::mint(&prefix, None), Token::mint(&prefix, None));
        let (t, u) = (t.expose(), u.expose());
        let bearer = format!("Bearer {t}");
        let bearer = bearer.as_str();
        let basic = basic(t);
        let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x";
        let usual: &[&str] = &[USUAL];
        let both: &[&str] = &["x-api-key", USUAL];
        let key: &[&str] = &["x-api-key"];
        let several = ",";
        type Row<'a> = (&'a [&'a str], &'a [(&'static str, &'a str)], &'a str);
        let table: &[Row<'_>] = &[
            (usual, &[], ""),
            (usual, &[(USUAL, bearer)], bearer),
            (usual, &[(USUAL, "")], ""),
            (usual, &[("x-api-key", t)], ""),
            // Twice, and be it the same.
            (usual, &[(USUAL, bearer), (USUAL, bearer)], several),
            (usual, &[(USUAL, bearer), (USUAL, "")], several),
            // What does not count is not looked at, also twice.
            (usual, &[(USUAL, bearer), ("x-api-key", u)], bearer),
            (key, &[(USUAL, jwt), ("x-api-key", t)], t),
            (key, &[(USUAL, jwt), (USUAL, jwt), ("x-api-key", t)], t),
            (key, &[(USUAL, bearer)], ""),
            // Of two that count.
            (both, &[(USUAL, bearer)], bearer),
            (both, &[("x-api-key", t)], t),
            (both, &[(USUAL, "  "), ("x-api-key", t)], t),
            (both, &[(USUAL, bearer), ("x-api-key", "")], bearer),
            (both, &[(USUAL, bearer), ("x-api-key", t)], t),
            (both, &[(USUAL, &basic), ("x-api-key", t)], t),
            (both, &[(USUAL, bearer), ("x-api-key", u)], several),
            (both, &[(USUAL, jwt), ("x-api-key", t)], several),
            (both, &[(USUAL, "Bearer"), ("x-api-key", t)], several),
            (both, &[("x-api-key", t), ("x-api-key", t)], several),
        ];
        for (names, sent, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *sent {
                let value = HeaderValue::from_str(value).unwrap();
                headers.append(HeaderName::from_static(name), value);
            }
            let selected = select(&headers, names.iter().copied());
            assert_eq!(selected, expected.as_bytes(), "{names:?} {sent:?}");
        }
    }

    #[test]
    fn a_token_of_ours_is_told_from_what_else_stands_there() {
        let token = Token::mint(&TokenPrefix::try_from("klg").unwrap(), None);
        let token = token.expose();
        let mut typo = token.to_owned();
        let last = typo.pop().unwrap();
        typo.push(if last == 'a' { 'b' } else { 'a' });
        let login = format!("Basic {}", data_encoding::BASE64.encode(b"ada:secret"));
        for (value, expected) in [
            (token, true),
            (&format!("Bearer {token}"), true),
            (&format!("Bearer {typo}"), true),
            (&basic(token), true),
            (&format!("Bearer {token}, Bearer {token}"), true),
            (&format!("x,\tBearer {token}"), true),
            ("", false),
            (",", false),
            ("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", false),
            (&login, false),
            ("Digest username=\"ada\", nonce=\"1\"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(USUAL, HeaderValue::from_str(value).unwrap());
            let names = ["x-api-key", USUAL].into_iter();
            let found: Vec<_> = with_tokens(&headers, names).collect();
            assert_eq!(!found.is_empty(), expected, "{value}");
            assert!(found.iter().all(|name| *name == USUAL));
        }
        let mut twice = HeaderMap::new();
        twice.append(USUAL, HeaderValue::from_static("a"));
        twice.append(USUAL, HeaderValue::from_static("b"));
        assert_eq!(with_tokens(&twice, [USUAL].into_iter()).count(), 1);
    }

    #[test]
    fn more_than_one_credential_is_malformed() {
        let mut scratch = Scratch::new();
        let parsed = credential::parse(SEVERAL, &mut scratch);
        assert_eq!(parsed, Err(CredentialError::Malformed));
    }

    #[test]
    fn what_is_blank_is_no_credential() {
        for (value, blank) in [("", true), ("  ", true), (" x", false), ("\t", false)] {
            assert_eq!(is_blank(value.as_bytes()), blank, "{value:?}");
            let mut scratch = Scratch::new();
            let parsed = credential::parse(value.as_bytes(), &mut scratch);
            assert_eq!(parsed == Err(CredentialError::Missing), blank, "{value:?}");
        }
    }
}
