//! Source addresses on the command line: made, checked from, and let free.

use std::fs;

use super::{Shell, assert_failed};

#[test]
fn a_key_is_confined_when_it_is_made_and_let_free_later() {
    let shell = Shell::start();
    shell.run("workspaces create w --prefix klg", &[]);
    let file = shell.server.site.path().join("key.token");
    let line = "keys create --workspace w --name n --principal p --output json \
                --source-address 10.0.0.0/8 --source-address ::1 --token-file";
    let id = shell.id(line, &[file.to_str().unwrap()], "key");
    let shown = shell.json(&format!("keys get {id}")).0;
    assert_eq!(
        shown["key"]["source_addresses"],
        serde_json::json!(["10.0.0.0/8", "::1/128"])
    );

    let token = fs::read_to_string(&file).unwrap();
    let codes = |flags: &str| {
        let one = shell.run(&format!("check {} {flags}", token.trim()), &[]);
        let many = shell.run(&format!("check --batch {} {flags}", file.display()), &[]);
        (one.status.code().unwrap(), many.status.code().unwrap())
    };
    for (flags, code) in [
        ("--source-address 10.1.2.3:443", 0),
        ("--source-address [::1]", 0),
        ("--source-address 11.1.2.3", 3),
        ("--source-address nonsense", 3),
        ("", 3),
        // A variable that was not set is no address.
        ("--source-address=", 2),
    ] {
        assert_eq!(codes(flags), (code, code), "{flags}");
    }
    // Under either name.
    for free in ["--no-source-addresses", "--clear-source-addresses"] {
        let confine = format!("keys update {id} --source-address 10.0.0.0/8");
        assert!(shell.run(&confine, &[]).status.success());
        assert_eq!(codes(""), (3, 3), "{free}");
        let output = shell.run(&format!("keys update {id} {free}"), &[]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(codes(""), (0, 0), "{free}");
    }
}

#[test]
fn what_is_no_range_is_told_with_its_flag() {
    let shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    let line = "keys create --workspace klipy --name n --principal p \
                --source-address 10.0.0.0/8 --source-address 10.0.0.1/8";
    let complaint = "error: not everything that was given is acceptable\n  \
        --source-address (source_addresses[1]): has bits set behind its first 8; if it is the range that is meant, write 10.0.0.0/8\n";
    assert_failed(&shell.run(line, &[]), 1, complaint, &shell);
}
