//! How found tokens are shown: where each is, whose, and what it is worth; never
//! the token.

use serde_json::{Value, json};

use super::leak_search::Finding;
use super::table::listing;
use super::text::{self, bare};
use super::{admin_view, key_view};
use crate::edge::pb::identified_token::Holder;
use crate::edge::pb::{IdentifiedToken, TokenState};

/// The narrowest terminal, in columns, in which a list shows all that it can.
const ROOMY: u16 = 140;

/// A token, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    /// What may be displayed of it.
    pub(crate) hint: String,
    /// What the server said; none: it was not asked.
    pub(crate) told: Option<IdentifiedToken>,
    /// Whether its key was revoked since then.
    pub(crate) revoked: bool,
}

impl Token {
    /// What it is worth; none: nobody was asked.
    pub(crate) fn state(&self) -> Option<TokenState> {
        self.told.as_ref().map(IdentifiedToken::state)
    }

    /// Whether whoever has it may be able to use it, now or later.
    pub(crate) fn is_of_use(&self) -> bool {
        match self.state() {
            Some(TokenState::Unknown | TokenState::Ended) => false,
            // A state that is not known here may be anything.
            Some(
                TokenState::Live
                | TokenState::Dormant
                | TokenState::NotTold
                | TokenState::Unspecified,
            )
            | None => true,
        }
    }

    /// Whether its key is to be revoked, if that is wanted: not for a state that is
    /// not known here.
    pub(crate) fn is_to_be_revoked(&self) -> bool {
        matches!(self.state(), Some(TokenState::Live | TokenState::Dormant))
    }

    fn holder(&self) -> Option<&Holder> {
        self.told.as_ref()?.holder.as_ref()
    }

    /// Its state in words: an end says what it was.
    fn state_text(&self) -> String {
        let Some(told) = &self.told else {
            return String::new();
        };
        let known = TokenState::try_from(told.state).map(|state| state.as_str_name());
        let state = bare(known, "TOKEN_STATE_", told.state);
        if self.revoked {
            return format!("{state}: revoked now");
        }
        if told.state() != TokenState::Ended {
            return state;
        }
        let revoked = match self.holder() {
            Some(Holder::Key(key)) => key.revoke_time.as_ref(),
            Some(Holder::AdminKey(key)) => key.revoke_time.as_ref(),
            None => None,
        };
        match (revoked, &told.end_time) {
            (Some(time), _) => format!("{state}: revoked {}", text::second(time)),
            (None, Some(time)) => format!("{state}: replaced {}", text::second(time)),
            (None, None) => format!("{state}: replaced"),
        }
    }

    fn row(&self, roomy: bool) -> Vec<String> {
        let (id, place, name) = match self.holder() {
            Some(Holder::Key(key)) => (&key.id, key_view::workspace(key).to_owned(), &key.name),
            Some(Holder::AdminKey(key)) => (&key.id, admin_view::place(key), &key.name),
            None => return vec![String::new(); if roomy { 3 } else { 1 }],
        };
        match roomy {
            true => vec![id.clone(), place, name.clone()],
            false => vec![id.clone()],
        }
    }
}

