//! `keyward keys leaked`: finds tokens where they do not belong, says whose they
//! are, and revokes the keys if that is wanted.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::admin::{Admin, AdminFlags};
use crate::cli::confirm::{self, Consent};
use crate::cli::failure::{Exit, Failure};
use crate::cli::leak_search::Search;
use crate::cli::leak_view::{self, Token};
use crate::cli::output::{self, Output};
use crate::cli::table::{self, listing};
use crate::cli::{admin_view, key_view};
use crate::domain::token;
use crate::edge::pb::identified_token::Holder;
use crate::edge::pb::{
    IdentifyTokensRequest, RevocationReason, RevokeAdminKeyRequest, RevokeKeyRequest, TokenState,
};

/// The most tokens of one call.
const BATCH: usize = 250;

#[derive(Args, Debug)]
pub(crate) struct LeakedArgs {
    /// The files to search, folders with all files below them, or `-` for stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only find tokens, and ask no server whose they are
    #[arg(long, conflicts_with_all = ["revoke", "yes"])]
    offline: bool,
    /// Revoke the keys whose tokens were found and are of use, with the reason
    /// LEAKED
    #[arg(long)]
    revoke: bool,
    /// More of why, for people, with --revoke
    #[arg(long, value_name = "TEXT", requires = "revoke")]
    note: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Searches, asks whose it is, revokes, and shows what there is.
pub(super) async fn run(
    args: LeakedArgs,
    flags: AdminFlags,
    output: Output,
) -> Result<Exit, Failure> {
    let asks = args.revoke && args.consent.must_ask("revoke keys")?;
    // Before a long search, so that a forgotten token is told of at once.
    let mut admin = match args.offline {
        true => None,
        false => Some(Admin::connect(flags).await?),
    };
    let mut search = Search::default();
    for path in &args.paths {
        search.add(path);
    }
    let search = search.end();
    let mut tokens = match &mut admin {
        Some(admin) => identify(admin, &search).await?,
        None => search.tokens.iter().map(|token| hinted(token)).collect(),
    };
    let is_of_use = tokens.iter().any(Token::is_of_use);
    let mut unrevoked = 0;
    if let Some(admin) = admin.as_mut().filter(|_| args.revoke && is_of_use) {
        if asks {
            confirm_all(admin, &tokens)?;
        }
        let note = args.note.unwrap_or_default();
        unrevoked = revoke_all(admin, &mut tokens, &note).await;
    }
    show(&search, &tokens, output)?;
    tell_of(&search, &tokens);
    if unrevoked > 0 {
        Ok(Exit::Failed)
    } else if is_of_use {
        Ok(Exit::Denied)
    } else if search.unread > 0 {
        Ok(Exit::Failed)
    } else {
        Ok(Exit::Done)
    }
}

fn hinted(token: &str) -> Token {
    Token {
        hint: token::hint_of(token.as_bytes()).unwrap_or_default(),
        told: None,
        revoked: false,
    }
}

/// Asks whose the tokens are, so many at a time.
async fn identify(admin: &mut Admin, search: &Search) -> Result<Vec<Token>, Failure> {
    let mut tokens = Vec::with_capacity(search.tokens.len());
    for batch in search.tokens.chunks(BATCH) {
        let request = IdentifyTokensRequest {
            tokens: batch.iter().map(|token| token.to_string()).collect(),
        };
        let reply = admin
            .read(request, async |client, r| client.identify_tokens(r).await)
            .await
            .map_err(|failure| {
                let found = search.tokens.len();
                failure.note(format!(
                    "{found} tokens were found: `--offline` shows where, without asking whose they are."
                ))
            })?;
        if reply.tokens.len() != batch.len() {
            return Err(Failure::failed("the server did not answer for each token"));
        }
        let told = batch.iter().zip(reply.tokens);
        tokens.extend(told.map(|(token, told)| Token {
            told: Some(told),
            ..hinted(token)
        }));
    }
    Ok(tokens)
}

/// The keys that are to be revoked, each once.
fn at_stake(tokens: &[Token]) -> Vec<(usize, &Holder)> {
    let mut stake: Vec<(usize, &Holder)> = Vec::new();
    for (at, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.is_to_be_revoked())
    {
        let holder = token.told.as_ref().and_then(|told| told.holder.as_ref());
        if let Some(holder) = holder
            && !stake.iter().any(|(_, other)| id(other) == id(holder))
        {
            stake.push((at, holder));
        }
    }
    stake
}

fn id(holder: &Holder) -> &str {
    match holder {
        Holder::Key(key) => &key.id,
        Holder::AdminKey(key) => &key.id,
    }
}

fn confirm_all(admin: &Admin, tokens: &[Token]) -> Result<(), Failure> {
    let row = |(_, holder): &(usize, &Holder)| match holder {
        Holder::Key(key) => vec![
            key.id.clone(),
            key_view::workspace(key).to_owned(),
            key.name.clone(),
            key.principal.clone(),
        ],
        Holder::AdminKey(key) => vec![
            key.id.clone(),
            admin_view::place(key),
            key.name.clone(),
            "(an admin key)".to_owned(),
        ],
    };
    let rows: Vec<_> = at_stake(tokens).iter().map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let header = ["KEY", "WORKSPACE", "NAME", "PRINCIPAL"];
    let about = format!(
        "Server  {}\n{}",
        admin.address(),
        listing(&header, &rows, &[0], table::terminal_width())
    );
    confirm::ask(
        about.trim_end(),
        "This is final: whoever works with them can do nothing any more.",
        "Revoke these keys?",
    )
}

/// Revokes all, and goes on where one cannot be; tells how many could not.
async fn revoke_all(admin: &mut Admin, tokens: &mut [Token], note: &str) -> usize {
    let stake = at_stake(tokens)
        .into_iter()
        .map(|(_, holder)| holder.clone());
    let mut stake: Vec<_> = stake.collect();
    let own = own_id(admin, &stake).await;
    // Without its own, nothing can be revoked any more.
    stake.sort_by_key(|holder| match holder {
        Holder::Key(_) => 0,
        Holder::AdminKey(key) if Some(&key.id) != own.as_ref() => 1,
        Holder::AdminKey(_) => 2,
    });
    let mut failed = 0;
    for holder in stake {
        match revoke(admin, &holder, note).await {
            Ok(now) => {
                for token in tokens.iter_mut() {
                    let holder = token.told.as_mut().and_then(|told| told.holder.as_mut());
                    if let Some(holder) = holder.filter(|holder| id(holder) == id(&now)) {
                        *holder = now.clone();
                        token.revoked = true;
                    }
                }
            }
            Err(failure) => {
                failed += 1;
                output::tell(&format_args!("{} was not revoked", id(&holder)));
                output::tell(&failure);
            }
        }
    }
    failed
}

/// The id of the admin key that it works with, if some of `stake` may be it. It may
/// have been found by another of its tokens.
async fn own_id(admin: &mut Admin, stake: &[Holder]) -> Option<String> {
    if !stake
        .iter()
        .any(|holder| matches!(holder, Holder::AdminKey(_)))
    {
        return None;
    }
    let request = IdentifyTokensRequest {
        tokens: vec![admin.token()?.to_owned()],
    };
    let reply = admin
        .read(request, async |client, r| client.identify_tokens(r).await)
        .await;
    // Without an answer nothing else will have one.
    let found = reply.ok()?.tokens.into_iter().next()?;
    found.holder.as_ref().map(|holder| id(holder).to_owned())
}

async fn revoke(admin: &mut Admin, holder: &Holder, note: &str) -> Result<Holder, Failure> {
    let reason = RevocationReason::Leaked.into();
    let note = note.to_owned();
    match holder {
        Holder::Key(key) => {
            let request = RevokeKeyRequest {
                key_id: key.id.clone(),
                reason,
                note,
            };
            let reply = admin
                .change(request, &[("note", "--note")], async |client, r| {
                    client.revoke_key(r).await
                })
                .await?;
            Ok(Holder::Key(reply.key.unwrap_or_default()))
        }
        Holder::AdminKey(key) => {
            let request = RevokeAdminKeyRequest {
                admin_key_id: key.id.clone(),
                reason,
                note,
            };
            let reply = admin
                .change(request, &[("note", "--note")], async |client, r| {
                    client.revoke_admin_key(r).await
                })
                .await?;
            Ok(Holder::AdminKey(reply.admin_key.unwrap_or_default()))
        }
    }
}

fn show(search: &Search, tokens: &[Token], output: Output) -> Result<(), Failure> {
    let findings = &search.findings;
    if findings.is_empty() && output == Output::Table {
        return Ok(());
    }
    output.print(
        || leak_view::list(findings, tokens, table::terminal_width()),
        || {
            let found: Vec<_> = findings
                .iter()
                .map(|finding| leak_view::json(finding, tokens))
                .collect();
            json!({
                "findings": found,
                "files": search.files,
                "bytes": search.bytes,
                "unread": search.unread,
            })
        },
    )
}

/// So many of something, in words.
fn counted(number: u64, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}

/// Tells people what was searched, and what nobody could be told.
fn tell_of(search: &Search, tokens: &[Token]) {
    let (tokens_found, places) = (tokens.len() as u64, search.findings.len() as u64);
    output::tell(&format_args!(
        "searched {} with {}: {} in {}",
        counted(search.files, "file"),
        counted(search.bytes, "byte"),
        counted(tokens_found, "token"),
        counted(places, "place")
    ));
    let untold = tokens
        .iter()
        .filter(|token| token.state() == Some(TokenState::NotTold));
    let untold = untold.count();
    if untold > 0 {
        let formed = counted(untold as u64, "token");
        output::tell(&format_args!(
            "note: {formed} may be of keys that this admin token may not see, and work: search with that of an OWNER of the system"
        ));
    }
}
