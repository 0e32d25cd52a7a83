//! Where requests come from: the ranges of addresses that a key is confined to,
//! and whether the address that a gateway knows lies in one.
//!
//! An IPv6 address that stands for one of IPv4 (`::ffff:1.2.3.4`) is that one,
//! on either side. Beyond that, no range of one family holds an address of the
//! other.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use thiserror::Error;

use super::violation::Violations;

/// The most ranges of one key.
pub const MAX_SOURCE_RANGES: usize = 16;

/// The longest text that is read as an address: no address is near it.
const MAX_ADDRESS_LEN: usize = 64;

/// The length of the prefix that all IPv6 addresses share that stand for IPv4.
const MAPPED_LEN: u8 = 96;

/// The bytes of a packed range: an IPv6 address, and the length of its prefix.
const PACKED_LEN: usize = 17;

/// A range of addresses: those that share a prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceRange(IpNet);

impl TryFrom<&str> for SourceRange {
    type Error = SourceRangeError;

    /// Reads `203.0.113.0/24`, or an address, which is the range of that one.
    fn try_from(text: &str) -> Result<Self, SourceRangeError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| SourceRangeError::NoAddress)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(max), |text| prefix_len(text, max));
        let range = length
            .and_then(|length| IpNet::new(address, length).ok())
            .ok_or(SourceRangeError::Length { max })?;
        let range = of_its_family(range);
        let truncated = range.trunc();
        if truncated == range {
            Ok(Self(range))
        } else {
            Err(SourceRangeError::HostBits { range: truncated })
        }
    }
}

impl SourceRange {
    /// The network of these addresses, without bits behind its prefix; of IPv4, if
    /// they stand for that.
    #[must_use]
    pub const fn network(self) -> IpNet {
        self.0
    }

    fn pack(self) -> [u8; PACKED_LEN] {
        let length = match self.0 {
            IpNet::V4(range) => MAPPED_LEN + range.prefix_len(),
            IpNet::V6(range) => range.prefix_len(),
        };
        let mut packed = [length; PACKED_LEN];
        packed[..PACKED_LEN - 1].copy_from_slice(&bits(self.0.addr()).to_be_bytes());
        packed
    }

    /// None: no range is packed so.
    fn unpack(packed: [u8; PACKED_LEN]) -> Option<Self> {
        let (address, length) = parts(packed);
        let range = IpNet::new(IpAddr::V6(Ipv6Addr::from_bits(address)), length).ok()?;
        let range = Self(of_its_family(range));
        (range.0 == range.0.trunc()).then_some(range)
    }
}

impl fmt::Display for SourceRange {
    /// With the length of the prefix, also where it is one address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no range that a key can be confined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SourceRangeError {
    /// What is before `/` is no address.
    #[error("is not a range of addresses, such as 203.0.113.0/24, 2001:db8::/32 or 203.0.113.7")]
    NoAddress,
    /// What is behind `/` is no length of a prefix.
    #[error("has no number from 0 to {max} behind its `/`")]
    Length {
        /// The length of the whole address, in bits.
        max: u8,
    },
    /// Bits behind the prefix are set: one of the two parts is a mistake.
    #[error("has bits set behind its first {}; if it is the range that is meant, write {range}", .range.prefix_len())]
    HostBits {
        /// The range that these addresses are of.
        range: IpNet,
    },
}

/// Ranges, none twice, in order: IPv4 first. None at all are everywhere.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SourceRanges(Box<[SourceRange]>);

