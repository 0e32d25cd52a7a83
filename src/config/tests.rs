//! The settings as a whole: where each comes from, and what is refused.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use http::HeaderName;
use serde_json::Value;

use super::listener::{ConnectionLimits, TlsConfig};
use super::origin::Origin;
use super::table::settings;
use super::*;
use crate::edge::ext_authz::UndecidedAnswer;
use crate::edge::gateway::IdentityHeaders;

/// A file with `text`, variables and flags.
struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

fn case(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyward.toml");
    std::fs::write(&path, text).unwrap();
    let flag = |(name, value): &(&str, &str)| {
        let setting = settings().find(|setting| setting.flag == *name).unwrap();
        (setting, OsString::from(value))
    };
    let sources = Sources {
        config: Some(path),
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        flags: flags.iter().map(flag).collect(),
    };
    Case { folder, sources }
}

impl Case {
    fn good(&self) -> Settings {
        load(&self.sources).unwrap()
    }

    /// What is wrong, with the file's name but not its folder.
    fn wrong(&self) -> String {
        let told = check(&self.sources).unwrap_err().to_string();
        told.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn wrong(text: &str) -> String {
    case(text, &[], &[]).wrong()
}

fn flagged(flag: &str, value: &str) -> String {
    case("", &[], &[(flag, value)]).wrong()
}

#[test]
fn nothing_given_is_all_defaults() {
    let Settings { serve, log, .. } = load(&Sources::default()).unwrap();
    let data = PathBuf::from("./keyward-data");
    assert_eq!(serve.home, home_in(&data, None).unwrap());
    assert_eq!(serve.home.guard_dir(), data.join("guard"));
    for (listener, address) in [
        (&serve.check, "127.0.0.1:50051"),
        (&serve.admin, "127.0.0.1:50052"),
    ] {
        assert_eq!(listener.listen.to_string(), address);
        assert_eq!(listener.tls, None);
        assert_eq!(listener.limits, ConnectionLimits::default());
    }
    let http = serve.http.unwrap();
    assert_eq!(http.listener.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(http.listener.limits, ConnectionLimits::default());
    let trusted: Vec<_> = http
        .sources
        .trusted
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trusted, ["127.0.0.0/8", "::1/128"]);
    assert_eq!(http.sources.header, "x-forwarded-for");
    assert_eq!(serve.metrics, None);
    assert_eq!(serve.check_threads, one_per_core());
    assert!(!serve.encrypted_elsewhere);
    assert!(serve.reflection);
    assert_eq!(serve.drain_timeout, Duration::from_secs(10));
    assert_eq!(serve.store_lost_grace, Duration::from_secs(5 * 60));
    assert_eq!(serve.key_retention, Duration::from_secs(30 * 24 * 60 * 60));
    assert!(serve.usage.counted && serve.usage.addresses);
    assert_eq!(serve.usage_write_interval, Duration::from_secs(60));
    assert_eq!(serve.gateway, GatewayConfig::default());
    assert_eq!(log.form, Form::Text);
    assert_eq!(log.filter, "info");
}

/// Each setting by a value that is not its default.
const ALL: &str = r#"
    [store]
    data_dir = "/a"
    guard_dir = "/b"
    lost_grace = "1s"
    key_retention = "2s"
    [check]
    listen = "unix:/c"
    threads = 3
    tls = { certificate = "/d", key = "/e", client_ca = "/f", client_certificate = "required" }
    [check.limits]
    max_connections = 4
    max_calls = 5
    max_streams = 6
    max_connection_age = "7s"
    max_connection_age_grace = "8s"
    keepalive_interval = "9s"
    keepalive_timeout = "11s"
    receive_timeout = "12s"
    [admin]
    listen = "10.0.0.1:13"
    tls = { certificate = "/g", key = "/h", client_ca = "/i", client_certificate = "optional" }
    [admin.limits]
    max_connections = 14
    max_calls = 15
    max_streams = 16
    max_connection_age = "17s"
    max_connection_age_grace = "18s"
    keepalive_interval = "19s"
    keepalive_timeout = "20s"
    receive_timeout = "21s"
    [gateway]
    routes = "ROUTES"
    undecided = "error-response"
    [gateway.headers]
    key_id = "X-Key"
    principal = "x-user"
    workspace = "none"
    environment = "x-stage"
    scopes = "x-scopes"
    [http]
    listen = "10.0.0.2:24"
    trusted_gateways = "10.0.0.0/8, 192.0.2.7"
    source_header = "X-Real-IP"
    tls = { certificate = "/j", key = "/k", client_ca = "/l", client_certificate = "required" }
    [http.limits]
    max_connections = 25
    max_calls = 26
    max_streams = 27
    max_connection_age = "28s"
    max_connection_age_grace = "29s"
    keepalive_interval = "30s"
    keepalive_timeout = "31s"
    receive_timeout = "32s"
    [metrics]
    listen = "10.0.0.3:33"
    [server]
    encrypted_elsewhere = true
    reflection = false
    drain_timeout = "22s"
    [usage]
    count = false
    addresses = false
    write_interval = "23s"
    [log]
    format = "json"
    filter = "debug"
"#;

#[test]
#[expect(clippy::too_many_lines, reason = "it is all settings")]
fn every_setting_of_the_file_gets_to_its_field() {
    let routes = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/routes.toml");
    let case = case(&ALL.replace("ROUTES", routes), &[], &[]);
    let Settings {
        serve,
        log,
        effective,
    } = case.good();
    for effective in effective {
        let from_file = matches!(effective.origin, Origin::File { .. });
        assert!(from_file, "{} is left out here", effective.key);
    }
    let home = home_in(Path::new("/a"), Some(Path::new("/b"))).unwrap();
    assert_eq!(serve.home, home);
    let second = Duration::from_secs;
    assert_eq!(serve.store_lost_grace, second(1));
    assert_eq!(serve.key_retention, second(2));
    let tls = |certificate: &str, key: &str, ca: &str, required| TlsConfig {
        certificate: certificate.into(),
        key: key.into(),
        client_ca: Some(ca.into()),
        client_certificate_required: required,
    };
    assert_eq!(serve.check.listen.to_string(), "unix:/c");
    assert_eq!(serve.check_threads.get(), 3);
    assert_eq!(serve.check.tls, Some(tls("/d", "/e", "/f", true)));
    let limits = ConnectionLimits {
        max_connections: 4,
        max_calls: 5,
        max_streams: 6,
        max_connection_age: Some(second(7)),
        max_connection_age_grace: second(8),
        keepalive_interval: second(9),
        keepalive_timeout: second(11),
        receive_timeout: second(12),
    };
    assert_eq!(serve.check.limits, limits);
    assert_eq!(serve.admin.listen.to_string(), "10.0.0.1:13");
    assert_eq!(serve.admin.tls, Some(tls("/g", "/h", "/i", false)));
    let limits = ConnectionLimits {
        max_connections: 14,
        max_calls: 15,
        max_streams: 16,
        max_connection_age: Some(second(17)),
        max_connection_age_grace: second(18),
        keepalive_interval: second(19),
        keepalive_timeout: second(20),
        receive_timeout: second(21),
    };
    assert_eq!(serve.admin.limits, limits);
    let named = |name| Some(HeaderName::from_static(name));
    let headers = IdentityHeaders {
        key_id: named("x-key"),
        principal: named("x-user"),
        workspace: None,
        environment: named("x-stage"),
        scopes: named("x-scopes"),
    };
    assert_eq!(serve.gateway.headers, headers);
    assert!(serve.routes.routes().len() > 3);
    assert_eq!(serve.gateway.undecided, UndecidedAnswer::ErrorResponse);
    let http = serve.http.unwrap();
    assert_eq!(http.listener.listen.to_string(), "10.0.0.2:24");
    assert_eq!(http.listener.tls, Some(tls("/j", "/k", "/l", true)));
    let limits = ConnectionLimits {
        max_connections: 25,
        max_calls: 26,
        max_streams: 27,
        max_connection_age: Some(second(28)),
        max_connection_age_grace: second(29),
        keepalive_interval: second(30),
        keepalive_timeout: second(31),
        receive_timeout: second(32),
    };
    assert_eq!(http.listener.limits, limits);
    let trusted: Vec<_> = http
        .sources
        .trusted
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.7/32"]);
    assert_eq!(http.sources.header, "x-real-ip");
    assert_eq!(serve.metrics.unwrap().to_string(), "10.0.0.3:33");
    assert!(serve.encrypted_elsewhere && !serve.reflection);
    assert_eq!(serve.drain_timeout, second(22));
    assert!(!serve.usage.counted && !serve.usage.addresses);
    assert_eq!(serve.usage_write_interval, second(23));
    assert_eq!((log.form, log.filter.as_str()), (Form::Json, "debug"));
}

#[test]
fn flags_come_before_variables_before_the_file_before_defaults() {
    let file = "[server]\ndrain_timeout = '2s'\nreflection = true\n";
    let variables = [
        ("KEYWARD_DRAIN_TIMEOUT", "3s"),
        ("KEYWARD_NO_REFLECTION", "yes"),
    ];
    let flags = [("drain-timeout", "4s"), ("no-reflection", "false")];
    let drain = |case: Case| {
        let settings = case.good();
        let found = settings
            .effective
            .into_iter()
            .find(|of| of.key == "server.drain_timeout")
            .unwrap();
        let origin = found.origin.to_string();
        let origin = origin.rsplit('/').next().unwrap().to_owned();
        assert!(found.value.is_some());
        (
            settings.serve.drain_timeout.as_secs(),
            settings.serve.reflection,
            origin,
        )
    };
    let told = |seconds, reflection, origin: &str| (seconds, reflection, origin.to_owned());
    assert_eq!(drain(case("", &[], &[])), told(10, true, "default"));
    assert_eq!(
        drain(case(file, &[], &[])),
        told(2, true, "keyward.toml:2:17")
    );
    assert_eq!(
        drain(case(file, &variables, &[])),
        told(3, false, "$KEYWARD_DRAIN_TIMEOUT")
    );
    assert_eq!(
        drain(case(file, &variables, &flags)),
        told(4, true, "--drain-timeout")
    );
}

#[test]
fn the_file_can_be_named_by_a_variable_and_must_be_there() {
    let mut case = case("[log]\nfilter = 'warn'\n", &[], &[]);
    let path = case.sources.config.take().unwrap();
    assert_eq!(case.good().log.filter, "info");
    let name = |path: &Path| vec![("KEYWARD_CONFIG".into(), path.as_os_str().to_owned())];
    case.sources.variables = name(&path);
    assert_eq!(case.good().log.filter, "warn");
    case.sources.variables = name(Path::new("nowhere.toml"));
    assert_eq!(
        case.wrong(),
        "$KEYWARD_CONFIG names \"nowhere.toml\", which cannot be read: No such file or directory (os error 2)"
    );
    case.sources.config = Some("".into());
    assert_eq!(
        case.wrong(),
        "--config is empty; give the path of a file, or leave it out"
    );
}

/// A line of the file, and what is told of it.
const WRONG_TYPES: &[(&str, &str)] = &[
    (
        "store.data_dir = 5",
        "1:18: store.data_dir is the number 5; give a path, in quotes",
    ),
    (
        "store.data_dir = ''",
        "1:18: store.data_dir is empty; give a path, or leave it out",
    ),
    (
        "check.listen = 50051",
        "1:16: check.listen is the number 50051; give an address: \"HOST:PORT\", as in \"127.0.0.1:50051\", or \
             \"unix:PATH\", in quotes",
    ),
    (
        "check.threads = 'four'",
        "1:17: check.threads is the text \"four\"; give a whole number from 1 to 1024, without quotes",
    ),
    (
        "check.threads = 1.5",
        "1:17: check.threads is a number with a fraction; give a whole number from 1 to 1024",
    ),
    (
        "check.threads = true",
        "1:17: check.threads is true; give a whole number from 1 to 1024",
    ),
    (
        "check.threads = 0x10",
        "1:17: check.threads is a number that is not decimal; give a whole number from 1 to 1024",
    ),
    (
        "admin.limits.max_calls = [5]",
        "1:26: admin.limits.max_calls is a list; give a whole number from 1 to 4294967295",
    ),
    (
        "server.drain_timeout = 10",
        "1:24: server.drain_timeout is the number 10; give a span such as \"500ms\", \"10s\" or \"5m\", in quotes",
    ),
    (
        "server.drain_timeout = 2026-01-01",
        "1:24: server.drain_timeout is a date; give a span such as \"500ms\", \"10s\" or \"5m\"",
    ),
    (
        "check.limits.max_connection_age = false",
        "1:35: check.limits.max_connection_age is false; give a span such as \"30m\", or \"never\", in quotes",
    ),
    (
        "server.reflection = 'yes'",
        "1:21: server.reflection is the text \"yes\"; give true or false, without quotes",
    ),
    (
        "server.reflection = 1",
        "1:21: server.reflection is the number 1; give true or false",
    ),
    (
        "[log.format]",
        "1:1: log.format is a section; give \"text\" or \"json\"",
    ),
    (
        "\n\n  'store' = 5",
        "3:3: store is a section: write [store] in a line of its own, and its keys below that",
    ),
];

#[test]
fn a_value_of_the_wrong_type_is_told_with_its_place() {
    for (line, told) in WRONG_TYPES.iter().copied() {
        assert_eq!(wrong(line), format!("keyward.toml:{told}"), "{line}");
    }
}

/// A flag, its value, and what is told of that.
const NONSENSE: &[(&str, &str, &str)] = &[
    (
        "http-listen",
        "on",
        "is \"on\", which is neither HOST:PORT, as in 127.0.0.1:50051, nor unix:PATH; \"off\" switches it off",
    ),
    (
        "http-trusted-gateways",
        "10.0.0.0/8 gateway",
        "names \"gateway\"; give networks, as in \"10.0.0.0/8 192.0.2.7\", or \"none\"",
    ),
    (
        "http-trusted-gateways",
        "10.0.0.0/33",
        "names \"10.0.0.0/33\"; give networks, as in \"10.0.0.0/8 192.0.2.7\", or \"none\"",
    ),
    (
        "http-source-header",
        "a b",
        "is \"a b\"; give the name of a header, as in \"x-forwarded-for\"",
    ),
    (
        "http-source-header",
        "Forwarded",
        "is \"Forwarded\", which holds more than addresses and is not read; give the name of a header, as in \
             \"x-forwarded-for\", and have the gateway send that",
    ),
    (
        "check-listen",
        "nowhere",
        "is \"nowhere\", which is neither HOST:PORT, as in 127.0.0.1:50051, nor unix:PATH",
    ),
    (
        "admin-listen",
        "",
        "is empty; give an address: \"HOST:PORT\", as in \"127.0.0.1:50051\", or \"unix:PATH\", or leave it out",
    ),
    (
        "check-threads",
        "0",
        "is 0; give a whole number from 1 to 1024",
    ),
    (
        "check-threads",
        "1025",
        "is 1025; give a whole number from 1 to 1024",
    ),
    (
        "check-max-calls",
        "-1",
        "is -1; give a whole number from 1 to 4294967295",
    ),
    (
        "drain-timeout",
        "10",
        "is \"10\", which is no span; give one such as \"500ms\", \"10s\" or \"5m\"",
    ),
    (
        "drain-timeout",
        "101years",
        "is \"101years\"; give at most 100 years",
    ),
    (
        "check-keepalive-interval",
        "10ms",
        "is \"10ms\"; give at least 1s",
    ),
    (
        "admin-max-connection-age",
        "0s",
        "is \"0s\"; give at least 1s",
    ),
    (
        "check-tls-client-certificate",
        "maybe",
        "is \"maybe\"; give \"none\", \"optional\" or \"required\"",
    ),
    (
        "gateway-header-principal",
        "x_principal",
        "is \"x_principal\"; give the name of a header such as \"x-principal\", or \"none\": letters, digits and `-`",
    ),
    (
        "gateway-header-key-id",
        "x key",
        "is \"x key\"; give the name of a header such as \"x-principal\", or \"none\": letters, digits and `-`",
    ),
    (
        "gateway-header-scopes",
        "Authorization",
        "is \"authorization\", which says something else in every request; give the name of a header such as \"x-principal\", or \"none\"",
    ),
    (
        "gateway-undecided",
        "allow",
        "is \"allow\"; give \"unavailable\" or \"error-response\"",
    ),
    ("log-format", "xml", "is \"xml\"; give \"text\" or \"json\""),
    (
        "log",
        "h2=trace",
        "is \"h2=trace\", which is not a log filter; give a level, or something like \"info,keyward::store=debug\"",
    ),
    (
        "encrypted-elsewhere",
        "perhaps",
        "is \"perhaps\"; give true or false",
    ),
];

/// What would have the word of too many taken, or of others than were meant.
#[test]
fn networks_that_cannot_be_meant_are_told_with_their_place() {
    let everybody = "which is everybody: each hop would be trusted, and the first is what the client itself has \
                     written; name the networks that your gateways are in";
    let bits = "which has bits set behind its first";
    let meant = "if it is the range that is meant, write";
    for (networks, named, told) in [
        ("0.0.0.0/0", "0.0.0.0/0", everybody.to_owned()),
        ("10.0.0.0/8 ::/0", "::/0", everybody.to_owned()),
        (
            "::ffff:0.0.0.0/96",
            "::ffff:0.0.0.0/96",
            everybody.to_owned(),
        ),
        (
            "10.1.2.3/0",
            "10.1.2.3/0",
            format!("{bits} 0; {meant} 0.0.0.0/0"),
        ),
        (
            "10.1.2.3/8",
            "10.1.2.3/8",
            format!("{bits} 8; {meant} 10.0.0.0/8"),
        ),
        (
            "::1, fd00::1/8",
            "fd00::1/8",
            format!("{bits} 8; {meant} fd00::/8"),
        ),
        (
            "::ffff:10.1.2.3/104",
            "::ffff:10.1.2.3/104",
            format!("{bits} 8; {meant} 10.0.0.0/8"),
        ),
    ] {
        let file = format!("[http]\n trusted_gateways = '{networks}'\n");
        let expected = format!("keyward.toml:2:21: http.trusted_gateways names {named:?}, {told}");
        assert_eq!(wrong(&file), expected);
    }
}

#[test]
fn a_network_of_addresses_that_stand_for_ipv4_is_of_those() {
    let file = "http.trusted_gateways = '::ffff:10.0.0.0/104 ::ffff:192.0.2.7 fd00::/8'";
    let sources = case(file, &[], &[]).good().serve.http.unwrap().sources;
    let trusted: Vec<_> = sources.trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]);
}

