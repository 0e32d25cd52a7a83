//! Issues a key, as an operator's program does.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::keyward_v1::key_admin_client::KeyAdminClient;
use super::keyward_v1::{CreateKeyRequest, CreateKeyResponse};

/// For each attempt.
const DEADLINE: Duration = Duration::from_secs(5);

const ATTEMPTS: u32 = 4;

/// A new key and its token, whatever happens to a reply on the way.
///
/// All attempts have the same `request_id`, such as a UUID, which is never used
/// for another key: the server answers each of them with the same one.
pub async fn issue(
    client: &KeyAdminClient<Channel>,
    admin_token: &str,
    request_id: &str,
    fields: CreateKeyRequest,
) -> Result<CreateKeyResponse, Status> {
    let request_id = request_id.to_owned();
    let fields = CreateKeyRequest {
        request_id,
        ..fields
    };
    let bearer = format!("Bearer {admin_token}")
        .parse()
        .map_err(|_| Status::invalid_argument("the admin token is not one"))?;
    let mut attempt = 1;
    loop {
        let mut request = Request::new(fields.clone());
        request.set_timeout(DEADLINE);
        request
            .metadata_mut()
            .insert("authorization", Clone::clone(&bearer));
        match client.clone().create_key(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if is_unclear(&status) && attempt < ATTEMPTS => {
                sleep(Duration::from_millis(100) * 2u32.pow(attempt)).await;
                attempt += 1;
            }
            Err(status) => return Err(status),
        }
    }
}

/// Whether nobody knows if the key was issued: the reply did not come. Some of
/// what breaks a connection is `Unknown` or `Cancelled` to tonic.
fn is_unclear(status: &Status) -> bool {
    use Code::{Cancelled, DeadlineExceeded, Unavailable, Unknown};
    [Unavailable, DeadlineExceeded, Cancelled, Unknown].contains(&status.code())
}

/// The reason that keyward gives for an error, and the fields it is about. There
/// is none if the error is not keyward's, but the connection's.
pub fn what_went_wrong(status: &Status) -> (Option<String>, BTreeMap<String, String>) {
    let info = status.get_details_error_info();
    let reason = info.filter(|info| info.domain == "keyward");
    let bad = status.get_details_bad_request();
    let fields = bad
        .into_iter()
        .flat_map(|bad| bad.field_violations)
        .map(|violation| (violation.field, violation.description));
    (reason.map(|info| info.reason), fields.collect())
}
