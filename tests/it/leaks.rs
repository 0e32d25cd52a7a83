//! Tokens where they do not belong: all of ours are found in a lot of text and
//! nothing else, and whose they are is told to those who may know.

#![expect(
    clippy::too_many_lines,
    reason = "a test tells one story, from top to bottom"
)]

use std::collections::BTreeSet;
use std::time::Instant;

use keyward::domain::leak::Scanner;
use keyward::domain::token::{EnvironmentName, Token, TokenPrefix};
use keyward::edge::pb::identified_token::Holder;
use keyward::edge::pb::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use regex::bytes::Regex;
use tonic::Code;

use crate::docs::document;
use crate::office::{Caller, Office, revoke_admin, rotate_admin, said};
use crate::support::{Admin, count};

const MIB: usize = 1 << 20;

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Text as it is found in dumps, logs and repositories, with much in it that is
/// nearly a token.
struct Text(StdRng);

impl Text {
    fn of(&mut self, digits: &[u8], length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| digits[self.0.random_range(0..digits.len())])
            .collect()
    }

    fn token(&mut self) -> String {
        let prefixes = [
            "klg",
            "klipy_api",
            "a1",
            "erathos_data_platform",
            "keyward_admin",
        ];
        let prefix = prefixes[self.0.random_range(0..prefixes.len())];
        let environment = EnvironmentName::try_from("live").unwrap();
        let mark = self.0.random_bool(0.5).then_some(&environment);
        let prefix = TokenPrefix::try_from(prefix).unwrap();
        Token::mint(&prefix, mark).expose().to_owned()
    }

    /// A line that holds no token.
    fn line(&mut self) -> Vec<u8> {
        let mut token = self.token().into_bytes();
        let (label, last) = (token.len() - 50, token.len() - 1);
        match self.0.random_range(0..15) {
            // One character off, at any place.
            0 => {
                let at = self.0.random_range(0..=last);
                token[at] = if token[at] == b'x' { b'y' } else { b'x' };
                token
            }
            // Cut short, at either end, and with another checksum.
            // (By more than what is put behind it can make good.)
            1 => token[..last - 8].to_vec(),
            2 => token[1..].to_vec(),
            3 => {
                token.truncate(last - 5);
                token.extend(self.of(BASE62, 6));
                token
            }
            // The secret of another workspace's.
            4 => {
                token.splice(..label, *b"other_workspace");
                token
            }
            // Others' tokens.
            5 => [b"ghp_", &*self.of(BASE62, 36)].concat(),
            6 => [
                b"github_pat_",
                &*self.of(BASE62, 22),
                b"_",
                &*self.of(BASE62, 59),
            ]
            .concat(),
            7 => [b"sk_live_", &*self.of(BASE62, 99)].concat(),
            8 => {
                let parts = [20, 80, 43].map(|length| self.of(BASE64URL, length));
                parts.join(&b'.')
            }
            // What is not even text.
            9 => (0..200).map(|_| self.0.random()).collect(),
            10 => self.of(BASE64, 76),
            11 => self.of(BASE64URL, 120),
            12 => self.of(b"0123456789abcdef", 64),
            13 => self.of(b"abcdefghij_", 90),
            _ => b"2026-05-28T20:26:40Z INFO a usual line of a log, request=17 path=/v1/people"
                .to_vec(),
        }
    }
}