impl SourceRanges {
    /// These ranges.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = SourceRange>) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup();
        Self(ranges.into())
    }

    /// Reads what an operator gives, and notes which texts are no ranges.
    pub(super) fn read(violations: &mut Violations, field: &str, texts: &[String]) -> Self {
        if texts.len() > MAX_SOURCE_RANGES {
            let number = texts.len();
            violations.add(
                field,
                format!("has {number} entries; at most {MAX_SOURCE_RANGES} are allowed"),
            );
            return Self::default();
        }
        let mut ranges = Vec::with_capacity(texts.len());
        for (position, text) in texts.iter().enumerate() {
            let range = SourceRange::try_from(text.as_str());
            ranges.extend(violations.check(format!("{field}[{position}]"), range));
        }
        Self::new(ranges)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, SourceRange> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, which is everywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges as [`PackedRanges`] reads them.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        self.iter().flat_map(|range| range.pack()).collect()
    }

    /// What [`Self::pack`] has made; none, if it has not made this.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let (ranges, rest) = packed.as_chunks();
        let ranges: Option<Vec<_>> = ranges.iter().copied().map(SourceRange::unpack).collect();
        let ranges = Self::new(ranges?);
        // What is out of order or there twice was not packed here either.
        let packed_here =
            rest.is_empty() && ranges.len() <= MAX_SOURCE_RANGES && ranges.pack() == packed;
        packed_here.then_some(ranges)
    }
}

/// As people write them: apart by spaces.
impl fmt::Display for SourceRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { " " };
            write!(f, "{separator}{range}")?;
        }
        Ok(())
    }
}

/// Ranges as they lie in memory for the verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PackedRanges<'a>(&'a [u8]);

impl<'a> PackedRanges<'a> {
    /// How many bytes so many ranges take.
    #[must_use]
    pub const fn len_of(ranges: usize) -> usize {
        ranges * PACKED_LEN
    }

    /// The ranges that [`SourceRanges::pack`] has packed.
    #[must_use]
    pub const fn new(packed: &'a [u8]) -> Self {
        Self(packed)
    }

    /// Whether a request from `asked` may pass, an address in any of the forms
    /// in which gateways have it. Without ranges it may, and `asked` is not
    /// looked at; with some, what is no address may not. Allocates nothing.
    #[must_use]
    pub fn admit(self, asked: Option<&str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(asked) = asked.and_then(address) else {
            return false;
        };
        let asked = bits(asked);
        let (ranges, _) = self.0.as_chunks();
        ranges.iter().any(|range| holds(*range, asked))
    }
}

/// Whether a packed range holds an address.
fn holds(range: [u8; PACKED_LEN], asked: u128) -> bool {
    let (network, length) = parts(range);
    let differing = network ^ asked;
    let outside = u128::BITS.saturating_sub(u32::from(length));
    // By its bits alone, `::/0` would hold all of IPv4.
    (length >= MAPPED_LEN || !is_mapped(asked)) && differing.checked_shr(outside).unwrap_or(0) == 0
}

fn parts(packed: [u8; PACKED_LEN]) -> (u128, u8) {
    let [address @ .., length] = packed;
    (u128::from_be_bytes(address), length)
}

/// The address as one of IPv6.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn is_mapped(address: u128) -> bool {
    Ipv6Addr::from_bits(address).to_ipv4_mapped().is_some()
}

/// A range of addresses that stand for IPv4 is the range of those.
fn of_its_family(range: IpNet) -> IpNet {
    let IpNet::V6(wide) = range else { return range };
    let length = wide.prefix_len().checked_sub(MAPPED_LEN);
    let mapped = wide.addr().to_ipv4_mapped().zip(length);
    mapped
        .and_then(|(address, length)| IpNet::new(IpAddr::V4(address), length).ok())
        .unwrap_or(range)
}

/// A number of at most `max`, in digits alone and without zeros before it.
fn prefix_len(text: &str, max: u8) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let length = text.parse().ok().filter(|length| *length <= max)?;
    (digits && (text == "0" || !text.starts_with('0'))).then_some(length)
}

