//! Servers that cannot be reached, and tokens that are none.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::{Shell, assert_failed, assert_same, redacted};
use crate::support::{keyward, mistyped, run};

#[test]
fn without_a_good_admin_token_nothing_is_done() {
    let shell = Shell::start();
    let note = "\
        error: an admin token is needed, and there is none\n  \
        Name the file that holds it with --admin-token-file or $KEYWARD_ADMIN_TOKEN_FILE, or put it into $KEYWARD_ADMIN_TOKEN, or name a context with --context.\n  \
        `keyward init` makes the first.\n";
    let invalid = |denial: &str| {
        format!(
            "error: a valid admin token is needed: send it as `authorization: Bearer <token>`\n  \
             The one in $KEYWARD_ADMIN_TOKEN is {denial}.\n  \
             It must be an admin key's, as `keyward init` makes; API keys are no admins.\n"
        )
    };
    let unknown = || {
        let server = &shell.server.admin_address;
        let told = invalid("UNKNOWN");
        format!(
            "{told}  It may be another store's: perhaps the server at {server} is not the one that you mean.\n"
        )
    };
    let unfit = "\
        error: what is given as the admin token is not one token\n  \
        The file or variable must hold the token and nothing else.\n";
    let good = shell.server.site.admin_token();
    let typo = mistyped(&good);
    for (token, code, complaint) in [
        (None, 2, note.to_owned()),
        (Some(" \n"), 2, note.to_owned()),
        (Some("two words"), 2, unfit.to_owned()),
        (Some("nonsense"), 1, unknown()),
        (Some(&*typo), 1, unknown()),
        (Some("a,b"), 1, invalid("MALFORMED")),
        (Some(&*good), 0, "no keys\n".to_owned()),
    ] {
        let mut command = shell.command("keys");
        command.arg("list").env_remove("KEYWARD_ADMIN_TOKEN_FILE");
        command.envs(token.map(|token| ("KEYWARD_ADMIN_TOKEN", token)));
        let output = run(&mut command);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(code), &b""[..])
        );
        assert_same(&String::from_utf8(output.stderr).unwrap(), &complaint);
    }
    // A file that is not there; and one that others can read, which is said.
    let output =
        run(shell
            .command("keys")
            .args(["list", "--admin-token-file", "/nonexistent/token"]));
    let expected = "error: cannot read the admin token in /nonexistent/token: No such file or directory (os error 2)\n";
    assert_eq!(
        (
            output.status.code(),
            &*String::from_utf8(output.stderr).unwrap()
        ),
        (Some(2), expected)
    );
    let open = shell.server.site.token_file();
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let output = run(shell.command("keys").arg("list"));
    assert_eq!(output.status.code(), Some(0));
    let warned = redacted(
        &String::from_utf8(output.stderr).unwrap(),
        &shell.server.site,
    );
    assert_same(
        &warned,
        "warning: other users can read the admin token: `chmod 600 DIR/admin.token`\nno keys\n",
    );
}

