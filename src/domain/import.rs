//! What is imported of another product's key: its token, or a hash of it.
//!
//! A token that others have issued is known here by its hash alone, in the way
//! in which they have hashed it, so that both forms of one token are one.

use std::fmt;

use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE,
    HEXUPPER,
};
use zeroize::Zeroizing;

use super::credential::{MAX_FOREIGN_LEN, MIN_FOREIGN_LEN, may_be_in_token};
use super::digest::HashAlgorithm;
use super::key_draft::KeyDraft;
use super::token::{Shape, shape};
use super::violation::Violations;

/// The most bytes that the hint of an imported hash may have.
pub const MAX_HINT_LEN: usize = 24;

/// How long a token has to be for its last four characters to be shown.
const MIN_TAILED_LEN: usize = 32;

/// Tokens that can be guessed in fewer than this many bits are not let in.
const MIN_BITS: f64 = 80.0;

/// Those that can be in fewer than this many are told of.
const GOOD_BITS: f64 = 128.0;

/// How an imported token came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImportedForm {
    /// As it is.
    Token,
    /// As its SHA-256.
    Sha256,
    /// As its BLAKE3.
    Blake3,
}

impl ImportedForm {
    /// The form in words of audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    /// What the token's digest is made of.
    #[must_use]
    pub const fn algorithm(self) -> HashAlgorithm {
        match self {
            Self::Token | Self::Sha256 => HashAlgorithm::Sha256,
            Self::Blake3 => HashAlgorithm::Blake3,
        }
    }
}

/// What is kept of an imported token beside its digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// How it came.
    pub form: ImportedForm,
    /// What may be displayed of it; empty: nothing.
    pub hint: Box<str>,
}

/// A key of another product, as its importer describes it; nothing in it is
/// checked yet.
#[derive(Clone, Debug, Default)]
pub struct ImportDraft {
    /// The key, of a workspace.
    pub key: KeyDraft,
    /// Its token, or a hash of it.
    pub given: Given,
    /// Whether it starts switched off.
    pub disabled: bool,
}

/// What was given of a token.
#[derive(Clone, Default)]
pub enum Given {
    /// Nothing, or two things at once.
    #[default]
    Unclear,
    /// The token itself.
    Token(Zeroizing<String>),
    /// A hash.
    Hash {
        /// What it was made with; none: something that is not known here.
        algorithm: Option<HashAlgorithm>,
        /// Hex or base64.
        value: Zeroizing<String>,
        /// What may be displayed of the token.
        hint: String,
    },
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unclear => "Unclear",
            Self::Token(_) => "Token(..)",
            Self::Hash { .. } => "Hash(..)",
        })
    }
}

/// A token of another product, by its hash.
#[derive(Clone)]
pub struct ForeignToken {
    /// The hash.
    pub hash: Zeroizing<[u8; 32]>,
    /// What is kept beside its digest.
    pub imported: Imported,
    /// What else it may have been hashed with, when it came as it is.
    pub otherwise: Option<(HashAlgorithm, Zeroizing<[u8; 32]>)>,
    /// The 32 bytes that the token's own text stands for, if it reads as a hash.
    pub reads_as: Option<Zeroizing<[u8; 32]>>,
    /// What is worth a look.
    pub warning: Option<String>,
}

impl fmt::Debug for ForeignToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignToken({:?})", self.imported.form)
    }
}

impl Given {
    /// Reads what was given, and notes what is wrong with it.
    pub fn read(&self, violations: &mut Violations) -> Option<ForeignToken> {
        match self {
            Self::Unclear => {
                violations.add("token", "is required, or a `hash`, and not both");
                None
            }
            Self::Token(token) => {
                let warning = violations.check("token", check_token(token.as_bytes()))?;
                Some(of_token(token, warning))
            }
            Self::Hash {
                algorithm,
                value,
                hint,
            } => {
                if algorithm.is_none() {
                    violations.add("hash.algorithm", "must be SHA256 or BLAKE3");
                }
                if hint.len() > MAX_HINT_LEN || hint.chars().any(char::is_control) {
                    violations.add(
                        "hash.hint",
                        format!(
                            "must have at most {MAX_HINT_LEN} bytes, without control characters"
                        ),
                    );
                }
                let Some(hash) = read_hash(value.as_bytes()) else {
                    violations.add(
                        "hash.value",
                        "must be 32 bytes in 64 hex digits, or in 43 or 44 characters of base64",
                    );
                    return None;
                };
                Some(of_hash((*algorithm)?, hash, hint))
            }
        }
    }
}

const LIKE_A_HASH: &str = "the token reads as a hash: if it is one, whoever reads it where it is stored has a working key: revoke this one, and import it as a hash";

