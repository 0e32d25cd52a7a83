//! A decision as the answer to a forward-auth request.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tonic::body::Body;

use crate::edge::gateway::{Decision, Header};
use crate::edge::http_plane::whole;

/// The status that there would be without `deny_status`.
const TRUE_STATUS: HeaderName = HeaderName::from_static("x-keyward-status");

/// What those are told who come while there is too much to do.
const OVERLOADED: &str =
    r#"{"error":"unavailable","message":"There is too much to do. Try again."}"#;

/// The answer that tells of `decision`. `only_403`: all that is neither 200 nor
/// 401 has to be 403, for a gateway that knows no other.
pub(super) fn of(decision: Decision, only_403: bool) -> Response<Body> {
    let mut answer = match decision {
        Decision::Allowed(allowed) => {
            let headers = allowed.set.into_iter().chain(allowed.respond);
            with_headers(StatusCode::OK, headers, "")
        }
        Decision::Denied(denied) => with_headers(denied.status, denied.headers, denied.body),
        Decision::Undecided(undecided) => {
            with_headers(undecided.status, undecided.headers, undecided.body)
        }
    };
    finish(&mut answer, only_403);
    answer
}

/// The answer where there is too much to do for a decision.
pub(super) fn overloaded(only_403: bool) -> Response<Body> {
    let mut answer = whole(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED);
    let headers = answer.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    finish(&mut answer, only_403);
    answer
}

fn with_headers(
    status: StatusCode,
    headers: impl IntoIterator<Item = Header>,
    body: &'static str,
) -> Response<Body> {
    let mut answer = whole(status, body);
    for (name, value) in headers {
        let Ok(value) = HeaderValue::try_from(value) else {
            // It cannot be, for all are visible ASCII; if it were, nobody would
            // pass of whom only a part can be told.
            return whole(StatusCode::INTERNAL_SERVER_ERROR, "");
        };
        answer.headers_mut().append(name, value);
    }
    answer
}

fn finish(answer: &mut Response<Body>, only_403: bool) {
    // It is good for this request: the next may be one too many, or the key gone.
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = answer.status();
    let known = [
        StatusCode::OK,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
    ];
    if only_403 && !known.contains(&status) {
        let value = HeaderValue::from(status.as_u16());
        answer.headers_mut().insert(TRUE_STATUS, value);
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
}
