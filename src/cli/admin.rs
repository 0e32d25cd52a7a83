//! The client of KeyAdmin: its flags, and one call at a time.

use std::path::PathBuf;

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::admin_token;
use super::connect::{self, Server};
use super::failure::Failure;
use super::output::Output;
use super::reach::{self, Listener, ReachFlags, Target};
use super::status::{Changes, Flags};
use crate::edge::pb::key_admin_client::KeyAdminClient;

/// The largest reply that is read, in bytes: a page of 1,000 large keys.
const MAX_REPLY_LEN: usize = 32 << 20;

/// The flags of every command that calls KeyAdmin.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct AdminFlags {
    /// The admin listener: `http://host:port`, `https://host:port` or
    /// `unix:PATH` [default: that of the context, else `http://127.0.0.1:50052`]
    #[arg(long, global = true, value_name = "URL", env = "KEYWARD_ADMIN_SERVER")]
    admin_server: Option<Server>,
    /// The file that holds the admin token. Without it, the token is taken
    /// from `$KEYWARD_ADMIN_TOKEN`, or from the file that the context names
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "KEYWARD_ADMIN_TOKEN_FILE"
    )]
    admin_token_file: Option<PathBuf>,
    /// The form of what is written to stdout
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(flatten)]
    reach: ReachFlags,
}

/// A connection to KeyAdmin, with the right to use it.
pub(crate) struct Admin {
    client: KeyAdminClient<Channel>,
    authorization: MetadataValue<Ascii>,
    target: Target,
}

impl Admin {
    /// Reads the admin token and connects.
    pub(crate) async fn connect(flags: AdminFlags) -> Result<Self, Failure> {
        let mut target = flags.reach.target(flags.admin_server, Listener::Admin)?;
        let file = flags.admin_token_file.as_deref();
        if let (Some(context), Some(own)) = (&target.named, &target.token_file)
            && let Some(variable) = admin_token::other_variable(file, own)
        {
            return Err(reach::at_odds(context, variable, "token"));
        }
        let authorization = admin_token::authorization(file, target.token_file.as_deref())
            .map_err(|failure| match flags.admin_token_file {
                Some(_) => failure,
                None => target.without_token(failure),
            })?;
        target.token_source = Some(admin_token::source(file));
        let client =
            KeyAdminClient::new(target.connect().await?).max_decoding_message_size(MAX_REPLY_LEN);
        Ok(Self {
            client,
            authorization,
            target,
        })
    }

    /// The server's address, for people.
    pub(crate) fn address(&self) -> String {
        self.target.address()
    }

    /// The admin token that it works with.
    pub(crate) fn token(&self) -> Option<&str> {
        self.authorization.to_str().ok()?.strip_prefix("Bearer ")
    }

    /// Makes a call that reads.
    pub(crate) async fn read<M, R>(
        &mut self,
        message: M,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, &[], Changes::Nothing, send).await
    }

    /// Makes a call that reads what fits. `flags` are those that set the
    /// fields of the request.
    pub(crate) async fn ask<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, flags, Changes::Nothing, send).await
    }

    /// Makes a call that changes something. `flags` are those that set the
    /// fields of the request.
    pub(crate) async fn change<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, flags, Changes::Something, send).await
    }

    /// The same, with the id of a request in it. Where there is no answer, the
    /// failure says no more than that: how to repeat it is the caller's to say.
    pub(crate) async fn change_once<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, flags, Changes::Once, send).await
    }

    /// Opens a conversation, which has no deadline.
    pub(crate) async fn converse<M, R>(
        &mut self,
        message: M,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Status> {
        let mut request = Request::new(message);
        let authorization = self.authorization.clone();
        request
            .metadata_mut()
            .insert("authorization", authorization);
        send(&mut self.client, request)
            .await
            .map(Response::into_inner)
    }

    /// The failure that the end of a conversation means.
    pub(crate) fn failure(&self, status: &Status, flags: Flags) -> Failure {
        self.target.asked(flags, Changes::Something).failure(status)
    }

    async fn call<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        changes: Changes,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let Self {
            client,
            authorization,
            target,
        } = self;
        let authorized = async |mut request: Request<M>| {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
            send(client, request).await
        };
        let asked = target.asked(flags, changes);
        connect::call(message, target.timeout, authorized)
            .await
            .map_err(|status| asked.failure(&status))
    }
}
