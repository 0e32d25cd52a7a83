//! `keyward check`: where the header comes from, and the exit codes.

use std::fs;

use serde_json::{Value, json};

use super::{Shell, redacted};
use crate::support::run_with_input;

#[test]
fn check_takes_the_header_from_anywhere_and_tells_by_its_exit_code() {
    let shell = Shell::start();
    shell.run("workspaces create w --prefix klg", &[]);
    let token = shell
        .run(
            "keys create --workspace w --name n --principal p --token-only",
            &[],
        )
        .stdout;
    let token = String::from_utf8(token).unwrap();
    let token = token.trim_end();
    let bearer = format!("Bearer {token}");
    for (arguments, input, code) in [
        (&["-"][..], bearer.clone(), 0),
        (&["-"], format!("{token}\n"), 0),
        (&["-"], format!("{bearer}\r\n"), 0),
        (&["-"], format!("{bearer}\n\n"), 3),
        (&["-", "--scope", "a"], bearer.clone(), 3),
        (&["-"], String::new(), 3),
        (&["-"], "x".repeat(64 * 1024), 3),
        (&["-"], "x".repeat(64 * 1024 + 1), 2),
        (&[&bearer], String::new(), 0),
        (&["Bearer", token], String::new(), 0),
        (&["Bearer", token, "x"], String::new(), 3),
        (&[""], String::new(), 3),
        (&[], String::new(), 2),
        (&[&bearer, "--scope="], String::new(), 2),
        (&[&bearer, "--timeout", "soon"], String::new(), 2),
    ] {
        let output = run_with_input(shell.command("check").args(arguments), input.as_bytes());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{} and {} bytes",
            arguments.len(),
            input.len()
        );
        let verdict = ["ALLOWED\n", "DENIED: "][usize::from(code == 3)];
        assert_eq!(
            String::from_utf8(output.stdout)
                .unwrap()
                .starts_with(verdict),
            code != 2
        );
        // Nothing that was typed comes back in a complaint.
        assert!(!String::from_utf8(output.stderr).unwrap().contains(token));
    }
    let output = run_with_input(shell.command("check").arg("-"), b"\xff\xfe");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn check_judges_many_headers_line_by_line() {
    let shell = Shell::start();
    shell.run("workspaces create w --prefix klg", &[]);
    let create = "keys create --workspace w --name n --principal p --scope a --token-only";
    let token = String::from_utf8(shell.run(create, &[]).stdout).unwrap();
    let token = token.trim_end();
    let check = |arguments: &[&str], input: &str| {
        let output = run_with_input(shell.command("check").args(arguments), input.as_bytes());
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!told.contains(token));
        (
            redacted(&told, &shell.server.site),
            output.status.code().unwrap(),
        )
    };

    let input = format!("Bearer {token}\r\n\n{token},\n{token}");
    let told = "ALLOWED  p  w  key_ID\n\
                DENIED: MISSING (HTTP 401)\n\
                DENIED: MALFORMED (HTTP 401)\n\
                ALLOWED  p  w  key_ID\n";
    assert_eq!(check(&["--batch", "-"], &input), (told.to_owned(), 3));
    let file = shell.server.site.path().join("headers");
    fs::write(&file, &input).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(check(&["--batch", file], ""), (told.to_owned(), 3));

    // More than fit into one call.
    let many = format!("{token}\n").repeat(1_234);
    let (told, code) = check(&["--batch", "-", "--scope", "a"], &many);
    assert_eq!(code, 0);
    assert_eq!(told, "ALLOWED  p  w  key_ID\n".repeat(1_234));
    let (told, code) = check(&["--batch", "-", "--output", "json", "--scope", "b"], &many);
    assert_eq!((code, told.lines().count()), (3, 1_234));
    for line in told.lines() {
        let denied: Value = serde_json::from_str(line).unwrap();
        assert_eq!(denied["denied"]["missing_scopes"], json!(["b"]));
    }

    // No header at all is no list of which all were allowed.
    fs::write(shell.server.site.path().join("none"), "").unwrap();
    let none = shell.server.site.path().join("none");
    for file in ["-", none.to_str().unwrap()] {
        let (told, code) = check(&["--batch", file], "");
        assert_eq!(code, 2, "{told}");
        assert!(
            told.starts_with("error: there is nothing to check: "),
            "{told}"
        );
    }
    assert_eq!(check(&["--batch", "-"], "\n").1, 3);
    assert_eq!(check(&["--batch", "-", "Bearer x"], "").1, 2);
    let (told, code) = check(&["--batch", "/nonexistent/file"], "");
    assert_eq!(code, 2);
    assert!(told.contains("cannot read the headers from /nonexistent/file"));
    let away = ["--batch", "-", "--check-server", "127.0.0.1:1"];
    assert_eq!(check(&away, &input).1, 4);
}
