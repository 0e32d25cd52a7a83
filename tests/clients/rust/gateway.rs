//! Asks keyward about the header of a request, as a gateway does.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

use super::keyward_v1::check_response::Outcome;
use super::keyward_v1::key_check_client::KeyCheckClient;
use super::keyward_v1::{Allowed, CheckRequest, CheckResponse};

const ATTEMPTS: u32 = 3;

/// The files of a client's TLS, PEM.
pub struct Tls {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A channel to `https://host:port`, to be kept for as long as the process
/// lives. It connects with the first call, and again by itself. With
/// `http://host:port` and no TLS, nothing is encrypted.
pub fn connect(address: &str, tls: Option<&Tls>) -> Result<Channel, Box<dyn Error>> {
    let mut endpoint = Endpoint::from_shared(address.to_owned())?;
    if let Some(tls) = tls {
        let identity = Identity::from_pem(fs::read(&tls.certificate)?, fs::read(&tls.key)?);
        let config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(fs::read(&tls.ca)?))
            .identity(identity);
        endpoint = endpoint.tls_config(config)?;
    }
    Ok(endpoint.connect_lazy())
}

/// What to do with a request.
pub enum Decision {
    /// Pass it on.
    Pass(Box<Allowed>),
    /// Answer with this HTTP status; the text is for the log alone.
    Answer(i32, String),
}

/// Whether a request with this header may pass. The deadline is for all attempts
/// together: half a second is plenty.
pub async fn decide(
    client: &KeyCheckClient<Channel>,
    header: &str,
    workspace: &str,
    scopes: &[&str],
    deadline: Duration,
) -> Decision {
    let question = CheckRequest {
        // As it came, but no longer than what can be good.
        credential: header.chars().take(1025).collect(),
        workspace: workspace.to_owned(),
        required_scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        ..CheckRequest::default()
    };
    let asked = timeout(deadline, ask(client, question, deadline));
    // Without a verdict it is no denial, and must not look like one.
    match asked.await {
        Ok(Ok(response)) => act_on(response),
        Ok(Err(status)) => Decision::Answer(503, format!("could not decide: {status}")),
        Err(_) => Decision::Answer(503, "could not decide in time".to_owned()),
    }
}

/// A check changes nothing: it can be asked again at once.
async fn ask(
    client: &KeyCheckClient<Channel>,
    question: CheckRequest,
    deadline: Duration,
) -> Result<CheckResponse, tonic::Status> {
    let mut attempt = 1;
    loop {
        let mut request = Request::new(question.clone());
        request.set_timeout(deadline);
        match client.clone().check(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if status.code() == Code::Unavailable && attempt < ATTEMPTS => {
                sleep(Duration::from_millis(20) * attempt).await;
                attempt += 1;
            }
            Err(status) => return Err(status),
        }
    }
}

/// What a verdict means.
pub fn act_on(response: CheckResponse) -> Decision {
    match response.outcome {
        Some(Outcome::Allowed(allowed)) => Decision::Pass(Box::new(allowed)),
        Some(Outcome::Denied(denied)) => {
            let log = format!("denied: {:?} {}", denied.reason(), denied.key_id);
            Decision::Answer(denied.http_status, log)
        }
        // A newer keyward has an outcome that is not known here.
        None => Decision::Answer(403, "denied: unknown outcome".to_owned()),
    }
}
