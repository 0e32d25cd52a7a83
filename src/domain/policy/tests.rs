//! What policies are made of, and what becomes of two.
#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as there are cases"
)]

use super::*;
use crate::domain::token::{Token, TokenPrefix};

fn policy(pairs: &[(&str, &str)]) -> Policy {
    Policy::parse(pairs.iter().copied()).unwrap()
}

fn wrong(pairs: &[(&str, &str)]) -> String {
    Policy::parse(pairs.iter().copied())
        .unwrap_err()
        .to_string()
}

fn texts(items: &[Box<str>]) -> Vec<&str> {
    items.iter().map(|item| &**item).collect()
}

#[test]
fn each_name_has_its_field() {
    let policy = policy(&[
        (
            "required_scopes",
            "  people:read  companies:read|ALL people:read ",
        ),
        ("limits", "read, bulk read"),
        ("cost", "0"),
        ("environment", "test"),
        ("workspace", "klipy"),
        ("credential_headers", "X-Api-Key, authorization x-api-key"),
        ("preflights", "public"),
    ]);
    assert_eq!(
        texts(&policy.required_scopes),
        ["people:read", "companies:read|ALL"]
    );
    let limits: Vec<_> = policy.limits.iter().map(LimitName::as_str).collect();
    assert_eq!(limits, ["read", "bulk"]);
    assert_eq!(policy.cost, Some(0));
    assert_eq!(policy.environment.as_deref(), Some("test"));
    assert_eq!(
        policy.workspace,
        Some(WorkspaceChoice::Fixed("klipy".into()))
    );
    let headers = policy.credential_headers.unwrap();
    assert_eq!(texts(&headers), ["x-api-key", "authorization"]);
    assert!(policy.preflights_public);
    assert_eq!(Policy::parse([]).unwrap(), Policy::default());
}

#[test]
fn the_workspace_can_be_named_by_a_header() {
    let policy = policy(&[("workspace_header", "X-Workspace"), ("environment", "*")]);
    let header = WorkspaceChoice::Header("x-workspace".into());
    assert_eq!(policy.workspace, Some(header));
    assert_eq!(policy.environment.as_deref(), Some("*"));
}

