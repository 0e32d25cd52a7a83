//! The settings as their users meet them: `keyward config`, the example file
//! and the page that tells of them.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use keyward::config::setting::{Preset, Setting};
use keyward::config::table::settings;
use serde_json::Value;

use crate::pki::{Authority, replace};
use crate::support::{Server, Site, keyward, run};

const PAGE: &str = "docs/configuration.md";

#[test]
fn the_example_in_deploy_is_what_the_program_prints() {
    let output = run(keyward().args(["config", "example"]));
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        document("deploy/keyward.toml"),
        printed,
        "write it again: keyward config example > deploy/keyward.toml"
    );
    for setting in settings() {
        let line = format!("\n#{} = ", setting.leaf());
        assert!(printed.contains(&line), "{}", setting.key);
    }
    let mut command = keyward();
    command.args(["config", "check", "--config"]);
    command.arg(root().join("deploy/keyward.toml"));
    assert_eq!(told(&mut command), (Some(0), "good\n".to_owned()));
}

#[test]
fn the_page_has_every_setting_as_it_is() {
    let page = document(PAGE);
    let (_, table) = page.split_once("\n## All settings\n").unwrap();
    let rows: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("| `") && !line.starts_with("| `--"))
        .collect();
    let expected: Vec<_> = settings().map(row).collect();
    assert_eq!(rows, expected, "\n{}", expected.join("\n"));
}

/// A setting's row of the page.
fn row(setting: &Setting) -> String {
    let default = match setting.preset {
        Preset::Is(value) => format!("`{value}`"),
        Preset::Absent { told, .. } => told.to_owned(),
    };
    let cells = [
        format!("`{}`", setting.key),
        format!("`--{}`", setting.flag),
        format!("`{}`", setting.variable()),
        default,
        setting.meaning.to_owned(),
    ];
    format!("| {} |", cells.join(" | ")).replace("  ", " ")
}

#[test]
fn the_page_shows_what_check_says() {
    let page = document(PAGE);
    let between = |start: &str, end: &str| {
        let (_, rest) = page.split_once(start).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("keyward.toml"),
        between("```toml\n", "```"),
    )
    .unwrap();
    let shown = between(
        "$ KEYWARD_LOG_FORMAT=xml keyward config check --config keyward.toml --admin-listen 0.0.0.0:50052\n",
        "```",
    );
    let mut command = keyward();
    command
        .current_dir(folder.path())
        .env("KEYWARD_LOG_FORMAT", "xml")
        .args(["config", "check", "--config", "keyward.toml"])
        .args(["--admin-listen", "0.0.0.0:50052"]);
    let (code, said) = told(&mut command);
    assert_eq!(code, Some(64));
    assert_eq!(shown, said, "\n{said}");
    // A start says the same, but for what it finds by itself later.
    command = keyward();
    command
        .current_dir(folder.path())
        .env("KEYWARD_LOG_FORMAT", "xml")
        .args(["serve", "--config", "keyward.toml"])
        .args(["--admin-listen", "0.0.0.0:50052"]);
    let (code, at_start) = told(&mut command);
    assert_eq!(code, Some(64));
    let known: Vec<_> = said
        .lines()
        .skip(1)
        .filter(|line| !line.contains("cannot be read"))
        .collect();
    assert_eq!(at_start.lines().skip(1).collect::<Vec<_>>(), known);
}

#[test]
fn one_problem_is_one_line_and_a_variable_that_is_none_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.toml");
    fs::write(&file, "\n[log]\n  filter = 5\n").unwrap();
    let mut command = keyward();
    command.current_dir(folder.path());
    command.args(["config", "check", "--config", "k.toml"]);
    let expected = "error: k.toml:3:12: log.filter is the number 5; give a level, or something like \
                    \"info,keyward::store=debug\", in quotes\n";
    assert_eq!(told(&mut command), (Some(64), expected.to_owned()));

    fs::write(&file, "").unwrap();
    command.env("KEYWARD_CHECK_LISEN", "127.0.0.1:1");
    command.env("KEYWARD_SERVICE_HOST", "10.0.0.1");
    let warning = "warning: $KEYWARD_CHECK_LISEN is no setting and has no effect; did you mean $KEYWARD_CHECK_LISTEN?\n";
    assert_eq!(told(&mut command), (Some(0), format!("{warning}good\n")));

    command.args(["--config", "elsewhere.toml"]);
    assert_eq!(told(&mut command).0, Some(2), "--config twice");
}

#[test]
fn a_file_that_cannot_be_read_is_told_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.crt"), "").unwrap();
    let mut command = keyward();
    command.args(["config", "check", "--check-tls-certificate"]);
    command.arg(path("a.crt")).arg("--check-tls-key");
    command
        .arg(folder.path())
        .args(["--check-tls-client-certificate", "required"]);
    command.env("KEYWARD_CHECK_TLS_CLIENT_CA", path("gone.crt"));
    let (code, said) = told(&mut command);
    assert_eq!(code, Some(64));
    let expected = format!(
        "error: the settings have 2 problems:\n  \
         $KEYWARD_CHECK_TLS_CLIENT_CA names {:?}, which cannot be read: No such file or directory (os error 2)\n  \
         --check-tls-key names {:?}, which cannot be read: Is a directory (os error 21)\n",
        path("gone.crt"),
        folder.path()
    );
    assert_eq!(said, expected);
}

