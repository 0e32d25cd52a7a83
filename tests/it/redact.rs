//! What differs from run to run replaced by words, so that whole outputs can be
//! compared.

use crate::support::Site;

/// What a program says of a state or a build, and nobody can foretell.
const OPAQUE: [&str; 3] = ["etag", "nextPageToken", "serverVersion"];

/// Compares texts, and shows them as they are where they differ.
pub(crate) fn assert_same(found: &str, expected: &str) {
    assert!(
        found == expected,
        "\n--- expected\n{expected}\n--- found\n{found}\n---"
    );
}

/// The text with ids, times, tokens, ports and the folder of the test replaced
/// by words. Columns stay as wide as they were.
pub(crate) fn redacted(text: &str, site: &Site) -> String {
    let text = text.replace(site.path().to_str().unwrap(), "DIR");
    let mut redacted = String::with_capacity(text.len());
    for (is_word, run) in runs(&text) {
        if is_word {
            let word = run.trim_end_matches(['.', ':']);
            redacted += &redacted_word(word);
            redacted += &run[word.len()..];
        } else {
            redacted += run;
        }
    }
    redacted
}

/// The text with the opaque fields of messages replaced by words.
pub(crate) fn without_opaque(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let field = OPAQUE.iter().find_map(|name| {
            let (start, rest) = line.split_once(&format!("\"{name}\": \""))?;
            let (_, end) = rest.split_once('"')?;
            Some(format!("{start}\"{name}\": \"OPAQUE\"{end}"))
        });
        lines += field.as_deref().unwrap_or(line);
    }
    lines
}

/// The words of this kind in the text, in order.
pub(crate) fn words<'a>(
    text: &'a str,
    is_one: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = &'a str> {
    runs(text)
        .filter(|(is_word, _)| *is_word)
        .map(|(_, run)| run.trim_end_matches(['.', ':']))
        .filter(move |word| is_one(word))
}

/// The text cut into words and what is between them.
fn runs(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || "_-.:/…".contains(c);
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = rest
            .find(|c| is_part(c) != is_part(first))
            .unwrap_or(rest.len());
        let (run, behind) = rest.split_at(length);
        rest = behind;
        Some((is_part(first), run))
    })
}

pub(crate) fn redacted_word(word: &str) -> String {
    let alphanumeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((start, end)) = word.rsplit_once('_') {
        match start {
            "key" | "adm" if end.len() == 26 && alphanumeric(end) => return format!("{start}_ID"),
            _ if end.len() == 49 && alphanumeric(end) => return format!("{start}_TOKEN"),
            _ => {}
        }
    }
    if let Some((start, tail)) = word.split_once('…')
        && tail.len() == 4
        && alphanumeric(tail)
    {
        return format!("{start}…TAIL");
    }
    if let Some((start, port)) = word.rsplit_once("127.0.0.1:")
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return format!("{start}127.0.0.1:PORT");
    }
    // Times that a test gave are far away, and stay.
    let is_time = word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    if is_time && !word.starts_with("2099") {
        "TIME".to_owned()
    } else {
        word.to_owned()
    }
}
