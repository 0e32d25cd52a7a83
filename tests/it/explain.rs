//! Explanations of verdicts: each is the verdict that a check then gets, spends
//! nothing, and tells nobody of what he may not see.

#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::BTreeMap;

use keyward::domain::token::{Token, TokenPrefix};
use keyward::edge::pb::*;
use prost::Message;
use tonic::Code;

use crate::office::Office;
use crate::support::{Admin, Checks, key_request, verdict};

/// The question of a check, as one that is to be explained.
fn to_explain(asked: &CheckRequest) -> ExplainCheckRequest {
    ExplainCheckRequest {
        credential: asked.credential.clone(),
        workspace: asked.workspace.clone(),
        environment: asked.environment.clone(),
        required_scopes: asked.required_scopes.clone(),
        limits: asked.limits.clone(),
        cost: asked.cost,
        source_address: asked.source_address.clone(),
    }
}

async fn explain(admin: &mut Admin, asked: &CheckRequest) -> ExplainCheckResponse {
    let reply = admin.client.explain_check(to_explain(asked)).await.unwrap();
    reply.into_inner()
}

/// The step that failed, and its facts.
fn failed(explained: &ExplainCheckResponse) -> Option<(CheckStep, BTreeMap<String, String>)> {
    let step = explained
        .steps
        .iter()
        .find(|step| step.state() == CheckStepState::Failed)?;
    assert!(step.message.ends_with('.'), "{}", step.message);
    let facts = step.facts.iter();
    let facts = facts.map(|fact| (fact.name.clone(), fact.value.clone()));
    Some((step.step(), facts.collect()))
}

/// What is explained is what a check is answered right after, whatever was
/// explained before; and the steps are in order.
async fn same(
    admin: &mut Admin,
    checks: &mut Checks,
    asked: &CheckRequest,
) -> ExplainCheckResponse {
    let mut explained = explain(admin, asked).await;
    for _ in 0..2 {
        // To explain changes nothing.
        explained = explain(admin, asked).await;
    }
    let checked = checks.client.check(asked.clone()).await.unwrap();
    let (told, reason) = match verdict(checked.into_inner()) {
        Ok(_) => (ExplainedVerdict::Allowed, String::new()),
        Err(denied) => (
            ExplainedVerdict::Denied,
            denied.reason().as_str_name()["DENIAL_REASON_".len()..].to_owned(),
        ),
    };
    assert_eq!(
        (explained.verdict(), &explained.denial_reason),
        (told, &reason),
        "{explained:#?}"
    );
    let states: Vec<_> = explained.steps.iter().map(|step| step.state()).collect();
    assert_eq!(states.len(), 13);
    assert!(states.is_sorted(), "{states:?}");
    let failures = states
        .iter()
        .filter(|state| **state == CheckStepState::Failed);
    assert_eq!(
        failures.count(),
        usize::from(told == ExplainedVerdict::Denied)
    );
    let bytes = explained.encode_to_vec();
    let token = asked.credential.trim_start_matches("Bearer ");
    assert!(
        token.len() < 50
            || !bytes
                .windows(token.len())
                .any(|part| part == token.as_bytes())
    );
    explained
}

fn asked(token: &str) -> CheckRequest {
    CheckRequest {
        credential: format!("Bearer {token}"),
        ..CheckRequest::default()
    }
}