#[test]
fn tls_files_that_cannot_be_used_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        replace(&path, text);
        path.display().to_string()
    };
    let (one, other) = (Authority::new("a").issue(), Authority::new("b").issue());
    let certificate = file("tls.crt", &one.certificate);
    let key = file("tls.key", &one.key);
    let foreign = file("foreign.key", &other.key);
    let empty = file("empty.pem", "");
    let good_ca = file("clients.crt", &Authority::new("clients").pem);
    let check = |files: [[&str; 3]; 2]| {
        let mut command = keyward();
        command.args(["config", "check"]);
        for (listener, [certificate, key, ca]) in ["check", "admin"].into_iter().zip(files) {
            let given = [
                ("certificate", certificate),
                ("key", key),
                ("client-ca", ca),
                ("client-certificate", "required"),
            ];
            for (name, value) in given {
                command.args([&format!("--{listener}-tls-{name}"), value]);
            }
        }
        told(&mut command)
    };
    let good = [&*certificate, &*key, &*good_ca];
    assert_eq!(check([good, good]), (Some(0), "good\n".to_owned()));

    let mismatch = format!(
        "the TLS key {foreign} is not the one of the certificate {certificate}: \
         put both files of one pair there"
    );
    let no_certificate = |path: &str| {
        format!("the TLS file {path} cannot be used: there is no certificate in it, as PEM")
    };
    let no_key = format!(
        "the TLS file {certificate} cannot be used: \
         there is no private key in it, as PEM and without a passphrase"
    );
    let bad = [&*certificate, &*foreign, &*empty];
    let unusable_ca = no_certificate(&empty);
    assert_eq!(
        check([bad, bad]),
        (
            Some(64),
            format!(
                "error: the settings have 4 problems:\n  \
                 the check listener: {mismatch}\n  \
                 the check listener: {unusable_ca}\n  \
                 the admin listener: {mismatch}\n  \
                 the admin listener: {unusable_ca}\n"
            )
        )
    );
    // What is no pair at all; and one problem is one line.
    let (code, said) = check([[&key, &certificate, &empty], good]);
    let no_chain = no_certificate(&key);
    let expected = format!(
        "error: the settings have 3 problems:\n  \
         the check listener: {no_chain}\n  \
         the check listener: {no_key}\n  \
         the check listener: {unusable_ca}\n"
    );
    assert_eq!((code, said), (Some(64), expected));
    let (code, said) = check([good, [&certificate, &foreign, &good_ca]]);
    let expected = format!("error: the admin listener: {mismatch}\n");
    assert_eq!((code, said), (Some(64), expected));
}

/// What a server would warn of at its start, whoever looks before that is.
#[test]
fn tls_files_that_serve_would_warn_of_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let old = Authority::new("a").issue_with(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2024, 2, 3);
    });
    replace(&path("tls.crt"), &old.certificate);
    replace(&path("tls.key"), &old.key);
    let mut command = keyward();
    command.args(["config", "check"]);
    for listener in ["check", "admin"] {
        command.arg(format!("--{listener}-tls-certificate"));
        command.arg(path("tls.crt"));
        command.arg(format!("--{listener}-tls-key"));
        command.arg(path("tls.key"));
    }
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let expired = |listener: &str| {
        format!(
            "warning: {listener} listener: the TLS certificate {} has expired at 2024-02-03T00:00:00Z: replace it\n",
            certificate.display()
        )
    };
    let open = |listener: &str| {
        format!(
            "warning: {listener} listener: every user of this machine can read the TLS key {}: chmod 640\n",
            key.display()
        )
    };
    let said = format!("{}{}good\n", expired("check"), expired("admin"));
    assert_eq!(told(&mut command), (Some(0), said));
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let said = [
        expired("check"),
        open("check"),
        expired("admin"),
        open("admin"),
    ]
    .concat();
    assert_eq!(told(&mut command), (Some(0), format!("{said}good\n")));
}

#[test]
fn a_token_in_the_place_of_a_setting_is_not_told() {
    const TOKEN: &str = "klg_live_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13kbUxd";
    for flag in ["--check-threads", "--log", "--config", "--check-listen"] {
        let mut command = keyward();
        command.args(["config", "check", flag, TOKEN]);
        command.env("KEYWARD_DRAIN_TIMEOUT", TOKEN);
        let (code, said) = told(&mut command);
        assert_eq!(code, Some(64), "{said}");
        assert!(
            !said.contains("yhjskwd") && said.contains("(a token)"),
            "{said}"
        );
    }
    for form in ["toml", "json"] {
        let mut command = keyward();
        command.args(["config", "show", "--output", form, "--data-dir", TOKEN]);
        let (code, said) = told(&mut command);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            !said.contains("yhjskwd") && said.contains("(a token)"),
            "{said}"
        );
    }
}

