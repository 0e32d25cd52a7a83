//! What cannot be undone, or stops much at once, is asked about first.

use std::process::Command;

use super::terminal::Terminal;
use super::{Shell, assert_same, redacted};

impl Shell {
    /// Runs a line on a terminal, and answers its question.
    fn answer(&self, line: &str, answer: &str) -> (Option<i32>, String) {
        self.answer_after(line, answer, || ())
    }

    /// The same, when something happened while the question stood there.
    fn answer_after(
        &self,
        line: &str,
        answer: &str,
        meanwhile: impl FnOnce(),
    ) -> (Option<i32>, String) {
        let mut words = line.split(' ');
        let mut command: Command = self.command(words.next().unwrap());
        command.args(words);
        let mut terminal = Terminal::run(command);
        terminal.wait_for("[y/N] ", 1);
        meanwhile();
        terminal.type_in(answer);
        let (code, seen) = terminal.end();
        let told = redacted(&seen, &self.server.site);
        // The echo of what was typed.
        let echo = format!("[y/N] {answer}");
        (code, told.replacen(&echo, "[y/N] ", 1))
    }
}

fn klipy() -> Shell {
    let shell = Shell::start();
    shell.run(
        "workspaces create klipy --prefix klg --display-name",
        &["Klipy, Inc."],
    );
    shell
}

#[test]
fn without_a_terminal_and_without_a_yes_nothing_is_done() {
    let shell = klipy();
    let (key, admin) = (
        shell.key(&[]),
        shell.admin_key(&["--workspace", "klipy", "--role", "reader"]),
    );
    for (line, act) in [
        (format!("keys revoke {key}"), "revoke a key"),
        (format!("keys delete {key}"), "delete a key"),
        (format!("admins revoke {admin}"), "revoke an admin key"),
        (
            format!("admins rotate {admin} --overlap 0s"),
            "end the token of an admin key at once",
        ),
        (
            "workspaces disable klipy".to_owned(),
            "disable a whole workspace",
        ),
        ("workspaces delete klipy".to_owned(), "delete a workspace"),
        ("principals delete p".to_owned(), "delete a principal"),
        (
            format!("keys rotate {key} --overlap 0s"),
            "end the token of a key at once",
        ),
        (
            format!("keys finish-rotation {key}"),
            "end the old token of a key",
        ),
        (
            format!("keys cancel-rotation {key}"),
            "end the new token of a key",
        ),
    ] {
        let output = shell.run(&line, &[]);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        assert_same(
            &String::from_utf8(output.stderr).unwrap(),
            &format!(
                "error: to {act} has to be confirmed, and there is nobody to ask\n  If it is meant, say so with --yes.\n"
            ),
        );
    }
    let (keys, _) = shell.json("keys list --state active");
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    // What can be undone is not asked about.
    for line in [
        format!("keys disable {key}"),
        format!("keys enable {key}"),
        format!("admins rotate {admin}"),
        format!("keys rotate {key}"),
        "workspaces enable klipy".to_owned(),
    ] {
        assert!(shell.run(&line, &[]).status.success(), "{line}");
    }
}

/// What is shown of a key before it is rotated, and what comes of a no.
const A_ROTATION: &str = "\
Server     http://127.0.0.1:PORT
Key        key_ID
Name       n
Principal  p
Workspace  klipy
Hint       klg_…TAIL

It gets a new token beside the one that it has. The old one works for 7days from now on, or until the key expires; both may do the same.
Rotate this key? [y/N] error: nothing was done
";

