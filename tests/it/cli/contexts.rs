//! `keyward contexts`: names for servers, and what comes before what.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};

use super::{Shell, assert_same, mode, redacted};
use crate::support::{keyward, run};

/// The command, with contexts of its own and no variables.
fn command(shell: &Shell, line: &str) -> Command {
    let mut command = keyward();
    command
        .current_dir(shell.server.site.path())
        .args(line.split(' '))
        .env("XDG_CONFIG_HOME", shell.server.site.path().join("config"));
    command
}

fn typed(shell: &Shell, line: &str) -> (Option<i32>, String) {
    told(shell, &run(&mut command(shell, line)))
}

fn told(shell: &Shell, output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = redacted(std::str::from_utf8(&text).unwrap(), &shell.server.site);
    (output.status.code(), text)
}

#[test]
fn a_context_stands_for_all_flags_of_a_server() {
    let shell = Shell::start();
    let (admin, check) = (&shell.server.admin_address, &shell.server.check_address);
    let (code, text) = typed(
        &shell,
        &format!(
            "contexts set prod --admin-server {admin} --check-server {check} --admin-token-file admin.token"
        ),
    );
    assert_same(
        &text,
        "Context           prod\n\
         Admin server      http://127.0.0.1:PORT\n\
         Check server      http://127.0.0.1:PORT\n\
         Admin token file  DIR/admin.token\n\
         note: no context is the current one; `keyward contexts use prod` makes this one so\n",
    );
    assert_eq!(code, Some(0));
    let file = shell
        .server
        .site
        .path()
        .join("config/keyward/contexts.toml");
    assert_eq!(mode(&file), 0o600);
    let held = fs::read_to_string(&file).unwrap();
    assert!(!held.contains(&shell.server.site.admin_token()), "{held}");

    // By its name, by a variable, and as the current one.
    assert_eq!(typed(&shell, "keys list --context prod").1, "no keys\n");
    assert_eq!(typed(&shell, "check abc --context prod").0, Some(3));
    let output = run(command(&shell, "keys list").env("KEYWARD_CONTEXT", "prod"));
    assert_eq!(told(&shell, &output).1, "no keys\n");
    assert_eq!(typed(&shell, "keys list").0, Some(2), "there is no token");
    assert_eq!(typed(&shell, "contexts use prod").0, Some(0));
    assert_eq!(typed(&shell, "keys list").1, "no keys\n");

    // Flags and variables come before it, the flag first.
    let token = "--admin-token-file admin.token";
    let other = format!("keys list {token} --admin-server 127.0.0.1:1");
    let (code, text) = typed(&shell, &other);
    assert!(code == Some(4) && text.contains("127.0.0.1:PORT"), "{text}");
    let with = |line: &str, name: &str, value: &str| {
        let output = run(command(&shell, line).env(name, value));
        told(&shell, &output)
    };
    let line = format!("keys list {token}");
    assert_eq!(
        with(&line, "KEYWARD_ADMIN_SERVER", "127.0.0.1:1").0,
        Some(4)
    );
    let line = format!("keys list --admin-server {admin}");
    assert_eq!(
        with(&line, "KEYWARD_ADMIN_SERVER", "127.0.0.1:1").0,
        Some(0)
    );
    let (code, text) = with("keys list", "KEYWARD_ADMIN_TOKEN", "keyward_wrong");
    assert!(code == Some(1) && text.contains("is UNKNOWN"), "{text}");

    // Another place for the file.
    let other = shell.server.site.path().join("other.toml");
    let (code, text) = with(
        "contexts list",
        "KEYWARD_CONTEXTS_FILE",
        other.to_str().unwrap(),
    );
    assert_eq!((code, text.as_str()), (Some(0), "no contexts\n"));
}

/// A context's token opens the server that it names: whoever is at another
/// address, by a slip or by a variable that was left set, does not get it.
#[test]
fn what_a_context_has_goes_to_its_own_server_alone() {
    let shell = Shell::start();
    let admin = &shell.server.admin_address;
    for line in [
        "contexts set prod --admin-server https://keyward.internal:50052 --admin-token-file admin.token --ca-file ca.pem",
        "contexts set bare --admin-token-file admin.token",
        "contexts use prod",
    ] {
        assert_eq!(typed(&shell, line).0, Some(0), "{line}");
    }
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let address = format!("http://{}", stranger.local_addr().unwrap());
    let by_variable = |line: &str| {
        let output = run(command(&shell, line).env("KEYWARD_ADMIN_SERVER", &address));
        told(&shell, &output)
    };
    let by_flag = |line: &str| typed(&shell, &format!("{line} --admin-server {address}"));
    for (line, own) in [
        ("keys list", "https://keyward.internal:50052"),
        ("keys list --context prod", "https://keyward.internal:50052"),
        // It names none: the default is meant.
        ("keys list --context bare", "http://127.0.0.1:PORT"),
    ] {
        let (code, text) = by_variable(line);
        assert_eq!(code, Some(2), "{text}");
        let mut told = vec![by_flag(line)];
        if line.contains("--context") {
            assert!(text.contains("`unset KEYWARD_ADMIN_SERVER`"), "{text}");
        } else {
            told.push((code, text));
        }
        for (code, text) in told {
            assert_eq!(code, Some(2), "{text}");
            let why = format!(
                "The context's token is for {own} alone, and not sent to http://127.0.0.1:PORT."
            );
            assert!(text.contains(&why), "{text}");
            assert!(text.contains("--admin-token-file"), "{text}");
        }
    }
    assert!(stranger.accept().is_err(), "nobody called");
    // A token that is given for it goes there.
    let given = format!("keys list --admin-token-file admin.token --admin-server {admin}");
    assert_eq!(typed(&shell, &given).0, Some(0));
    // The same address is the same server, wherever it was read.
    let same = format!("contexts set prod --admin-server {admin}");
    assert_eq!(typed(&shell, &same).0, Some(0));
    let named = format!("keys list --admin-server {admin}");
    assert_eq!(typed(&shell, &named).0, Some(0));
    // What it trusts, and shows of itself, is of its own server too: this file
    // is not there.
    let (code, text) = typed(
        &shell,
        &format!(
            "check abc --timeout 1s --check-server {}",
            address.replace("http", "https")
        ),
    );
    assert_eq!(code, Some(4), "{text}");
    assert!(!text.contains("ca.pem"), "{text}");
    assert!(
        text.contains("What the context has for TLS is for http://127.0.0.1:PORT alone"),
        "{text}"
    );
}