#[test]
fn show_tells_each_setting_with_where_it_came_from_and_can_be_used_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("k.toml"),
        "[store]\ndata_dir = \"d \\u001b \\\" \\u007f ä\"\n[server]\nreflection = false\n",
    )
    .unwrap();
    let show = |file: &str, form: &str| {
        let mut command = keyward();
        command.env_remove("KEYWARD_HTTP_LISTEN");
        command
            .current_dir(folder.path())
            .env("KEYWARD_CONFIG", file);
        command.args(["config", "show", "--output", form]);
        command
    };
    let given = |mut command: Command| {
        command.args(["--log", "debug", "--check-threads", "3"]);
        command.env("KEYWARD_CHECK_MAX_CALLS", "500");
        let output = run(&mut command);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let toml = given(show("k.toml", "toml"));
    for line in [
        r#"data_dir = "d \u001b \" \u007f ä"  # k.toml:2:12"#,
        "# guard_dir: `guard` in the data folder",
        "threads = 3  # --check-threads",
        "# certificate: none",
        "max_calls = 500  # $KEYWARD_CHECK_MAX_CALLS",
        "reflection = false  # k.toml:4:14",
        r#"drain_timeout = "10s"  # default"#,
        r#"filter = "debug"  # --log"#,
    ] {
        assert!(toml.lines().any(|shown| shown == line), "{line}\n{toml}");
    }

    let json: Value = serde_json::from_str(&given(show("k.toml", "json"))).unwrap();
    assert_eq!(json.as_object().unwrap().len(), settings().count());
    for (key, expected) in [
        (
            "server.drain_timeout",
            r#"{"value":"10s","from":"default"}"#,
        ),
        ("store.guard_dir", r#"{"value":null,"from":"default"}"#),
        (
            "check.threads",
            r#"{"value":3,"from":"flag","flag":"--check-threads"}"#,
        ),
        (
            "check.limits.max_calls",
            r#"{"value":500,"from":"variable","variable":"KEYWARD_CHECK_MAX_CALLS"}"#,
        ),
        (
            "server.reflection",
            r#"{"value":false,"from":"file","file":"k.toml","line":4,"column":14}"#,
        ),
    ] {
        assert_eq!(json[key], serde_json::from_str::<Value>(expected).unwrap());
    }

    // The same values, all of them from the file now.
    fs::write(folder.path().join("shown.toml"), &toml).unwrap();
    let again = run(&mut show("shown.toml", "json"));
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    for (key, about) in json.as_object().unwrap() {
        assert_eq!(again[key]["value"], about["value"], "{key}");
        let from = if about["value"].is_null() {
            "default"
        } else {
            "file"
        };
        assert_eq!(again[key]["from"], from, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_and_serve_go_by_the_file() {
    let site = Site::init();
    let made = site.path().join("made");
    let file = site.path().join("keyward.toml");
    let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
    // What is wrong with a listener does not keep a store from being made.
    let text = format!(
        "[store]\ndata_dir = {}\nguard_dir = {}\n[check]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"10.0.0.1:0\"\n\
         [log]\nformat = \"json\"\n",
        quoted(&made),
        quoted(&site.path().join("apart")),
    );
    fs::write(&file, &text).unwrap();
    let mut init = keyward();
    init.args(["init", "--config"]).arg(&file);
    init.arg("--admin-token-file")
        .arg(site.path().join("second.token"));
    let output = run(&mut init);
    assert!(output.status.success(), "{output:?}");
    assert!(made.join("store").is_dir());
    assert!(site.path().join("apart/pepper").is_file());

    let mut serve = keyward();
    serve.arg("serve").env("KEYWARD_CONFIG", &file);
    serve.env("KEYWARD_ADMIN_LISTEN", "127.0.0.1:0");
    serve.env("KEYWARD_DRAIN_TIMOUT", "1s");
    let server = Server::spawn(site.clone(), serve).unwrap();
    let token = fs::read_to_string(site.path().join("second.token")).unwrap();
    let mut owner = crate::support::admin_client(&server.admin_address, token.trim()).await;
    owner.workspace("w", "klg", &[]).await;
    let log = server.log();
    assert!(
        log.contains("did you mean $KEYWARD_DRAIN_TIMEOUT?") && log.contains("\"level\":\"WARN\""),
        "{log}"
    );

    // Names that are none are told by init, too.
    fs::write(&file, text.replace("guard_dir", "gard_dir")).unwrap();
    let (code, said) = told(&mut init);
    assert_eq!(code, Some(64));
    assert!(
        said.ends_with(":3:1: unknown key `gard_dir` in [store]; did you mean `guard_dir`?\n"),
        "{said}"
    );
}

/// The exit code, and all that was said.
fn told(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = run(command);
    let said = [stderr, stdout].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
