//! Changes that depend on what there is: read, change, and write only if
//! nothing else was written in between; else start over.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::failure::Failure;

/// How often is read and written at most, while others keep changing the same.
const ATTEMPTS: usize = 8;

/// The flag of every command that changes what is there.
#[derive(Args, Clone, Debug)]
pub(crate) struct EtagFlag {
    /// Do it only if this is still the etag, which `--output json` shows
    #[arg(long, value_name = "ETAG", value_parser = NonEmptyStringValueParser::new())]
    etag: Option<String>,
}

impl EtagFlag {
    /// The etag that was given. Empty: none.
    pub(crate) fn given(&self) -> String {
        self.etag.clone().unwrap_or_default()
    }

    /// The etag that was given, else that of what was shown to whoever was
    /// asked: the answer was about that state.
    pub(crate) fn or_shown(&self, shown: String) -> String {
        self.etag.clone().unwrap_or(shown)
    }
}

/// Runs `attempt`, which reads and then writes under the etag that it read,
/// until nobody came in between. If an etag was `given`, once has to do.
pub(crate) async fn revise<R>(
    given: &EtagFlag,
    mut attempt: impl AsyncFnMut() -> Result<R, Failure>,
) -> Result<R, Failure> {
    let spare = if given.etag.is_some() {
        0
    } else {
        ATTEMPTS - 1
    };
    for _ in 0..spare {
        match attempt().await {
            Err(failure) if failure.reason() == "ETAG_MISMATCH" => {}
            ended => return ended,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it was tried, and how it ended, if the first attempts fail
    /// for this reason.
    async fn tried(failing: usize, reason: &str) -> (usize, Result<(), Failure>) {
        let mut count = 0;
        let ended = revise(&EtagFlag { etag: None }, async || {
            count += 1;
            match count <= failing {
                true => Err(Failure::failed("no").because(reason)),
                false => Ok(()),
            }
        })
        .await;
        (count, ended)
    }

    #[tokio::test]
    async fn a_stale_etag_is_no_reason_to_give_up_at_once() {
        assert_eq!(tried(0, "").await, (1, Ok(())));
        assert_eq!(tried(3, "ETAG_MISMATCH").await, (4, Ok(())));
        let (count, ended) = tried(99, "ETAG_MISMATCH").await;
        assert!(count == ATTEMPTS && ended.is_err());
        let (count, ended) = tried(99, "CONFLICT").await;
        assert!(count == 1 && ended.is_err());
    }

    #[tokio::test]
    async fn an_etag_that_was_given_is_meant() {
        let given = EtagFlag {
            etag: Some("e".to_owned()),
        };
        let mut count = 0;
        let ended: Result<(), _> = revise(&given, async || {
            count += 1;
            Err(Failure::failed("no").because("ETAG_MISMATCH"))
        })
        .await;
        assert!(count == 1 && ended.is_err());
    }
}