#[test]
fn a_rotation_says_what_it_does_before_and_how_it_goes_on_after() {
    let shell = klipy();
    let key = shell.key(&[]);
    let rotate = format!("keys rotate {key} --overlap 7d");
    let (code, seen) = shell.answer(&rotate, "n\n");
    assert_eq!(code, Some(1), "{seen}");
    assert_same(&seen, A_ROTATION);
    let (code, seen) = shell.answer(&rotate, "y\n");
    assert_eq!(code, Some(0), "{seen}");
    for next in [
        "finish-rotation key_ID",
        "cancel-rotation key_ID",
        "klg_TOKEN",
    ] {
        assert!(seen.contains(next), "{seen}");
    }
    // What was agreed to was about the key as it was shown.
    let (code, seen) = shell.answer_after(&rotate, "y\n", || {
        shell.run("keys disable", &[&key]);
    });
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("has changed since it was read"), "{seen}");
    let (code, seen) = shell.answer(&format!("keys cancel-rotation {key}"), "y\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(
        seen.contains("The new token, klg_…TAIL, stops working at once"),
        "{seen}"
    );
    let output = shell.run(&format!("keys finish-rotation {key} --yes"), &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("none is being replaced") && told.contains("keys rotate"),
        "{told}"
    );
}

/// What is shown of a key before it is revoked, and how a no ends.
const A_NO: &str = "\
Server     http://127.0.0.1:PORT
Key        key_ID
Name       n
Principal  p
Workspace  klipy
Hint       klg_…TAIL

This is final: no check that starts from then on passes with it.
Revoke this key? [y/N] error: nothing was done
";

#[test]
fn on_a_terminal_it_is_said_what_will_happen_and_only_a_yes_does_it() {
    let shell = klipy();
    let key = shell.key(&[]);
    let revoke = format!("keys revoke {key}");
    for no in ["n\n", "\n", "what\n"] {
        let (code, seen) = shell.answer(&revoke, no);
        assert_eq!(code, Some(1), "{seen}");
        assert_same(&seen, A_NO);
    }
    assert_eq!(
        shell.json(&format!("keys get {key}")).0["key"]["state"],
        "ACTIVE"
    );
    let (code, seen) = shell.answer(&revoke, "y\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("State      REVOKED"), "{seen}");
}

#[test]
fn every_question_shows_what_it_is_about() {
    let shell = klipy();
    let (key, admin) = (
        shell.key(&[]),
        shell.admin_key(&["--workspace", "klipy", "--role", "reader"]),
    );
    for (line, shown, question) in [
        (
            format!("keys delete {key}"),
            "Name       n\n",
            "Its record goes for good: checks will call its token UNKNOWN, and only the audit log tells of it.\nDelete this key?",
        ),
        (
            format!("admins revoke {admin}"),
            "Role       READER\nActs in    workspace klipy\n",
            "whoever works with it can do nothing any more.\nRevoke this admin key?",
        ),
        (
            format!("admins rotate {admin} --overlap 0s"),
            "Role       READER\n",
            "stop working at once; only the new one will do.\nRotate this admin key?",
        ),
        (
            "workspaces disable klipy".to_owned(),
            "Display name  Klipy, Inc.\n",
            "All its keys stop to pass checks at once, until it is enabled again.\nDisable this workspace?",
        ),
        (
            "workspaces delete klipy".to_owned(),
            "Workspace     klipy\n",
            "only its audit log can still be read.\nDelete this workspace?",
        ),
        (
            "principals delete p".to_owned(),
            "Principal  p\n",
            "its id stays taken, and its memberships end.\nDelete this principal?",
        ),
    ] {
        let (code, seen) = shell.answer(&line, "no\n");
        assert_eq!(code, Some(1), "{seen}");
        assert!(seen.contains(shown) && seen.contains(question), "{seen}");
        assert!(seen.contains("Server "), "{seen}");
    }
    let (code, seen) = shell.answer("workspaces disable klipy", "yes\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("State         DISABLED\n"), "{seen}");
}

#[test]
fn a_yes_is_to_what_was_shown_and_to_nothing_else() {
    let shell = klipy();
    let disable = "workspaces disable klipy";
    let (code, seen) = shell.answer_after(disable, "y\n", || {
        let renamed = shell.run("workspaces update klipy --display-name other", &[]);
        assert!(renamed.status.success(), "{renamed:?}");
    });
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("changed"), "{seen}");
    let (klipy, _) = shell.json("workspaces get klipy");
    assert_eq!(klipy["workspace"]["disabled"], false);
    let (code, seen) = shell.answer(disable, "y\n");
    assert_eq!(code, Some(0), "{seen}");
}
