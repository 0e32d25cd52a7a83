//! Files of routes, as operators meet them: what is told of a mistake, when, and
//! which rule a request would have.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Server, Site, keyward, run};

const PAGE: &str = "docs/routes.md";
const EXAMPLE: &str = "deploy/routes.toml";

/// The program, where the project's files are.
fn routes(arguments: &[&str]) -> Command {
    let mut command = keyward();
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.arg("routes").args(arguments);
    command
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The words of a line of a shell, some of which are in quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn the_page_shows_what_the_program_says() {
    let page = document(PAGE);
    let mut shown = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for session in format!("\n{block}").split("\n$ keyward routes ").skip(1) {
            let (line, expected) = session.split_once('\n').unwrap();
            let words = words(line);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let output = run(&mut routes(&words));
            assert_eq!(stdout(&output).trim_end(), expected.trim_end(), "{line}");
            let denied = expected.starts_with("NO ROUTE");
            let code = if denied { 3 } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{line}");
            shown += 1;
        }
    }
    assert!(shown > 5, "{shown}");
}

#[test]
fn the_page_has_the_example_as_it_is() {
    let bare = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let page = document(PAGE);
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    assert_eq!(bare(shown), bare(&document(EXAMPLE)));
    // Each key that there is has its row.
    for name in keyward::domain::policy::names() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases is as long as there are cases"
)]
fn a_request_is_read_as_people_write_it() {
    let test = |arguments: &[&str]| {
        let arguments: Vec<_> = ["test", EXAMPLE].iter().chain(arguments).copied().collect();
        run(&mut routes(&arguments))
    };
    for (arguments, code, expected) in [
        (&["GET https://h:8443/v1/customers"][..], 0, "line 27"),
        (&["GET /v1/customers?x", "--host", "h"], 0, "line 27"),
        (&["  DELETE   http://H/v1/customers/7/ "], 0, "line 42"),
        (&["GET https://a.sandbox.example.com"], 0, "Workspace    a"),
        (
            &["GET https://a.sandbox.example.com/v1/customers/7"],
            0,
            "Environment  test",
        ),
        (&["GET /v1/customers"], 3, "give it with --host"),
        (&["GET https://u@h/healthz"], 3, "its host is refused"),
        (
            &["GET https://h/V1/customers"],
            3,
            "but for capital letters",
        ),
        (
            &["get https://h/healthz"],
            3,
            "its method is not of capital letters",
        ),
        (&["GET https://h/healthz#x"], 3, "its path is refused"),
        (
            &[
                "OPTIONS https://h/v1/customers",
                "--header",
                "Origin=x",
                "--header",
                "Access-Control-Request-Method=POST",
            ],
            0,
            "PUBLIC PREFLIGHT",
        ),
        (
            &[
                "OPTIONS https://h/v1/customers/import",
                "--header",
                "Origin=x",
                "--header",
                "Access-Control-Request-Method=POST",
            ],
            0,
            "A credential is needed",
        ),
        (
            &[
                "OPTIONS https://h/v1/customers",
                "--header",
                "Access-Control-Request-Method=POST",
            ],
            0,
            "A credential is needed",
        ),
    ] {
        let output = test(arguments);
        let told = stdout(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
    for arguments in [
        &["GET"][..],
        &["/v1"],
        &["GET /a /b"],
        &["GET https://h/x", "--host", "h"],
        &["GET /x", "--header", "x"],
    ] {
        assert_eq!(test(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = test(&["GET https://h/v1/customers", "--output", "json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["outcome"], "policy");
    assert_eq!(told["route"]["line"], 27);
    assert_eq!(told["route"]["limits"][0], "read");
    let output = test(&["GET https://h/nothing", "--output", "yaml"]);
    assert!(stdout(&output).contains("outcome: no_route"));
}

/// A mistake is told by the check, by `config check` and at the start, in the same
/// words, and nothing is served.
#[test]
fn a_file_that_is_wrong_is_told_before_anything_is_served() {
    let site = Site::init();
    let file = site.path().join("routes.toml");
    let name = file.display().to_string();
    fs::write(
        &file,
        "[[route]]\nmatch = \"get /a\"\n\n[[route]]\nmatch = \"GET /b\"\nscope = \"x\"\n",
    )
    .unwrap();
    let expected = [
        format!("{name}:2:9: match has the method `get`: write `GET`"),
        format!("{name}:6:1: unknown key `scope`; did you mean `required_scopes`?"),
    ];
    let by_itself = run(&mut routes(&["check", &name]));
    assert_eq!(by_itself.status.code(), Some(2));
    let by_config = run(keyward().args(["config", "check", "--routes", &name]));
    assert_eq!(by_config.status.code(), Some(64));
    let at_start = run(site.serve_command().args(["--routes", &name]));
    assert_eq!(at_start.status.code(), Some(64));
    for output in [by_itself, by_config, at_start] {
        for sentence in &expected {
            assert!(stderr(&output).contains(sentence), "{output:?}");
        }
    }
    let missing = site.path().join("none.toml").display().to_string();
    let output = run(site.serve_command().args(["--routes", &missing]));
    assert_eq!(output.status.code(), Some(64));
    let told = stderr(&output);
    assert!(
        told.contains("--routes names") && told.contains("cannot be read"),
        "{told}"
    );
}

#[test]
fn the_example_in_deploy_is_served() {
    let site = Site::init();
    let mut command = site.serve_command();
    command.arg("--routes");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE));
    let server = Server::spawn(site, command).unwrap();
    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
}
