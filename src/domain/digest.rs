//! Everything that is keyed by the pepper: digests of tokens, MACs of records,
//! the state digest, the audit chain. BLAKE3 is named here alone.
//!
//! Each use has a subkey of its own, derived from the pepper, so that no
//! output of one use can serve in another.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{AddAssign, SubAssign};

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

/// How long a pepper is, in bytes.
pub const PEPPER_LEN: usize = 32;

/// The secret that all digests and MACs are keyed by. It lives outside the
/// store and its backups: without it, what is in the store proves nothing and
/// nothing can be forged.
pub struct Pepper(Zeroizing<[u8; PEPPER_LEN]>);

impl Pepper {
    /// A pepper from the operating system's random source.
    ///
    /// # Panics
    ///
    /// If the operating system refuses to give random bytes, which a running
    /// Linux does not: a pepper of any other origin could be guessed.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; PEPPER_LEN]);
        SysRng
            .try_fill_bytes(bytes.as_mut_slice())
            .expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// The pepper that `bytes` are.
    #[must_use]
    pub fn from_bytes(bytes: Zeroizing<[u8; PEPPER_LEN]>) -> Self {
        Self(bytes)
    }

    /// The pepper's bytes, to be written to its file.
    #[must_use]
    pub fn expose(&self) -> &[u8; PEPPER_LEN] {
        &self.0
    }

    /// Names the pepper without telling anything of it.
    #[must_use]
    pub fn id(&self) -> PepperId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.subkey("keyward v1 pepper id")[..8]);
        PepperId(id)
    }

    /// The hasher of tokens.
    #[must_use]
    pub fn token_hasher(&self) -> TokenHasher {
        TokenHasher {
            token: self.subkey("keyward v1 token"),
            import: self.subkey("keyward v1 import"),
        }
    }

    /// The sealer of the records of one store.
    #[must_use]
    pub fn record_sealer(&self, store: StoreId) -> Sealer {
        Sealer {
            key: self.subkey("keyward v1 record"),
            store,
        }
    }

    /// The sealer of the guard file of one store.
    #[must_use]
    pub fn guard_sealer(&self, store: StoreId) -> Sealer {
        Sealer {
            key: self.subkey("keyward v1 guard"),
            store,
        }
    }

    /// The sealer of the links of one store's audit chains.
    #[must_use]
    pub fn audit_sealer(&self, store: StoreId) -> Sealer {
        Sealer {
            key: self.subkey("keyward v1 audit"),
            store,
        }
    }

    /// The sealer of page tokens.
    #[must_use]
    pub fn page_sealer(&self, store: StoreId) -> Sealer {
        Sealer {
            key: self.subkey("keyward v1 page token"),
            store,
        }
    }

    /// The sealer of requests that may be repeated.
    #[must_use]
    pub fn request_sealer(&self, store: StoreId) -> Sealer {
        Sealer {
            key: self.subkey("keyward v1 request"),
            store,
        }
    }

    fn subkey(&self, context: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, self.0.as_slice()))
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// Tells peppers apart: 8 bytes, written in hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PepperId(pub [u8; 8]);

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells stores apart: 16 random bytes, made when the store is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreId(pub [u8; 16]);

impl StoreId {
    /// The id of a new store.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes the digests by which tokens are known.
#[derive(Clone)]
pub struct TokenHasher {
    token: Zeroizing<[u8; 32]>,
    /// That of tokens which others have issued. What is presented is hashed by
    /// their algorithm first, so no hash, and no digest, is a token.
    import: Zeroizing<[u8; 32]>,
}

impl TokenHasher {
    /// The digest of a presented token. It allocates nothing.
    #[must_use]
    pub fn digest(&self, token: &[u8]) -> TokenDigest {
        TokenDigest(*blake3::keyed_hash(&self.token, token).as_bytes())
    }

    /// The digest of a presented token that is none of ours, as if it had been
    /// imported as a hash of this `algorithm`. It allocates nothing.
    #[must_use]
    pub fn foreign(&self, algorithm: HashAlgorithm, token: &[u8]) -> TokenDigest {
        self.imported(algorithm, &algorithm.hash(token))
    }

