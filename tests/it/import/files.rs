//! Files of each product through the command line: what is in them works, and
//! what is wrong with them is told before anything is sent.

use std::path::Path;
use std::process::Output;

use keyward::edge::pb::{self, Allowed, DenialReason};
use serde_json::{Value, json};

use super::crash::{command, lines};
use super::*;
use crate::support::run;

/// Runs `keyward import` on a file of this name and text.
fn import_file(server: &Server, (name, text): (&str, &str), line: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    run_import(server, &path, line)
}

fn run_import(server: &Server, path: &Path, line: &str) -> Output {
    let mut command = command(
        server,
        &format!("import --workspace klipy --output json {line}"),
    );
    tokio::task::block_in_place(|| run(command.arg(path)))
}

fn tally(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn passes(server: &Server, token: &str, scopes: &[&str]) -> Allowed {
    let mut checks = server.checks().await;
    checks
        .header(&format!("Bearer {token}"), scopes)
        .await
        .unwrap()
}

fn sha256(token: &str) -> [u8; 32] {
    hashed(pb::HashAlgorithm::Sha256, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn keywards_own_columns() {
    let (server, admin) = start().await;
    let text = format!(
        "token,sha256,hint,name,principal,scopes,metadata.plan,expires,limits,credits,refill,disabled,environment\n\
         {UUID},,,first,user:ada,people:read people:write,pro,2099-01-01,read=10/1m bulk=5/1h,100,daily=7,,\n\
         ,{},sk_4e…,second,user:bob,,,,,,,true,test\n",
        hex(&sha256(SECRET_KEY))
    );
    let output = import_file(&server, ("keys.csv", &text), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tally(&output)["imported"], 2);
    let allowed = passes(&server, UUID, &["people:write"]).await;
    assert_eq!(allowed.metadata["plan"], "pro");
    let first = key(&admin, &allowed.key_id).await;
    assert_eq!(
        (
            first.limits.len(),
            first.credits.unwrap().refill.unwrap().amount
        ),
        (2, 7)
    );
    assert_eq!(
        first.expire_time.unwrap().to_string(),
        "2099-01-01T00:00:00Z"
    );
    let mut checks = server.checks().await;
    let ask = pb::CheckRequest {
        credential: SECRET_KEY.to_owned(),
        environment: "test".to_owned(),
        ..pb::CheckRequest::default()
    };
    assert_eq!(
        checks.ask(ask).await.unwrap_err().reason(),
        DenialReason::Disabled
    );
    // The same line again.
    let again = tally(&import_file(&server, ("keys.csv", &text), ""));
    assert_eq!(
        (
            &again["imported"],
            &again["already_imported"],
            &again["differing"]
        ),
        (&json!(0), &json!(2), &json!(0))
    );

    let lines = format!(
        "{}\n\n{}\n",
        json!({ "api_key": DOTTED, "name": "n", "principal": "p", "junk": 1 }),
        json!({ "api_key": BASE64_TOKEN, "name": "n", "principal": "p", "scopes": ["a:b"] })
    );
    let output = import_file(
        &server,
        ("keys.jsonl", &lines),
        "--map token=api_key --ignore junk --scope x:y",
    );
    assert!(output.status.success(), "{output:?}");
    passes(&server, DOTTED, &["x:y"]).await;
    passes(&server, BASE64_TOKEN, &["a:b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unkeys_rows_and_pages() {
    let (server, admin) = start().await;
    let first = "acme_3ZfKq8vTn2Lr7WxYb5Hc9D";
    let rows = json!([{
        "id": "key_2abc", "key_auth_id": "ks_1", "hash": data_encoding::BASE64.encode(&sha256(first)),
        "start": "acme_3Zf", "owner_id": "user_1234", "name": "Production", "expires": 4_070_908_800_000_i64,
        "meta": "{\"plan\":\"pro\",\"flags\":{\"beta\":true}}", "enabled": 1, "remaining_requests": 500,
        "refill_amount": 1000, "refill_day": null, "deleted_at_m": null,
    }, {
        "id": "key_gone", "hash": hex(&[1; 32]), "owner_id": "x", "deleted_at_m": 1_700_000_000_000_i64,
    }, {
        "id": "key_old", "hash": hex(&[2; 32]), "owner_id": "x", "expires": 1_600_000_000_000_i64,
    }]);
    let output = import_file(&server, ("keys.json", &rows.to_string()), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (&tally(&output)["imported"], &tally(&output)["left_out"]),
        (&json!(1), &json!(2))
    );
    let allowed = passes(&server, first, &[]).await;
    assert_eq!(
        (
            allowed.principal.as_str(),
            allowed.metadata["plan"].as_str()
        ),
        ("user_1234", "pro")
    );
    assert_eq!(allowed.metadata["flags"], "{\"beta\":true}");
    let shown = key(&admin, &allowed.key_id).await;
    assert_eq!(
        (shown.hint.as_str(), shown.name.as_str()),
        ("acme_3Zf…", "Production")
    );
    assert_eq!(shown.description, "Imported from Unkey: key_2abc");
    assert_eq!(
        shown.expire_time.unwrap().to_string(),
        "2099-01-01T00:00:00Z"
    );
    let credits = shown.credits.unwrap();
    assert_eq!(
        (
            credits.refill.unwrap().period(),
            credits.refill.unwrap().amount
        ),
        (pb::CreditsPeriod::Daily, 1000)
    );

    let second = "acme_9QwErTyUiOpAsDfGhJkLzX";
    let page = json!({ "meta": { "requestId": "r" }, "data": [{
        "keyId": "key_3", "start": "acme_9Qw", "plaintext": second, "identity": { "id": "id_1", "externalId": "org_7" },
        "permissions": ["documents.read", "documents.*"], "roles": ["admin"], "enabled": true,
        "ratelimits": [{ "name": "requests", "limit": 100, "duration": 60000, "autoApply": true }],
        "credits": { "remaining": 5, "refill": { "interval": "monthly", "amount": 50 } },
    }], "pagination": { "hasMore": false } });
    let output = import_file(
        &server,
        ("page.json", &page.to_string()),
        "--scope-separator . --wildcards",
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(tally(&output)["with_notes"], 1, "its roles");
    let allowed = passes(&server, second, &["documents:delete"]).await;
    assert_eq!(allowed.principal, "org_7");
    let shown = key(&admin, &allowed.key_id).await;
    assert_eq!(shown.limits[0].count, 100);
    assert!(shown.limits[0].always);
    assert_eq!(
        shown.credits.unwrap().refill.unwrap().period(),
        pb::CreditsPeriod::Monthly
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kongs_pages_and_decks_files() {
    let (server, admin) = start().await;
    let token = "IL1deIyHyQA40WpeLeA1bIUXuvTwlGjo";
    let pages = format!(
        "{}\n{}\n",
        json!({ "data": [{ "id": "c1", "username": "ada", "custom_id": "42" }], "next": null }),
        json!({ "data": [{ "id": "b2f34145", "key": token, "consumer": { "id": "c1" }, "tags": ["gold", "eu"], "ttl": 86400, "created_at": 1_700_000_000 }], "next": null })
    );
    let output = import_file(&server, ("kong.json", &pages), "--scope people:read");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("by --exported-at when"), "{told}");
    let exported = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(3_600);
    let line = format!("--scope people:read --exported-at {exported}");
    let output = import_file(&server, ("kong.json", &pages), &line);
    assert!(output.status.success(), "{output:?}");
    let allowed = passes(&server, token, &["people:read"]).await;
    assert_eq!(allowed.principal, "ada");
    assert_eq!(
        (
            allowed.metadata["tags"].as_str(),
            allowed.metadata["custom_id"].as_str()
        ),
        ("gold eu", "42")
    );
    let expiry = key(&admin, &allowed.key_id)
        .await
        .expire_time
        .unwrap()
        .seconds;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    assert!((now + 86_400 - 3_700..=now + 86_400 - 3_600).contains(&expiry));

    let other = "AB1deIyHyQA40WpeLeA1bIUXuvTwlGjo";
    let deck = format!(
        "_format_version: \"3.0\"\nconsumers:\n- username: demo\n  plugins:\n  - name: rate-limiting\n  groups: []\n  keyauth_credentials:\n  - key: {other}\n    tags:\n    - a\n  - key: X{other}\n    ttl: 0\nplugins:\n- name: key-auth\n"
    );
    let output = import_file(&server, ("kong.yaml", &deck), "--format kong");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        (&tally(&output)["with_notes"], &tally(&output)["left_out"]),
        (&json!(1), &json!(1)),
        "its plugins, and one whose time was up"
    );
    assert_eq!(passes(&server, other, &[]).await.principal, "demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn better_auths_table() {
    let (server, admin) = start().await;
    let token = "app_KqWxYbHcDzTnLrVfZsPmGjRtEuIoAaSsDdFfGgHhJjKkLlZzXxCcVvBbNnMm";
    let hash = data_encoding::BASE64URL_NOPAD.encode(&sha256(token));
    let csv = format!(
        "id,name,start,prefix,key,userId,refillInterval,refillAmount,lastRefillAt,enabled,rateLimitEnabled,rateLimitTimeWindow,rateLimitMax,requestCount,remaining,lastRequest,expiresAt,createdAt,updatedAt,permissions,metadata\n\
         a1,CI,app_Kq,app_,{hash},user_7,86400000,50,,1,1,60000,20,3,9,,2099-01-01T00:00:00.000Z,2025-01-01 00:00:00,2025-01-01 00:00:00,\"{{\"\"projects\"\":[\"\"read\"\",\"\"write\"\"]}}\",\"{{\"\"team\"\":\"\"crm\"\"}}\"\n"
    );
    let output = import_file(&server, ("apikey.csv", &csv), "");
    assert!(output.status.success(), "{output:?}");
    let allowed = passes(&server, token, &["projects:read", "projects:write"]).await;
    assert_eq!(
        (
            allowed.principal.as_str(),
            allowed.metadata["team"].as_str()
        ),
        ("user_7", "crm")
    );
    let shown = key(&admin, &allowed.key_id).await;
    assert_eq!(
        (shown.name.as_str(), shown.hint.as_str()),
        ("CI", "app_Kq…")
    );
    assert_eq!(
        (
            shown.limits[0].count,
            shown.limits[0].window.unwrap().seconds
        ),
        (20, 60)
    );
    assert!(shown.credits.is_some() && shown.expire_time.is_some());

    // Where hashing was switched off.
    let row = json!({
        "id": "a2", "key": DOTTED, "name": null, "referenceId": "org_1",
        "enabled": true, "rateLimitEnabled": false, "requestCount": 0,
    });
    let output = import_file(&server, ("apikey.jsonl", &row.to_string()), "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(passes(&server, DOTTED, &[]).await.principal, "org_1");

    // What could be a hash is taken for a token only by who says that it is.
    let random = hex(&sha256("any"));
    let rows = [random.clone(), BASE64_TOKEN.to_owned(), hash].map(|key| {
        json!({ "id": "a3", "key": key, "referenceId": "org_1", "requestCount": 0 }).to_string()
    });
    let rows = rows.join("\n");
    let output = import_file(&server, ("apikey.jsonl", &rows), "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("2 of the 3 keys") && !told.contains(&random[..8]));
    let output = import_file(&server, ("apikey.jsonl", &rows), "--plain-keys");
    assert_eq!(
        (
            &tally(&output)["imported"],
            &tally(&output)["refused"],
            &tally(&output)["with_notes"]
        ),
        (&json!(2), &json!(1), &json!(2)),
        "the third is the hash of a token that was imported: {output:?}"
    );
    passes(&server, &random, &[]).await;
}

/// What nobody reads could be the limit that a key is to have.
#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_products_is_dropped_in_silence() {
    let (server, _admin) = start().await;
    let mut number = 0;
    let mut told = |format: &str, line: &str, more: Value| {
        number += 1;
        let mut row = match format {
            "unkey" => {
                json!({ "hash": hex(&sha256(&format!("t{number}"))), "start": "a", "external_id": "o" })
            }
            _ => {
                json!({ "key": format!("{SECRET_KEY}{number}"), "id": "i", "consumer": { "id": "c" }, "user_id": "u" })
            }
        };
        let left_out = match format {
            "kong" => "user_id",
            "better-auth" => "consumer",
            _ => "",
        };
        row.as_object_mut().unwrap().remove(left_out);
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let output = import_file(
            &server,
            ("keys.json", &json!([row]).to_string()),
            &format!("--format {format} {line}"),
        );
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for (format, wrong, expected) in [
        ("unkey", json!({ "max_uses": 5 }), "max_uses is no field"),
        ("kong", json!({ "expires": 5 }), "expires is no field"),
        (
            "better-auth",
            json!({ "allowedIps": "x" }),
            "allowedIps is no field",
        ),
        (
            "better-auth",
            json!({ "metadata": [1] }),
            "metadata must be a JSON object",
        ),
        (
            "better-auth",
            json!({ "remaining": "some" }),
            "remaining must be a number",
        ),
        (
            "unkey",
            json!({ "meta": "7" }),
            "meta must be a JSON object",
        ),
        (
            "unkey",
            json!({ "ratelimits": {} }),
            "ratelimits must be a JSON list",
        ),
        (
            "unkey",
            json!({ "ratelimits": [{ "limit": "x", "duration": 1 }] }),
            "ratelimits[0].limit must be a number",
        ),
        (
            "unkey",
            json!({ "ratelimits": [{ "limit": 1, "duration": 1000, "burst": 1 }] }),
            "ratelimits[0].burst is no field",
        ),
        (
            "unkey",
            json!({ "ratelimit": { "limit": 9, "refillRate": 1, "refillInterval": 1000 } }),
            "ratelimit.refillRate must be",
        ),
        (
            "unkey",
            json!({ "ratelimit_limit": 5 }),
            "must come with a `ratelimit_duration`",
        ),
        (
            "unkey",
            json!({ "credits": 5 }),
            "credits must be a JSON object",
        ),
        (
            "unkey",
            json!({ "credits": { "remaining": "x" } }),
            "credits.remaining must be a number",
        ),
        (
            "unkey",
            json!({ "remaining": 5, "refill": { "interval": "hourly", "amount": 1 } }),
            "refill.interval must be",
        ),
        (
            "unkey",
            json!({ "identity": { "externalId": "o", "ratelimits": [{}] } }),
            "identity.ratelimits are shared",
        ),
        (
            "unkey",
            json!({ "identity_ratelimits": [{}] }),
            "identity_ratelimits are shared",
        ),
        (
            "unkey",
            json!({ "permissions": ["a:*"] }),
            "permissions has a wildcard",
        ),
        (
            "better-auth",
            json!({ "permissions": { "*": ["read"] } }),
            "permissions has a wildcard",
        ),
    ] {
        let (code, stderr) = told(format, "", wrong);
        assert!(
            code == Some(2) && stderr.contains(expected),
            "{expected}: {stderr}"
        );
    }
    for (format, line, right) in [
        ("unkey", "--ignore max_uses", json!({ "max_uses": 5 })),
        (
            "unkey",
            "--ignore identity.ratelimits",
            json!({ "identity": { "externalId": "o", "ratelimits": [{}] } }),
        ),
        ("unkey", "--wildcards", json!({ "permissions": ["a:*"] })),
        ("kong", "", json!({ "created_at": 5 })),
    ] {
        let (code, stderr) = told(format, line, right);
        assert_eq!(code, Some(0), "{line}: {stderr}");
    }
}

/// A row as the query on the page gives it: what is true is 1 there.
#[tokio::test(flavor = "multi_thread")]
async fn unkeys_rows_as_its_database_writes_them() {
    let (server, admin) = start().await;
    let token = "acme_7YfKq8vTn2Lr7WxYb5Hc9D";
    let hash = data_encoding::BASE64.encode(&sha256(token));
    let row = format!(
        r#"{{"id": "key_1", "hash": "{hash}", "meta": "{{\"plan\": \"pro\"}}", "name": null, "roles": ["admin"], "start": "acme_7Yf", "enabled": 1, "expires": null, "owner_id": null, "external_id": "org_7", "permissions": ["documents:read", "documents:write"], "ratelimits": [{{"name": "all", "limit": 100, "duration": 60000, "auto_apply": 1}}, {{"name": "bulk", "limit": 5, "duration": 3600000, "auto_apply": 0}}], "identity_ratelimits": null, "ratelimit_limit": 7, "ratelimit_duration": 1000, "deleted_at_m": null, "remaining_requests": 500, "refill_day": null, "refill_interval": "monthly", "refill_amount": 1000}}"#
    );
    let output = import_file(&server, ("unkey.jsonl", &row), "--format unkey");
    assert!(output.status.success(), "{output:?}");
    let allowed = passes(&server, token, &["documents:write"]).await;
    assert_eq!(allowed.principal, "org_7");
    let shown = key(&admin, &allowed.key_id).await;
    let limits: Vec<_> = shown
        .limits
        .iter()
        .map(|limit| (limit.name.as_str(), limit.count, limit.always))
        .collect();
    assert_eq!(
        limits,
        [
            ("all", 100, true),
            ("bulk", 5, false),
            ("requests", 7, true)
        ]
    );
    assert_eq!(
        shown.credits.unwrap().refill.unwrap().period(),
        pb::CreditsPeriod::Monthly
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_told_before_anything_is_sent() {
    let (server, _admin) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.csv");
    let text = format!(
        "token,name,principal,expires\n{UUID},good,p,\nsup3rs3cretButWith space,bad,p,\n{SECRET_KEY},bad,,soon\n{UUID},twice,p,\nx,short,p,\n"
    );
    std::fs::write(&path, &text).unwrap();
    let report = folder.path().join("report.jsonl");
    for line in ["", "--dry-run", &format!("--report {}", report.display())] {
        let output = run_import(&server, &path, line);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        for expected in [
            "4 of the 5 keys",
            "line 3: token must be of visible ASCII",
            "line 4: expires must be a time",
            "principal is not named",
            "line 5: token is that of line 2, too",
            "line 6: token must have 16 to 512",
        ] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        assert!(!told.contains("sup3r") && !told.contains("9dKx2"), "{told}");
    }
    let told = lines(&report);
    assert_eq!(
        told.iter()
            .filter(|line| line["outcome"] == "REFUSED")
            .count(),
        4
    );
    let mut checks = server.checks().await;
    assert_eq!(checks.denial(UUID).await, DenialReason::Unknown);

    let output = run_import(&server, &path, "--skip-bad");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&tally(&output)["imported"], &tally(&output)["refused"]),
        (&json!(1), &json!(4))
    );
    assert!(checks.header(UUID, &[]).await.is_ok());

    for (name, text, told) in [
        ("keys.txt", "x", "cannot be told by its name"),
        ("keys.csv", "token,name\nab\n", "line 2 has 1 fields"),
        (
            "keys.jsonl",
            "{}\n{\"a\": sup3r}\n",
            "line 2 is no JSON, from column",
        ),
        ("keys.json", "[{}, sup3r]", "it is no JSON, from line 1"),
        (
            "keys.csv",
            "token,name,principal\n",
            "there is no key in the file",
        ),
        (
            "keys.csv",
            &format!("token,name,principal,expiry\n{UUID},n,p,never\n"),
            "expiry is no field that is known: those are token, sha256",
        ),
    ] {
        let output = import_file(&server, (name, text), "");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(told) && !stderr.contains("sup3r"),
            "{stderr}"
        );
    }

    // A pipe would be empty the second time.
    let mut piped = command(&server, "import --workspace klipy --format csv /dev/null");
    let output = tokio::task::block_in_place(|| run(&mut piped));
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("/dev/null is no ordinary file"), "{told}");

    // What is refused as a whole, with what to do about it and no more.
    std::fs::write(&path, format!("token,name,principal\n{DOTTED},n,p\n")).unwrap();
    let mut nowhere = command(&server, "import --workspace nowhere");
    let output = tokio::task::block_in_place(|| run(nowhere.arg(&path)));
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let refusal = "error: there is no such workspace: nowhere";
    assert!(told.starts_with(refusal), "{told}");
    assert!(!told.contains("What was imported"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_by_line_and_field() {
    let (server, _admin) = start().await;
    let text = format!(
        "token,name,principal,environment,scopes\n{UUID},n,p,prod,\n{SECRET_KEY},n,p,,A:B\n{DOTTED},n,p,,\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.csv");
    std::fs::write(&path, &text).unwrap();
    let report = folder.path().join("report.jsonl");
    let output = run_import(&server, &path, &format!("--report {}", report.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        (&tally(&output)["imported"], &tally(&output)["refused"]),
        (&json!(1), &json!(2))
    );
    let told = lines(&report);
    let of = |number: u64| told.iter().find(|line| line["number"] == number).unwrap();
    assert_eq!(of(2)["problems"][0]["field"], "environment");
    assert_eq!(of(3)["problems"][0]["field"], "scopes[0]");
    assert!(of(4)["key_id"].as_str().unwrap().starts_with("key_"));
    let mut table = command(&server, "import --workspace klipy");
    let output = tokio::task::block_in_place(|| run(table.arg(&path)));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("line 2: environment is not one of") && told.contains("Imported before  1"),
        "{told}"
    );
}

/// A report tells by line what is done, which is so of one file read in one way.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_of_one_file_and_one_way_to_read_it() {
    let (server, _admin) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, report) = (
        folder.path().join("keys.csv"),
        folder.path().join("report.jsonl"),
    );
    let text = format!("token,name,principal\n{UUID},first,ada\n{SECRET_KEY},other,bob\n");
    std::fs::write(&path, &text).unwrap();
    let resume = format!("--resume {}", report.display());
    let output = run_import(&server, &path, &format!("--report {}", report.display()));
    assert!(output.status.success(), "{output:?}");
    assert!(run_import(&server, &path, &resume).status.success());
    for line in [
        "--map description=name",
        "--ignore scopes",
        "--format jsonl",
    ] {
        let output = run_import(&server, &path, &format!("{resume} {line}"));
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
    }
    // As long as it was.
    let changed = text.replace("first,ada", "other,eve");
    assert_eq!(changed.len(), text.len());
    std::fs::write(&path, changed).unwrap();
    let output = run_import(&server, &path, &resume);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("it is of another file"), "{told}");
}
