//! Characters beyond ASCII that some software turns into a delimiter of URLs: by
//! Unicode's compatibility mapping, as a database, a host name or a file system
//! may do it, or by the "best fit" of an old code page.

/// The characters whose compatibility mapping (NFKC or NFKD, Unicode 16) has one
/// of `. / \ ; % ? #` in it, as ranges, in order.
const BY_MAPPING: [(char, char); 26] = [
    ('\u{37e}', '\u{37e}'),
    ('\u{2024}', '\u{2026}'),
    ('\u{2047}', '\u{2049}'),
    ('\u{2100}', '\u{2101}'),
    ('\u{2105}', '\u{2106}'),
    ('\u{2488}', '\u{249b}'),
    ('\u{33c2}', '\u{33c2}'),
    ('\u{33c7}', '\u{33c7}'),
    ('\u{33d8}', '\u{33d8}'),
    ('\u{fe14}', '\u{fe14}'),
    ('\u{fe16}', '\u{fe16}'),
    ('\u{fe19}', '\u{fe19}'),
    ('\u{fe30}', '\u{fe30}'),
    ('\u{fe52}', '\u{fe52}'),
    ('\u{fe54}', '\u{fe54}'),
    ('\u{fe56}', '\u{fe56}'),
    ('\u{fe5f}', '\u{fe5f}'),
    ('\u{fe68}', '\u{fe68}'),
    ('\u{fe6a}', '\u{fe6a}'),
    ('\u{ff03}', '\u{ff03}'),
    ('\u{ff05}', '\u{ff05}'),
    ('\u{ff0e}', '\u{ff0f}'),
    ('\u{ff1b}', '\u{ff1b}'),
    ('\u{ff1f}', '\u{ff1f}'),
    ('\u{ff3c}', '\u{ff3c}'),
    ('\u{1f100}', '\u{1f100}'),
];

/// Slashes of fractions, divisions and sets, and signs of yen and won, which code
/// pages take for `/` and `\`; the controls of C1, which are no characters of a
/// name; a space that Windows may cut off behind a dot; and what is not seen, and
/// is dropped from between two dots.
const BY_BEST_FIT: [(char, char); 12] = [
    ('\u{80}', '\u{9f}'),
    ('\u{a0}', '\u{a0}'),
    ('\u{a5}', '\u{a5}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2044}', '\u{2044}'),
    ('\u{2060}', '\u{2060}'),
    ('\u{20a9}', '\u{20a9}'),
    ('\u{2215}', '\u{2216}'),
    ('\u{29f5}', '\u{29f5}'),
    ('\u{29f8}', '\u{29f9}'),
    ('\u{feff}', '\u{feff}'),
];

/// Whether some software may read `character` as a delimiter.
pub(super) fn is_lookalike(character: char) -> bool {
    BY_MAPPING
        .iter()
        .chain(&BY_BEST_FIT)
        .any(|(first, last)| (*first..=*last).contains(&character))
}