#[test]
fn a_value_that_makes_no_sense_is_told_by_the_name_it_was_given_under() {
    for (flag, value, told) in NONSENSE.iter().copied() {
        assert_eq!(flagged(flag, value), format!("--{flag} {told}"));
        let setting = settings().find(|setting| setting.flag == flag).unwrap();
        let variable = setting.variable();
        let by_variable = case("", &[(&variable, value)], &[]).wrong();
        assert_eq!(by_variable, format!("${variable} {told}"));
    }
}

#[test]
fn a_value_that_is_overridden_must_be_good_all_the_same() {
    let variables = [("KEYWARD_LOG_FORMAT", "xml")];
    let flags = [("log-format", "json")];
    assert_eq!(
        case("log.format = 1", &variables, &flags).wrong(),
        "the settings have 2 problems:\n  \
         keyward.toml:1:14: log.format is the number 1; give \"text\" or \"json\", in quotes\n  \
         $KEYWARD_LOG_FORMAT is \"xml\"; give \"text\" or \"json\""
    );
}

#[test]
fn a_path_need_not_be_utf_8_and_all_else_must() {
    let bytes = OsString::from_vec(b"/a\xff".to_vec());
    let mut sources = Sources {
        variables: vec![("KEYWARD_DATA_DIR".into(), bytes.clone())],
        ..Sources::default()
    };
    let found = load(&sources).unwrap().serve.home;
    assert_eq!(found, home_in(Path::new(&bytes), None).unwrap());
    sources.variables = vec![("KEYWARD_LOG_FORMAT".into(), bytes)];
    assert_eq!(
        load(&sources).unwrap_err().to_string(),
        "$KEYWARD_LOG_FORMAT is \"/a\\xFF\", which is not UTF-8; give \"text\" or \"json\""
    );
}

