//! The client of KeyAdmin: its flags, and one call at a time.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::connect::{self, Server};
use super::failure::Failure;
use super::output::Output;
use super::status::{Asked, Flags};
use super::{admin_token, argument};
use crate::edge::pb::key_admin_client::KeyAdminClient;

const SERVER_FLAG: &str = "--admin-server";

/// The largest reply that is read, in bytes: a page of 1,000 large keys.
const MAX_REPLY_LEN: usize = 32 << 20;

/// The flags of every command that calls KeyAdmin.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct AdminFlags {
    /// The admin listener: `http://host:port` or `unix:PATH`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KEYWARD_ADMIN_SERVER",
        default_value = "http://127.0.0.1:50052"
    )]
    admin_server: Server,
    /// The file that holds the admin token. Without it, the token is taken
    /// from `$KEYWARD_ADMIN_TOKEN`
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
    /// How long to wait for the server, for each call
    #[arg(long, global = true, value_name = "SPAN", default_value = "5s", value_parser = argument::span)]
    timeout: Duration,
}

/// A connection to KeyAdmin, with the right to use it.
pub(crate) struct Admin {
    client: KeyAdminClient<Channel>,
    authorization: MetadataValue<Ascii>,
    server: Server,
    timeout: Duration,
}

impl Admin {
    /// Reads the admin token and connects.
    pub(crate) async fn connect(flags: AdminFlags) -> Result<Self, Failure> {
        let authorization = admin_token::authorization(flags.admin_token_file.as_deref())?;
        let channel = flags
            .admin_server
            .connect(flags.timeout, SERVER_FLAG)
            .await?;
        let client = KeyAdminClient::new(channel).max_decoding_message_size(MAX_REPLY_LEN);
        Ok(Self {
            client,
            authorization,
            server: flags.admin_server,
            timeout: flags.timeout,
        })
    }

    /// Makes a call that reads.
    pub(crate) async fn read<M, R>(
        &mut self,
        message: M,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, &[], false, send).await
    }

    /// Makes a call that changes something. `flags` are those that set the
    /// fields of the request.
    pub(crate) async fn change<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.call(message, flags, true, send).await
    }

    async fn call<M, R>(
        &mut self,
        message: M,
        flags: Flags,
        changes: bool,
        send: impl AsyncFnOnce(&mut KeyAdminClient<Channel>, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        let Self {
            client,
            authorization,
            server,
            timeout,
        } = self;
        let authorized = async |mut request: Request<M>| {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
            send(client, request).await
        };
        let asked = Asked {
            server,
            server_flag: SERVER_FLAG,
            flags,
            changes,
        };
        connect::call(message, *timeout, authorized)
            .await
            .map_err(|status| asked.failure(&status))
    }
}
