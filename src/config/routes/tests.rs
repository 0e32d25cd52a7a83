//! What a file of routes says, and how mistakes in it are told.

use super::*;
use crate::domain::route::RouteFound;
use crate::domain::target::Target;

fn wrong(text: &str) -> Vec<String> {
    let problems = read("routes.toml", text).unwrap_err();
    problems
        .into_vec()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_key_is_read() {
    let text = r#"
[[route]]
match = "GET|HEAD /healthz"
public = true
preflights = "public"

[[route]]
match = "POST /v1/{workspace}/customers/**"
host = "*.example.com"
required_scopes = ["customers:write", "people:read|ALL"]
limits = "write, bulk"
cost = 5
environment = "test"
credential_headers = ["x-api-key"]
public = false

[[route]]
match = "* /v1/**"
workspace = "klipy"

[[route]]
match = "* /v2/**"
workspace_header = "x-workspace"

[[route]]
match = "* /v3/**"
workspace_host = "{workspace}.example.com"

[[route]]
match = "* /v4/**"
workspace_path = "/v4/{workspace}/**"
"#;
    let table = read("routes.toml", text).unwrap();
    let lines: Vec<_> = table.routes().iter().map(|route| route.line).collect();
    assert_eq!(lines, [2, 7, 17, 21, 25, 29]);
    let patterns: Vec<_> = table.routes().iter().map(Route::pattern).collect();
    assert_eq!(patterns[0], "GET|HEAD /healthz");
    assert!(table.routes()[0].public && table.routes()[0].policy.preflights_public);
    let customers = &table.routes()[1];
    assert!(!customers.public);
    assert_eq!(
        customers.host.as_ref().unwrap().to_string(),
        "*.example.com"
    );
    let policy = &customers.policy;
    assert_eq!(*policy.required_scopes[0], *"customers:write");
    assert_eq!(*policy.required_scopes[1], *"people:read|ALL");
    assert_eq!(policy.limits.len(), 2);
    assert_eq!(policy.cost, Some(5));
    assert_eq!(policy.environment.as_deref(), Some("test"));
    assert_eq!(policy.credential_headers.as_ref().unwrap().len(), 1);
    assert!(
        table.routes()[2..]
            .iter()
            .all(|route| route.policy.workspace.is_some())
    );
}

#[test]
fn all_that_is_wrong_is_told_with_its_place() {
    let text = r#"
[gateway]
routes = 1

[[route]]
match = "get /v1"
cost = "5"
required_scopes = ["a", 5]

[[route]]
path = "/v1"
methods = ["GET"]

[[route]]

[[route]]
match = "GET /v1/../x"
host = "example.com:443"
limts = "read"
public = "yes"

[[route]]
match = "GET /ok"
cost = -1
limits = ["Read"]
workspace = "a"
workspace_header = "b"
environment = ["live"]
scopes = "a"
nonsense = 1

[[route]]
match = "GET /{workspace}"
public = true
"#;
    let expected = [
        "routes.toml:2:2: unknown key `gateway` outside of all rules; a rule starts with [[route]]",
        "routes.toml:6:9: match has the method `get`: write `GET`",
        "routes.toml:7:8: cost is a text; give a whole number, without quotes",
        "routes.toml:8:19: required_scopes is a list of something else than texts; give a text in quotes, or a list of them in brackets",
        "routes.toml:11:1: unknown key `path`; methods and path are in `match`, as in `match = \"GET /v1/customers/**\"`",
        "routes.toml:12:1: unknown key `methods`; methods and path are in `match`, as in `match = \"GET /v1/customers/**\"`",
        "routes.toml:14:1: match is required: it says which requests the rule is for, as in `match = \"GET /v1/customers/**\"`",
        "routes.toml:17:9: match has `..`, and no request with it is let through: it has a segment of nothing but dots (`..`), which leads elsewhere",
        "routes.toml:18:8: host has a port, which rules do not look at: leave it out",
        "routes.toml:19:1: unknown key `limts`; did you mean `limits`?",
        "routes.toml:20:10: public is a text; give true or false, without quotes",
        "routes.toml:24:8: cost is `-1`, and must be a whole number from 0 to 4294967295",
        "routes.toml:25:10: limits names `Read`, and the name of a limit must be 1 to 20 characters of a-z, 0-9, `_` and `-`, the first a letter",
        "routes.toml:27:20: workspace_header selects the workspace, as workspace does: leave one of the two out",
        "routes.toml:28:15: environment is a list; give a text in quotes",
        "routes.toml:29:1: unknown key `scopes`; did you mean `required_scopes`?",
        "routes.toml:30:1: unknown key `nonsense`; a rule has `match`, `host`, `public`, `required_scopes`, `limits`, `cost`, `environment`, `workspace`, `workspace_header`, `workspace_host`, `workspace_path`, `credential_headers`, `preflights`",
        "routes.toml:32:1: public lets requests pass without a credential, so no workspace is selected: write `*` for `{workspace}`",
    ];
    let told = wrong(text);
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn what_is_no_toml_is_told_and_nothing_that_follows_from_it() {
    let told = wrong("[[route]]\nmatch = GET /v1\n\n[[route]]\nmatch = \"GET /v1\"\ncst = 1\n");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].starts_with("routes.toml:2:") && told[0].contains("is not TOML"),
        "{told:#?}"
    );
    assert_eq!(
        told[1],
        "routes.toml:6:1: unknown key `cst`; did you mean `cost`?"
    );
}