/// A file, and what is told of it.
const UNKNOWN: &[(&str, &str)] = &[
    (
        "[check]\nlisen = 'a'",
        "2:1: unknown key `lisen` in [check]; did you mean `listen`?",
    ),
    (
        "[check]\nlimts.max_calls = 1",
        "2:1: unknown section [check.limts]; did you mean [check.limits]?",
    ),
    (
        "[admin.limits]\n  max_connection = 1",
        "2:3: unknown key `max_connection` in [admin.limits]; did you mean `max_connections`?",
    ),
    (
        "[chekc]\nlisten = 'a'",
        "1:2: unknown section [chekc]; did you mean [check]?",
    ),
    (
        "[tls]\nkey = 'a'",
        "1:2: unknown section [tls]; write [check.tls] or [admin.tls] or [http.tls]",
    ),
    (
        "[tracing]\nport = 1",
        "1:2: unknown section [tracing]; `keyward config example` shows all sections",
    ),
    // In the wrong section, or under the name of its flag.
    (
        "[log]\ndrain_timeout = '5s'",
        "2:1: unknown key `drain_timeout` in [log]; write `drain_timeout` in [server]",
    ),
    (
        "[store]\nlisten = 'a'",
        "2:1: unknown key `listen` in [store]; write `listen` in [check] or `listen` in [admin] or `listen` in [http] or `listen` in [metrics]",
    ),
    (
        "data_dir = 'a'",
        "1:1: unknown key `data_dir` outside of all sections; write `data_dir` in [store]",
    ),
    (
        "[store]\ndata-dir = 'a'",
        "2:1: unknown key `data-dir` in [store]; write `data_dir`",
    ),
    (
        "[store]\nstore-lost-grace = '5m'",
        "2:1: unknown key `store-lost-grace` in [store]; write `lost_grace`",
    ),
    (
        "[server]\nno_reflection = true",
        "2:1: unknown key `no_reflection` in [server]; write `reflection`",
    ),
    (
        "'check.listen' = 'a'",
        "1:1: unknown key `check.listen` outside of all sections; write `listen` in [check]",
    ),
    (
        "[server]\ncolour = 'a'",
        "2:1: unknown key `colour` in [server]; `keyward config example` shows all keys",
    ),
    (
        "[server]\n\"\\u001b[2J\" = 1",
        "2:1: unknown key `\\u{1b}[2J` in [server]; `keyward config example` shows all keys",
    ),
];

