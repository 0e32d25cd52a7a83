//! A client of another language and another gRPC library.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, run_with_input, tool};

#[test]
fn grpcio_issues_checks_and_revokes_a_key() {
    let server = Server::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/reflection.py");
    let target = |address: &str| address.trim_start_matches("http://").to_owned();
    let mut python = Command::new(tool("python"));
    python
        .arg(script)
        .args([target(&server.check_address), target(&server.admin_address)]);
    let output = run_with_input(&mut python, server.site.admin_token().as_bytes());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (id, hint) = (&told["key_id"], &told["hint"]);
    let denied = |reason: &str, status: u16| {
        json!({
            "denied": { "reason": reason, "http_status": status, "key_id": id, "key_hint": hint },
        })
    };
    let mut insufficient = denied("DENIAL_REASON_INSUFFICIENT_SCOPE", 403);
    insufficient["denied"]["missing_scopes"] = json!(["write:forms"]);
    let expected = json!([
        {
            "allowed": {
                "key_id": id,
                "name": "from Python",
                "principal": "user:ada",
                "workspace": "python-demo",
                "environment": "live",
                "scopes": ["read:customers"],
            },
        },
        insufficient,
        [["allowed", "denied"], ["allowed", "denied"]],
        denied("DENIAL_REASON_REVOKED", 401),
        [["denied"], ["denied"]],
        "UNAUTHENTICATED",
    ]);
    assert_eq!(told["story"], expected);
}
