//! The command line as its users meet it: whole outputs are compared, so that
//! every change to them shows. Ids, times and tokens differ from run to run
//! and are replaced by words.
#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::fs::{self, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use keyward::edge::pb::CreateKeyRequest;
use serde_json::{Value, json};

use crate::redact::{assert_same, redacted};
use crate::support::{
    Server, Site, admin_client, check_request, key_request, keyward, run, run_with_input,
};

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
$ keyward keys revoke key_ID --reason leaked
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
$ keyward keys revoke key_ID
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
    shell.type_in("keys revoke", &[id, "--reason", "leaked"]);
    shell.type_in("check", &[&bearer]);
    shell.type_in("keys list --workspace kling", &[]);
    shell.type_in("keys revoke", &[id]);
    assert_same(&shell.transcript, TOUR);
}

#[test]
fn init_makes_a_store_and_shows_the_admin_token_once() {
    let site = Site::init();
    let at = |name: &str| site.path().join(name);
    let init = |arguments: &[&str]| {
        let mut command = keyward();
        let output = run(command.current_dir(site.path()).arg("init").args(arguments));
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (
            output.status.code().unwrap(),
            text[0].clone(),
            text[1].clone(),
        )
    };
    let (code, shown, complaint) = init(&[]);
    let expected = "\
        Store:        ./keyward-data/store\n\
        Pepper:       ./keyward-data/guard/pepper, which the store is worthless without: back it up, apart from the store\n\
        Admin token:  keyward_admin_TOKEN\n              \
        This is shown once, and cannot be had again.\n";
    assert_eq!((code, complaint.as_str()), (0, ""));
    assert_same(&redacted(&shown, &site), expected);
    let token = shown
        .split_whitespace()
        .find(|word| word.starts_with("keyward_admin_"))
        .unwrap();
    let secret = token.strip_prefix("keyward_admin_").unwrap();
    for folder in ["keyward-data", "keyward-data/store", "keyward-data/guard"] {
        assert_eq!(mode(&at(folder)), 0o700, "{folder}");
    }
    for (name, bytes) in crate::records::files(&at("keyward-data")) {
        assert!(
            !bytes
                .windows(12)
                .any(|part| secret.as_bytes().windows(12).any(|own| own == part)),
            "{name}"
        );
        assert!(
            !name.starts_with("guard/") || mode(&at("keyward-data").join(&name)) == 0o600,
            "{name}"
        );
    }

    // To a file, and elsewhere.
    let (code, shown, _) = init(&[
        "--data-dir",
        "b",
        "--guard-dir",
        "vault",
        "--admin-token-file",
        "b.token",
    ]);
    let expected = "\
        Store:        b/store\n\
        Pepper:       vault/pepper, which the store is worthless without: back it up, apart from the store\n\
        Admin token:  in b.token (readable by you alone)\n";
    assert_eq!((code, shown.as_str()), (0, expected));
    assert_eq!(mode(&at("b.token")), 0o600);
    let held = fs::read_to_string(at("b.token")).unwrap();
    assert_eq!(redacted(&held, &site), "keyward_admin_TOKEN\n");
    assert!(at("vault/pepper").exists() && at("vault/guard").exists() && !at("b/guard").exists());

    // What is there already is left alone, and nothing is left behind.
    let (code, _, complaint) = init(&["--data-dir", "c", "--admin-token-file", "b.token"]);
    assert_eq!(
        (code, complaint.as_str()),
        (
            74,
            "error: b.token exists; name another file for the admin token, or move that one away\n"
        )
    );
    let (code, _, complaint) = init(&["--admin-token-file", "again.token"]);
    assert_eq!(code, 73);
    assert!(complaint.contains("never replaces"), "{complaint}");
    let (code, _, complaint) = init(&["--data-dir", "d", "--guard-dir", "d/store/guard"]);
    assert_eq!(code, 77, "{complaint}");
    assert!(!at("c").exists() && !at("again.token").exists() && !at("d").exists());
    assert_eq!(fs::read_to_string(at("b.token")).unwrap(), held);
}