#[test]
fn unknown_names_are_told_with_what_was_meant() {
    for (text, told) in UNKNOWN.iter().copied() {
        assert_eq!(wrong(text), format!("keyward.toml:{told}"), "{text}");
    }
}

#[test]
fn columns_are_those_of_characters() {
    assert_eq!(
        wrong("[log]\nfilter = 'info' # ä\nformat = \"ä\"; x = 1"),
        "keyward.toml:3:13: is not TOML: unexpected key or value, expected newline, `#`"
    );
    assert_eq!(
        wrong("log = { \"fölter\" = 'info', format = 1 }"),
        "the settings have 2 problems:\n  \
         keyward.toml:1:9: unknown key `fölter` in [log]; did you mean `filter`?\n  \
         keyward.toml:1:37: log.format is the number 1; give \"text\" or \"json\", in quotes"
    );
}

#[test]
fn what_is_no_toml_is_told_with_all_else_but_what_may_follow_from_it() {
    let text = "[check\nlisten = 'a'\n[check.tls]\ncertificate = '/a'\nkey =\n[log]\nfilter = 'info'\nformat = 5\nformat = 6\n";
    assert_eq!(
        wrong(text),
        "the settings have 5 problems:\n  \
         keyward.toml:1:7: is not TOML: unclosed table, expected `]`\n  \
         keyward.toml:4:15: check.tls.certificate names \"/a\", which cannot be read: No such file or directory (os error 2)\n  \
         keyward.toml:5:6: is not TOML: string values must be quoted, expected literal string\n  \
         keyward.toml:8:10: log.format is the number 5; give \"text\" or \"json\", in quotes\n  \
         keyward.toml:9:1: is not TOML: duplicate key"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn settings_that_do_not_go_together_are_told() {
    for (section, text, told) in [
        (
            "check",
            "[check.tls]\ncertificate = '/dev/null'",
            "2:15: check.tls.certificate is given without its private key: give check.tls.key too",
        ),
        (
            "admin",
            "[admin.tls]\nkey = '/dev/null'",
            "2:7: admin.tls.key is given without its certificate: give admin.tls.certificate too",
        ),
        (
            "check",
            "tls = { certificate = '/dev/null', key = '/dev/null', client_certificate = 'required' }",
            "2:76: check.tls.client_certificate asks clients for certificates, but nobody is named who signs them: give \
             check.tls.client_ca",
        ),
        (
            "check",
            "tls = { certificate = '/dev/null', key = '/dev/null', client_ca = '/dev/null' }",
            "2:67: check.tls.client_ca is given, but no client is asked for a certificate: set check.tls.client_certificate \
             to \"required\" or \"optional\"",
        ),
        (
            "check",
            "tls = { client_ca = '/dev/null', client_certificate = 'optional' }",
            "2:21: check.tls.client_ca is given, but the listener does not encrypt: give check.tls.certificate and its key \
             too",
        ),
        (
            "admin",
            "listen = '0.0.0.0:1'",
            "2:10: admin.listen is \"0.0.0.0:1\", which other machines can reach, and tokens would cross the network in \
             clear: give the listener a certificate with admin.tls.certificate, listen on a loopback address or a unix \
             socket, or say with --encrypted-elsewhere (server.encrypted_elsewhere) that something else encrypts the \
             traffic",
        ),
        (
            "admin",
            "listen = '127.0.0.1:50051'",
            "2:10: admin.listen is \"127.0.0.1:50051\", as is check.listen: give each listener an address of its own",
        ),
        (
            "check",
            "listen = '127.0.0.1:50052'",
            "2:10: check.listen is \"127.0.0.1:50052\", as is admin.listen: give each listener an address of its own",
        ),
        (
            "gateway.headers",
            "scopes = 'X-Keyward-Principal'",
            "2:10: gateway.headers.scopes is \"x-keyward-principal\", as is gateway.headers.principal: give each a header \
             of its own",
        ),
        (
            "gateway.headers",
            "key_id = 'x-keyward-principal'",
            "2:10: gateway.headers.key_id is \"x-keyward-principal\", as is gateway.headers.principal: give each a header \
             of its own",
        ),
    ] {
        let text = if text.starts_with('[') {
            text.to_owned()
        } else {
            format!("[{section}]\n{text}")
        };
        assert_eq!(wrong(&text), format!("keyward.toml:{told}"), "{text}");
    }
}

#[test]
fn names_are_those_of_where_the_setting_was_given() {
    assert_eq!(
        flagged("check-tls-key", "/dev/null"),
        "--check-tls-key is given without its certificate: give --check-tls-certificate too"
    );
    assert_eq!(
        case("", &[("KEYWARD_CHECK_TLS_KEY", "/dev/null")], &[]).wrong(),
        "$KEYWARD_CHECK_TLS_KEY is given without its certificate: give $KEYWARD_CHECK_TLS_CERTIFICATE too"
    );
}

#[test]
fn what_may_follow_from_a_bad_value_is_not_told() {
    let text = "[check]\nlisten = '127.0.0.1:50052'\n[admin]\nlisten = 'x'\ntls = { certificate = '/dev/null', key = \
                '/dev/null', client_ca = '/dev/null', client_certificate = 'x' }";
    let told = wrong(text);
    assert_eq!(told.lines().count(), 3, "{told}");
    let open = [("check-listen", "0.0.0.0:1"), ("encrypted-elsewhere", "x")];
    assert_eq!(
        case("", &[], &open).wrong(),
        "--encrypted-elsewhere is \"x\"; give true or false"
    );
}

#[test]
fn a_listener_that_encrypts_or_is_encrypted_can_be_reached_by_others() {
    for text in [
        "check.listen = '0.0.0.0:1'\nserver.encrypted_elsewhere = true",
        "check.listen = '0.0.0.0:1'\ncheck.tls = { certificate = '/dev/null', key = '/dev/null' }",
        "check.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'",
    ] {
        case(text, &[], &[]).good();
        check(&case(text, &[], &[]).sources).unwrap();
    }
}

#[test]
fn a_guard_in_the_store_is_an_error_of_its_own_unless_there_are_others() {
    let text = "[store]\ndata_dir = '/a'\nguard_dir = '/a/store/b'\n";
    let alone = case(text, &[], &[]);
    assert!(matches!(
        load(&alone.sources),
        Err(SettingsError::Home(OpenError::Guard { .. }))
    ));
    assert!(matches!(
        load_home(&alone.sources),
        Err(SettingsError::Home(OpenError::Guard { .. }))
    ));
    let told = case(text, &[], &[("log", "loud")]).wrong();
    assert!(told.starts_with("the settings have 2 problems:\n  keyward.toml:3:13: "));
    assert!(told.contains("must be outside of it"), "{told}");
}

#[test]
fn where_the_store_lies_can_be_known_though_other_values_are_wrong() {
    let text = "[store]\ndata_dir = '/a'\nlost_grace = 5\n[check]\nlisten = '0.0.0.0:1'\n";
    let home = load_home(&case(text, &[("KEYWARD_LOG", "loud")], &[]).sources).unwrap();
    assert_eq!(home.store_dir(), Path::new("/a/store"));
    let unknown = case("[stor]\ndata_dir = '/a'", &[], &[]);
    assert!(load_home(&unknown.sources).is_err());
}

#[test]
fn variables_that_look_like_a_setting_are_found() {
    let of = |names: &[&str]| {
        let variables: Vec<_> = names.iter().map(|name| (name.into(), "".into())).collect();
        names::mistyped(&variables)
            .into_iter()
            .map(|found| format!("{} for {}", found.name, found.meant))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&[
            "KEYWARD_DRAIN_TIMOUT",
            "KEYWARD_CHECK_TLS_CERT",
            "KEYWARD_CHECK_LISEN"
        ]),
        [
            "KEYWARD_CHECK_LISEN for KEYWARD_CHECK_LISTEN",
            "KEYWARD_CHECK_TLS_CERT for KEYWARD_CHECK_TLS_CERTIFICATE",
            "KEYWARD_DRAIN_TIMOUT for KEYWARD_DRAIN_TIMEOUT",
        ]
    );
    let none: [&str; 0] = [];
    // Settings, what the client commands read, what Kubernetes makes of a
    // service of that name, and what is not ours.
    assert_eq!(
        of(&[
            "KEYWARD_LOG",
            "KEYWARD_CONFIG",
            "KEYWARD_ADMIN_SERVER",
            "KEYWARD_CHECK_SERVER",
            "KEYWARD_ADMIN_TOKEN",
            "KEYWARD_ADMIN_TOKEN_FILE",
            "KEYWARD_CONTEXT",
            "KEYWARD_TEST_TOOLS",
            "KEYWARD_BENCH_KEYS",
            "KEYWARD_SERVICE_HOST",
            "KEYWARD_PORT_50051_TCP_ADDR",
            "KEYWARD_CHECK_SERVICE_HOST",
            "KEYWARD_CHECK_PORT",
            "KEYWARE_LOG",
        ]),
        none
    );
}

#[test]
fn the_example_holds_every_setting_and_changes_nothing() {
    let example = example::example();
    assert!(example.lines().all(|line| line.len() <= 80), "{example}");
    let defaults = load(&Sources::default()).unwrap();
    let as_it_is = case(&example, &[], &[]).good();
    assert_eq!(
        format!("{:?}", as_it_is.serve),
        format!("{:?}", defaults.serve)
    );
    assert_eq!(as_it_is.effective, defaults.effective);

    let uncommented: Vec<_> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(line) if !line.is_empty() && !line.starts_with(' ') => line,
            Some(_) | None => line,
        })
        .collect();
    let told = case(&uncommented.join("\n"), &[], &[]);
    let gathered = gather(&told.sources, |_| true);
    assert_eq!(gathered.problems, []);
    for (set, default) in gathered.effective.iter().zip(&defaults.effective) {
        let in_file = matches!(set.origin, Origin::File { .. });
        assert!(in_file, "{} is not in the example", set.key);
        if let Some(default) = &default.value {
            assert_eq!(set.value, Some(default.clone()), "{}", set.key);
        }
    }
}

