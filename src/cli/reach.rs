//! Which server is meant, and how it is reached: by flags, before variables,
//! before the context, before the defaults. A context that a flag names is at
//! odds with variables that say something else.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tonic::transport::Channel;

use super::connect::Server;
use super::context::{Context, Contexts};
use super::failure::Failure;
use super::status::{Asked, Changes, Flags};
use super::tls::Tls;
use super::{argument, text};

/// The flags of every command that calls a server.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct ReachFlags {
    /// The context that says how to reach the server [default: the current
    /// one, if there is any]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "KEYWARD_CONTEXT",
        value_parser = NonEmptyStringValueParser::new()
    )]
    context: Option<String>,
    /// The authorities that may have signed the certificate of an `https://`
    /// server, in PEM [default: those of the system]
    #[arg(long, global = true, value_name = "PATH", env = "KEYWARD_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show to an `https://` server, with its chain, in PEM
    #[arg(long, global = true, value_name = "PATH", env = "KEYWARD_CLIENT_CERT")]
    client_cert: Option<PathBuf>,
    /// The private key of that, in PEM
    #[arg(long, global = true, value_name = "PATH", env = "KEYWARD_CLIENT_KEY")]
    client_key: Option<PathBuf>,
    /// The name that the server's certificate has to be for [default: the host
    /// of its address]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    server_name: Option<String>,
    /// A mesh or a tunnel encrypts what goes to an `http://` server on another
    /// machine; without this, nothing is sent to one
    #[arg(
        long,
        global = true,
        value_name = "BOOL",
        env = "KEYWARD_ENCRYPTED_ELSEWHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    encrypted_elsewhere: Option<bool>,
    /// How long to wait for the server, for each call
    #[arg(long, global = true, value_name = "SPAN", default_value = "5s", value_parser = argument::span)]
    timeout: Duration,
}

/// One of a server's two listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listener {
    /// Where checks are answered.
    Check,
    /// Where operators call.
    Admin,
}

impl Listener {
    /// The flag that names it.
    fn flag(self) -> &'static str {
        match self {
            Self::Check => "--check-server",
            Self::Admin => "--admin-server",
        }
    }

    /// The variable that names it.
    fn variable(self) -> &'static str {
        match self {
            Self::Check => "KEYWARD_CHECK_SERVER",
            Self::Admin => "KEYWARD_ADMIN_SERVER",
        }
    }

    /// The address in a context, or else the default one.
    fn address(self, context: &Context) -> &str {
        let (set, default) = match self {
            Self::Check => (&context.check_server, "http://127.0.0.1:50051"),
            Self::Admin => (&context.admin_server, "http://127.0.0.1:50052"),
        };
        set.as_deref().unwrap_or(default)
    }
}

/// A listener that is to be called, with all that is needed for it.
#[derive(Debug)]
pub(crate) struct Target {
    server: Server,
    tls: Tls,
    flag: &'static str,
    /// How long to wait, for each call.
    pub(crate) timeout: Duration,
    /// The file with the admin token, if the context names one for this server.
    pub(crate) token_file: Option<PathBuf>,
    /// Where the admin token was taken from, for people, once it was.
    pub(crate) token_source: Option<&'static str>,
    /// The context that the command line names. What it has is meant, then,
    /// and no variable that happens to be set.
    pub(crate) named: Option<String>,
    withheld: Option<Withheld>,
}

/// What a context has for its own server, when another is called.
#[derive(Debug)]
struct Withheld {
    /// The address of its own.
    own: String,
    token: bool,
    tls: bool,
}

impl Withheld {
    fn of(context: &Context, own: &str) -> Self {
        Self {
            own: own.to_owned(),
            token: context.admin_token_file.is_some(),
            tls: context.ca_file.is_some()
                || context.client_cert.is_some()
                || context.server_name.is_some(),
        }
    }
}