/// `KEYWARD_TEST_LEAK_MIB=1024 cargo test --release --test it leaks::` searches a
/// gigabyte.
#[test]
fn of_much_text_all_planted_tokens_are_found_and_nothing_else() {
    let mib = count("KEYWARD_TEST_LEAK_MIB", 24);
    let planted_each = 1_000_usize.div_ceil(mib);
    let mut text = Text(StdRng::seed_from_u64(7));
    let (mut planted, mut found) = (BTreeSet::new(), Vec::new());
    let mut scanner = Scanner::new();
    let mut spent = std::time::Duration::ZERO;
    // Lines are made anew for some of it, and come again in another order.
    let lines: Vec<_> = (0..20_000).map(|_| text.line()).collect();
    let (mut offset, mut line) = (0, 1);
    for _ in 0..mib {
        let mut piece = Vec::with_capacity(MIB + 4096);
        let mut plants = planted_each;
        while piece.len() < MIB {
            let at = text.0.random_range(0..lines.len());
            piece.extend(&lines[at]);
            let due = MIB / planted_each * (planted_each - plants);
            if plants > 0 && piece.len() > due && piece.last() != Some(&b'_') {
                let token = text.token();
                // A word that touches it is no part of it.
                planted.insert((offset + piece.len() as u64, token.clone()));
                piece.extend(token.as_bytes());
                plants -= 1;
            }
            piece.push(b'\n');
        }
        let start = Instant::now();
        for part in piece.chunks(65_537) {
            scanner.feed(part, |token| {
                let text = String::from_utf8(token.token.to_vec()).unwrap();
                found.push((token.place, text));
            });
        }
        spent += start.elapsed();
        // Lines are those that an editor would show.
        for (place, _) in &found {
            if place.offset >= offset {
                let at = usize::try_from(place.offset - offset).unwrap();
                let before = &piece[..at];
                let newlines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
                assert_eq!(place.line, line + newlines);
            }
        }
        offset += piece.len() as u64;
        line += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    let found: BTreeSet<_> = found
        .into_iter()
        .map(|(place, token)| (place.offset, token))
        .collect();
    assert!(planted.len() >= 1_000);
    let strays: Vec<_> = found.symmetric_difference(&planted).take(3).collect();
    assert!(strays.is_empty(), "{strays:?}");
    let rate = offset as f64 / 1e6 / spent.as_secs_f64();
    println!("{} tokens in {mib} MiB, {rate:.0} MB/s", found.len());
}

async fn identify(admin: &mut Admin, tokens: &[&str]) -> Vec<IdentifiedToken> {
    let tokens = tokens.iter().map(|&token| token.to_owned()).collect();
    let request = IdentifyTokensRequest { tokens };
    let reply = admin.client.identify_tokens(request).await.unwrap();
    reply.into_inner().tokens
}

/// The states, and whose they are.
fn told(tokens: &[IdentifiedToken]) -> Vec<(TokenState, String)> {
    let holder = |token: &IdentifiedToken| match &token.holder {
        Some(Holder::Key(key)) => key.id.clone(),
        Some(Holder::AdminKey(key)) => key.id.clone(),
        None => String::new(),
    };
    let told = tokens.iter().map(|token| (token.state(), holder(token)));
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_worth_what_its_key_is() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    let here = office.workspace().await;
    let made = owner.key(&here, &["a"]).await;
    let (old, id) = (made.token, made.key.unwrap().id);
    let state = async |token: &str| {
        let told = identify(&mut office.owner.clone(), &[token])
            .await
            .remove(0);
        (told.state(), told)
    };
    let (live, whose) = state(&old).await;
    assert_eq!(live, TokenState::Live);
    assert_eq!(whose.hint, format!("klg_live_…{}", &old[old.len() - 4..]));
    assert_eq!(told(&[whose]), [(TokenState::Live, id.clone())]);

    let switch = DisableKeyRequest {
        key_id: id.clone(),
        ..DisableKeyRequest::default()
    };
    owner.client.disable_key(switch).await.unwrap();
    assert_eq!(state(&old).await.0, TokenState::Dormant);
    let switch = EnableKeyRequest {
        key_id: id.clone(),
        ..EnableKeyRequest::default()
    };
    owner.client.enable_key(switch).await.unwrap();

    let rotate = |seconds| RotateKeyRequest {
        key_id: id.clone(),
        overlap: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..RotateKeyRequest::default()
    };
    let new = owner.client.rotate_key(rotate(3_600)).await.unwrap();
    let new = new.into_inner().token;
    let (live, whose) = state(&old).await;
    assert_eq!((live, whose.end_time.is_some()), (TokenState::Live, true));
    assert_ne!(whose.hint, format!("klg_live_…{}", &new[new.len() - 4..]));
    assert_eq!(state(&new).await.0, TokenState::Live);
    let newest = owner.client.rotate_key(rotate(0)).await.unwrap();
    let newest = newest.into_inner().token;
    // Two have taken its place: it is not kept.
    assert_eq!(state(&old).await.0, TokenState::Unknown);
    assert_eq!(state(&new).await.0, TokenState::Ended);
    owner.revoke(&id).await;
    let (ended, whose) = state(&newest).await;
    assert_eq!(ended, TokenState::Ended);
    let Some(Holder::Key(key)) = whose.holder else {
        panic!("it is a key's")
    };
    assert!(key.revoke_time.is_some());
    let delete = DeleteKeyRequest {
        key_id: id,
        ..DeleteKeyRequest::default()
    };
    owner.client.delete_key(delete).await.unwrap();
    assert_eq!(state(&newest).await.0, TokenState::Unknown);
    for none in [
        "",
        "sk_live_1",
        &newest[1..],
        &format!("{newest} "),
        "\u{1f511}",
    ] {
        assert_eq!(state(none).await.0, TokenState::Unknown, "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_told_of_what_he_may_read_and_of_nothing_else() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    let (here, yonder) = (office.workspace().await, office.workspace().await);
    let mine = owner.key(&here, &["a"]).await;
    let theirs = owner.key(&yonder, &["a"]).await;
    let personal = CreateKeyRequest {
        token_prefix: "klg_user".to_owned(),
        ..crate::support::key_request("", &["a"])
    };
    let personal = owner
        .client
        .create_key(personal)
        .await
        .unwrap()
        .into_inner();
    let an_admin = office.caller(AdminRole::Reader, &here, &[]).await;
    let another = office.caller(AdminRole::Reader, &yonder, &[]).await;
    let of_all = office.server.site.admin_token();
    // Formed like tokens, and never issued.
    let [strange, strange_admin] = ["klg", "keyward_admin"].map(|prefix| {
        let prefix = TokenPrefix::try_from(prefix).unwrap();
        Token::mint(&prefix, None).expose().to_owned()
    });
    let tokens = [
        &*mine.token,
        &*theirs.token,
        &*personal.token,
        &*strange,
        &*an_admin.token,
        &*another.token,
        &*of_all,
        &*strange_admin,
    ];
    let ids = [
        mine.key.unwrap().id,
        theirs.key.unwrap().id,
        personal.key.unwrap().id,
        String::new(),
        an_admin.id.clone(),
        another.id.clone(),
        office.owner_id().await,
        String::new(),
    ];
    let (live, unknown, untold) = (TokenState::Live, TokenState::Unknown, TokenState::NotTold);
    for (role, place, states) in [
        (
            AdminRole::Owner,
            "",
            [live, live, live, unknown, live, live, live, unknown],
        ),
        (
            AdminRole::Issuer,
            "",
            [live, live, live, unknown, untold, untold, untold, untold],
        ),
        (
            AdminRole::Reader,
            "",
            [live, live, live, unknown, untold, untold, untold, untold],
        ),
        (
            AdminRole::Owner,
            &here,
            [live, untold, untold, untold, live, untold, untold, untold],
        ),
        (
            AdminRole::Reader,
            &here,
            [live, untold, untold, untold, untold, untold, untold, untold],
        ),
    ] {
        let mut caller = office.caller(role, place, &[]).await;
        let answer = identify(&mut caller.admin, &tokens).await;
        let expected: Vec<_> = states
            .into_iter()
            .zip(&ids)
            .map(|(state, id)| match state {
                TokenState::Live => (state, id.clone()),
                TokenState::Unspecified
                | TokenState::Unknown
                | TokenState::Dormant
                | TokenState::Ended
                | TokenState::NotTold => (state, String::new()),
            })
            .collect();
        assert_eq!(told(&answer), expected, "{role:?} {place}");
        // What is not told differs in nothing but the hint, which is in the token.
        let bare = |token: &IdentifiedToken| IdentifiedToken {
            hint: String::new(),
            ..token.clone()
        };
        for state in [unknown, untold] {
            let mut alike = answer
                .iter()
                .filter(|token| token.state() == state)
                .map(bare);
            let first = alike.next();
            assert!(alike.all(|token| Some(&token) == first.as_ref()));
        }
        let own = identify(&mut caller.admin, &[&caller.token]).await;
        assert_eq!(told(&own), [(live, caller.id.clone())]);
        // Nobody is told on, and nothing was refused.
        assert_eq!(office.events_of(&caller.id).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_tokens_end_with_their_keys_and_so_many_are_taken() {
    let office = Office::open().await;
    let mut owner = office.owner.clone();
    let Caller { id, token, .. } = office.caller(AdminRole::Reader, "", &[]).await;
    let newer = rotate_admin(&mut owner, &id, 0).await.unwrap().token;
    let states: Vec<_> = told(&identify(&mut owner, &[&token, &newer]).await);
    let expected = [
        (TokenState::Ended, id.clone()),
        (TokenState::Live, id.clone()),
    ];
    assert_eq!(states, expected);
    revoke_admin(&mut owner, &id).await.unwrap();
    let states = told(&identify(&mut owner, &[&newer]).await);
    assert_eq!(states, [(TokenState::Ended, id)]);

    assert_eq!(identify(&mut owner, &[&*newer; 250]).await.len(), 250);
    for tokens in [vec![], vec![newer.clone(); 251]] {
        let request = IdentifyTokensRequest { tokens };
        assert!(!format!("{request:?}").contains(&newer));
        let refused = owner.client.identify_tokens(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(said(&refused, "fields"), "");
        assert!(!format!("{refused:?}").contains(&newer));
    }
}

/// The patterns that the page gives for other scanners.
#[test]
fn the_patterns_of_the_page_match_tokens_and_no_others() {
    let page = document("docs/leaks.md");
    let quoted = |mark: &str| {
        let at = page.find(mark).unwrap_or_else(|| panic!("no {mark}")) + mark.len();
        page[at..]
            .lines()
            .next()
            .unwrap()
            .trim_end_matches("'''")
            .to_owned()
    };
    let any = quoted("regex = '''");
    let of_one = quoted("  klg: ").trim_matches('\'').to_owned();
    let blocks: Vec<_> = page.split("```text\n").skip(1).collect();
    let custom = blocks[0].lines().next().unwrap().to_owned();
    let mut text = Text(StdRng::seed_from_u64(3));
    for pattern in [&any, &custom] {
        let pattern = Regex::new(pattern).unwrap();
        for _ in 0..300 {
            let token = text.token();
            let line = format!("key = \"{token}\";");
            let found = pattern.find(line.as_bytes()).map(|found| found.as_bytes());
            assert_eq!(found, Some(token.as_bytes()));
            // Also where it touches other letters.
            let line = format!("x_{token}9");
            let found = pattern.find(line.as_bytes()).map(|found| found.as_bytes());
            assert!(found.is_some_and(|found| found.ends_with(token.as_bytes())));
        }
        for other in [
            "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
            "sk_live_51H",
            "klg_live_short",
        ] {
            assert!(!pattern.is_match(other.as_bytes()), "{other}");
        }
    }
    let of_one = Regex::new(&of_one).unwrap();
    let prefix = TokenPrefix::try_from("klg").unwrap();
    let environment = EnvironmentName::try_from("live").unwrap();
    for mark in [None, Some(&environment)] {
        let token = Token::mint(&prefix, mark);
        assert!(of_one.is_match(token.expose().as_bytes()));
    }
    let other = TokenPrefix::try_from("klipy").unwrap();
    assert!(!of_one.is_match(Token::mint(&other, None).expose().as_bytes()));
}
