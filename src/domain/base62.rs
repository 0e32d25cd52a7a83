//! Base62: numbers written in letters and digits alone, so that a double click
//! selects a whole token and no shell, URL or header needs to quote one.

/// The digits in order of value, which is also their order as ASCII.
const DIGITS: &[u8; RADIX as usize] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const RADIX: u32 = 62;

/// Writes `number`, its most significant limb first, over all of `digits`, with
/// leading zeros. The number is divided away: only zeros are left of it.
///
/// Which steps are taken depends on the lengths alone and not on the number,
/// which may be a secret.
pub(super) fn encode(number: &mut [u32], digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0;
        for limb in number.iter_mut() {
            let dividend = (u64::from(remainder) << u32::BITS) | u64::from(*limb);
            // The remainder is less than the radix, so the quotient fits a limb.
            *limb = (dividend / u64::from(RADIX)) as u32;
            remainder = (dividend % u64::from(RADIX)) as u32;
        }
        *digit = DIGITS[remainder as usize];
    }
    debug_assert!(
        number.iter().all(|limb| *limb == 0),
        "the number has more digits than there is room for"
    );
}

/// The number that `digits` write, or `None` where one of them is no digit.
pub(super) fn decode<const N: usize>(digits: &[u8; N]) -> Option<u64> {
    const {
        assert!(N <= 10, "62^10 is the highest power of 62 below 2^64");
    }
    digits.iter().try_fold(0, |number, digit| {
        Some(number * u64::from(RADIX) + u64::from(value(*digit)?))
    })
}

/// Whether every byte is a base62 digit.
pub(super) fn is_base62(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_alphanumeric)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        // All else, `-` and `_` of base64 among it, is no digit.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_leading_zeros_and_the_greatest_numbers() {
        for (number, expected) in [
            (0, "000000"),
            (61, "00000z"),
            (62, "000010"),
            (u32::MAX, "4gfFC3"),
        ] {
            let mut digits = [0; 6];
            encode(&mut [number], &mut digits);
            assert_eq!(digits, expected.as_bytes());
        }
        let mut digits = [0; 43];
        encode(&mut [u32::MAX; 8], &mut digits);
        assert_eq!(&digits, b"yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }

    #[test]
    fn leaves_nothing_of_the_number() {
        let mut number = [0x0123_4567; 8];
        encode(&mut number, &mut [0; 43]);
        assert_eq!(number, [0; 8]);
    }

    #[test]
    fn exactly_the_digits_have_a_value() {
        for byte in 0..=u8::MAX {
            let place = DIGITS.iter().position(|digit| *digit == byte);
            assert_eq!(decode(&[byte]), place.map(|place| place as u64));
            assert_eq!(is_base62(&[byte]), place.is_some());
        }
        assert_eq!(decode(b"zzzzzzzzzz"), Some(62_u64.pow(10) - 1));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(number: u64) {
            let mut digits = [0; 11];
            encode(&mut [(number >> 32) as u32, number as u32], &mut digits);
            // Eleven digits hold any u64; what reads back holds ten of them.
            let low = digits.last_chunk::<10>().unwrap();
            prop_assert_eq!(decode(low), Some(number % 62_u64.pow(10)));
        }
    }
}
