//! Help, completions, manual pages, and lines that cannot be read.

use std::fs;

use super::{Shell, assert_same, commands};
use crate::support::{keyward, run, run_with_input};

#[test]
fn help_lists_the_exit_codes_and_a_bad_line_is_answered_with_2() {
    for (line, part) in [
        (
            "--help",
            "3  denied, with --batch at least one; for keys leaked: a token",
        ),
        ("serve --help", "68  the store is open in another process"),
        (
            "init --help",
            "73  there is a store, pepper or guard file already",
        ),
        ("check --help", "4  not known"),
        ("--version", concat!("keyward ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = run(keyward().args(line.split(' ')));
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(
            String::from_utf8(output.stdout).unwrap().contains(part),
            "{line}"
        );
    }
    for line in [
        "",
        "frobnicate",
        "keys",
        "keys create",
        "serve --check-thread 1",
        "serve --check-threads",
        "serve 127.0.0.1:50051",
    ] {
        let output = run(keyward().args(line.split(' ').filter(|word| !word.is_empty())));
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_usage_line_asks_for_nothing_that_a_variable_gives() {
    let shell = Shell::start();
    let output = shell.run("keys create --name n --principal p", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_same(
        &String::from_utf8(output.stderr).unwrap(),
        "error: the following required arguments were not provided:\n  \
           <--workspace <ID>|--personal>\n\n\
         Usage: keyward keys create [OPTIONS] --name <NAME> --principal <PRINCIPAL> <--workspace <ID>|--personal>\n\n\
         For more information, try '--help'.\n",
    );
}

#[test]
fn a_number_without_a_unit_is_told_which_it_could_have() {
    let output = run(keyward().args(["keys", "list", "--timeout", "5"]));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("its unit is missing: write `5s` for seconds"),
        "{told}"
    );
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(keyward().arg("man").arg(folder.path()));
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    for command in commands() {
        let name = format!("keyward-{}.1", command.replace(' ', "-"));
        let page = fs::read_to_string(folder.path().join(&name)).unwrap_or_default();
        let heading = format!("keyward\\-{}", command.replace([' ', '-'], "\\-"));
        assert!(
            page.contains(".SH OPTIONS") && page.contains(&heading),
            "{name}: {page}"
        );
    }
    let page = fs::read_to_string(folder.path().join("keyward-keys.1")).unwrap();
    assert!(page.contains("keyward\\-keys\\-revoke(1)"), "{page}");
    let output = run(keyward().arg("man"));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("keyward\\-workspaces(1)")
    );
    // The pages are for eyes, and a folder that cannot be made is told of.
    let output = run(keyward().args(["man", "/proc/nowhere"]));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn each_shell_completes_every_command() {
    let commands = commands();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(keyward().args(["completions", shell]));
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for command in &commands {
            let last = command.split(' ').next_back().unwrap();
            assert!(script.contains(last), "{shell}: {command}");
        }
        if shell == "bash" {
            let mut bash = std::process::Command::new("bash");
            let checked = run_with_input(bash.arg("-n"), script.as_bytes());
            assert!(
                checked.status.success() && checked.stderr.is_empty(),
                "{checked:?}"
            );
            let ask = "COMP_WORDS=(keyward keys rev); COMP_CWORD=2\n_keyward keyward rev keys\necho \"${COMPREPLY[@]}\"\n";
            let mut bash = std::process::Command::new("bash");
            let completed = run_with_input(&mut bash, format!("{script}\n{ask}").as_bytes());
            assert_eq!(String::from_utf8(completed.stdout).unwrap(), "revoke\n");
        }
    }
    assert_eq!(
        run(keyward().args(["completions", "tcsh"])).status.code(),
        Some(2)
    );
}
