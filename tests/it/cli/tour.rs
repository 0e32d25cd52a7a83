//! From nothing to a denied key: the tour, and the documents that show it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Shell, assert_same, redacted, redacted_word};
use crate::support::{Server, Site, keyward, run_with_input};

/// From nothing to a denied key, as the README shows it.
const TOUR: &str = r#"
$ keyward workspaces create kling --prefix klg --environment live --environment test --display-name Kling, Inc.
Workspace     kling
Display name  Kling, Inc.
Token prefix  klg
Environments  live test
Default       live
Created       TIME by adm_ID
$ keyward workspaces create klipy --prefix klipy_api
Workspace     klipy
Token prefix  klipy_api
Created       TIME by adm_ID
$ keyward workspaces get klipy
Workspace     klipy
Token prefix  klipy_api
Created       TIME by adm_ID
$ keyward keys create --workspace kling --name CRM sync --principal user:ada --scope read:customers write:forms --scope read:flows --metadata plan=free --description syncs --expires 2099-01-01
Key          key_ID
State        ACTIVE
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z

The token, which is shown this once and cannot be had again:

klg_live_TOKEN
$ keyward keys create --workspace klipy --name Zapier --principal service:zapier --scope ALL --token-only
klipy_api_TOKEN
$ keyward check Bearer klg_live_TOKEN --scope read:customers read:flows|nothing:else
ALLOWED

Principal    user:ada
Workspace    kling
Environment  live
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Key          key_ID
Name         CRM sync
Expires      2099-01-01T00:00:00Z
$ keyward check klg_live_TOKEN --scope write:flows --scope read:customers --scope write:forms|write:flows a:b
DENIED: INSUFFICIENT_SCOPE (HTTP 403)
The key works, but lacks what was required.

Missing  write:flows a:b
Key      key_ID
Hint     klg_live_…TAIL
[3]
$ keyward check klg_live_TOKEN --environment test
DENIED: ENVIRONMENT (HTTP 403)
The key is of another environment than was asked for. Without --environment, the workspace's default is meant.

Key   key_ID
Hint  klg_live_…TAIL
[3]
$ keyward check klg_live_TOKEN --workspace klipy
DENIED: UNKNOWN (HTTP 401)
No key has this token: it is mistyped, was never issued here, is an admin's, or its key is of another workspace.
[3]
$ keyward keys list
KEY                             STATE   NAME      PRINCIPAL       WORKSPACE  HINT             SCOPES                                 EXPIRES
key_ID  ACTIVE  CRM sync  user:ada        kling      klg_live_…TAIL   read:customers read:flows write:forms  2099-01-01T00:00:00Z
key_ID  ACTIVE  Zapier    service:zapier  klipy      klipy_api_…TAIL  *                                      never
$ keyward keys revoke key_ID --reason leaked --yes
Key          key_ID
State        REVOKED
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z
Revoked      TIME by adm_ID
Reason       LEAKED
$ keyward check Bearer klg_live_TOKEN
DENIED: REVOKED (HTTP 401)
The key was revoked, which is final. `keyward keys create` issues another.

Key   key_ID
Hint  klg_live_…TAIL
[3]
$ keyward keys list --workspace kling
KEY                             STATE    NAME      PRINCIPAL  WORKSPACE  HINT            SCOPES                                 EXPIRES
key_ID  REVOKED  CRM sync  user:ada   kling      klg_live_…TAIL  read:customers read:flows write:forms  2099-01-01T00:00:00Z
$ keyward keys revoke key_ID --yes
Key          key_ID
State        REVOKED
Name         CRM sync
Description  syncs
Workspace    kling
Environment  live
Principal    user:ada
Scopes       read:customers read:flows write:forms
Metadata     plan=free
Hint         klg_live_…TAIL
Created      TIME by adm_ID
Expires      2099-01-01T00:00:00Z
Revoked      TIME by adm_ID
Reason       LEAKED
note: it was revoked before, with the reason LEAKED, which stays
"#;

#[test]
fn the_tour_from_a_new_workspace_to_a_denied_key() {
    let mut shell = Shell::start();
    shell.type_in(
        "workspaces create kling --prefix klg --environment live --environment test",
        &["--display-name", "Kling, Inc."],
    );
    shell.type_in("workspaces create klipy --prefix klipy_api", &[]);
    shell.type_in("workspaces get klipy", &[]);
    let created = shell.type_in(
        "keys create --workspace kling --name",
        &[
            "CRM sync",
            "--principal",
            "user:ada",
            "--scope",
            "read:customers write:forms",
            "--scope",
            "read:flows",
            "--metadata",
            "plan=free",
            "--description",
            "syncs",
            "--expires",
            "2099-01-01",
        ],
    );
    let (id, token) = (
        created.split_whitespace().nth(1).unwrap(),
        created.lines().last().unwrap(),
    );
    shell.type_in(
        "keys create --workspace klipy --name Zapier --principal service:zapier --scope ALL --token-only",
        &[],
    );
    let bearer = format!("Bearer {token}");
    shell.type_in(
        "check",
        &[&bearer, "--scope", "read:customers read:flows|nothing:else"],
    );
    shell.type_in(
        "check",
        &[
            token,
            "--scope",
            "write:flows",
            "--scope",
            "read:customers",
            "--scope",
            "write:forms|write:flows a:b",
        ],
    );
    shell.type_in("check", &[token, "--environment", "test"]);
    shell.type_in("check", &[token, "--workspace", "klipy"]);
    shell.type_in("keys list", &[]);
    shell.type_in("keys revoke", &[id, "--reason", "leaked", "--yes"]);
    shell.type_in("check", &[&bearer]);
    shell.type_in("keys list --workspace kling", &[]);
    shell.type_in("keys revoke", &[id, "--yes"]);
    assert_same(&shell.transcript, TOUR);
}

