//! Which paths templates are for, and which templates cover others.

use super::*;
use proptest::prelude::*;

fn template(text: &str) -> PathTemplate {
    PathTemplate::read(text).unwrap()
}

fn path(text: &str) -> NormalPath<'_> {
    NormalPath::read(text).unwrap()
}

#[test]
fn which_paths_a_template_is_for() {
    for (text, matched, others) in [
        ("/", vec!["/", "/?x"], vec!["/a"]),
        ("/**", vec!["/", "/a", "/a/b/c/"], vec![]),
        ("/*", vec!["/a", "/a/"], vec!["/", "/a/b"]),
        (
            "/v1/customers",
            vec!["/v1/customers", "/v1/customers/", "/%761/customers?x"],
            vec!["/v1", "/v1/customers/7", "/v1/Customers", "/v1/customersx"],
        ),
        (
            "/v1/customers/",
            vec!["/v1/customers", "/v1/customers/"],
            vec!["/v1/customers/7"],
        ),
        (
            "/v1/{id}/notes/*",
            vec!["/v1/7/notes/8", "/v1/caf%c3%a9/notes/*"],
            vec![
                "/v1/7/notes",
                "/v1/notes/8",
                "/v1/7/8/notes/9",
                "/v1/7/notes/8/9",
            ],
        ),
        (
            "/v1/customers/**",
            vec!["/v1/customers", "/v1/customers/", "/v1/customers/7/notes"],
            vec!["/v1", "/v1/customersx", "/v1/customer"],
        ),
        (
            "/w/{workspace}/**",
            vec!["/w/klipy", "/w/No-One/x"],
            vec!["/w", "/x/klipy"],
        ),
        (
            "/users/%40me",
            vec!["/users/@me", "/users/%40me"],
            vec!["/users/me"],
        ),
        ("/my%20file", vec!["/my%20file"], vec!["/my+file"]),
    ] {
        let template = template(text);
        for matching in matched {
            assert!(template.matches(&path(matching)), "{text} {matching}");
        }
        for other in others {
            assert!(!template.matches(&path(other)), "{text} {other}");
        }
        assert_eq!(PathTemplate::read(&template.to_string()), Ok(template));
    }
}

#[test]
fn a_workspace_is_one_segment() {
    let open = template("/w/{workspace}/**");
    let workspace = |text| open.workspace(&path(text)).map(str::to_owned);
    assert_eq!(workspace("/w/klipy").as_deref(), Some("klipy"));
    assert_eq!(workspace("/w/%6Blipy/a/b?c").as_deref(), Some("klipy"));
    assert_eq!(workspace("/w/Kl%20ipy/a").as_deref(), Some("Kl%20ipy"));
    assert_eq!(workspace("/w"), None);
    assert_eq!(workspace("/x/klipy"), None);
    let closed = template("/w/{workspace}/customers");
    assert_eq!(closed.workspace(&path("/w/klipy/customers")), Some("klipy"));
    assert_eq!(closed.workspace(&path("/w/klipy/orders")), None);
    assert_eq!(template("/w/*").workspace(&path("/w/klipy")), None);
}

#[test]
fn what_is_no_template_of_paths() {
    use PathTemplateError::{
        BeyondAscii, Name, NoSlash, PartOfSegment, Query, RestNotLast, TooLong, Twice, Word,
    };
    let deep = "/a".repeat(MAX_SEGMENTS + 1);
    let long = format!("/{}", "a".repeat(MAX_LEN));
    let word = |text: &str, why| Word(text.to_owned(), why);
    for (text, expected) in [
        ("", NoSlash),
        ("v1", NoSlash),
        ("*", NoSlash),
        ("https://example.com/v1", NoSlash),
        ("/v1?x=*", Query),
        ("/v1#x", Query),
        ("/**/v1", RestNotLast),
        ("/**/**", RestNotLast),
        ("/v1*", PartOfSegment("v1*".into())),
        ("/***", PartOfSegment("***".into())),
        ("/v1/{id}.json", PartOfSegment("{id}.json".into())),
        ("/{id", PartOfSegment("{id".into())),
        ("/{{id}}", PartOfSegment("{{id}}".into())),
        ("/{}", Name("{}".into())),
        ("/{Id}", Name("{Id}".into())),
        ("/{id:[0-9]+}", Name("{id:[0-9]+}".into())),
        ("/{id}/{id}", Twice("{id}".into())),
        ("/{workspace}/{workspace}", Twice("{workspace}".into())),
        ("/a//b", word("", PathRefusal::EmptySegment)),
        ("//", word("", PathRefusal::EmptySegment)),
        ("/a/../b", word("..", PathRefusal::DotSegment)),
        ("/a/%2e%2e", word("%2e%2e", PathRefusal::DotSegment)),
        ("/a;b", word("a;b", PathRefusal::Delimiter(';'))),
        ("/a%2Fb", word("a%2Fb", PathRefusal::EscapedDelimiter(b'/'))),
        ("/a b", word("a b", PathRefusal::Character)),
        ("/caf\u{e9}", word("caf\u{e9}", PathRefusal::Character)),
        ("/caf%c3%a9", BeyondAscii("caf%c3%a9".into())),
        (&deep, TooLong),
        (&long, TooLong),
    ] {
        assert_eq!(PathTemplate::read(text), Err(expected), "{text}");
    }
}

fn templates() -> impl Strategy<Value = PathTemplate> {
    let segment = proptest::sample::select(vec!["a", "b", "*", "{x}"]);
    (proptest::collection::vec(segment, 0..4), any::<bool>()).prop_map(|(segments, open)| {
        let mut seen = false;
        let mut text = String::new();
        for segment in segments {
            // A name is there once.
            let twice = segment == "{x}" && std::mem::replace(&mut seen, true);
            text.push('/');
            text.push_str(if twice { "*" } else { segment });
        }
        template(&format!("{text}/{}", if open { "**" } else { "" }))
    })
}

/// All paths of up to six segments of three words: enough to tell all the
/// templates above apart.
fn all_paths() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..6 {
        let to = all.len();
        for at in from..to {
            for word in ["a", "b", "c"] {
                all.push(format!("{}/{word}", all[at]));
            }
        }
        from = to;
    }
    all[0].push('/');
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_covers_what(one in templates(), other in templates()) {
        let expected = all_paths().iter().map(|text| path(text)).all(|path| {
            one.matches(&path) || !other.matches(&path)
        });
        prop_assert_eq!(one.covers(&other), expected, "{} {}", one, other);
    }
}