fn of_token(token: &str, weak: Option<String>) -> ForeignToken {
    let hash_like = reads_as_hash(token).then(|| LIKE_A_HASH.to_owned());
    let warning: Vec<_> = [weak, hash_like].into_iter().flatten().collect();
    let warning = (!warning.is_empty()).then(|| warning.join("; "));
    let hash = |algorithm: HashAlgorithm| Zeroizing::new(algorithm.hash(token.as_bytes()));
    let form = ImportedForm::Token;
    let tail = (token.len() >= MIN_TAILED_LEN).then(|| token.get(token.len() - 4..));
    ForeignToken {
        hash: hash(form.algorithm()),
        otherwise: Some((HashAlgorithm::Blake3, hash(HashAlgorithm::Blake3))),
        reads_as: read_hash(token.as_bytes()),
        imported: Imported {
            form,
            hint: tail
                .flatten()
                .map(|tail| format!("…{tail}"))
                .unwrap_or_default()
                .into(),
        },
        warning,
    }
}

fn of_hash(algorithm: HashAlgorithm, hash: Zeroizing<[u8; 32]>, hint: &str) -> ForeignToken {
    ForeignToken {
        hash,
        otherwise: None,
        reads_as: None,
        imported: Imported {
            form: match algorithm {
                HashAlgorithm::Sha256 => ImportedForm::Sha256,
                HashAlgorithm::Blake3 => ImportedForm::Blake3,
            },
            hint: hint.into(),
        },
        warning: None,
    }
}

/// All the texts in which a hash is written, each of which somebody could take
/// for a token.
pub fn texts_of(hash: &[u8; 32]) -> impl Iterator<Item = Zeroizing<String>> {
    let encodings = [
        HEXLOWER,
        HEXUPPER,
        BASE64,
        BASE64_NOPAD,
        BASE64URL,
        BASE64URL_NOPAD,
    ];
    let hash = Zeroizing::new(*hash);
    encodings
        .into_iter()
        .map(move |encoding| Zeroizing::new(encoding.encode(hash.as_slice())))
}

/// Whether a text reads as a hash of 32 bytes, in one of the ways in which those
/// are written.
#[must_use]
pub fn reads_as_hash(text: &str) -> bool {
    read_hash(text.as_bytes()).is_some()
}

/// The 32 bytes that a text stands for: which encoding it is, its length tells.
fn read_hash(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let encodings: &[Encoding] = match text.len() {
        64 => &[HEXLOWER_PERMISSIVE],
        44 => &[BASE64, BASE64URL],
        43 => &[BASE64_NOPAD, BASE64URL_NOPAD],
        _ => return None,
    };
    let decoded = encodings
        .iter()
        .find_map(|encoding| encoding.decode(text).ok())
        .map(Zeroizing::new)?;
    let mut hash = Zeroizing::new([0; 32]);
    if decoded.len() != hash.len() {
        return None;
    }
    hash.copy_from_slice(&decoded);
    Some(hash)
}

/// Whether a token of another product can be let in, and what is worth a look.
fn check_token(token: &[u8]) -> Result<Option<String>, String> {
    if !(MIN_FOREIGN_LEN..=MAX_FOREIGN_LEN).contains(&token.len()) {
        return Err(format!(
            "must have {MIN_FOREIGN_LEN} to {MAX_FOREIGN_LEN} characters, and has {}",
            token.len()
        ));
    }
    if let Some(position) = token.iter().position(|byte| !may_be_in_token(*byte)) {
        return Err(format!(
            "must be of visible ASCII characters without commas and double quotes, or no header carries it: character {} is none",
            position + 1
        ));
    }
    match shape(token) {
        Shape::Foreign => {}
        Shape::Native => {
            return Err("is built like a token of keyward's own, and is looked up as one: create the key anew, by CreateKey".to_owned());
        }
        Shape::BadChecksum => {
            return Err("is built like a token of keyward's own but for its checksum, and no such token is ever looked up: create the key anew, by CreateKey".to_owned());
        }
    }
    let bits = strength(token);
    if bits < MIN_BITS {
        return Err(format!(
            "could be guessed: by its length and characters it has at most {bits:.0} bits of randomness, and {MIN_BITS:.0} are the least: issue a new key"
        ));
    }
    Ok((bits < GOOD_BITS).then(|| {
        format!(
            "the token has at most {bits:.0} bits of randomness by its length and characters: rotate the key when you can"
        )
    }))
}