impl ReachFlags {
    /// The listener that is meant; `server` is what its own flag or variable
    /// names.
    pub(crate) fn target(
        self,
        server: Option<Server>,
        listener: Listener,
    ) -> Result<Target, Failure> {
        let context = Contexts::applicable(self.context.as_deref())?;
        let named = self.context.clone();
        let named = named.filter(|name| !is_set_to("KEYWARD_CONTEXT", name.as_ref()));
        let own = listener.address(&context);
        let parsed = own.parse::<Server>();
        let (server, context, withheld) = match (server, parsed) {
            (None, Err(error)) => {
                return Err(
                    Failure::usage(format!("the context's address {own}: {error}"))
                        .note("`keyward contexts set` puts another one there."),
                );
            }
            (None, Ok(own)) => (own, context, None),
            (Some(server), Ok(own)) if server == own => (server, context, None),
            // Whoever is at this address has no business with the token that
            // the context has for its own server.
            (Some(server), _) => {
                let variable = listener.variable();
                let set = std::env::var(variable).ok();
                if let (Some(name), Some(Ok(set))) = (&named, set.map(|set| set.parse::<Server>()))
                    && set == server
                {
                    return Err(at_odds(name, variable, "server"));
                }
                let withheld = Withheld::of(&context, own);
                (server, Context::default(), Some(withheld))
            }
        };
        let elsewhere = self.encrypted_elsewhere.or(context.encrypted_elsewhere);
        if server.is_in_clear() && elsewhere != Some(true) {
            return Err(refused(&server));
        }
        // A certificate and its key come from one place, together.
        let (client_cert, client_key) = match (self.client_cert, self.client_key) {
            (None, None) => (context.client_cert, context.client_key),
            given => given,
        };
        Ok(Target {
            server,
            tls: Tls {
                ca_file: self.ca_file.or(context.ca_file),
                client_cert,
                client_key,
                server_name: self.server_name.or(context.server_name),
            },
            flag: listener.flag(),
            timeout: self.timeout,
            token_file: context.admin_token_file,
            token_source: None,
            named,
            withheld,
        })
    }
}

/// Whether the variable is set to just this.
pub(crate) fn is_set_to(variable: &str, value: &OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|set| set == value)
}

/// A context is named, and a variable says something else: whoever does both
/// may have forgotten the variable, and is asked rather than misunderstood.
pub(crate) fn at_odds(context: &str, variable: &str, what: &str) -> Failure {
    Failure::usage(format!(
        "the context {} and ${variable} each name a {what}, and not the same",
        text::escaped(context)
    ))
    .note(format!("`unset {variable}`, or leave out --context."))
}

/// Nothing was sent, so no token has to be revoked.
fn refused(server: &Server) -> Failure {
    Failure::usage(format!(
        "{server} is not on this machine, and tokens would cross the network in clear: nothing was sent"
    ))
    .note("Name it with `https://`, or reach it through a tunnel that ends on this machine; if a mesh or a tunnel encrypts this already, say so with --encrypted-elsewhere.")
}

impl Target {
    /// Connects, or says what stands in the way.
    pub(crate) async fn connect(&self) -> Result<Channel, Failure> {
        self.server
            .connect(&self.tls, self.timeout, self.flag)
            .await
            .map_err(|failure| match (&self.withheld, &self.server) {
                (Some(Withheld { own, tls: true, .. }), Server::Https(_)) => failure.note(format!(
                    "What the context has for TLS is for {own} alone: give this server's, or a context that names it."
                )),
                _ => failure,
            })
    }

    /// The failure that there is no admin token, and why that of the context
    /// is none.
    pub(crate) fn without_token(&self, failure: Failure) -> Failure {
        match &self.withheld {
            Some(Withheld {
                own, token: true, ..
            }) => failure.note(format!(
                "The context's token is for {own} alone, and not sent to {}.",
                self.server
            )),
            _ => failure,
        }
    }

    /// What a failure of a call has to know of it. `flags` are those that set
    /// the fields of the request.
    pub(crate) fn asked(&self, flags: Flags, changes: Changes) -> Asked<'_> {
        Asked {
            server: &self.server,
            server_flag: self.flag,
            token_source: self.token_source,
            flags,
            changes,
        }
    }

    /// The address, for people.
    pub(crate) fn address(&self) -> String {
        self.server.to_string()
    }
}
