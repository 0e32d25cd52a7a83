//! Identifiers: public, stable, fit for logs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use ulid::Ulid;

use super::clock::Timestamp;

/// The text is not an id of the kind that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not a well-formed id")]
pub struct InvalidId;

/// How long a generated id is, in bytes.
pub const ID_LEN: usize = 4 + ulid::ULID_LEN;

/// Room for the text of a generated id.
pub type IdBuffer = [u8; ID_LEN];

macro_rules! generated_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id, which sorts behind those made in earlier milliseconds.
            #[must_use]
            pub fn generate(now: Timestamp) -> Self {
                Self(Ulid::from_parts(now.as_micros() / 1_000, rand::random()))
            }

            /// Writes the id to `buffer`, without allocating.
            #[must_use]
            pub fn write<'b>(&self, buffer: &'b mut IdBuffer) -> &'b str {
                let (prefix, encoded) = buffer.split_at_mut(ID_LEN - ulid::ULID_LEN);
                prefix.copy_from_slice(concat!($prefix, "_").as_bytes());
                let mut text = [0; ulid::ULID_LEN];
                self.0.array_to_str(&mut text).make_ascii_lowercase();
                encoded.copy_from_slice(&text);
                std::str::from_utf8(buffer).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.write(&mut [0; ID_LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads the one form that `Display` writes, and no other.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let encoded = text.strip_prefix(concat!($prefix, "_")).ok_or(InvalidId)?;
                let id = Self(Ulid::from_string(encoded).map_err(|_| InvalidId)?);
                if id.to_string() == text { Ok(id) } else { Err(InvalidId) }
            }
        }
    };
}

generated_id!(
    /// The id of a key, as in `key_01k3c5hw7n8d0r2vxk4w9g6m1t`: `key_` and a
    /// ULID in lower case.
    KeyId,
    "key"
);

generated_id!(
    /// The id of an admin key, as in `adm_01k3c5hw7n8d0r2vxk4w9g6m1t`.
    AdminKeyId,
    "adm"
);

/// The id of a workspace, chosen by its creator: 1 to 63 characters of
/// `[a-z0-9_.-]`, the first of them a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId(Box<str>);

impl WorkspaceId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 63;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the id of a workspace that could be.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b));
        first && rest && text.len() <= Self::MAX_LEN
    }
}

impl FromStr for WorkspaceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if Self::is_one(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId)
        }
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl KeyId {
    /// That of no key.
    pub const NOBODY: Self = Self(Ulid(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_have_one_text_form() {
        let id = KeyId::generate(Timestamp::from_micros(1_780_000_000_000_000));
        let text = id.to_string();
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<KeyId>(), Err(InvalidId));
        assert_eq!(text[4..].parse::<KeyId>(), Err(InvalidId));
        assert_eq!(text.parse::<AdminKeyId>(), Err(InvalidId));
        for hostile in [
            "",
            "key_",
            "key_\0",
            "key_zzzzzzzzzzzzzzzzzzzzzzzzzz",
            "key_é",
        ] {
            assert_eq!(hostile.parse::<KeyId>(), Err(InvalidId), "{hostile:?}");
        }
    }

    #[test]
    fn generated_ids_sort_by_time() {
        let early = KeyId::generate(Timestamp::from_micros(1_780_000_000_000_000));
        let late = KeyId::generate(Timestamp::from_micros(1_780_000_000_001_000));
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn workspace_ids() {
        for good in ["a", "klipy", "7", "a_b.c-d", &"x".repeat(63)] {
            assert!(good.parse::<WorkspaceId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "Klipy",
            "a b",
            "a/b",
            "ä",
            "a\0",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<WorkspaceId>().is_err(), "{bad:?}");
        }
    }
}