#[test]
fn the_readme_s_tour_is_what_happens() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let steps = steps(
        readme
            .split_once("## A tour")
            .unwrap()
            .1
            .split_once("\n## ")
            .unwrap()
            .0,
    );
    let (init, rest) = steps.split_first().unwrap();
    assert!(
        rest[0].command.starts_with("keyward serve"),
        "{:?}",
        rest[0].command
    );
    let site = Site::init();
    let folder = site.path().join("tour");
    fs::create_dir(&folder).unwrap();
    let told = play(&folder, &[], &init.command);
    assert_same(&redacted(&told, &site), &redacted(&init.output, &site));

    // On ports that are free, and with a log that can be read.
    let mut serve = keyward();
    serve
        .current_dir(&folder)
        .args(["serve", "--log-format", "json"]);
    serve.args([
        "--check-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let server = Server::spawn(site.clone(), serve).unwrap();
    let variables = [
        ("KEYWARD_CHECK_SERVER", server.check_address.as_str()),
        ("KEYWARD_ADMIN_SERVER", server.admin_address.as_str()),
    ];
    let script = script(&rest[1..]);
    let told = play(&folder, &variables, &script);
    let told: Vec<_> = told.split("\x1e\n").skip(1).collect();
    assert_eq!(told.len(), rest.len() - 1, "{script}\n{told:?}");
    for (step, told) in rest[1..].iter().zip(told) {
        assert_same(
            &format!("$ {}\n{}", step.command, redacted(told, &site)),
            &format!("$ {}\n{}", step.command, redacted(&step.output, &site)),
        );
    }
}

/// A command of the README, and what is written under it.
#[derive(Debug)]
struct Step {
    command: String,
    output: String,
}

/// The commands in the console blocks of a part of the README.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let blocks = text
        .split("```console\n")
        .skip(1)
        .map(|block| block.split_once("```").unwrap().0);
    for block in blocks {
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step {
                    command: command.to_owned(),
                    output: String::new(),
                }),
                None => {
                    let output = &mut steps.last_mut().unwrap().output;
                    *output += line;
                    output.push('\n');
                }
            }
        }
    }
    // An empty line before the next command is for the eye.
    for step in &mut steps {
        while step.output.ends_with("\n\n") || step.output == "\n" {
            step.output.pop();
        }
    }
    steps
}

/// A script that runs the commands, with a mark before the output of each. The
/// ids and tokens that the README shows stand for those that were shown here.
fn script(steps: &[Step]) -> String {
    let ids = distinct(steps, |word| redacted_word(word) == "key_ID");
    let tokens = distinct(steps, |word| redacted_word(word).ends_with("_TOKEN"));
    let mut script =
        "nth() { grep -ohE \"$1\" shown | awk '!seen[$0]++' | sed -n \"$2p\"; }\n".to_owned();
    for step in steps {
        let mut command = step.command.clone();
        for (words, pattern) in [
            (&ids, "key_[0-9a-z]{26}"),
            (&tokens, "[a-z_]+_[0-9A-Za-z]{49}"),
        ] {
            for (number, word) in words.iter().enumerate() {
                let found = format!("$(nth '{pattern}' {})", number + 1);
                command = command.replace(word, &found);
            }
        }
        // Not in a subshell: some of them set variables.
        script += &format!(
            "printf '\\036\\n'\n{{ {command}\n}} > step 2>&1\ncat step\ncat step >> shown\n"
        );
    }
    script
}

/// The words of this kind in what the README shows, in order, each once.
fn distinct(steps: &[Step], is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for word in steps.iter().flat_map(|step| step.output.split_whitespace()) {
        if is_one(word) && !found.iter().any(|other| other == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// Runs a script in `folder`, and gives all that it writes.
fn play(folder: &Path, variables: &[(&str, &str)], script: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_keyward")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("bash");
    command
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder);
    command
        .env("PATH", format!("{}:{path}", program.display()))
        .env("LC_ALL", "C.UTF-8");
    let output = run_with_input(&mut command, script.as_bytes());
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