#[test]
fn contexts_are_listed_changed_and_deleted() {
    let shell = Shell::start();
    typed(
        &shell,
        "contexts set prod --admin-server https://keyward.internal:50052 --ca-file ca.pem",
    );
    typed(
        &shell,
        "contexts set dev --check-server unix:/run/keyward.sock",
    );
    typed(&shell, "contexts use prod");
    let (_, text) = typed(&shell, "contexts list");
    assert_same(
        &text,
        "   CONTEXT  ADMIN SERVER                    CHECK SERVER\n   \
            dev                                      unix:/run/keyward.sock\n\
         *  prod     https://keyward.internal:50052\n",
    );
    typed(&shell, "contexts set prod --server-name keyward");
    let (_, text) = typed(&shell, "contexts show");
    assert_same(
        &text,
        "Context       prod\n\
         Admin server  https://keyward.internal:50052\n\
         CA file       DIR/ca.pem\n\
         Server name   keyward\n",
    );
    assert_eq!(
        typed(&shell, "contexts delete prod").1,
        "the context prod is deleted\n"
    );
    let missing = "error: there is no context prod\n  \
                   `keyward contexts list` shows those that there are; `set` makes one.\n";
    for line in [
        "contexts show prod",
        "contexts use prod",
        "contexts delete prod",
        "keys list --context prod",
        "check abc --context prod",
    ] {
        assert_eq!(typed(&shell, line), (Some(2), missing.to_owned()), "{line}");
    }
    assert_eq!(typed(&shell, "contexts show").0, Some(2));
}

#[test]
fn a_context_holds_no_token_and_no_nonsense() {
    let shell = Shell::start();
    let token = shell.server.site.admin_token();
    let (code, text) = typed(
        &shell,
        &format!("contexts set a --admin-token-file {token}"),
    );
    assert_eq!(code, Some(2));
    assert!(!text.contains(&token), "{text}");
    for line in [
        "contexts set a --admin-server nowhere",
        "contexts set a --client-cert cert.pem",
        "contexts set",
    ] {
        assert_eq!(typed(&shell, line).0, Some(2), "{line}");
    }
    let folder = shell.server.site.path().join("config/keyward");
    assert!(!folder.exists());
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("contexts.toml"),
        "[contexts.a]\nadmin_token = 'x'\n",
    )
    .unwrap();
    let (code, text) = typed(&shell, "keys list");
    assert_eq!(code, Some(2));
    assert!(
        text.contains("config/keyward/contexts.toml: unknown field"),
        "{text}"
    );
}

/// Whoever names a context means its token, and may have forgotten the
/// variable that an earlier page had him set.
#[test]
fn a_named_context_and_a_variable_with_another_token_are_at_odds() {
    let shell = Shell::start();
    let set = format!(
        "contexts set ada --admin-server {} --admin-token-file admin.token",
        shell.server.admin_address
    );
    assert_eq!(typed(&shell, &set).0, Some(0));
    let path = |name: &str| shell.server.site.path().join(name).display().to_string();
    let other = path("other.token");
    fs::write(&other, "keyward_other").unwrap();
    let with = |line: &str, name: &str, value: &str| {
        told(&shell, &run(command(&shell, line).env(name, value)))
    };
    for (name, value) in [
        ("KEYWARD_ADMIN_TOKEN_FILE", &*other),
        ("KEYWARD_ADMIN_TOKEN", "keyward_other"),
    ] {
        let (code, text) = with("keys list --context ada", name, value);
        assert_eq!(code, Some(2), "{text}");
        assert_eq!(
            text,
            format!(
                "error: the context ada and ${name} each name a token, and not the same\n  \
                 `unset {name}`, or leave out --context.\n"
            )
        );
    }
    // The same token, or one that a flag gives, is no contradiction.
    let own = path("admin.token");
    for (line, value) in [
        ("keys list --context ada", &own),
        (
            "keys list --context ada --admin-token-file admin.token",
            &other,
        ),
    ] {
        let (code, text) = with(line, "KEYWARD_ADMIN_TOKEN_FILE", value);
        assert_eq!(code, Some(0), "{text}");
    }
}
