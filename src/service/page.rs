//! Page tokens: opaque, and good for the list that they were made for alone.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::domain::digest::{Mac, Sealer};

/// The page size where none is asked for.
pub const DEFAULT_PAGE_SIZE: usize = 50;

/// The largest page.
pub const MAX_PAGE_SIZE: usize = 250;

/// The page size to use for the one that was asked for; none, if that makes
/// no sense.
#[must_use]
pub fn size(asked: i32) -> Option<usize> {
    match usize::try_from(asked) {
        Ok(0) => Some(DEFAULT_PAGE_SIZE),
        Ok(size) => Some(size.min(MAX_PAGE_SIZE)),
        Err(_) => None,
    }
}

/// Makes and reads page tokens.
#[derive(Clone, Debug)]
pub struct Pager(Sealer);

impl Pager {
    /// A pager whose tokens `sealer` seals.
    #[must_use]
    pub const fn new(sealer: Sealer) -> Self {
        Self(sealer)
    }

    /// The token for what comes behind `last` in `list`.
    #[must_use]
    pub fn token(&self, list: &str, last: &str) -> String {
        let mac = self.0.seal(list.as_bytes(), &[last.as_bytes()]).mac;
        BASE64URL_NOPAD.encode(&[mac.0.as_slice(), last.as_bytes()].concat())
    }

    /// Where `token` continues `list`; none, if it is not a token of that
    /// list.
    #[must_use]
    pub fn read<T: FromStr>(&self, list: &str, token: &str) -> Option<T> {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let (mac, last) = bytes.split_at_checked(Mac::LEN)?;
        let sealed = self.0.seal(list.as_bytes(), &[last]).mac;
        if Mac::from_slice(mac) != Some(sealed) {
            return None;
        }
        std::str::from_utf8(last).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::digest::{Pepper, StoreId};
    use crate::domain::id::KeyId;

    #[test]
    fn a_token_is_good_for_its_own_list_alone() {
        let pepper = Pepper::generate();
        let pager = Pager::new(pepper.page_sealer(StoreId([1; 16])));
        let id = KeyId::generate(Timestamp::from_micros(1));
        let token = pager.token("klipy", &id.to_string());
        assert_eq!(pager.read("klipy", &token), Some(id));
        assert_eq!(pager.read::<KeyId>("kling", &token), None);
        assert_eq!(
            Pager::new(pepper.page_sealer(StoreId([2; 16]))).read::<KeyId>("klipy", &token),
            None
        );
        for position in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(pager.read::<KeyId>("klipy", &changed), None, "{position}");
        }
        for foreign in ["", "AAAA", "!", &"A".repeat(10_000)] {
            assert_eq!(pager.read::<KeyId>("klipy", foreign), None);
        }
    }

    #[test]
    fn sizes() {
        let table = [
            (0, Some(50)),
            (1, Some(1)),
            (250, Some(250)),
            (251, Some(250)),
            (i32::MAX, Some(250)),
            (-1, None),
            (i32::MIN, None),
        ];
        for (asked, expected) in table {
            assert_eq!(size(asked), expected, "{asked}");
        }
    }
}
