//! How keys are used: counted exactly whoever asks at once, kept over restarts,
//! and told without a write for a check.

mod counts;
mod gaps;
mod kept;
mod lists;
mod many;

use keyward::edge::pb::{CheckRequest, CreateKeyResponse, GetKeyRequest, Key, KeyUsage};

use crate::support::{Admin, Server, Site, check_request, wrapped};

/// The key as it is now.
async fn key(admin: &mut Admin, id: &str) -> Key {
    let request = GetKeyRequest {
        key_id: id.to_owned(),
    };
    let reply = admin.client.get_key(request).await.unwrap();
    reply.into_inner().key.unwrap()
}

/// How a key was used up to now.
async fn usage(admin: &mut Admin, issued: &CreateKeyResponse) -> KeyUsage {
    key(admin, id(issued)).await.usage.unwrap()
}

fn id(issued: &CreateKeyResponse) -> &str {
    &issued.key.as_ref().unwrap().id
}

/// A server with these flags.
fn serve(site: &Site, flags: &[&str]) -> Server {
    let mut command = site.serve_command();
    command.args(flags);
    Server::spawn(site.clone(), command).unwrap()
}

/// The question about a request from this address.
fn from(token: &str, scopes: &[&str], source_address: &str) -> CheckRequest {
    CheckRequest {
        source_address: source_address.to_owned(),
        ..check_request(token, scopes)
    }
}
