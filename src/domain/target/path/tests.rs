//! Which paths have one spelling, and which are refused.
#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as there are cases"
)]

use super::*;
use proptest::prelude::*;

fn read(raw: &str) -> Result<String, PathRefusal> {
    NormalPath::read(raw).map(|path| path.as_str().to_owned())
}

#[test]
fn a_path_has_one_spelling() {
    for (raw, expected) in [
        ("/", "/"),
        ("/?", "/"),
        ("/v1/customers", "/v1/customers"),
        ("/v1/customers/", "/v1/customers"),
        ("/v1/customers/?a=/../x#y;%zz\u{e4}", "/v1/customers"),
        ("/public?x=/admin", "/public"),
        ("/%76%31/%7euser/%2D%2e%5f", "/v1/~user/-._"),
        ("/users/%40me%3aall", "/users/@me:all"),
        ("/a%2bb+c%2C%3D", "/a+b+c,="),
        ("/caf%c3%a9", "/caf%C3%A9"),
        (
            "/%e2%82%ac%F0%9F%A6%80x%c3%a9",
            "/%E2%82%AC%F0%9F%A6%80x%C3%A9",
        ),
        ("/my%20file%22", "/my%20file%22"),
        ("/100%25", "/100%25"),
        ("/100%25-off", "/100%25-off"),
        ("/PUBLIC", "/PUBLIC"),
        ("/.well-known/a..b/..c/d..", "/.well-known/a..b/..c/d.."),
        ("/a%2Ab", "/a*b"),
        ("/*", "/*"),
    ] {
        assert_eq!(read(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn a_path_without_escapes_is_not_copied() {
    for raw in ["/v1/customers/7?x=%20", "/v1/", "/"] {
        let path = NormalPath::read(raw).unwrap();
        assert!(matches!(path.0, Cow::Borrowed(_)), "{raw}");
    }
}

#[test]
fn what_could_be_two_paths_is_none() {
    use PathRefusal::{
        BrokenEscape, Character, Delimiter, DotSegment, DoubleEscape, EmptySegment,
        EscapedDelimiter, Lookalike, NoSlash, NotUtf8,
    };
    for (raw, expected) in [
        ("", NoSlash),
        ("*", NoSlash),
        ("?", NoSlash),
        ("admin", NoSlash),
        ("http://example.com/admin", NoSlash),
        ("example.com:443", NoSlash),
        ("%2Fadmin", NoSlash),
        ("\\admin", NoSlash),
        (" /admin", NoSlash),
        ("//", EmptySegment),
        ("//example.com/admin", EmptySegment),
        ("/public//admin", EmptySegment),
        ("/public///", EmptySegment),
        ("/public/../admin", DotSegment),
        ("/public/..", DotSegment),
        ("/./admin", DotSegment),
        ("/.", DotSegment),
        ("/public/%2e%2e/admin", DotSegment),
        ("/public/.%2E/admin", DotSegment),
        ("/public/%2e./admin?x", DotSegment),
        ("/public/.../admin", DotSegment),
        ("/public/..%20/admin", DotSegment),
        ("/public/%20/admin", DotSegment),
        ("/public/..;/admin", Delimiter(';')),
        ("/public;/../admin", Delimiter(';')),
        ("/admin;jsessionid=1", Delimiter(';')),
        ("/public\\..\\admin", Delimiter('\\')),
        ("/public#/../admin", Delimiter('#')),
        ("/public#", Delimiter('#')),
        ("/public#?x", Delimiter('#')),
        ("/public%2F..%2Fadmin", EscapedDelimiter(b'/')),
        ("/public%2f", EscapedDelimiter(b'/')),
        ("/public/..%3b/admin", EscapedDelimiter(b';')),
        ("/public%5c..%5Cadmin", EscapedDelimiter(b'\\')),
        ("/public%3Fx", EscapedDelimiter(b'?')),
        ("/public%23", EscapedDelimiter(b'#')),
        ("/public%00.png", EscapedDelimiter(0)),
        ("/public%0d%0aX:y", EscapedDelimiter(b'\r')),
        ("/public%09", EscapedDelimiter(b'\t')),
        ("/public%7f", EscapedDelimiter(0x7f)),
        ("/public%", BrokenEscape),
        ("/public%2", BrokenEscape),
        ("/public%2?e", BrokenEscape),
        ("/public%zz", BrokenEscape),
        ("/public%u002e", BrokenEscape),
        ("/public%+2e", BrokenEscape),
        ("/public%%32e", BrokenEscape),
        ("/public/%252e%252e/admin", DoubleEscape),
        ("/public/%25%32%65/admin", DoubleEscape),
        ("/public/%25252e", DoubleEscape),
        ("/public/%25u002e", DoubleEscape),
        ("/public/%c0%ae%c0%ae/admin", NotUtf8),
        ("/public/%c0%af", NotUtf8),
        ("/public/%e0%80%ae", NotUtf8),
        ("/public/%c3", NotUtf8),
        ("/public/%c3x%a9", NotUtf8),
        ("/public/%ed%a0%80", NotUtf8),
        ("/public/%fe%ff", NotUtf8),
        ("/public/%ef%bc%8e%ef%bc%8e/admin", Lookalike(0xff0e)),
        ("/public%ef%bc%8fadmin", Lookalike(0xff0f)),
        ("/public%EF%BC%BCadmin", Lookalike(0xff3c)),
        ("/public/%e2%80%a5/admin", Lookalike(0x2025)),
        ("/public%c2%a5admin", Lookalike(0xa5)),
        ("/public%e2%82%a9admin", Lookalike(0x20a9)),
        ("/public/..%c2%a0/admin", Lookalike(0xa0)),
        ("/public/.%c2%ad./admin", Lookalike(0xad)),
        ("/public/.%e2%80%8b./admin", Lookalike(0x200b)),
        ("/public/.%e2%80%8f./admin", Lookalike(0x200f)),
        ("/public/.%e2%81%a0./admin", Lookalike(0x2060)),
        ("/public%e2%88%95admin", Lookalike(0x2215)),
        ("/public%ef%bc%85%32%65", Lookalike(0xff05)),
        ("/public%c2%85", Lookalike(0x85)),
        ("/\u{ff0e}\u{ff0e}/admin", Character),
        ("/caf\u{e9}", Character),
        ("/public admin", Character),
        ("/public\0", Character),
        ("/public\r\nx: y", Character),
        ("/public\t", Character),
        ("/a|b", Character),
        ("/a[0]", Character),
        ("/{workspace}", Character),
        ("/a\"b<>`^", Character),
        ("/a\u{7f}", Character),
    ] {
        assert_eq!(read(raw), Err(expected), "{raw}");
    }
}

#[test]
fn a_path_is_bounded() {
    let longest = format!("/{}", "a".repeat(MAX_PATH_LEN - 1));
    assert_eq!(read(&longest), Ok(longest.clone()));
    assert_eq!(read(&format!("{longest}a")), Err(PathRefusal::TooLong));
    let queried = format!("{longest}?{}", "x".repeat(MAX_PATH_LEN));
    assert_eq!(read(&queried), Ok(longest));
    assert_eq!(read(&"/..".repeat(1 << 20)), Err(PathRefusal::TooLong));
}

/// What some server makes of a path: it decodes again, folds what only looks like
/// a delimiter, cuts parameters off, merges slashes and resolves dots.
fn as_a_server_may_read_it(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..3 {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let escaped = escaped(&bytes, at).filter(|_| bytes[at] == b'%');
            decoded.push(escaped.unwrap_or(bytes[at]));
            at += if escaped.is_some() { ESCAPE_LEN } else { 1 };
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let folded: String = text
        .chars()
        .map(|c| match c {
            '\u{ff0f}' | '\u{2215}' | '\u{2044}' | '\\' | '\u{ff3c}' => '/',
            '\u{ff0e}' | '\u{2024}' => '.',
            '\u{ff1b}' | '\u{37e}' => ';',
            other => other,
        })
        .collect();
    let mut kept: Vec<&str> = Vec::new();
    for segment in folded.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match segment.trim_end() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let path = format!("/{}", kept.join("/"));
    path.split(['?', '#', '\0']).next().unwrap().to_owned()
}

/// The same path with every escape decoded, once.
fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escaped = escaped_at(bytes, at);
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { ESCAPE_LEN } else { 1 };
    }
    String::from_utf8(decoded).unwrap()
}

/// Paths of pieces that matter, in many spellings.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9._~-]{1,3}",
        "%[0-9a-fA-F]{2}",
        "%25[0-9a-fA-F]{0,2}",
        proptest::sample::select(vec![
            "/",
            "/",
            "/",
            "//",
            ".",
            "..",
            "/../",
            "%2e",
            "%2E",
            "%2f",
            "%5c",
            "\\",
            ";",
            "%3b",
            "?",
            "#",
            "%3f",
            "%23",
            "%",
            "%u002f",
            "%c0%ae",
            "%c0%af",
            "%ef%bc%8e",
            "%ef%bc%8f",
            "%e2%88%95",
            "%00",
            "%20",
            " ",
            "\u{ff0f}",
            "\u{e9}",
            "@",
            "%40",
            ":",
            "*",
            "**",
        ])
        .prop_map(str::to_owned),
        ".{0,2}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_was_read_is_read_the_same_again(raw in paths()) {
        if let Ok(path) = read(&raw) {
            let again = read(&path);
            prop_assert_eq!(again, Ok(path));
        }
    }

    /// However a server reads what we took, it comes to the same segments.
    #[test]
    fn no_server_reads_another_path_than_we_do(raw in paths()) {
        if let Ok(path) = read(&raw) {
            let sent = raw.split('?').next().unwrap();
            prop_assert_eq!(
                as_a_server_may_read_it(sent),
                decoded(&path),
                "{} was read as {}", raw, path
            );
        }
    }

    #[test]
    fn two_spellings_of_one_path_are_one(segment in "[a-zA-Z0-9@:!$&'()*+,=._~-]{1,8}", which: u64) {
        let escaped: String = segment.bytes().enumerate().map(|(at, byte)| match which >> (at % 32) & 3 {
            0 => format!("%{byte:02x}"),
            1 => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        }).collect();
        prop_assert_eq!(read(&format!("/{segment}")), read(&format!("/{escaped}")));
    }
}
