//! Drives a server with nghttp2's h2load, which sends one body over and over.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Result;

/// Fails, and says what to install, if there is no h2load.
pub(crate) fn require() -> Result<()> {
    match Command::new("h2load").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "h2load cannot be run ({error}). It comes with nghttp2: \
             `sudo apt-get install nghttp2-client` on Debian and Ubuntu"
        )
        .into()),
    }
}

/// Sends `calls` calls and returns the seconds that they took. All must
/// succeed. h2load does not read trailers: that the answers are right is
/// made sure of before, by `load::ask`.
pub(crate) fn drive(address: SocketAddr, path: &str, body: &Path, calls: usize) -> Result<f64> {
    let output = Command::new("h2load")
        .args(["-n", &calls.to_string(), "-c", "16", "-m", "8"])
        .args([
            "--header",
            "content-type: application/grpc",
            "--header",
            "te: trailers",
        ])
        .arg("--data")
        .arg(body)
        .arg(format!("http://{address}{path}"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let all_answered = text.contains(&format!(
        "{calls} succeeded, 0 failed, 0 errored, 0 timeout"
    )) && text.contains(&format!("status codes: {calls} 2xx"));
    if !output.status.success() || !all_answered {
        return Err(format!("not every call to {path} succeeded. h2load says:\n{text}").into());
    }
    seconds(&text).ok_or_else(|| format!("h2load's output is not understood:\n{text}").into())
}

/// Reads `finished in 738.02ms, …`.
fn seconds(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once("finished in ")?;
    let (time, _) = rest.split_once(',')?;
    let unit = time.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = time[..unit].parse().ok()?;
    match &time[unit..] {
        "s" => Some(number),
        "ms" => Some(number / 1e3),
        "us" => Some(number / 1e6),
        _ => None,
    }
}