fn limit(name: &str, count: u32) -> Limit {
    Limit {
        name: name.to_owned(),
        count,
        window: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        ..Limit::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_fails_with_the_verdict_of_the_check_and_says_why() {
    let office = Office::open().await;
    let (mut owner, mut checks) = (office.owner.clone(), office.server.checks().await);
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let request = CreateKeyRequest {
        limits: vec![limit("read", 3)],
        source_addresses: vec!["10.0.0.0/8".to_owned()],
        ..key_request(&here, &["people:read", "companies:*"])
    };
    let made = owner.client.create_key(request).await.unwrap().into_inner();
    let (id, token) = (made.key.unwrap().id, made.token);
    let good = CheckRequest {
        source_address: "10.1.2.3".to_owned(),
        ..asked(&token)
    };
    let typo = format!(
        "{}{}",
        &token[..20],
        if &token[20..21] == "a" { "b" } else { "a" }
    ) + &token[21..];
    let stranger = Token::mint(&TokenPrefix::try_from("klg").unwrap(), None);
    let ceiling = SetMembershipRequest {
        membership: Some(Membership {
            workspace: here.clone(),
            principal: key_request(&here, &[]).principal,
            scope_ceiling: vec!["people:*".to_owned()],
            ..Membership::default()
        }),
    };
    let explained = same(&mut owner, &mut checks, &good).await;
    assert_eq!(explained.key.as_ref().map(|key| &key.id), Some(&id));
    assert_eq!(failed(&explained), None);
    for (question, step, name, value) in [
        (
            CheckRequest::default(),
            CheckStep::Credential,
            "length",
            "0",
        ),
        (asked("a,b"), CheckStep::Credential, "position", "9"),
        (asked("sk_live_1"), CheckStep::Token, "shape", "FOREIGN"),
        (asked(&typo), CheckStep::Token, "shape", "BAD_CHECKSUM"),
        (asked(stranger.expose()), CheckStep::Key, "", ""),
        (
            asked(&office.server.site.admin_token()),
            CheckStep::Key,
            "",
            "",
        ),
        (
            CheckRequest {
                workspace: yonder.clone(),
                ..good.clone()
            },
            CheckStep::Workspace,
            "workspace",
            &*here,
        ),
        (
            CheckRequest {
                environment: "test".to_owned(),
                ..good.clone()
            },
            CheckStep::Environment,
            "environment",
            "live",
        ),
        (
            CheckRequest {
                source_address: "11.0.0.1".to_owned(),
                ..good.clone()
            },
            CheckStep::SourceAddress,
            "ranges",
            "10.0.0.0/8",
        ),
        (
            CheckRequest {
                required_scopes: vec!["people:write".to_owned()],
                ..good.clone()
            },
            CheckStep::Scopes,
            "nearest",
            "people:write people:read",
        ),
        (
            CheckRequest {
                limits: vec!["reed".to_owned()],
                ..good.clone()
            },
            CheckStep::LimitNames,
            "defined",
            "read",
        ),
        (
            CheckRequest {
                limits: vec!["read".to_owned()],
                cost: Some(4),
                ..good.clone()
            },
            CheckStep::Limits,
            "cost",
            "4",
        ),
    ] {
        let explained = same(&mut owner, &mut checks, &question).await;
        let (at, facts) = failed(&explained).unwrap();
        assert_eq!(at, step, "{explained:#?}");
        let told = facts.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(told, value, "{facts:?}");
    }
    owner.client.set_membership(ceiling).await.unwrap();
    let beyond = CheckRequest {
        required_scopes: vec!["companies:read".to_owned()],
        ..good.clone()
    };
    let (at, facts) = failed(&same(&mut owner, &mut checks, &beyond).await).unwrap();
    assert_eq!(
        (at, &*facts["beyond_ceiling"]),
        (CheckStep::Scopes, "companies:read")
    );
    let which = DisableKeyRequest {
        key_id: id.clone(),
        ..DisableKeyRequest::default()
    };
    owner.client.disable_key(which).await.unwrap();
    let (at, facts) = failed(&same(&mut owner, &mut checks, &good).await).unwrap();
    assert_eq!((at, &*facts["key_disabled"]), (CheckStep::Switches, "true"));
    owner.revoke(&id).await;
    let (at, facts) = failed(&same(&mut owner, &mut checks, &good).await).unwrap();
    assert_eq!(
        (at, facts.contains_key("revoke_time")),
        (CheckStep::Revocation, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_spent_and_what_is_left_is_told() {
    let office = Office::open().await;
    let (mut owner, mut checks) = (office.owner.clone(), office.server.checks().await);
    let here = office.workspace().await;
    let request = CreateKeyRequest {
        limits: vec![limit("read", 2)],
        credits: Some(Credits {
            balance: Some(3),
            ..Credits::default()
        }),
        ..key_request(&here, &[])
    };
    let made = owner.client.create_key(request).await.unwrap().into_inner();
    let (id, token) = (made.key.unwrap().id, made.token);
    let read = CheckRequest {
        limits: vec!["read".to_owned()],
        ..asked(&token)
    };
    for left in [2, 1] {
        let explained = same(&mut owner, &mut checks, &read).await;
        let limits = &explained.steps[11].facts;
        assert!(
            limits[0]
                .value
                .starts_with(&format!("read: {left} of 2 left")),
            "{limits:?}"
        );
        let credits = &explained.steps[12].facts;
        assert_eq!(credits[0].value, (left + 1).to_string());
    }
    let explained = same(&mut owner, &mut checks, &read).await;
    assert_eq!(explained.denial_reason, "RATE_LIMITED");
    // Without that limit, one credit is left to use up.
    assert_eq!(
        same(&mut owner, &mut checks, &asked(&token))
            .await
            .denial_reason,
        ""
    );
    let explained = same(&mut owner, &mut checks, &asked(&token)).await;
    let (at, facts) = failed(&explained).unwrap();
    assert_eq!((at, &*facts["balance"]), (CheckStep::Credits, "0"));
    // To look is free, and is explained as that.
    let look = CheckRequest {
        cost: Some(0),
        ..read
    };
    assert_eq!(same(&mut owner, &mut checks, &look).await.denial_reason, "");

    // The end of the old token waits for a use of the new one, and this is none.
    let rotate = RotateKeyRequest {
        key_id: id.clone(),
        from_first_use: true,
        ..RotateKeyRequest::default()
    };
    let new = owner
        .client
        .rotate_key(rotate)
        .await
        .unwrap()
        .into_inner()
        .token;
    let key_of = |explained: &ExplainCheckResponse| {
        let facts = explained.steps[2].facts.iter();
        let told = facts.filter(|fact| fact.name == "token");
        told.map(|fact| fact.value.clone()).collect::<String>()
    };
    for (token, told) in [(&token, "OLD"), (&new, "NEW")] {
        let explained = explain(
            &mut owner,
            &CheckRequest {
                cost: Some(0),
                ..asked(token)
            },
        )
        .await;
        assert_eq!(key_of(&explained), told);
    }
    let get = GetKeyRequest { key_id: id };
    let key = owner
        .client
        .get_key(get)
        .await
        .unwrap()
        .into_inner()
        .key
        .unwrap();
    assert_eq!(key.rotation.unwrap().old_end_time, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspaces_admin_learns_nothing_of_what_is_not_its_own() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mine = owner.key(&here, &["a"]).await;
    let theirs = owner.key(&yonder, &["a"]).await;
    let personal = CreateKeyRequest {
        token_prefix: "klg_user".to_owned(),
        ..key_request("", &["a"])
    };
    let personal = owner
        .client
        .create_key(personal)
        .await
        .unwrap()
        .into_inner();
    let stranger = |prefix: &str| {
        let prefix = TokenPrefix::try_from(prefix).unwrap();
        Token::mint(&prefix, None).expose().to_owned()
    };
    let mut caller = office.caller(AdminRole::Owner, &here, &["a"]).await;
    for workspace in ["", &here] {
        let within = |token: &str| CheckRequest {
            workspace: workspace.to_owned(),
            ..asked(token)
        };
        let seen = explain(&mut caller.admin, &within(&mine.token)).await;
        assert_eq!(seen.verdict(), ExplainedVerdict::Allowed, "{seen:#?}");
        // What differs from a token that nobody has is what is in the token.
        let nobodys = explain(&mut caller.admin, &within(&stranger("klg"))).await;
        assert_eq!(nobodys.verdict(), ExplainedVerdict::NotTold);
        let bare = |mut told: ExplainCheckResponse| {
            told.steps[..2].fill(ExplainedStep::default());
            told
        };
        for token in [&theirs.token, &personal.token] {
            let told = explain(&mut caller.admin, &within(token)).await;
            assert_eq!(bare(told), bare(nobodys.clone()));
        }
        let (one, other) = (office.server.site.admin_token(), stranger("keyward_admin"));
        let one = explain(&mut caller.admin, &within(&one)).await;
        let other = explain(&mut caller.admin, &within(&other)).await;
        assert_eq!(one.denial_reason, "UNKNOWN");
        assert_eq!(bare(one), bare(other));
    }
    let elsewhere = CheckRequest {
        workspace: yonder,
        ..asked(&theirs.token)
    };
    let request = to_explain(&elsewhere);
    assert!(!format!("{request:?}").contains(&theirs.token));
    let refused = caller
        .admin
        .client
        .explain_check(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    // The system's may see all of it.
    let seen = explain(&mut owner, &elsewhere).await;
    assert_eq!(seen.verdict(), ExplainedVerdict::Allowed);
}

/// While the key is changed over and over.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_key_is_what_was_judged() {
    let office = Office::open().await;
    let workspace = office.workspace().await;
    let mut owner = office.owner.clone();
    let issued = owner.key(&workspace, &["a"]).await;
    let id = issued.key.as_ref().unwrap().id.clone();
    let mut changing = office.owner.clone();
    let changes = tokio::spawn(async move {
        for round in 0.. {
            let scope = if round % 2 == 0 { "b" } else { "a" };
            let key = Key {
                id: id.clone(),
                scopes: vec![scope.to_owned()],
                ..Key::default()
            };
            let mask = prost_types::FieldMask {
                paths: vec!["scopes".to_owned()],
            };
            let request = UpdateKeyRequest {
                key: Some(key),
                update_mask: Some(mask),
            };
            changing.client.update_key(request).await.unwrap();
        }
    });
    let asked = CheckRequest {
        required_scopes: vec!["a".to_owned()],
        ..asked(&issued.token)
    };
    let mut told = [0; 2];
    while told.iter().any(|times| *times < 50) {
        // Changed between two looks every time, it may give up.
        let Ok(reply) = owner.client.explain_check(to_explain(&asked)).await else {
            continue;
        };
        let explained = reply.into_inner();
        let may = failed(&explained).is_none();
        let scopes = explained.key.unwrap().scopes;
        assert_eq!(scopes, [if may { "a" } else { "b" }]);
        told[usize::from(may)] += 1;
    }
    changes.abort();
}
