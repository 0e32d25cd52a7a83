//! `keyward init`, and the server for a first try.

use std::fs;

use super::{assert_same, mode, redacted};
use crate::support::{Server, Site, admin_client, check_request, keyward, run};

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
            "error: b.token exists; name another file for the token, or move that one away\n"
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
