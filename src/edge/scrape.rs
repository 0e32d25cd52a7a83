//! `/metrics`: what was counted, for Prometheus.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::spawn_blocking;
use tonic::codegen::http::header::{ACCEPT, CONTENT_TYPE};
use tonic::codegen::http::{HeaderMap, StatusCode};

use crate::metrics::Metrics;

/// Where it is served.
pub const PATH: &str = "/metrics";

/// Tells `metrics` to whoever asks.
pub fn routes(metrics: Metrics) -> Router {
    Router::new().route(PATH, get(move |headers| scrape(metrics, headers)))
}

/// On another thread: what is written is long, and checks are answered on this
/// one.
async fn scrape(metrics: Metrics, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.map(str::to_owned);
    let rendered = spawn_blocking(move || metrics.render(accept.as_deref())).await;
    match rendered {
        Ok(Ok(text)) => Ok(([(CONTENT_TYPE, text.content_type)], text.body)),
        Ok(Err(_)) | Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