#[test]
fn a_server_that_cannot_be_reached_is_told_from_a_denial() {
    let shell = Shell::start();
    let (check, admin) = (
        shell.server.check_address.clone(),
        shell.server.admin_address.clone(),
    );
    // The listeners mixed up.
    let output = run(shell
        .command("keys")
        .args(["list", "--admin-server", &check]));
    let expected = "\
        error: http://127.0.0.1:PORT does not serve this call\n  \
        keyward has a listener for checks and one for admin calls: name the right one with --admin-server.\n";
    assert_failed(&output, 1, expected, &shell);
    let output = run(shell.command("check").args(["x", "--check-server", &admin]));
    let expected = "\
        error: http://127.0.0.1:PORT does not serve this call\n  \
        keyward has a listener for checks and one for admin calls: name the right one with --check-server.\n  \
        That is no verdict.\n";
    assert_failed(&output, 4, expected, &shell);

    // One that takes the call and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    for (line, flag) in [
        (&["keys", "list"][..], "--admin-server"),
        (
            &[
                "keys",
                "create",
                "--workspace",
                "w",
                "--name",
                "n",
                "--principal",
                "p",
            ],
            "--admin-server",
        ),
        (&["check", "x"], "--check-server"),
    ] {
        let output = run(shell.command(line[0]).args(&line[1..]).args([
            flag,
            &silent,
            "--timeout",
            "200ms",
        ]));
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(output.stdout.is_empty());
    }

    // None at all.
    let Shell { server, .. } = shell;
    let site = server.site.clone();
    server.stop();
    for (line, flag, address) in [
        (&["keys", "list"][..], "--admin-server", &admin),
        (&["check", "x"], "--check-server", &check),
    ] {
        let output = run(keyward()
            .args(line)
            .args([flag, address])
            .env("KEYWARD_ADMIN_TOKEN_FILE", site.token_file()));
        let expected = format!(
            "error: cannot reach a keyward server at http://127.0.0.1:PORT: Connection refused (os error 111)\n  \
             Is it running? Start it with `keyward serve`, or name the server with {flag}.\n"
        );
        assert_eq!((output.status.code(), &*output.stdout), (Some(4), &b""[..]));
        assert_same(
            &redacted(&String::from_utf8(output.stderr).unwrap(), &site),
            &expected,
        );
    }
    for address in [
        "https://127.0.0.1",
        "127.0.0.1",
        "ftp://a:1",
        "unix:",
        "http://a:1/path",
    ] {
        let output = run(keyward().args(["check", "x", "--check-server", address]));
        assert_eq!(output.status.code(), Some(2), "{address}");
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("--check-server"),
            "{address}"
        );
    }
}

/// `0.0.0.0` is no loopback address, and yet this machine: whatever is sent
/// there arrives.
#[test]
fn no_token_crosses_a_network_in_clear() {
    let shell = Shell::start();
    let elsewhere = |address: &str| address.replace("127.0.0.1", "0.0.0.0");
    let check = elsewhere(&shell.server.check_address);
    let admin = elsewhere(&shell.server.admin_address);
    let list = ["keys", "list", "--admin-server", &admin];
    let ask = ["check", "abc", "--check-server", &check];
    for line in [list, ask] {
        let output = run(shell.command(line[0]).args(&line[1..]));
        let expected = format!(
            "error: {} is not on this machine, and tokens would cross the network in clear: nothing was sent\n  \
             Name it with `https://`, or reach it through a tunnel that ends on this machine; if a mesh or a tunnel encrypts this already, say so with --encrypted-elsewhere.\n",
            line.last().unwrap()
        );
        assert_failed(&output, 2, &expected, &shell);
    }
    for (line, reached) in [(list, 0), (ask, 3)] {
        let code = |flags: &[&str], variable: &str| {
            let mut command = shell.command(line[0]);
            command.args(&line[1..]).args(flags);
            command.env("KEYWARD_ENCRYPTED_ELSEWHERE", variable);
            run(&mut command).status.code()
        };
        assert_eq!(code(&[], "true"), Some(reached));
        assert_eq!(code(&["--encrypted-elsewhere"], "false"), Some(reached));
        assert_eq!(code(&["--encrypted-elsewhere=false"], "true"), Some(2));
        assert_eq!(code(&[], "false"), Some(2));
    }
    // Without a scheme, another machine is spoken to in TLS.
    let bare = admin.trim_start_matches("http://");
    let output = run(shell.command("keys").args(["list", "--admin-server", bare]));
    assert_eq!(output.status.code(), Some(4));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("https://{bare}")), "{told}");
    // It hangs up, and what is heard of that varies.
    assert!(told.contains("`http://`"), "{told}");

    // A context can say it, for its own servers.
    let contexts = shell.server.site.path().join("contexts.toml");
    let typed = |line: &str| {
        let mut command = keyward();
        command
            .args(line.split(' '))
            .env("KEYWARD_CONTEXTS_FILE", &contexts)
            .env("KEYWARD_ADMIN_TOKEN_FILE", shell.server.site.token_file());
        run(&mut command).status.code()
    };
    let set = format!("contexts set mesh --admin-server {admin}");
    assert_eq!(typed(&set), Some(0));
    assert_eq!(typed("keys list --context mesh"), Some(2));
    let set = "contexts set mesh --encrypted-elsewhere";
    assert_eq!(typed(set), Some(0));
    assert_eq!(typed("keys list --context mesh"), Some(0));
    let no = "keys list --context mesh --encrypted-elsewhere=false";
    assert_eq!(typed(no), Some(2));
}