/// The most bits of randomness that a token of these characters can have. What
/// separates parts, and what is the same again and again, counts for nothing.
fn strength(token: &[u8]) -> f64 {
    let random: Vec<u8> = token
        .iter()
        .copied()
        .filter(|byte| !b"-_.:=".contains(byte))
        .collect();
    let any = |of: fn(&u8) -> bool| random.iter().any(of);
    let (upper, lower) = (any(u8::is_ascii_uppercase), any(u8::is_ascii_lowercase));
    let other = any(|byte| !byte.is_ascii_alphanumeric());
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    let alphabet: f64 = match (upper, lower, other) {
        (false, false, false) => 10.0,
        (false, true, false) | (true, false, false) if random.iter().all(is_hex) => 16.0,
        (false, true, false) | (true, false, false) => 36.0,
        (true, true, false) => 62.0,
        (_, _, true) => 64.0,
    };
    let mut distinct = [false; 256];
    for byte in &random {
        distinct[usize::from(*byte)] = true;
    }
    let distinct = distinct.iter().filter(|there| **there).count();
    // A token of four different characters has no more than two bits in each.
    let distinct = f64::from(u16::try_from(distinct).unwrap_or(u16::MAX));
    let length = f64::from(u16::try_from(random.len()).unwrap_or(u16::MAX));
    let each = if distinct < 8.0 {
        distinct.max(1.0).min(alphabet)
    } else {
        alphabet
    };
    length * each.log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(text: &str) -> Result<ForeignToken, String> {
        let mut violations = Violations::default();
        let given = Given::Token(Zeroizing::new(text.to_owned()));
        let read = given.read(&mut violations);
        read.ok_or_else(|| violations.to_string())
    }

    fn hash(algorithm: HashAlgorithm, value: &str, hint: &str) -> Result<ForeignToken, String> {
        let mut violations = Violations::default();
        let given = Given::Hash {
            algorithm: Some(algorithm),
            value: Zeroizing::new(value.to_owned()),
            hint: hint.to_owned(),
        };
        let read = given.read(&mut violations);
        match violations.is_empty() {
            true => Ok(read.unwrap()),
            false => Err(violations.to_string()),
        }
    }

    const UUID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    #[test]
    fn tokens_of_others_are_let_in_with_what_may_be_shown_of_them() {
        for (text, hint, warned) in [
            (UUID, "…afa6", false),
            ("sk-proj-9dKx2mQv7LpR4tYw8ZbN3cHf6JgS1aVe", "…1aVe", false),
            ("unkey_3ZfKq8vTn2Lr7WxYb5Hc9D", "", false),
            // It reads as a hash.
            (
                "q83vEjRWeJCrze8SNFZ4kKvN7xI0Vniqu8zd7v8AESI=",
                "…ESI=",
                true,
            ),
            ("a1+b2/c3d4E5f6G7h8I9j0==", "", false),
            (
                "SG.kY1w2E3r4T5y6U7i.8O9p0A1s2D3f4G5h6J7k8L9",
                "…k8L9",
                false,
            ),
            ("IL1deIyHyQA40WpeLeA1bIUXuvTwlGjo", "…lGjo", false),
            ("0123456789abcdef0123", "", true),
            ("8fK2mQ9xLp4RtVw7Zb", "", true),
        ] {
            let read = token(text).unwrap();
            assert_eq!(&*read.imported.hint, hint, "{text}");
            assert_eq!(read.warning.is_some(), warned, "{text}");
            assert_eq!(*read.hash, HashAlgorithm::Sha256.hash(text.as_bytes()));
        }
    }

    #[test]
    fn what_no_header_carries_or_anybody_guesses_is_refused_without_being_told() {
        let secret = "sup3rS3cretOfOthers0123456789";
        for (text, told) in [
            ("short".to_owned(), "16 to 512"),
            (format!("{secret},x"), "character 30"),
            (format!("{secret} x"), "character 30"),
            (format!("{secret}\"x"), "character 30"),
            (format!("{secret}\u{e4}"), "character 30"),
            ("x".repeat(513), "16 to 512"),
            ("1234567890123456".to_owned(), "53 bits"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(), "guessed"),
            (
                "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd".to_owned(),
                "keyward's own, and",
            ),
            (
                "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxe".to_owned(),
                "checksum",
            ),
        ] {
            let told_of = token(&text).unwrap_err();
            assert!(told_of.contains(told), "{told_of}");
            assert!(
                !told_of.contains("sup3r") && !told_of.contains("yhjsk"),
                "{told_of}"
            );
        }
    }

    #[test]
    fn a_hash_is_read_in_each_of_its_forms() {
        let bytes = HashAlgorithm::Sha256.hash(UUID.as_bytes());
        for text in texts_of(&bytes) {
            let read = hash(HashAlgorithm::Sha256, &text, "3fa8…").unwrap();
            assert_eq!(*read.hash, bytes, "{}", *text);
            assert_eq!(&*read.imported.hint, "3fa8…");
            // The same token, whichever way it came.
            assert_eq!(read.hash, token(UUID).unwrap().hash);
            // And a token that reads like this is known to.
            assert_eq!(*token(&text).unwrap().reads_as.unwrap(), bytes);
        }
        for broken in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"=".repeat(44)] {
            let told = hash(HashAlgorithm::Blake3, broken, "").unwrap_err();
            assert!(told.starts_with("hash.value"), "{told}");
        }
        let hex = "0".repeat(64);
        assert!(hash(HashAlgorithm::Blake3, &hex, &"x".repeat(25)).is_err());
        assert!(hash(HashAlgorithm::Blake3, &hex, "a\nb").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_read_or_told_of_and_never_shown(text in "\\PC{0,600}") {
            let given = Given::Token(Zeroizing::new(text.clone()));
            prop_assert_eq!(format!("{given:?}"), "Token(..)");
            match token(&text) {
                Ok(read) => {
                    prop_assert!(text.is_ascii() && text.len() >= MIN_FOREIGN_LEN);
                    prop_assert_eq!(shape(text.as_bytes()), Shape::Foreign);
                    prop_assert!(read.imported.hint.len() <= MAX_HINT_LEN);
                }
                Err(told) => prop_assert!(text.len() < 8 || !told.contains(&text)),
            }
        }
    }
}
