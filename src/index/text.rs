//! The texts of a key in one run of bytes: its name, and its metadata.

use crate::domain::key::Key;

/// Name and metadata, each behind its length in one byte: the
/// limits on the fields of a key see to it that one is enough.
pub(super) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// What [`Self::pack`] has appended.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Appends those of `key`.
    pub(super) fn pack(key: &Key, bytes: &mut Vec<u8>) {
        let entries = key.metadata.iter().flat_map(|(name, value)| [name, value]);
        for text in [&key.name].into_iter().chain(entries) {
            push(bytes, text);
        }
    }

    pub(super) fn name(&self) -> &'a str {
        pull(self.0).0
    }

    pub(super) fn metadata(&self) -> Metadata<'a> {
        Metadata(pull(self.0).1)
    }
}

/// The metadata of a key, by name.
#[derive(Clone, Debug)]
pub struct Metadata<'a>(&'a [u8]);

impl<'a> Iterator for Metadata<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = pull(self.0);
        let (value, rest) = pull(rest);
        self.0 = rest;
        Some((name, value))
    }
}

/// A text too long for its length byte is cut at a character: it names things
/// for people and decides nothing.
pub(super) fn push(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend(text.as_bytes());
}

/// The first text, and what is behind it.
pub(super) fn pull(bytes: &[u8]) -> (&str, &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return ("", &[]);
    };
    let (text, rest) = rest.split_at(usize::from(*length).min(rest.len()));
    (std::str::from_utf8(text).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_come_out_as_they_went_in(texts in proptest::collection::vec(".{0,60}", 0..20)) {
            let mut bytes = Vec::new();
            texts.iter().for_each(|text| push(&mut bytes, text));
            let mut rest = bytes.as_slice();
            for text in &texts {
                let (pulled, behind) = pull(rest);
                prop_assert_eq!(pulled, text);
                rest = behind;
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_overlong_text_is_cut_between_characters() {
        let mut bytes = Vec::new();
        push(&mut bytes, &"ä".repeat(200));
        assert_eq!(pull(&bytes), ("ä".repeat(127).as_str(), [].as_slice()));
    }
}