    /// The digest of a token of which only this `hash` is known.
    #[must_use]
    pub fn imported(&self, algorithm: HashAlgorithm, hash: &[u8; 32]) -> TokenDigest {
        let mut message = [0; 33];
        message[0] = match algorithm {
            HashAlgorithm::Sha256 => 1,
            HashAlgorithm::Blake3 => 2,
        };
        message[1..].copy_from_slice(hash);
        TokenDigest(*blake3::keyed_hash(&self.import, &message).as_bytes())
    }
}

/// What other products hash tokens with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// BLAKE3, without a key.
    Blake3,
}

impl HashAlgorithm {
    /// All of them, in the order in which a token is looked up by them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Blake3];

    /// The hash of a token.
    #[must_use]
    pub fn hash(self, token: &[u8]) -> [u8; 32] {
        match self {
            Self::Sha256 => {
                let mut hash = [0; 32];
                let digest = ring::digest::digest(&ring::digest::SHA256, token);
                hash.copy_from_slice(digest.as_ref());
                hash
            }
            Self::Blake3 => *blake3::hash(token).as_bytes(),
        }
    }
}

impl fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHasher(..)")
    }
}

/// The keyed BLAKE3 digest of a token: what is stored and looked up in its
/// place. Looking up by it tells nothing by its timing, as whoever lacks the
/// pepper cannot steer it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

impl Hash for TokenDigest {
    /// A digest is as random as a hash can be: 8 bytes of it are one.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// Seals bytes at a place, so that they cannot be changed or moved elsewhere.
#[derive(Clone)]
pub struct Sealer {
    key: Zeroizing<[u8; 32]>,
    store: StoreId,
}

impl Sealer {
    /// The seal of `parts` at `place`. The place is framed by its length, so
    /// that no two of place and parts can be taken for each other.
    #[must_use]
    pub fn seal(&self, place: &[u8], parts: &[&[u8]]) -> Seal {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.store.0);
        hasher.update(&(place.len() as u64).to_le_bytes());
        hasher.update(place);
        for part in parts {
            hasher.update(part);
        }
        let mut output = [0; Mac::LEN + StateDigest::LEN];
        hasher.finalize_xof().fill(&mut output);
        let mut seal = Seal {
            mac: Mac([0; Mac::LEN]),
            state: [0; StateDigest::LEN],
        };
        seal.mac.0.copy_from_slice(&output[..Mac::LEN]);
        seal.state.copy_from_slice(&output[Mac::LEN..]);
        seal
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// What a [`Sealer`] makes of some bytes in one pass.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// What is stored beside the bytes.
    pub mac: Mac,
    /// What the bytes add to the state digest; never stored by itself.
    pub state: [u8; StateDigest::LEN],
}

/// A message authentication code of 128 bits. Comparing two takes the same
/// time wherever they differ.
#[derive(Clone, Copy)]
pub struct Mac(pub [u8; Mac::LEN]);

impl Mac {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// The MAC that `bytes` are, if they are as long as one.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq::constant_time_eq_16(&self.0, &other.0)
    }
}

impl Eq for Mac {}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// The sum, modulo 2^256, of the keyed hashes of all records: kept up to date
/// by adding what is written and subtracting what it replaces. A record that
/// is lost, changed or brought back changes it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StateDigest([u8; StateDigest::LEN]);

