//! Law 4 for imports: at the finest log level, nothing that is written anywhere
//! holds a piece of a token that was imported, or of its hash.

use std::collections::HashMap;
use std::path::Path;

use super::crash::command;
use super::*;
use crate::support::{Site, run};

/// How long the pieces are that are searched for.
const PIECE_LEN: usize = 10;

/// All files below `folder` but the admin token's.
fn files(folder: &Path, heard: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, heard);
        } else {
            heard.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// What is not to be found: the token but for what may be shown of it, and its
/// hashes in each form.
fn secrets(token: &str) -> Vec<Vec<u8>> {
    let mut secrets = vec![token.as_bytes()[..token.len() - 4].to_vec()];
    for algorithm in [pb::HashAlgorithm::Sha256, pb::HashAlgorithm::Blake3] {
        let hash = hashed(algorithm, token);
        secrets.push(hash.to_vec());
        secrets.push(format!("{hash:?}").into_bytes()[1..40].to_vec());
        secrets.extend(written(&hash).into_iter().map(String::into_bytes));
    }
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_written_holds_a_piece_of_an_imported_token() {
    let site = Site::init();
    let mut serving = site.serve_command();
    serving.args(["--log", "trace"]);
    let server = Server::spawn(site.clone(), serving).unwrap();
    let mut admin = server.admin().await;
    admin.workspace("klipy", "klp", &[]).await;
    let mut heard = Vec::new();
    let token = |name: &str| format!("{}{:032X}", name.repeat(3), rand::random::<u128>());
    let (raw, sha256, blake3, bad, filed) = (
        token("ra"),
        token("sh"),
        token("bl"),
        token("ba"),
        token("fi"),
    );
    let hash = |algorithm, token: &str| hex(&hashed(algorithm, token));
    let mut keys = vec![
        by_token(1, &raw),
        by_hash(
            2,
            pb::HashAlgorithm::Sha256,
            &hash(pb::HashAlgorithm::Sha256, &sha256),
        ),
        by_hash(
            3,
            pb::HashAlgorithm::Blake3,
            &hash(pb::HashAlgorithm::Blake3, &blake3),
        ),
        by_token(4, &format!("{bad},")),
        by_token(5, &format!("{bad}\u{e9}")),
        by_hash(6, pb::HashAlgorithm::Sha256, &format!("{bad}zz")),
        ImportKey {
            principal: String::new(),
            ..by_token(7, &bad)
        },
    ];
    keys.push(ImportKey {
        hash: keys[1].hash.clone(),
        ..by_token(8, &bad)
    });
    for key in &keys {
        heard.push(("a key's Debug".to_owned(), format!("{key:?}").into_bytes()));
    }
    // The second time, they are there.
    for _ in 0..2 {
        let results = import(&admin, into("klipy"), keys.clone()).await.unwrap();
        assert_eq!(results.len(), keys.len());
        heard.push(("results".to_owned(), format!("{results:?}").into_bytes()));
        for result in results.iter().filter(|result| !result.key_id.is_empty()) {
            let shown = key(&admin, &result.key_id).await;
            heard.push(("a key".to_owned(), format!("{shown:?}").into_bytes()));
        }
    }
    let refused = import(&admin, into(&raw), Vec::new()).await.unwrap_err();
    heard.push(("a status".to_owned(), format!("{refused:?}").into_bytes()));
    let mut checks = server.checks().await;
    for presented in [&raw, &sha256, &blake3, &bad] {
        for header in [
            presented.clone(),
            format!("Bearer {presented}"),
            basic(&format!("{presented}:")),
            format!("Bearer {presented}, x"),
        ] {
            let verdict = checks.header(&header, &["a:b"]).await;
            heard.push(("a verdict".to_owned(), format!("{verdict:?}").into_bytes()));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, report) = (
        folder.path().join("keys.csv"),
        site.path().join("report.jsonl"),
    );
    let text = format!("token,name,principal\n{filed},n,p\n{bad} x,n,p\n");
    std::fs::write(&path, text).unwrap();
    for line in [
        "import --workspace klipy",
        "import --workspace klipy --skip-bad --report",
    ] {
        let mut command = command(&server, line);
        if line.ends_with("--report") {
            command.arg(&report);
        }
        let output = tokio::task::block_in_place(|| run(command.arg(&path)));
        heard.push((
            "the command line".to_owned(),
            [output.stdout, output.stderr].concat(),
        ));
    }
    assert!(checks.header(&filed, &[]).await.is_ok());
    // A token where a name, or part of another column, is expected. One is like
    // a name itself.
    let short = &bad[..30];
    for (name, text) in [
        ("keys.csv", format!("{bad},ada\n{bad},bob\n")),
        ("keys.csv", format!("{short},ada\n{short},bob\n")),
        (
            "keys.csv",
            format!("token,{bad},name,principal\n{filed},x,n,p\n"),
        ),
        (
            "keys.csv",
            format!("token,limits,name,principal\n{filed},a={bad}/1m,n,p\n"),
        ),
        ("keys.jsonl", format!("{{\"{short}\": \"ada\"}}\n")),
        (
            "keys.jsonl",
            format!("{{\"token\": \"{filed}\", \"{bad}\": \"ada\"}}\n"),
        ),
    ] {
        for line in ["csv", "unkey", "kong", "better-auth", "jsonl", "auto"] {
            let path = folder.path().join(name);
            std::fs::write(&path, &text).unwrap();
            let report = site.path().join(format!("report-{}", heard.len()));
            let line = format!("import --workspace klipy --format {line} --report");
            let mut command = command(&server, &line);
            let output = tokio::task::block_in_place(|| run(command.arg(&report).arg(&path)));
            assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
            heard.push((line, [output.stdout, output.stderr].concat()));
        }
    }
    let (status, log) = tokio::task::block_in_place(|| server.stop());
    assert!(status.success());
    assert!(log.contains("key imported") && log.contains("import ended"));
    heard.push(("the log".to_owned(), log.into_bytes()));
    files(site.path(), &mut heard);
    assert!(report.exists() && heard.len() > 30);

    let mut pieces: HashMap<Vec<u8>, usize> = HashMap::new();
    for (number, token) in [&raw, &sha256, &blake3, &bad, &filed]
        .into_iter()
        .enumerate()
    {
        for secret in secrets(token) {
            pieces.extend(
                secret
                    .windows(PIECE_LEN)
                    .map(|piece| (piece.to_vec(), number)),
            );
        }
    }
    let search = |bytes: &[u8]| {
        bytes
            .windows(PIECE_LEN)
            .find_map(|window| pieces.get(window))
    };
    assert_eq!(search(format!("x{}", &raw[3..20]).as_bytes()), Some(&0));
    let found: Vec<_> = heard
        .iter()
        .filter_map(|(place, bytes)| Some((place, search(bytes)?)))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
