//! `keyward keys rotate`: a new token for a key, while the old one still works
//! for a while; and what to do with the two of them.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{read, stake};
use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::etag::EtagFlag;
use crate::cli::failure::{Exit, Failure};
use crate::cli::handover::{HandoverFlags, Issued};
use crate::cli::output::Output;
use crate::cli::status::Flags;
use crate::cli::{argument, key_view, rotation_view, table};
use crate::domain::rotation::USUAL_OVERLAP;
use crate::edge::pb::{Key, RotateKeyRequest};

const FLAGS: Flags = &[("overlap", "--overlap"), ("etag", "--etag")];

#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// The id of the key, `key_…`
    key_id: String,
    /// How long the old token works on, up to 30d; `0s` ends all old ones at
    /// once, which is for a leak [default: a day]
    #[arg(long, value_name = "SPAN", value_parser = argument::span_or_none)]
    overlap: Option<Duration>,
    /// Count that from the first use of the new token. Until then, the old one
    /// works
    #[arg(long)]
    from_first_use: bool,
    #[command(flatten)]
    handover: HandoverFlags,
    #[command(flatten)]
    etag: EtagFlag,
    #[command(flatten)]
    consent: Consent,
}

impl RotateArgs {
    /// Whether to ask. What ends no token needs no consent where nobody is.
    fn asks(&self) -> Result<bool, Failure> {
        match self.overlap {
            Some(Duration::ZERO) => self.consent.must_ask("end the token of a key at once"),
            Some(_) | None => Ok(self.consent.can_ask()),
        }
    }
}

/// Rotates the key and shows it with its new token.
pub(super) async fn run(
    args: RotateArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<(), Failure> {
    let key_id = argument::key_id(args.key_id.clone())?;
    let overlap = argument::wire_span("--overlap", args.overlap)?;
    let ends_at_once = args.overlap == Some(Duration::ZERO);
    let asks = args.asks()?;
    let mut etag = args.etag.given();
    let mut admin = Admin::connect(flags).await?;
    if asks {
        let key = read(&mut admin, &key_id).await?;
        confirm::ask(
            &stake(&admin, &key),
            &consequence(args.overlap, args.from_first_use),
            "Rotate this key?",
        )?;
        etag = args.etag.or_shown(key.etag);
    }
    let place = args.handover.prepare()?;
    let request = RotateKeyRequest {
        key_id: key_id.clone(),
        etag,
        overlap,
        from_first_use: args.from_first_use,
    };
    let reply = admin
        .change(request, FLAGS, async |client, r| client.rotate_key(r).await)
        .await
        .map_err(|failure| match failure.exit() {
            // Then there is nothing to cancel: the old token has ended.
            Exit::NotKnown if ends_at_once => failure.note(format!(
                "If it was rotated, that token is lost: `keyward keys rotate {key_id} --overlap 0s` makes another."
            )),
            Exit::NotKnown => failure.note(format!(
                "If it was rotated, that token is lost: `keyward keys cancel-rotation {key_id}` ends it; then rotate again."
            )),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Denied => failure,
        })?;
    let key = reply.key.unwrap_or_default();
    place.give(
        output,
        &reply.token,
        &format!(
            "{}{}",
            key_view::lines(&key, table::terminal_width()),
            next(&key)
        ),
        json!({ "key": key_view::json(&key) }),
        Issued {
            sentence: format!("the key {} was rotated", key.id),
            remedy: match &key.rotation {
                Some(_) => format!(
                    "`keyward keys cancel-rotation {}` ends it, and the old one works on; then rotate again.",
                    key.id
                ),
                None => format!(
                    "`keyward keys rotate {} --overlap 0s` makes another.",
                    key.id
                ),
            },
        },
    )
}

/// What will become of the tokens, in words.
fn consequence(overlap: Option<Duration>, from_first_use: bool) -> String {
    let overlap = overlap.unwrap_or(USUAL_OVERLAP);
    if overlap.is_zero() {
        return "Its tokens so far stop working at once; only the new one will do.".to_owned();
    }
    let overlap = humantime::format_duration(overlap);
    let from = match from_first_use {
        true => "from the first use of the new one on",
        false => "from now on, or until the key expires",
    };
    format!(
        "It gets a new token beside the one that it has. The old one works for {overlap} {from}; both may do the same."
    )
}

/// What to do now, while there are two tokens.
fn next(key: &Key) -> String {
    let (Some(rotation), id) = (&key.rotation, &key.id) else {
        return String::new();
    };
    format!(
        "\nNext, put the new token where the old one is, which {}.\n\
         Before that, one of the two can be ended:\n\
         \n  keyward keys finish-rotation {id}   the old one, once nobody uses it\
         \n  keyward keys cancel-rotation {id}   the new one, if something is wrong with it\n",
        rotation_view::old_end(rotation)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_happen_is_said_before() {
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 3_600));
        for (overlap, from_first_use, told) in [
            (None, false, "works for 1day from now on"),
            (days(7), false, "works for 7days from now on"),
            (days(2), true, "works for 2days from the first use"),
            (days(0), false, "stop working at once"),
        ] {
            let said = consequence(overlap, from_first_use);
            assert!(said.contains(told), "{said}");
        }
    }

    #[test]
    fn what_comes_next_is_told_while_there_are_two_tokens() {
        assert_eq!(next(&Key::default()), "");
        let key = Key {
            id: "key_1".to_owned(),
            rotation: Some(crate::edge::pb::Rotation::default()),
            ..Key::default()
        };
        let next = next(&key);
        for command in ["finish-rotation key_1", "cancel-rotation key_1"] {
            assert!(next.contains(command), "{next}");
        }
    }
}