/// The address in a text such as `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or
/// `[::1]:5`.
///
/// One with a zone (`fe80::1%eth0`) means nothing on another machine,
/// and of several, nobody can tell which is meant: they are none.
#[must_use]
pub fn address(text: &str) -> Option<IpAddr> {
    if text.len() > MAX_ADDRESS_LEN || text.contains('%') {
        return None;
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().map(IpAddr::V6),
        None => {
            let with_port = |_| text.parse().map(|with_port: SocketAddr| with_port.ip());
            text.parse().or_else(with_port).ok()
        }
    };
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> SourceRange {
        SourceRange::try_from(text).unwrap()
    }

    fn ranges(texts: &[&str]) -> SourceRanges {
        SourceRanges::new(texts.iter().map(|text| range(text)))
    }

    fn admits(texts: &[&str], asked: &str) -> bool {
        PackedRanges::new(&ranges(texts).pack()).admit(Some(asked))
    }

    #[test]
    fn which_ranges_there_are_and_how_they_are_written() {
        for (text, written) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.7/32", "203.0.113.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("255.255.255.255", "255.255.255.255/32"),
            ("128.0.0.0/1", "128.0.0.0/1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:DB8:0::", "2001:db8::/128"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::1.2.3.4", "::102:304/128"),
            // What stands for IPv4 is that.
            ("::ffff:1.2.3.4", "1.2.3.4/32"),
            ("::ffff:102:304/128", "1.2.3.4/32"),
            ("::ffff:1.2.3.0/120", "1.2.3.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::fffe:0:0/95", "::fffe:0:0/95"),
        ] {
            let range = range(text);
            assert_eq!(range.to_string(), written, "{text}");
            assert_eq!(SourceRange::try_from(written), Ok(range), "{text}");
            assert_eq!(SourceRange::unpack(range.pack()), Some(range), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            " ",
            "/",
            "/24",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            // Octal to some, and decimal to others.
            "010.0.0.0/8",
            "0x7f.0.0.1",
            "1.2.3.4:80",
            "[::1]",
            ":::",
            "fe80::1%eth0",
            "fe80::%1/64",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4,5.6.7.8",
            "1.2.3.0-1.2.3.9",
            "1.2.3.*",
            "example.com",
            "*",
            "any",
            "\0",
        ] {
            let error = SourceRange::try_from(text).unwrap_err();
            assert_eq!(error, SourceRangeError::NoAddress, "{text:?}");
        }
        for (text, max) in [
            ("1.2.3.4/", 32),
            ("1.2.3.4/33", 32),
            ("1.2.3.4/256", 32),
            ("1.2.3.4/-1", 32),
            ("1.2.3.4/+8", 32),
            ("1.2.3.4/08", 32),
            ("1.2.3.4/00", 32),
            ("1.2.3.4/ 8", 32),
            ("1.2.3.4/8/8", 32),
            ("1.2.3.4/255.0.0.0", 32),
            ("::/129", 128),
            ("::/99999999999", 128),
            ("::ffff:1.2.3.4/x", 128),
        ] {
            let error = SourceRange::try_from(text).unwrap_err();
            assert_eq!(error, SourceRangeError::Length { max }, "{text:?}");
        }
    }

    #[test]
    fn of_a_range_with_bits_behind_it_the_right_one_is_named() {
        for (text, right) in [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("203.0.113.7/31", "203.0.113.6/31"),
            ("255.255.255.255/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1/0", "::/0"),
            ("::ffff:1.2.3.4/120", "1.2.3.0/24"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
        ] {
            let error = SourceRange::try_from(text).unwrap_err();
            let told = error.to_string();
            assert!(told.ends_with(&format!("write {right}")), "{told}");
            assert_eq!(range(right).to_string(), right);
        }
        assert_eq!(
            SourceRange::try_from("10.0.0.1/8").unwrap_err().to_string(),
            "has bits set behind its first 8; if it is the range that is meant, write 10.0.0.0/8"
        );
    }

    #[test]
    fn which_addresses_a_range_holds() {
        for (text, asked, expected) in [
            ("203.0.113.0/24", "203.0.113.0", true),
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.112.255", false),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("203.0.113.0/24", "::203.0.113.9", false),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("::ffff:203.0.113.0/120", "::ffff:cb00:7109", true),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.6", false),
            // All of one family, and nothing of the other.
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::ffff:0.0.0.0", true),
            ("0.0.0.0/0", "::", false),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "ffff::", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "::ffff:1.2.3.4", false),
            ("::fffe:0:0/95", "::fffe:1.2.3.4", true),
            ("::fffe:0:0/95", "1.2.3.4", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("fe80::/10", "fe80::1", true),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            assert_eq!(admits(&[text], asked), expected, "{text} {asked}");
        }
        let two = ["10.0.0.0/8", "2001:db8::/32"];
        assert!(admits(&two, "10.1.2.3") && admits(&two, "2001:db8::1"));
        assert!(!admits(&two, "11.1.2.3") && !admits(&two, "2001:db7::1"));
    }

    #[test]
    fn in_which_forms_an_address_is_read() {
        for text in [
            "1.2.3.4",
            "1.2.3.4:5",
            "1.2.3.4:0",
            "1.2.3.4:65535",
            "::ffff:1.2.3.4",
            "::FFFF:102:304",
            "0000:0000:0000:0000:0000:ffff:1.2.3.4",
            "[::ffff:1.2.3.4]",
            "[::ffff:1.2.3.4]:443",
            "[0000:0000:0000:0000:0000:ffff:1.2.3.4]:65535",
        ] {
            assert!(admits(&["1.2.3.4"], text), "{text}");
        }
        for text in ["::1", "[::1]", "[::1]:5", "0:0:0:0:0:0:0:1"] {
            assert!(admits(&["::1"], text), "{text}");
        }
        // Without brackets, what could be a port is a part of the address.
        assert!(admits(&["::1:5"], "::1:5") && !admits(&["::1"], "::1:5"));
    }

    #[test]
    fn what_is_no_address_passes_nowhere_but_where_all_do() {
        let everywhere = ["0.0.0.0/0", "::/0"];
        let long = format!("{}1.2.3.4", "0".repeat(70));
        for text in [
            "",
            " ",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.04",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:-1",
            "1.2.3.4/32",
            " 1.2.3.4",
            "1.2.3.4 ",
            "1.2.3.4, 5.6.7.8",
            "1.2.3.4,5.6.7.8",
            "\"1.2.3.4\"",
            "for=1.2.3.4",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "[::1]:",
            "[::1]x",
            "[[::1]]",
            "[]",
            "fe80::1%eth0",
            "fe80::1%1",
            "[fe80::1%1]:5",
            "[fe80::1%25eth0]",
            "localhost",
            "unix:/run/x",
            "\0",
            "1.2.3.4\0",
            &long,
        ] {
            assert!(!admits(&everywhere, text), "{text:?}");
            assert!(admits(&[], text), "{text:?}");
        }
        let packed = ranges(&everywhere).pack();
        assert!(!PackedRanges::new(&packed).admit(None));
        assert!(PackedRanges::default().admit(None));
    }

    #[test]
    fn ranges_are_sorted_and_there_once() {
        let these = ranges(&["::/0", "10.0.0.0/8", "1.2.3.4", "::ffff:1.2.3.4", "::/0"]);
        assert_eq!(these.to_string(), "1.2.3.4/32 10.0.0.0/8 ::/0");
        assert_eq!(these.len(), 3);
        assert_eq!(these.pack().len(), PackedRanges::len_of(3));
        assert!(!these.is_empty() && SourceRanges::default().is_empty());
        assert_eq!(SourceRanges::unpack(&[]), Some(SourceRanges::default()));
    }

    #[test]
    fn what_was_not_packed_is_not_unpacked() {
        let [one, other] = ["1.2.3.4", "::/0"].map(|text| range(text).pack().to_vec());
        for broken in [
            one[..16].to_vec(),
            [one.clone(), vec![0]].concat(),
            // Twice, and out of order.
            [one.clone(), one.clone()].concat(),
            [other.clone(), one.clone()].concat(),
            // A prefix that is longer than an address, and one with bits behind.
            vec![129; 17],
            [vec![1; 16], vec![8]].concat(),
        ] {
            assert_eq!(SourceRanges::unpack(&broken), None, "{broken:?}");
        }
        let many = (0..17).flat_map(|n| range(&format!("10.0.0.{n}")).pack());
        let many: Vec<_> = many.collect();
        assert_eq!(SourceRanges::unpack(&many), None);
        assert_eq!(SourceRanges::unpack(&many[17..]).unwrap().len(), 16);
        let both = [one, other].concat();
        assert_eq!(SourceRanges::unpack(&both).unwrap().pack(), both);
        // Whatever else lies in memory, it does not open what is closed.
        assert!(!PackedRanges::new(&[0; 16]).admit(Some("::")));
    }

    #[test]
    fn at_most_so_many_and_all_mistakes_at_once() {
        let read = |texts: Vec<String>| {
            let mut violations = Violations::default();
            let ranges = SourceRanges::read(&mut violations, "source_addresses", &texts);
            let told = violations.iter().map(|told| told.field.clone());
            (ranges.len(), told.collect::<Vec<_>>())
        };
        let numbered = |number: usize| (0..number).map(|n| format!("10.0.0.{n}")).collect();
        assert_eq!(MAX_SOURCE_RANGES, 16);
        assert_eq!(read(numbered(16)), (16, Vec::new()));
        let told = vec!["source_addresses".to_owned()];
        assert_eq!(read(numbered(17)), (0, told));
        let some = ["10.0.0.1/8", "10.0.0.0/8", "x"].map(str::to_owned);
        let told = ["source_addresses[0]", "source_addresses[2]"].map(str::to_owned);
        assert_eq!(read(some.to_vec()), (1, told.to_vec()));
    }

    #[test]
    fn to_admit_allocates_nothing() {
        let packed = ranges(&["10.0.0.0/8", "2001:db8::/32"]).pack();
        let usage = allocation_counter::measure(|| {
            for asked in ["10.1.2.3", "[2001:db8::1]:443", "nonsense", "", "::1%x"] {
                std::hint::black_box(PackedRanges::new(&packed).admit(Some(asked)));
            }
        });
        assert_eq!(usage.count_total, 0);
    }

    /// Addresses of few bits, so that they often have to do with each other.
    fn addresses() -> impl Strategy<Value = IpAddr> {
        let v4 = any::<u32>().prop_map(|bits| IpAddr::V4((bits & 0xc000_0003).into()));
        let v6 = any::<u128>().prop_map(|bits| {
            IpAddr::V6(Ipv6Addr::from_bits(
                bits & (0b11_u128 << 126 | 0b111 << 46 | 0xff),
            ))
        });
        prop_oneof![
            v4,
            v6,
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into()))
        ]
    }

    proptest! {
        /// Packed or not, and however it is written, it is what `ipnet` says.
        #[test]
        fn what_is_held_is_what_the_library_says(
            networks in proptest::collection::vec((addresses(), 0_u8..=128), 1..6),
            asked in addresses(),
            port in any::<u16>(),
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(address, length)| {
                    let max = if address.is_ipv4() { 32 } else { 128 };
                    IpNet::new(address, length % (max + 1)).unwrap().trunc()
                })
                .collect();
            let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            let expected = networks.iter().any(|network| network.contains(&asked));
            let forms = match asked {
                IpAddr::V4(asked) => vec![
                    asked.to_string(),
                    format!("{asked}:{port}"),
                    format!("[{}]:{port}", asked.to_ipv6_mapped()),
                ],
                IpAddr::V6(asked) => vec![
                    asked.to_string(),
                    format!("[{asked}]"),
                    format!("[{asked}]:{port}"),
                ],
            };
            for form in forms {
                prop_assert_eq!(admits(&texts, &form), expected, "{:?} {}", &texts, form);
            }
            let packed = ranges(&texts).pack();
            prop_assert_eq!(SourceRanges::unpack(&packed), Some(ranges(&texts)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:./%\\[\\]]{0,30}|\\PC{0,80}") {
            if let Ok(range) = SourceRange::try_from(text.as_str()) {
                prop_assert_eq!(SourceRange::try_from(range.to_string().as_str()), Ok(range));
            }
            admits(&["0.0.0.0/0", "::/0"], &text);
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(packed in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(ranges) = SourceRanges::unpack(&packed) {
                prop_assert_eq!(ranges.pack(), packed);
            }
        }
    }
}