#[test]
fn the_workspace_can_be_a_part_of_the_host_or_the_path() {
    for (name, value) in [
        ("workspace_host", "{workspace}.example.com"),
        ("workspace_path", "/w/{workspace}/**"),
    ] {
        let choice = policy(&[(name, value)]).workspace.unwrap();
        let written = match &choice {
            WorkspaceChoice::Host(template) => template.to_string(),
            WorkspaceChoice::Path(template) => template.to_string(),
            WorkspaceChoice::Fixed(_) | WorkspaceChoice::Header(_) => String::new(),
        };
        assert_eq!(written, value);
    }
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let many_scopes: Vec<_> = (0..101).map(|n| format!("s{n}")).collect();
    let many_scopes = many_scopes.join(" ");
    let long_scope = vec!["a"; 600].join("|");
    for (name, value, expected) in [
        ("required_scopes", "", "is empty"),
        ("required_scopes", " \t", "is empty"),
        (
            "required_scopes",
            "people:read|",
            "can never be met: a scope cannot be empty",
        ),
        (
            "required_scopes",
            "people:Read",
            "`people:Read`, which can never be met: a scope is lower-case",
        ),
        ("required_scopes", "a, b", "`a,`, which can never be met"),
        (
            "required_scopes",
            &many_scopes,
            "requires too many scopes; at most 100",
        ),
        (
            "required_scopes",
            &long_scope,
            "of 1199 bytes; at most 1024",
        ),
        ("limits", ", ,", "is empty"),
        (
            "limits",
            "read Write",
            "`Write`, and the name of a limit must be 1 to 20",
        ),
        (
            "limits",
            "a b c d e f g h i",
            "names too many limits; at most 8",
        ),
        (
            "cost",
            "+5",
            "is `+5`, and must be a whole number from 0 to 4294967295",
        ),
        ("cost", "4294967296", "must be a whole number"),
        ("cost", "-1", "must be a whole number"),
        ("cost", "1 2", "must be a whole number"),
        ("environment", "Live", "is `Live`, and must be"),
        ("environment", "live test", "is `live test`, and must be"),
        ("workspace", "Klipy", "is `Klipy`, and must be 1 to 63"),
        ("workspace", "-", "and must be 1 to 63"),
        (
            "workspace_header",
            ":authority",
            "is not the name of a header",
        ),
        ("workspace_header", "x a", "is not the name of a header"),
        ("credential_headers", "x-a:", "is not the name of a header"),
        (
            "credential_headers",
            "a b c d e f g h i",
            "names too many headers; at most 8",
        ),
        ("preflights", "true", "is `true`, and can only be `public`"),
        (
            "required_scope",
            "a",
            "is unknown: did you mean required_scopes?",
        ),
        (
            "required-scopes",
            "a",
            "is unknown: did you mean required_scopes?",
        ),
        ("Cost", "1", "is unknown: did you mean cost?"),
        (
            "x-request-id",
            "7",
            "is unknown; there are required_scopes, limits, cost",
        ),
        ("virtual_host", "7", "is unknown; there are"),
        ("", "7", "is unknown"),
    ] {
        let told = wrong(&[(name, value)]);
        assert!(told.starts_with(&format!("{name}: ")), "{told}");
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains('\n') && told.len() < 400, "{told}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let pairs = [
        ("cost", "x"),
        ("workspace", "a"),
        ("workspace_header", "x-a"),
        ("limits", "read"),
        ("limits", "read"),
        ("scopes", "a"),
    ];
    let error = Policy::parse(pairs).unwrap_err();
    assert_eq!(error.violations().iter().count(), 4, "{error}");
    let told = error.to_string();
    for expected in [
        "cost: is `x`",
        "workspace_header: selects the workspace, as workspace does: leave one of the two out",
        "limits: is given twice",
        "scopes: is unknown: did you mean required_scopes?",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
}

#[test]
fn what_is_told_has_no_token_and_no_line_of_its_own() {
    let token = Token::mint(&TokenPrefix::try_from("klg").unwrap(), None);
    let bearer = format!("Bearer {}", token.expose());
    let mut tried: Vec<&str> = names().collect();
    tried.extend([bearer.as_str(), "unknown\nname"]);
    for name in tried {
        let Err(error) = Policy::parse([(name, bearer.as_str())]) else {
            continue;
        };
        let told = format!("{error} {error:?}");
        assert!(!told.contains(token.expose()), "{name}");
        assert!(!error.to_string().contains('\n'), "{name}");
    }
    assert!(wrong(&[("cost", &"9".repeat(100_000))]).len() < 400);
}

#[test]
fn a_policy_that_is_wrong_in_many_places_is_told_of_in_some() {
    let names: Vec<String> = (0..200)
        .map(|n| format!("{n}{}", "x".repeat(50_000)))
        .collect();
    let pairs = names.iter().map(|name| (name.as_str(), "1"));
    let error = Policy::parse(pairs).unwrap_err();
    assert_eq!(error.violations().iter().count(), 25);
    let long = format!("required_scopes{}", "s".repeat(100_000));
    assert!(wrong(&[(&long, "a")]).len() < 400);
    let many = |n: usize| (0..n).map(|n| format!("a{n} ")).collect::<String>();
    let told = wrong(&[
        ("required_scopes", &many(100_000)),
        ("limits", &many(100_000)),
    ]);
    assert!(
        told.contains("too many scopes") && told.contains("too many limits"),
        "{told}"
    );
}

#[test]
fn of_two_policies_both_hold() {
    let one = policy(&[
        ("required_scopes", "a b"),
        ("limits", "read"),
        ("cost", "2"),
        ("environment", "test"),
        ("credential_headers", "x-a x-b"),
    ]);
    let other = policy(&[
        ("required_scopes", "b c"),
        ("limits", "bulk read"),
        ("cost", "5"),
        ("environment", "test"),
        ("workspace", "klipy"),
        ("credential_headers", "x-b x-a"),
        ("preflights", "public"),
    ]);
    let both = one.and(&other).unwrap();
    assert_eq!(texts(&both.required_scopes), ["a", "b", "c"]);
    let limits: Vec<_> = both.limits.iter().map(LimitName::as_str).collect();
    assert_eq!(limits, ["read", "bulk"]);
    assert_eq!(both.cost, Some(5));
    assert_eq!(both.environment.as_deref(), Some("test"));
    assert_eq!(both.workspace, other.workspace);
    assert_eq!(both.credential_headers, one.credential_headers);
    assert!(both.preflights_public);
}

#[test]
fn where_one_is_silent_the_other_counts() {
    let full = policy(&[
        ("required_scopes", "a"),
        ("limits", "read"),
        ("cost", "3"),
        ("environment", "test"),
        ("workspace_header", "x-w"),
        ("credential_headers", "x-a"),
        ("preflights", "public"),
    ]);
    let silent = Policy::default();
    assert_eq!(full.and(&silent), Ok(full.clone()));
    assert_eq!(silent.and(&full), Ok(full.clone()));
    assert_eq!(full.and(&full), Ok(full.clone()));
    assert_eq!(silent.and(&silent), Ok(silent));
}

#[test]
fn silence_is_not_loosened() {
    for (one, other, expected) in [
        (None, Some(0), Some(1)),
        (None, Some(1), Some(1)),
        (None, Some(7), Some(7)),
        (Some(0), Some(0), Some(0)),
        (Some(0), Some(2), Some(2)),
        (None, None, None),
    ] {
        let cost = |cost| Policy {
            cost,
            ..Policy::default()
        };
        for (one, other) in [(one, other), (other, one)] {
            let both = cost(one).and(&cost(other)).unwrap();
            assert_eq!(both.cost, expected, "{one:?} {other:?}");
        }
    }
    let any = policy(&[("environment", "*")]);
    let silent = policy(&[("limits", "read")]);
    assert_eq!(any.and(&silent).unwrap().environment, None);
    assert_eq!(silent.and(&any).unwrap().environment, None);
    assert_eq!(any.and(&any).unwrap().environment.as_deref(), Some("*"));
}

#[test]
fn what_no_request_can_meet_is_a_conflict() {
    let many = |from: usize, to: usize| (from..to).map(|n| format!("s{n}")).collect::<Vec<_>>();
    for (one, other, expected) in [
        (
            ("environment", "live"),
            ("environment", "test"),
            PolicyConflict::Environments("live".into(), "test".into()),
        ),
        (
            ("environment", "live"),
            ("environment", "*"),
            PolicyConflict::Environments("live".into(), "*".into()),
        ),
        (
            ("workspace", "a"),
            ("workspace", "b"),
            PolicyConflict::Workspaces,
        ),
        (
            ("workspace", "a"),
            ("workspace_header", "a"),
            PolicyConflict::Workspaces,
        ),
        (
            ("credential_headers", "x-a"),
            ("credential_headers", "x-a x-b"),
            PolicyConflict::CredentialHeaders,
        ),
        (
            ("limits", "a b c d e"),
            ("limits", "e f g h i"),
            PolicyConflict::Limits(9),
        ),
        (
            ("required_scopes", &many(0, 60).join(" ")),
            ("required_scopes", &many(50, 101).join(" ")),
            PolicyConflict::Scopes(101),
        ),
    ] {
        assert_eq!(policy(&[one]).and(&policy(&[other])), Err(expected));
    }
}
