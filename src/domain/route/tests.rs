//! Which rule counts for which request.
#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as there are cases"
)]

use super::*;
use crate::domain::violation::Violations;
use proptest::prelude::*;

fn route(pattern: &str) -> Route {
    built(pattern, None, &[]).unwrap()
}

fn built(pattern: &str, host: Option<&str>, policy: &[(&str, &str)]) -> Result<Route, Violations> {
    RouteDraft {
        pattern: Some(pattern),
        host,
        policy: policy.to_vec(),
        ..RouteDraft::default()
    }
    .build()
}

fn on_host(pattern: &str, host: &str) -> Route {
    built(pattern, Some(host), &[]).unwrap()
}

fn public(pattern: &str) -> Route {
    let draft = RouteDraft {
        pattern: Some(pattern),
        public: true,
        ..RouteDraft::default()
    };
    draft.build().unwrap()
}

fn table(mut routes: Vec<Route>) -> RouteTable {
    for (at, route) in routes.iter_mut().enumerate() {
        route.line = at;
    }
    RouteTable::new(routes).unwrap()
}

/// Which rule is found, by its place, or why none.
fn found(table: &RouteTable, method: &str, host: &str, path: &str) -> Result<usize, NoRoute> {
    match table.find(method, &Target::read(host, path), None) {
        RouteFound::Public(route) | RouteFound::Policy(route) => Ok(route.line),
        RouteFound::NoRoute(why) => Err(why),
        other @ (RouteFound::NoTable | RouteFound::Preflight(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let table = table(vec![
        public("GET|HEAD /healthz"),
        route("GET /v1/customers/me"),
        route("GET /v1/customers/{id}"),
        route("* /v1/{thing}/me/notes"),
        route("GET|POST /v1/customers/**"),
        route("* /v1/**"),
        route("DELETE /"),
    ]);
    for (method, path, expected) in [
        ("GET", "/healthz", Ok(0)),
        ("HEAD", "/healthz?full", Ok(0)),
        ("POST", "/healthz", Err(NoRoute::NoRule)),
        ("GET", "/v1/customers/me", Ok(1)),
        ("GET", "/v1/customers/%6de/", Ok(1)),
        ("GET", "/v1/customers/7", Ok(2)),
        ("GET", "/v1/customers/me/notes", Ok(3)),
        ("PUT", "/v1/customers/me/notes", Ok(3)),
        ("GET", "/v1/customers/7/notes", Ok(4)),
        ("GET", "/v1/customers", Ok(4)),
        ("POST", "/v1/customers/7", Ok(4)),
        ("PUT", "/v1/customers/7", Ok(5)),
        ("GET", "/v1", Ok(5)),
        ("PURGE", "/v1/", Ok(5)),
        ("DELETE", "/", Ok(6)),
        ("GET", "/", Err(NoRoute::NoRule)),
        ("GET", "/v2/x", Err(NoRoute::NoRule)),
        ("GET", "/v1x", Err(NoRoute::NoRule)),
    ] {
        assert_eq!(
            found(&table, method, "h", path),
            expected,
            "{method} {path}"
        );
    }
    let target = Target::read("h", "/healthz");
    let healthz = table.find("GET", &target, None);
    assert!(matches!(healthz, RouteFound::Public(route) if route.line == 0));
}

#[test]
fn without_a_table_nothing_is_said_and_with_an_empty_one_nothing_passes() {
    let target = Target::read("", "/../x");
    let none = RouteTable::default();
    let none = none.find("GET", &target, None);
    assert_eq!(none, RouteFound::NoTable);
    let empty = table(vec![]);
    assert_eq!(found(&empty, "GET", "h", "/"), Err(NoRoute::NoRule));
}

#[test]
fn hosts_are_told_apart() {
    let table = table(vec![
        on_host("* /**", "api.example.com"),
        on_host("* /x", "*.example.com"),
        on_host("* /**", "{workspace}.example.com"),
        on_host("* /**", "*.b.example.com"),
        route("* /all"),
    ]);
    for (host, path, expected) in [
        ("API.example.com:443", "/x", Ok(0)),
        ("klipy.example.com", "/x", Ok(1)),
        ("klipy.example.com", "/y", Ok(2)),
        ("a.b.example.com", "/x", Ok(1)),
        ("a.b.example.com", "/y", Ok(3)),
        ("a.c.example.com", "/y", Err(NoRoute::NoRule)),
        ("example.com", "/x", Err(NoRoute::NoRule)),
        ("example.com", "/all", Ok(4)),
        ("[::1]:80", "/all", Ok(4)),
        (
            "api.example.com.",
            "/all",
            Err(NoRoute::Host(HostRefusal::EmptyLabel)),
        ),
        (
            "a@api.example.com",
            "/all",
            Err(NoRoute::Host(HostRefusal::Character)),
        ),
        ("", "/all", Err(NoRoute::Host(HostRefusal::Empty))),
    ] {
        assert_eq!(found(&table, "GET", host, path), expected, "{host} {path}");
    }
}

#[test]
fn where_no_rule_looks_at_hosts_any_will_do() {
    let table = table(vec![route("GET /x")]);
    for host in ["", "h", "example.com.", "a, b", "\0"] {
        assert_eq!(found(&table, "GET", host, "/x"), Ok(0), "{host:?}");
    }
}

#[test]
fn no_spelling_leads_past_an_earlier_rule() {
    let table = table(vec![
        route("* /v1/admin/**"),
        route("GET /v1/users/me"),
        public("* /public/**"),
        route("* /v1/**"),
    ]);
    for (method, path) in [
        ("GET", "/public/../v1/admin"),
        ("GET", "/public/%2e%2e/v1/admin"),
        ("GET", "/public//v1/admin"),
        ("GET", "/public/..;/v1/admin"),
        ("GET", "/public%2f..%2fv1/admin"),
        ("GET", "/v1//admin"),
        ("GET", "/v1/./admin"),
        ("GET", "/v1/ADMIN/x"),
        ("GET", "/v1/Admin"),
        ("GET", "/V1/admin/x"),
        ("GET", "/PUBLIC/x"),
        ("GET", "/v1/users/ME"),
        ("get", "/v1/admin"),
        ("Get", "/v1/x"),
        ("GET ", "/v1/x"),
        ("", "/v1/x"),
        ("G\u{cb}T", "/v1/x"),
        ("GET", "http://h/public/x"),
        ("OPTIONS", "*"),
        ("CONNECT", "h:443"),
    ] {
        assert!(found(&table, method, "h", path).is_err(), "{method} {path}");
    }
    for (method, path, expected) in [
        ("GET", "/v1/%61dmin", 0),
        ("GET", "/v1/admin/", 0),
        ("GET", "/v1/admin?x=/public", 0),
        ("GET", "/public?x=/../v1/admin", 2),
        ("GET", "/v1/users/me/", 1),
        ("GET", "/v1/users/you", 3),
        // That rule is not for this method, in any case.
        ("PUT", "/v1/users/ME", 3),
        ("GET", "/v1/administration", 3),
    ] {
        assert_eq!(found(&table, method, "h", path), Ok(expected), "{path}");
    }
}

#[test]
fn a_preflight_is_public_if_the_rule_for_what_it_asks_says_so() {
    let open = built("GET /v1/a", None, &[("preflights", "public")]).unwrap();
    let table = table(vec![
        open,
        route("DELETE /v1/a"),
        route("OPTIONS /v1/**"),
        public("GET /free"),
    ]);
    let asked = |method, path, preflight_for| {
        let target = Target::read("h", path);
        match table.find(method, &target, preflight_for) {
            RouteFound::Preflight(route) => format!("preflight {}", route.line),
            RouteFound::Policy(route) => format!("policy {}", route.line),
            RouteFound::Public(route) => format!("public {}", route.line),
            RouteFound::NoRoute(why) => why.to_string(),
            RouteFound::NoTable => "no table".to_owned(),
        }
    };
    for (method, path, preflight_for, expected) in [
        ("OPTIONS", "/v1/a", Some("GET"), "preflight 0"),
        ("OPTIONS", "/v1/a/?x", Some("GET"), "preflight 0"),
        ("OPTIONS", "/v1/a", Some("DELETE"), "policy 2"),
        ("OPTIONS", "/v1/a", Some("PUT"), "policy 2"),
        ("OPTIONS", "/v1/a", Some("get"), "policy 2"),
        ("OPTIONS", "/v1/a", Some(""), "policy 2"),
        ("OPTIONS", "/v1/a", None, "policy 2"),
        ("OPTIONS", "/v1/A", Some("GET"), "policy 2"),
        ("OPTIONS", "/v1/b", Some("GET"), "policy 2"),
        ("OPTIONS", "/free", Some("GET"), "no rule matches"),
        ("OPTIONS", "/v2", Some("GET"), "no rule matches"),
        // What a GET says that it asks for counts for nothing.
        ("DELETE", "/v1/a", Some("GET"), "policy 1"),
        ("GET", "/v1/a", Some("DELETE"), "policy 0"),
    ] {
        assert_eq!(
            asked(method, path, preflight_for),
            expected,
            "{method} {path} {preflight_for:?}"
        );
    }
}

#[test]
fn a_workspace_in_the_pattern_or_the_host_is_selected() {
    use crate::domain::policy::Selection;
    let table = table(vec![
        route("* /w/{workspace}/customers/{id}"),
        on_host("* /**", "{workspace}.example.com"),
    ]);
    for (host, path, expected) in [
        ("h", "/w/klipy/customers/7", Selection::Workspace("klipy")),
        ("h", "/w/KLIPY/customers/7", Selection::Nothing),
        ("KLIPY.example.com", "/x", Selection::Workspace("klipy")),
        ("-.example.com", "/x", Selection::Nothing),
    ] {
        let target = Target::read(host, path);
        let RouteFound::Policy(route) = table.find("GET", &target, None) else {
            panic!("{host} {path}");
        };
        assert_eq!(
            route.policy.select(&target, |_| None),
            expected,
            "{host} {path}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_told_with_what_to_do() {
    for (pattern, host, public, policy, expected) in [
        (
            "",
            None,
            false,
            vec![],
            "match: is ``, and must be methods and a path",
        ),
        (
            "GET",
            None,
            false,
            vec![],
            "match: is `GET`, and must be methods and a path",
        ),
        (
            "GET /a /b",
            None,
            false,
            vec![],
            "must be methods and a path",
        ),
        (
            "get /a",
            None,
            false,
            vec![],
            "match: has the method `get`: write `GET`",
        ),
        (
            "GET|GET /a",
            None,
            false,
            vec![],
            "match: has the method `GET` twice",
        ),
        (
            "GET| /a",
            None,
            false,
            vec![],
            "match: has no method where `` is",
        ),
        (
            "GET|* /a",
            None,
            false,
            vec![],
            "match: has no method where `*` is",
        ),
        (
            "GET,POST /a",
            None,
            false,
            vec![],
            "match: has no method where `GET,POST` is",
        ),
        (
            "GET a",
            None,
            false,
            vec![],
            "match: has a path that does not start with `/`",
        ),
        ("GET /a", Some("a:1"), false, vec![], "host: has a port"),
        ("GET /a", None, false, vec![("cost", "x")], "cost: is `x`"),
        (
            "GET /a",
            None,
            true,
            vec![("cost", "1")],
            "public: lets requests pass",
        ),
        (
            "GET /{workspace}",
            None,
            true,
            vec![],
            "public: lets requests pass",
        ),
        (
            "GET /a",
            Some("{workspace}.e.com"),
            true,
            vec![],
            "public: lets requests pass",
        ),
        (
            "GET /{workspace}",
            None,
            false,
            vec![("workspace", "a")],
            "match: selects the workspace by `{workspace}`, and the rule selects it in another way",
        ),
        (
            "GET /{workspace}",
            Some("{workspace}.e.com"),
            false,
            vec![],
            "host: selects the workspace by `{workspace}`",
        ),
    ] {
        let draft = RouteDraft {
            pattern: Some(pattern),
            host,
            public,
            policy,
            line: 1,
        };
        let told = draft.build().unwrap_err().to_string();
        assert!(told.contains(expected), "{pattern}: {told}");
    }
    let told = RouteDraft::default().build().unwrap_err().to_string();
    assert!(told.starts_with("match: is required"), "{told}");
    let public_preflights = RouteDraft {
        pattern: Some("GET /a"),
        public: true,
        policy: vec![("preflights", "public")],
        ..RouteDraft::default()
    };
    assert!(public_preflights.build().unwrap().policy.preflights_public);
}

#[test]
fn a_rule_that_can_never_match_is_refused() {
    let shadowed = |routes: Vec<Route>| match RouteTable::new(routes) {
        Ok(_) => vec![],
        Err(shadowed) => shadowed
            .into_iter()
            .map(|shadowed| (shadowed.rule, shadowed.by))
            .collect(),
    };
    for (routes, expected) in [
        (vec![route("GET /a"), route("GET /a")], vec![(1, vec![0])]),
        (vec![route("GET /a"), route("GET /a/")], vec![(1, vec![0])]),
        (
            vec![route("* /v1/**"), route("GET /v1/a")],
            vec![(1, vec![0])],
        ),
        (
            vec![route("GET /v1/{id}"), route("GET /v1/me")],
            vec![(1, vec![0])],
        ),
        (
            vec![
                route("GET /a"),
                route("* /b"),
                route("POST /a"),
                route("GET|POST /a"),
            ],
            vec![(3, vec![0, 2])],
        ),
        (
            vec![route("* /**"), on_host("* /a", "h.com"), route("GET /b")],
            vec![(1, vec![0]), (2, vec![0])],
        ),
        (
            vec![
                on_host("* /**", "*.e.com"),
                on_host("* /**", "{workspace}.e.com"),
            ],
            vec![(1, vec![0])],
        ),
        // What an earlier rule would match but for case is let through by none.
        (
            vec![route("* /v1/**"), route("GET /V1/a"), route("GET /V1")],
            vec![(1, vec![0]), (2, vec![0])],
        ),
        // These leave something.
        (vec![route("GET /a"), route("* /a")], vec![]),
        (vec![route("GET /a"), route("GET|POST /a")], vec![]),
        (vec![route("GET /v1/me"), route("GET /v1/{id}")], vec![]),
        (vec![on_host("* /**", "h.com"), route("* /**")], vec![]),
        (vec![route("GET|POST /a"), route("PUT /a")], vec![]),
    ] {
        assert_eq!(shadowed(routes), expected);
    }
}

/// What a walk over all rules, one by one, comes to.
fn slowly(routes: &[Route], method: &str, target: &Target<'_>) -> Result<usize, NoRoute> {
    if !is_method(method) {
        return Err(NoRoute::Method);
    }
    let path = target.path.as_ref().map_err(|why| NoRoute::Path(*why))?;
    let named = routes.iter().any(|route| route.host.is_some());
    if let (Err(why), true) = (&target.host, named) {
        return Err(NoRoute::Host(*why));
    }
    let may = |route: &&Route| {
        let host = route.host.as_ref();
        route.methods.contain(method)
            && host.is_none_or(|host| target.host.as_ref().is_ok_and(|of| host.matches(of)))
    };
    let exact = routes
        .iter()
        .filter(may)
        .find(|route| route.path.matches(path));
    let alike = routes
        .iter()
        .filter(may)
        .find(|route| route.path.matches_in_any_case(path));
    match (exact, alike) {
        (None, None) => Err(NoRoute::NoRule),
        (Some(exact), Some(alike)) if exact.line == alike.line => Ok(exact.line),
        _ => Err(NoRoute::Case),
    }
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let methods = proptest::sample::select(vec!["*", "GET", "GET|POST", "POST"]);
    let hosts = proptest::sample::select(vec![
        None,
        None,
        Some("e.com"),
        Some("a.e.com"),
        Some("*.e.com"),
        Some("{workspace}.e.com"),
    ]);
    let segment = proptest::sample::select(vec!["a", "b", "A", "*", "*"]);
    let path = (proptest::collection::vec(segment, 0..4), any::<bool>())
        .prop_map(|(words, open)| format!("/{}/{}", words.join("/"), if open { "**" } else { "" }))
        .prop_map(|path| path.replace("//", "/"));
    let one = (methods, hosts, path)
        .prop_map(|(methods, host, path)| built(&format!("{methods} {path}"), host, &[]).unwrap());
    // Those that can never match are left out.
    proptest::collection::vec(one, 0..24).prop_map(|mut routes| {
        while let Err(shadowed) = RouteTable::new(routes.clone()) {
            routes.remove(shadowed[0].rule);
        }
        routes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn it_is_the_first_rule_whatever_the_rules_are(
        routes in routes(),
        asks in proptest::collection::vec((
            proptest::sample::select(vec!["GET", "POST", "PUT", "get"]),
            proptest::sample::select(vec!["e.com", "a.e.com", "a.b.e.com", "x.com", "", "A.E.com:1"]),
            "(/[abAB]){0,5}/?|/[abAB]//",
        ), 1..40),
    ) {
        let table = table(routes);
        for (method, host, path) in asks {
            let target = Target::read(host, &path);
            prop_assert_eq!(
                found(&table, method, host, &path),
                slowly(table.routes(), method, &target),
                "{} {} {}", method, host, path
            );
        }
    }

    /// A rule that is not refused can be reached, unless several others leave
    /// nothing of it together: what is refused can never be.
    #[test]
    fn what_is_refused_can_never_match(routes in routes(), path in "(/[ab]){0,4}") {
        let table = table(routes);
        let path = format!("{path}/");
        for (host, method) in [("e.com", "GET"), ("a.e.com", "POST"), ("x.com", "PUT")] {
            let Ok(first) = found(&table, method, host, &path) else { continue };
            // The same rule once more, at the end, is refused; and found nowhere.
            let mut twice = table.routes().to_vec();
            twice.push(twice[first].clone());
            let shadowed = RouteTable::new(twice).unwrap_err();
            prop_assert_eq!(shadowed.len(), 1);
            prop_assert_eq!(shadowed[0].rule, table.routes().len());
        }
    }
}

/// Whatever the number of rules, a request costs a few comparisons: the words of
/// each segment are searched, and not tried one by one.
#[test]
fn finding_allocates_nothing_among_a_thousand_rules() {
    let routes = (0..1_000)
        .map(|n| route(&format!("GET /v1/things{n}/{{id}}/parts/**")))
        .chain([route("* /v1/**")])
        .collect();
    let table = table(routes);
    for (path, expected) in [
        ("/v1/things0/7/parts/a/b", 0),
        ("/v1/things999/7/parts?x", 999),
        ("/v1/things500/7", 1_000),
    ] {
        let mut line = None;
        let spent = allocation_counter::measure(|| {
            let target = Target::read("api.example.com", path);
            if let RouteFound::Policy(route) = table.find("GET", &target, None) {
                line = Some(route.line);
            }
        });
        assert_eq!(line, Some(expected), "{path}");
        assert_eq!(spent.count_total, 0, "{path}");
    }
}

/// `cargo test --release --lib route -- --ignored --nocapture` prints what a search
/// costs by the number of rules.
#[test]
#[ignore = "a measurement"]
fn what_finding_costs() {
    for rules in [10, 100, 1_000, 10_000] {
        let routes = (0..rules)
            .map(|n| route(&format!("GET /v1/things{n}/{{id}}/parts/**")))
            .collect();
        let started = std::time::Instant::now();
        let table = table(routes);
        let built = started.elapsed();
        let path = format!("/v1/things{}/7/parts/a/b?x=y", rules / 2);
        let rounds = 100_000;
        let started = std::time::Instant::now();
        for _ in 0..rounds {
            let target = Target::read("api.example.com", std::hint::black_box(&path));
            assert!(matches!(
                table.find("GET", &target, None),
                RouteFound::Policy(_)
            ));
        }
        let each = started.elapsed() / rounds;
        println!("{rules} rules: built in {built:?}, found in {each:?}");
    }
}