impl StateDigest {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// The digest that `bytes` are, if they are as long as one.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, the least significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl AddAssign<&Seal> for StateDigest {
    fn add_assign(&mut self, seal: &Seal) {
        let mut carry = 0;
        for (own, other) in self.0.iter_mut().zip(seal.state) {
            let sum = u16::from(*own) + u16::from(other) + carry;
            *own = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
    }
}

impl SubAssign<&Seal> for StateDigest {
    fn sub_assign(&mut self, seal: &Seal) {
        let mut borrow = false;
        for (own, other) in self.0.iter_mut().zip(seal.state) {
            let (rest, first) = own.overflowing_sub(other);
            let (rest, second) = rest.overflowing_sub(u8::from(borrow));
            *own = rest;
            borrow = first || second;
        }
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .rev()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pepper(byte: u8) -> Pepper {
        Pepper::from_bytes(Zeroizing::new([byte; PEPPER_LEN]))
    }

    const STORE: StoreId = StoreId([1; 16]);

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let pepper = pepper(7);
        let sealers = [
            pepper.record_sealer(STORE),
            pepper.guard_sealer(STORE),
            pepper.audit_sealer(STORE),
            pepper.page_sealer(STORE),
        ];
        let mut macs: Vec<_> = sealers
            .iter()
            .map(|sealer| sealer.seal(b"k", &[b"v"]).mac.0)
            .collect();
        macs.sort_unstable();
        macs.dedup();
        assert_eq!(macs.len(), sealers.len());
        assert_ne!(pepper.token_hasher().digest(b"k").0[..16], macs[0]);
    }

    #[test]
    fn a_hash_is_known_by_its_token_alone() {
        let hasher = pepper(7).token_hasher();
        let hex = |bytes: [u8; 32]| data_encoding::HEXLOWER.encode(&bytes);
        // As FIPS 180 and the paper on BLAKE3 have it.
        assert_eq!(
            hex(HashAlgorithm::Sha256.hash(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(HashAlgorithm::Blake3.hash(b"abc")),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
        for algorithm in HashAlgorithm::ALL {
            let hash = algorithm.hash(b"abc");
            let imported = hasher.imported(algorithm, &hash);
            assert_eq!(imported, hasher.foreign(algorithm, b"abc"));
            for presented in [hash.to_vec(), hex(hash).into_bytes(), imported.0.to_vec()] {
                assert_ne!(hasher.digest(&presented), imported);
                for other in HashAlgorithm::ALL {
                    assert_ne!(hasher.foreign(other, &presented), imported);
                }
            }
        }
        let hash = [7; 32];
        assert_ne!(
            hasher.imported(HashAlgorithm::Sha256, &hash),
            hasher.imported(HashAlgorithm::Blake3, &hash)
        );
    }

    #[test]
    fn a_seal_depends_on_pepper_store_place_and_bytes() {
        let base = pepper(7)
            .record_sealer(STORE)
            .seal(b"place", &[b"bytes"])
            .mac;
        assert_eq!(
            pepper(7)
                .record_sealer(STORE)
                .seal(b"place", &[b"by", b"tes"])
                .mac,
            base
        );
        assert_ne!(
            pepper(8)
                .record_sealer(STORE)
                .seal(b"place", &[b"bytes"])
                .mac,
            base
        );
        assert_ne!(
            pepper(7)
                .record_sealer(StoreId([2; 16]))
                .seal(b"place", &[b"bytes"])
                .mac,
            base
        );
        assert_ne!(
            pepper(7)
                .record_sealer(STORE)
                .seal(b"plac", &[b"ebytes"])
                .mac,
            base
        );
        assert_ne!(
            pepper(7)
                .record_sealer(STORE)
                .seal(b"place", &[b"bytez"])
                .mac,
            base
        );
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let pepper = pepper(0xab);
        let digest = pepper.token_hasher().digest(b"token");
        let printed = format!(
            "{pepper:?} {:?} {digest:?} {:?}",
            pepper.token_hasher(),
            pepper.record_sealer(STORE)
        );
        assert_eq!(
            printed,
            "Pepper(..) TokenHasher(..) TokenDigest(..) Sealer(..)"
        );
    }

    fn seal(state: [u8; 32]) -> Seal {
        Seal {
            mac: Mac([0; 16]),
            state,
        }
    }

    proptest! {
        #[test]
        fn the_state_digest_forgets_what_is_taken_back_in_any_order(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let mut one = StateDigest::default();
            one += &seal(a);
            one += &seal(b);
            one += &seal(c);
            one -= &seal(a);
            let mut other = StateDigest::default();
            other -= &seal(a);
            other += &seal(c);
            other += &seal(a);
            other += &seal(b);
            prop_assert_eq!(one, other);
            one -= &seal(c);
            one -= &seal(b);
            prop_assert_eq!(one, StateDigest::default());
        }
    }
}