#[test]
fn the_first_admin_token_works() {
    let site = Site::init();
    let shown = run(keyward()
        .arg("init")
        .arg("--data-dir")
        .arg(site.path().join("other")))
    .stdout;
    let shown = String::from_utf8(shown).unwrap();
    let token = shown
        .split_whitespace()
        .find(|word| word.starts_with("keyward_admin_"))
        .unwrap();
    let mut serve = keyward();
    serve
        .args(["serve", "--log-format", "json"])
        .arg("--data-dir")
        .arg(site.path().join("other"));
    serve.args([
        "--check-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    let server = Server::spawn(site, serve).unwrap();
    let mut command = keyward();
    command.args(["keys", "list", "--admin-server", &server.admin_address]);
    // By variable rather than by file.
    let output = run(command.env("KEYWARD_ADMIN_TOKEN", token));
    assert_eq!(
        (output.status.code(), &*output.stdout, &*output.stderr),
        (Some(0), &b""[..], &b"no keys\n"[..])
    );
}

#[test]
fn json_holds_every_field_by_its_name_in_the_api() {
    let shell = Shell::start();
    let workspace = json!({
        "workspace": {
            "id": "kling",
            "display_name": "",
            "token_prefix": "klg",
            "environments": ["live", "test"],
            "default_environment": "live",
            "unmarked_environment": "live",
            "create_time": "TIME",
            "created_by": "adm_ID",
        },
    });
    let created =
        shell.json("workspaces create kling --prefix klg --environment live --environment test --unmarked-environment live");
    assert_eq!((&created.0, created.1), (&workspace, 0));
    assert_eq!(shell.json("workspaces get kling").0, workspace);

    let mut key = json!({
        "id": "key_ID",
        "workspace": "kling",
        "environment": "live",
        "principal": "user:ada",
        "name": "crm",
        "description": "",
        "scopes": ["*"],
        "metadata": { "plan": "free", "equation": "a=b" },
        "state": "ACTIVE",
        "hint": "klg_…TAIL",
        "create_time": "TIME",
        "created_by": "adm_ID",
        "expire_time": null,
        "revoke_time": null,
        "revocation_reason": null,
        "revoked_by": "",
    });
    let line = "keys create --workspace kling --name crm --principal user:ada --scope ALL \
                --metadata plan=free --metadata equation=a=b";
    let output = shell.run(line, &["--output", "json"]);
    let issued: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (token, id) = (
        issued["token"].as_str().unwrap(),
        issued["key"]["id"].as_str().unwrap(),
    );
    assert_eq!(
        redacted_json(&output.stdout, &shell),
        json!({ "key": key, "token": "klg_TOKEN" })
    );
    assert_eq!(
        shell.json(&format!("keys get {id}")),
        (json!({ "key": key }), 0)
    );
    assert_eq!(shell.json("keys list"), (json!({ "keys": [key] }), 0));
    assert_eq!(
        shell.json("keys list --limit 0"),
        (json!({ "keys": [] }), 0)
    );

    let allowed = json!({
        "allowed": {
            "key_id": "key_ID",
            "name": "crm",
            "principal": "user:ada",
            "workspace": "kling",
            "environment": "live",
            "scopes": ["*"],
            "metadata": { "plan": "free", "equation": "a=b" },
            "expire_time": null,
        },
    });
    assert_eq!(
        shell.json(&format!("check {token} --scope a:b")),
        (allowed, 0)
    );
    let denied = |reason: &str, status: u16, missing: &[&str], key_id: &str, key_hint: &str| {
        json!({
            "denied": {
                "reason": reason,
                "http_status": status,
                "missing_scopes": missing,
                "key_id": key_id,
                "key_hint": key_hint,
            },
        })
    };
    let expected = denied("INSUFFICIENT_SCOPE", 403, &["A:b"], "key_ID", "klg_…TAIL");
    assert_eq!(
        shell.json(&format!("check {token} --scope A:b")),
        (expected, 3)
    );
    assert_eq!(
        shell.json("check nonsense"),
        (denied("UNKNOWN", 401, &[], "", ""), 3)
    );
    let output = shell.run("check", &["", "--output", "json"]);
    assert_eq!(
        redacted_json(&output.stdout, &shell),
        denied("MISSING", 401, &[], "", "")
    );

    for (field, value) in [
        ("state", "REVOKED"),
        ("revoke_time", "TIME"),
        ("revocation_reason", "UNSPECIFIED"),
        ("revoked_by", "adm_ID"),
    ] {
        key[field] = value.into();
    }
    assert_eq!(
        shell.json(&format!("keys revoke {id}")),
        (json!({ "key": key }), 0)
    );
}

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

    assert_eq!(check(&["--batch", "-"], ""), (String::new(), 0));
    assert_eq!(check(&["--batch", "-", "Bearer x"], "").1, 2);
    let (told, code) = check(&["--batch", "/nonexistent/file"], "");
    assert_eq!(code, 2);
    assert!(told.contains("cannot read the headers from /nonexistent/file"));
    let away = ["--batch", "-", "--check-server", "127.0.0.1:1"];
    assert_eq!(check(&away, &input).1, 4);
}

/// What each misuse is answered with.
const COMPLAINTS: &str = r#"
$ keyward workspaces create klipy --prefix klg
error: the workspace klipy exists already
  `keyward workspaces get klipy` shows it.
[1]
$ keyward workspaces create Klipy --prefix keyward_x --environment a_b --default-environment prod
error: not everything that was given is acceptable
  the id: must be 1 to 63 characters of a-z, 0-9, `_`, `.` and `-`, the first a letter or digit
  --prefix: starts with `keyward`, which is reserved for keyward's own tokens
  --environment (workspace.environments[0]): must be of a-z and 0-9 alone, and its character 2 is not
  --default-environment: is not one of the workspace's environments
[1]
$ keyward workspaces get nowhere
error: there is no such workspace: nowhere
[1]
$ keyward keys create --workspace klipy --name n --principal p --scope a b:C --environment prod --expires 2001-01-01
error: not everything that was given is acceptable
  --environment: must be empty: the workspace has no environments
  --scope (scopes[1]): a scope is lower-case unless it is `ALL`, and character 3 is 'C'
  --expires: is not in the future; it is now TIME
[1]
$ keyward keys create --workspace nowhere --name n --principal p
error: there is no such workspace: nowhere
[1]
$ keyward keys create --workspace klipy --name n --principal p --metadata plan=a --metadata plan=b
error: --metadata names `plan` twice
[2]
$ keyward keys get key_01k3c5hw7n8d0r2vxk4w9g6m1t
error: there is no such key: key_ID
  `keyward keys list` shows the keys that this admin token may see.
[1]
$ keyward keys get klg_something
error: that is no key id: it would be `key_` and 26 characters
  `keyward keys list` shows ids; `keyward check -` tells whose a token is.
[2]
$ keyward keys revoke klg_something
error: that is no key id: it would be `key_` and 26 characters
  `keyward keys list` shows ids; `keyward check -` tells whose a token is.
[2]
$ keyward keys list --workspace nowhere
error: there is no such workspace: nowhere
[1]
"#;

#[test]
fn complaints_name_the_flag_and_say_what_to_do() {
    let mut shell = Shell::start();
    shell.run("workspaces create klipy --prefix klg", &[]);
    shell.type_in("workspaces create klipy --prefix klg", &[]);
    shell.type_in(
        "workspaces create Klipy --prefix keyward_x --environment a_b --default-environment prod",
        &[],
    );
    shell.type_in("workspaces get nowhere", &[]);
    shell.type_in(
        "keys create --workspace klipy --name n --principal p --scope",
        &["a b:C", "--environment", "prod", "--expires", "2001-01-01"],
    );
    shell.type_in(
        "keys create --workspace nowhere --name n --principal p",
        &[],
    );
    shell.type_in(
        "keys create --workspace klipy --name n --principal p --metadata plan=a --metadata plan=b",
        &[],
    );
    shell.type_in("keys get key_01k3c5hw7n8d0r2vxk4w9g6m1t", &[]);
    shell.type_in("keys get klg_something", &[]);
    shell.type_in("keys revoke klg_something", &[]);
    shell.type_in("keys list --workspace nowhere", &[]);
    let expected = COMPLAINTS.replace("get key_01k3c5hw7n8d0r2vxk4w9g6m1t", "get key_ID");
    assert_same(&shell.transcript, &expected);
}

#[test]
fn without_a_good_admin_token_nothing_is_done() {
    let shell = Shell::start();
    let note = "\
        error: an admin token is needed, and there is none\n  \
        Name the file that holds it with --admin-token-file or $KEYWARD_ADMIN_TOKEN_FILE, or put it into $KEYWARD_ADMIN_TOKEN.\n  \
        `keyward init` makes the first.\n";
    let invalid = |denial: &str| {
        format!(
            "error: a valid admin token is needed: send it as `authorization: Bearer <token>`\n  \
             The one in --admin-token-file or $KEYWARD_ADMIN_TOKEN is {denial}.\n  \
             It must be an admin key's, as `keyward init` makes; API keys are no admins.\n"
        )
    };
    let unfit = "\
        error: what is given as the admin token is not one token\n  \
        The file or variable must hold the token and nothing else.\n";
    let good = shell.server.site.admin_token();
    let mistyped = format!("{}x", &good[..good.len() - 1]);
    for (token, code, complaint) in [
        (None, 2, note.to_owned()),
        (Some(" \n"), 2, note.to_owned()),
        (Some("two words"), 2, unfit.to_owned()),
        (Some("nonsense"), 1, invalid("UNKNOWN")),
        (Some(&*mistyped), 1, invalid("UNKNOWN")),
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
        "https://127.0.0.1:1",
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

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_a_line_for_each_key_whatever_they_are_called() {
    let shell = Shell::start();
    let mut admin = shell.server.admin().await;
    admin.workspace(&"w".repeat(63), "klg", &[]).await;
    // Long, wide, and written against the direction of the line.
    for name in [
        "n".repeat(100),
        "日".repeat(33),
        "\u{202e}txt.exe".to_owned(),
        "| a | b |".to_owned(),
        "🔑".to_owned(),
    ] {
        let request = CreateKeyRequest {
            name,
            principal: "p".repeat(128),
            scopes: (0..100).map(|i| format!("{i:0>20}")).collect(),
            ..key_request(&"w".repeat(63), &[])
        };
        admin.client.create_key(request).await.unwrap();
    }
    let list = String::from_utf8(shell.run("keys list", &[]).stdout).unwrap();
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 6, "{list}");
    assert!(lines[0].starts_with("KEY ") && lines[1..].iter().all(|line| line.starts_with("key_")));
    assert!(
        !list.contains('\u{202e}') && list.contains("\\u{202e}txt.exe"),
        "{list}"
    );
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.ends_with("never") && line.contains(&"p".repeat(128)))
    );

    // As many as are asked for, however they are fetched.
    let whole: Vec<_> = lines[1..].iter().map(|line| &line[..30]).collect();
    for (flags, count) in [
        (&["--page-size", "1"][..], 5),
        (&["--page-size", "2", "--limit", "3"], 3),
        (&["--limit", "5"], 5),
        (&["--limit", "99", "--page-size", "1000"], 5),
    ] {
        let output = shell.run("keys list", flags);
        let list = String::from_utf8(output.stdout).unwrap();
        let ids: Vec<_> = list.lines().skip(1).map(|line| &line[..30]).collect();
        assert_eq!(ids, whole[..count], "{flags:?}");
    }
    for flags in [
        ["--page-size", "0"],
        ["--page-size", "1001"],
        ["--limit", "-1"],
    ] {
        assert_eq!(
            shell.run("keys list", &flags).status.code(),
            Some(2),
            "{flags:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_shown_is_told_of() {
    let shell = Shell::start();
    let mut admin = shell.server.admin().await;
    admin.workspace("w", "klg", &[]).await;
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = shell.command("keys");
    command.args([
        "create",
        "--workspace",
        "w",
        "--name",
        "n",
        "--principal",
        "p",
    ]);
    let child = command
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = "\
        error: the key key_ID was issued, but its token could not be written to stdout: No space left on device (os error 28)\n  \
        The token is lost. Revoke the key with `keyward keys revoke key_ID`, and issue another.\n";
    assert_failed(&output, 1, expected, &shell);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_a_first_try_says_so_works_and_leaves_nothing() {
    let site = Site::init();
    let temporary = site.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let dev = |check: &str| {
        let mut command = keyward();
        command.current_dir(site.path()).env("TMPDIR", &temporary);
        command.args([
            "serve",
            "--dev",
            "--log-format",
            "json",
            "--check-listen",
            check,
        ]);
        command.args(["--admin-listen", "127.0.0.1:0"]);
        command
    };
    let server = Server::spawn(site.clone(), dev("127.0.0.1:0")).unwrap();
    let log = server.log();
    let told: String = log
        .lines()
        .filter(|line| !line.starts_with('{'))
        .map(|line| format!("{line}\n"))
        .collect();
    let folder = fs::read_dir(&temporary)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let expected = "
  ** DEV MODE: not for production. Everything is in FOLDER **
  ** and is DELETED when this server stops. **

  In another terminal:

    export KEYWARD_ADMIN_TOKEN_FILE=FOLDER/admin.token

";
    assert_same(&told.replace(folder.to_str().unwrap(), "FOLDER"), expected);
    for (name, expected) in [("admin.token", 0o600), ("store", 0o700), ("guard", 0o700)] {
        assert_eq!(mode(&folder.join(name)), expected, "{name}");
    }

    let token = fs::read_to_string(folder.join("admin.token")).unwrap();
    let mut admin = admin_client(&server.admin_address, token.trim()).await;
    admin.workspace("w", "klg", &[]).await;
    let issued = admin.key("w", &["a"]).await;
    assert!(
        server
            .checks()
            .await
            .ask(check_request(&issued.token, &["a"]))
            .await
            .is_ok()
    );

    // A second one, on the same address, ends and leaves the first alone.
    let refused = run(&mut dev(server.check_address.trim_start_matches("http://")));
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 1);

    let (status, log) = server.stop();
    assert!(status.success(), "{log}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!site.path().join("keyward-data").exists());
}

#[test]
fn help_lists_the_exit_codes_and_a_bad_line_is_answered_with_2() {
    for (line, part) in [
        ("--help", "3  denied (check alone)"),
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

/// A server, and somebody who types in commands.
struct Shell {
    server: Server,
    transcript: String,
}

impl Shell {
    fn start() -> Self {
        Self {
            server: Server::start(),
            transcript: "\n".to_owned(),
        }
    }

    /// The command `keyward <command>`, which knows where the server is.
    fn command(&self, command: &str) -> Command {
        let mut line = keyward();
        line.arg(command)
            .env("KEYWARD_CHECK_SERVER", &self.server.check_address)
            .env("KEYWARD_ADMIN_SERVER", &self.server.admin_address)
            .env("KEYWARD_ADMIN_TOKEN_FILE", self.server.site.token_file());
        line
    }

    /// Runs `line`, split at blanks, with further arguments.
    fn run(&self, line: &str, further: &[&str]) -> std::process::Output {
        let mut words = line.split_whitespace();
        run(self
            .command(words.next().unwrap())
            .args(words)
            .args(further))
    }

    /// Runs `line` for its JSON, and gives that, redacted, and the exit code.
    fn json(&self, line: &str) -> (Value, i32) {
        let output = self.run(line, &["--output", "json"]);
        assert!(output.stderr.is_empty(), "{output:?}");
        (
            redacted_json(&output.stdout, self),
            output.status.code().unwrap(),
        )
    }

    /// Runs `line` and adds it to the transcript, with all that was written
    /// and any exit code but 0. Gives what was written to stdout.
    fn type_in(&mut self, line: &str, further: &[&str]) -> String {
        let output = self.run(line, further);
        let words = [&[line], further].concat().join(" ");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let written = format!(
            "$ keyward {words}\n{stdout}{}",
            String::from_utf8(output.stderr).unwrap()
        );
        self.transcript += &redacted(&written, &self.server.site);
        match output.status.code() {
            Some(0) => {}
            code => self.transcript += &format!("[{}]\n", code.unwrap()),
        }
        stdout
    }
}

fn assert_failed(output: &std::process::Output, code: i32, complaint: &str, shell: &Shell) {
    assert_eq!(
        (output.status.code(), &*output.stdout),
        (Some(code), &b""[..])
    );
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    assert_same(&redacted(&told, &shell.server.site), complaint);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn redacted_json(bytes: &[u8], shell: &Shell) -> Value {
    serde_json::from_str(&redacted(
        std::str::from_utf8(bytes).unwrap(),
        &shell.server.site,
    ))
    .unwrap()
}