/// The places, a line each.
pub(crate) fn list(findings: &[Finding], tokens: &[Token], width: Option<u16>) -> String {
    let roomy = width.is_none_or(|width| width >= ROOMY);
    let offline = tokens.iter().all(|token| token.told.is_none());
    let header: &[_] = match (offline, roomy) {
        (true, _) => &["FOUND AT", "HINT"],
        (false, true) => &["FOUND AT", "STATE", "HINT", "KEY", "WORKSPACE", "NAME"],
        (false, false) => &["FOUND AT", "STATE", "HINT", "KEY"],
    };
    let row = |finding: &Finding| {
        let token = &tokens[finding.token];
        let mut row = vec![place(finding)];
        if offline {
            row.push(token.hint.clone());
        } else {
            row.extend([token.state_text(), token.hint.clone()]);
            row.extend(token.row(roomy));
        }
        row
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    listing(header, &rows, &[], width)
}

/// `path:line:column`, or the byte in what has no lines.
fn place(finding: &Finding) -> String {
    let (path, at) = (&finding.path, finding.place);
    match finding.has_lines {
        true => format!("{path}:{}:{}", at.line, at.column),
        false => format!("{path}: byte {}", at.offset),
    }
}

/// A place, as fields.
pub(crate) fn json(finding: &Finding, tokens: &[Token]) -> Value {
    let token = &tokens[finding.token];
    let (key, admin_key) = match token.holder() {
        Some(Holder::Key(key)) => (Some(key_view::json(key)), None),
        Some(Holder::AdminKey(key)) => (None, Some(admin_view::json(key))),
        None => (None, None),
    };
    let at = finding.place;
    let line = |number| finding.has_lines.then_some(number);
    let state = token.told.as_ref().map(|told| {
        let known = TokenState::try_from(told.state).map(|state| state.as_str_name());
        bare(known, "TOKEN_STATE_", told.state)
    });
    let end_time = token.told.as_ref().and_then(|told| told.end_time.as_ref());
    json!({
        "path": finding.path,
        "offset": at.offset,
        "line": line(at.line),
        "column": line(at.column),
        "hint": token.hint,
        "state": state,
        "revoked": token.revoked,
        "end_time": end_time.map(text::moment),
        "key": key,
        "admin_key": admin_key,
    })
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;
    use crate::domain::leak::Place;
    use crate::edge::pb::{AdminKey, Key};

    fn token(state: TokenState, holder: Option<Holder>) -> Token {
        Token {
            hint: "klg_…x7Qa".to_owned(),
            told: Some(IdentifiedToken {
                state: state.into(),
                holder,
                ..IdentifiedToken::default()
            }),
            revoked: false,
        }
    }

    fn finding(token: usize, has_lines: bool) -> Finding {
        let place = Place {
            offset: 12,
            line: 3,
            column: 4,
        };
        Finding {
            path: "a\u{1b}b".to_owned(),
            place,
            has_lines,
            token,
        }
    }

    #[test]
    fn a_line_tells_where_and_whose_it_is_and_what_has_become_of_it() {
        let time = Some(Timestamp {
            seconds: 1_780_000_000,
            nanos: 0,
        });
        let key = Key {
            id: "key_1".to_owned(),
            workspace: "klipy".to_owned(),
            name: "sync".to_owned(),
            ..Key::default()
        };
        let revoked = Key {
            revoke_time: time,
            ..key.clone()
        };
        let admin = AdminKey {
            id: "adm_1".to_owned(),
            ..AdminKey::default()
        };
        let mut replaced = token(TokenState::Ended, Some(Holder::Key(key.clone())));
        replaced.told.as_mut().unwrap().end_time = time;
        let tokens = [
            token(TokenState::Live, Some(Holder::Key(key))),
            token(TokenState::Ended, Some(Holder::Key(revoked))),
            replaced,
            token(TokenState::Dormant, Some(Holder::AdminKey(admin))),
            token(TokenState::Unknown, None),
        ];
        let findings: Vec<_> = (0..5).map(|at| finding(at, at != 4)).collect();
        let text = list(&findings, &tokens, None);
        let lines: Vec<Vec<_>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        let at = "a\\u{1b}b:3:4";
        let ended = "2026-05-28T20:26:40Z";
        let (revoked, replaced) = (
            format!("ENDED: revoked {ended}"),
            format!("ENDED: replaced {ended}"),
        );
        let expected = [
            vec!["FOUND AT", "STATE", "HINT", "KEY", "WORKSPACE", "NAME"],
            vec![at, "LIVE", "klg_…x7Qa", "key_1", "klipy", "sync"],
            vec![at, &revoked, "klg_…x7Qa", "key_1", "klipy", "sync"],
            vec![at, &replaced, "klg_…x7Qa", "key_1", "klipy", "sync"],
            vec![at, "DORMANT", "klg_…x7Qa", "adm_1", "the whole system"],
            vec!["a\\u{1b}b: byte 12", "UNKNOWN", "klg_…x7Qa"],
        ];
        assert_eq!(lines, expected);
        let use_of: Vec<_> = tokens.iter().map(Token::is_of_use).collect();
        assert_eq!(use_of, [true, false, false, true, false]);
        assert!(Token::default().is_of_use());
        assert_eq!(json(&findings[4], &tokens)["line"], Value::Null);
        assert_eq!(json(&findings[0], &tokens)["key"]["id"], "key_1");
    }

    #[test]
    fn what_is_revoked_is_what_works_or_would() {
        use TokenState::{Dormant, Ended, Live, NotTold, Unknown};
        let states = [Live, Dormant, NotTold, Unknown, Ended];
        let revoked = states.map(|state| token(state, None).is_to_be_revoked());
        assert_eq!(revoked, [true, true, false, false, false]);
        // One of a newer server's states.
        let mut newer = token(Live, None);
        newer.told.as_mut().unwrap().state = 77;
        assert!(newer.is_of_use() && !newer.is_to_be_revoked());
    }
}