#[test]
fn a_file_without_rules_is_refused() {
    for text in ["", "# nothing\n", "route = []\n"] {
        let told = wrong(text);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("routes.toml:1:1: there is no [[route]]"),
            "{told:?}"
        );
    }
    assert!(wrong("[route]\nmatch = \"GET /\"\n")[0].contains("a rule is written as [[route]]"));
    assert!(wrong("route = [1]\n")[0].contains("a rule is written as [[route]]"));
}

#[test]
fn a_rule_that_can_never_match_is_told_with_the_lines_of_the_others() {
    let rule = |pattern: &str| format!("[[route]]\nmatch = \"{pattern}\"\n");
    let text = [
        rule("GET /a"),
        rule("POST /a"),
        rule("GET|POST /a"),
        rule("POST /A"),
        rule("GET /b"),
    ]
    .concat();
    let told = wrong(&text);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with(
        "routes.toml:5:1: this rule can never match: the rules of lines 1, 3 match all that it would"
    ));
    assert!(told[1].starts_with(
        "routes.toml:7:1: this rule can never match: the rule of line 3 matches all that it would"
    ));
}

#[test]
fn a_file_has_ten_thousand_rules_at_most() {
    let rules: String = (0..=MAX_ROUTES)
        .map(|n| format!("[[route]]\nmatch = \"GET /{n}\"\n"))
        .collect();
    assert_eq!(
        wrong(&rules),
        ["routes.toml:1:1: there are 10001 rules; at most 10000 are allowed"]
    );
}

#[test]
fn the_example_in_deploy_is_good() {
    let text = include_str!("../../../deploy/routes.toml");
    let table = read("routes.toml", text).unwrap();
    for (method, host, path, expected) in [
        ("GET", "api.example.com", "/healthz", "GET|HEAD /healthz"),
        (
            "POST",
            "h",
            "/v1/customers/import",
            "POST /v1/customers/import",
        ),
        ("DELETE", "h", "/v1/customers/7", "* /v1/customers/**"),
        ("PUT", "klipy.sandbox.example.com", "/x", "* /**"),
    ] {
        let target = Target::read(host, path);
        let pattern = match table.find(method, &target, None) {
            RouteFound::Policy(route) | RouteFound::Public(route) => route.pattern(),
            other @ (RouteFound::NoTable | RouteFound::NoRoute(_) | RouteFound::Preflight(_)) => {
                format!("{other:?}")
            }
        };
        assert_eq!(pattern, expected, "{method} {host} {path}");
    }
    let target = Target::read("h", "/v1/orders");
    assert!(matches!(
        table.find("GET", &target, None),
        RouteFound::NoRoute(_)
    ));
}