#[test]
fn names_in_the_table_are_told_apart() {
    for one in settings() {
        let same = |other: &&setting::Setting| other.key == one.key || other.flag == one.flag;
        assert_eq!(settings().filter(same).count(), 1, "{}", one.key);
        assert!(!one.meaning.ends_with('.'), "{}", one.key);
        assert!(one.default_given().is_none_or(|default| {
            one.read(&default, &mut Draft::default())
                .is_ok_and(|value| value != Value::Null)
        }));
    }
}

#[test]
fn the_http_listener_can_be_off_and_shares_no_address() {
    let off = case("", &[], &[("http-listen", "off")]).good();
    assert!(off.serve.http.is_none());
    // Its default counts, too.
    assert_eq!(
        flagged("check-listen", "127.0.0.1:8080"),
        "--check-listen is \"127.0.0.1:8080\", as is --http-listen: give each listener an address of its own"
    );
    assert_eq!(
        flagged("metrics-listen", "127.0.0.1:50052"),
        "--metrics-listen is \"127.0.0.1:50052\", as is --admin-listen: give each listener an address of its own"
    );
    let free = [("check-listen", "127.0.0.1:8080"), ("http-listen", "off")];
    case("", &[], &free).good();
    // Metrics carry no tokens; what gateways ask does.
    case("", &[], &[("metrics-listen", "0.0.0.0:9090")]).good();
    assert!(flagged("http-listen", "0.0.0.0:8080").contains("in clear"));
}
