//! `keyward check`: the verdict on a header, and why.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use tonic::Status;
use tonic::transport::Channel;

use super::argument::Scopes;
use super::check_many;
use super::connect::{self, Server};
use super::failure::{Exit, Failure};
use super::output::Output;
use super::reach::{Listener, ReachFlags, Target};
use super::verdict_view;
use crate::edge::pb::check_response::Outcome;
use crate::edge::pb::key_check_client::KeyCheckClient;
use crate::edge::pb::{CheckRequest, Denied};

/// The most that is read from stdin, in bytes: no header is near it.
const MAX_INPUT_LEN: u64 = 64 * 1024;

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The value of the header that carries the credential, such as
    /// `Bearer klg_live_…`; `-` reads it from stdin, so that the token is in no
    /// shell history and no list of processes
    #[arg(value_name = "HEADER", required_unless_present = "batch", num_args = 1..)]
    words: Vec<Word>,
    /// Ask for the verdicts on many headers instead: one on each line of this
    /// file; `-` reads them from stdin. A line is written for each
    #[arg(long, value_name = "FILE", conflicts_with = "words")]
    batch: Option<PathBuf>,
    /// The workspace that the request is for [default: the key's own]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    workspace: Option<String>,
    /// The environment that the request is for; `*` is any [default: the
    /// workspace's default]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// What the key must be allowed, such as `people:read`, or alternatives
    /// such as `companies:read|companies:write`. Can be given several times, or
    /// hold several separated by spaces; all must hold
    #[arg(long = "scope", value_name = "SCOPES", value_parser = Scopes::parse)]
    scopes: Vec<Scopes>,
    /// A limit to count the check on, by its name, beside those that always
    /// count. Can be given several times, or hold several separated by spaces
    #[arg(long = "limit", value_name = "NAMES", value_parser = Scopes::parse)]
    limits: Vec<Scopes>,
    /// How much of each limit the check takes up; 0 looks and spends nothing
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    cost: u32,
    /// The address that the request came from, such as `203.0.113.7` or
    /// `[2001:db8::1]:443`, which decides if the key is confined to some
    #[arg(long, value_name = "ADDRESS", value_parser = NonEmptyStringValueParser::new())]
    source_address: Option<String>,
    /// The check listener: `http://host:port`, `https://host:port` or
    /// `unix:PATH` [default: that of the context, else `http://127.0.0.1:50051`]
    #[arg(long, value_name = "URL", env = "KEYWARD_CHECK_SERVER")]
    check_server: Option<Server>,
    /// The form of what is written to stdout
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    reach: ReachFlags,
}

/// A word of the header. Several are taken, so that forgotten quotes do not
/// end in a message that shows the token.
#[derive(Clone)]
pub(crate) struct Word(String);

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(word)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(..)")
    }
}

/// Asks for the verdict, or for many, and shows them.
pub(crate) async fn run(args: CheckArgs) -> Result<Exit, Failure> {
    let mut request = CheckRequest {
        credential: String::new(),
        workspace: args.workspace.unwrap_or_default(),
        environment: args.environment.unwrap_or_default(),
        required_scopes: Scopes::all(args.scopes),
        limits: Scopes::all(args.limits),
        cost: Some(args.cost),
        source_address: args.source_address.unwrap_or_default(),
    };
    let headers = match &args.batch {
        Some(file) => Some(check_many::open(file)?),
        None => {
            request.credential = credential(&args.words)?;
            None
        }
    };
    let target = args.reach.target(args.check_server, Listener::Check)?;
    let gateway = Gateway {
        client: KeyCheckClient::new(target.connect().await?),
        target,
        output: args.output,
    };
    match headers {
        Some(headers) => check_many::run(gateway, headers, request).await,
        None => run_one(gateway, request).await,
    }
}

/// Who asks, and how.
pub(crate) struct Gateway {
    pub(crate) client: KeyCheckClient<Channel>,
    pub(crate) target: Target,
    pub(crate) output: Output,
}

impl Gateway {
    /// What it means that there is no reply.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        // Whatever the error is: without a verdict, nothing is known.
        self.target
            .asked(&[], false)
            .failure(status)
            .note("That is no verdict.")
            .with_exit(Exit::NotKnown)
    }
}

async fn run_one(mut gateway: Gateway, request: CheckRequest) -> Result<Exit, Failure> {
    let reply = connect::call(request, gateway.target.timeout, async |request| {
        gateway.client.check(request).await
    })
    .await
    .map_err(|status| gateway.failure(&status))?;
    match reply.outcome.unwrap_or_else(unfamiliar) {
        Outcome::Allowed(allowed) => {
            gateway.output.print(
                || verdict_view::allowed_lines(&allowed),
                || json!({ "allowed": verdict_view::allowed_json(&allowed) }),
            )?;
            Ok(Exit::Done)
        }
        Outcome::Denied(denied) => {
            gateway.output.print(
                || verdict_view::denied_lines(&denied),
                || json!({ "denied": verdict_view::denied_json(&denied) }),
            )?;
            Ok(Exit::Denied)
        }
    }
}

/// The header's value: the words, or what stdin holds.
pub(crate) fn credential(words: &[Word]) -> Result<String, Failure> {
    let typed = words
        .iter()
        .map(|word| word.0.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    if typed == "-" {
        read(std::io::stdin().lock())
    } else {
        Ok(typed)
    }
}

/// Reads the value exactly, but for the newline at the end of a line.
fn read(input: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    input
        .take(MAX_INPUT_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read the header from stdin: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_INPUT_LEN {
        return Err(Failure::usage(
            "what stdin holds is too long to be a header: it would be MALFORMED",
        ));
    }
    let mut header = String::from_utf8(bytes).map_err(|_| {
        Failure::usage("what stdin holds is not text: as a header it would be MALFORMED")
    })?;
    if header.ends_with('\n') {
        header.pop();
        if header.ends_with('\r') {
            header.pop();
        }
    }
    Ok(header)
}

/// An answer that is neither of the two known here is a denial.
pub(crate) fn unfamiliar() -> Outcome {
    Outcome::Denied(Denied {
        http_status: 403,
        ..Denied::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<Word> {
        words.iter().map(|word| Word((*word).to_owned())).collect()
    }

    #[test]
    fn forgotten_quotes_do_no_harm() {
        assert_eq!(
            credential(&words(&["Bearer", "abc"])).unwrap(),
            "Bearer abc"
        );
        assert_eq!(credential(&words(&["Bearer abc"])).unwrap(), "Bearer abc");
        assert_eq!(credential(&words(&[""])).unwrap(), "");
    }

    #[test]
    fn stdin_is_taken_as_it_is_but_for_its_last_newline() {
        assert_eq!(read(&b"Bearer abc\n"[..]).unwrap(), "Bearer abc");
        assert_eq!(read(&b"Bearer abc\r\n"[..]).unwrap(), "Bearer abc");
        assert_eq!(read(&b" Bearer  abc \n\n"[..]).unwrap(), " Bearer  abc \n");
        assert_eq!(read(&b""[..]).unwrap(), "");
        assert_eq!(read(&b"\xff\n"[..]).unwrap_err().exit(), Exit::Usage);
        assert_eq!(read(std::io::repeat(b'a')).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn an_unfamiliar_answer_is_a_denial() {
        assert!(matches!(unfamiliar(), Outcome::Denied(denied) if denied.http_status == 403));
    }
}
