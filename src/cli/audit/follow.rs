//! `keyward audit list --watch`: the newest events, and then each as it comes,
//! oldest first, until Ctrl-C.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;
use prost_types::Timestamp;

use super::fetch;
use crate::cli::admin::Admin;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::pages::PageFlags;
use crate::cli::watch::Outage;
use crate::cli::{argument, event_view};
use crate::edge::pb::{AuditEvent, ListAuditEventsRequest};

/// How many past events are shown first, unless --limit says otherwise.
const PAST: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");

/// How far back is looked for events that were written late, in seconds: their
/// times are those of their calls, some of which take longer than others.
const MARGIN: i64 = 60;

/// The flag that follows a log.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FollowFlag {
    /// Show the last 10, or --limit, and then each new one as it comes, oldest
    /// first, until Ctrl-C; asks for new ones every 2s, or every SPAN
    #[arg(
        long,
        value_name = "SPAN",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = argument::span,
        conflicts_with = "until"
    )]
    watch: Option<Duration>,
}

impl FollowFlag {
    /// How often to ask, if at all.
    pub(super) fn span(self) -> Option<Duration> {
        self.watch
    }
}

/// Shows past events and follows the log from there.
pub(super) async fn run(
    admin: &mut Admin,
    request: ListAuditEventsRequest,
    pages: PageFlags,
    span: Duration,
    output: Output,
) -> Result<(), Failure> {
    let all = PageFlags {
        limit: None,
        ..pages
    };
    let first = PageFlags {
        limit: Some(pages.limit.unwrap_or(PAST)),
        ..pages
    };
    let past = fetch(admin, &request, first).await?;
    let mut seen = Seen::default();
    // Those before the ones that are shown are not new because they come up in
    // a later look.
    let window = seen.window(request.clone(), &past);
    seen.fresh(fetch(admin, &window, all).await?);
    seen.fresh(past.clone());
    show(past.into_iter().rev(), output)?;

    let mut outage = Outage::default();
    loop {
        tokio::time::sleep(span).await;
        let window = seen.window(request.clone(), &[]);
        if let Some(events) = outage.bridge(fetch(admin, &window, all).await)? {
            show(seen.fresh(events).into_iter(), output)?;
        }
    }
}

fn show(events: impl Iterator<Item = AuditEvent>, output: Output) -> Result<(), Failure> {
    let shown: String = events
        .map(|event| match output {
            Output::Table => event_view::line(&event),
            Output::Json | Output::Yaml => output.item(&event_view::json(&event)),
        })
        .collect();
    match shown.as_str() {
        "" => Ok(()),
        shown => output::print(shown),
    }
}

/// What was seen of the last while, and when the newest of it was.
#[derive(Debug, Default)]
struct Seen {
    newest: Option<i64>,
    events: BTreeSet<(i64, String, u64)>,
}

impl Seen {
    /// The question for all that may be new, and some that is not.
    fn window(
        &self,
        request: ListAuditEventsRequest,
        shown: &[AuditEvent],
    ) -> ListAuditEventsRequest {
        let newest = shown.iter().map(second).max().max(self.newest);
        let start_time = newest.map(|newest| Timestamp {
            seconds: newest - MARGIN,
            nanos: 0,
        });
        let given = request.start_time;
        let later = |start: &Timestamp| given.is_none_or(|given| given.seconds < start.seconds);
        ListAuditEventsRequest {
            start_time: start_time.filter(later).or(given),
            ..request
        }
    }

    /// Those that were not seen before, oldest first.
    fn fresh(&mut self, events: Vec<AuditEvent>) -> Vec<AuditEvent> {
        let mut fresh: Vec<_> = events
            .into_iter()
            .filter(|event| {
                let place = (second(event), event.workspace.clone(), event.sequence);
                self.events.insert(place)
            })
            .collect();
        fresh.sort_by_key(|event| {
            let time = event.time.unwrap_or_default();
            (
                time.seconds,
                time.nanos,
                event.workspace.clone(),
                event.sequence,
            )
        });
        self.newest = fresh.last().map(second).max(self.newest);
        if let Some(newest) = self.newest {
            // What is older will not be asked for again.
            self.events = self.events.split_off(&(newest - MARGIN, String::new(), 0));
        }
        fresh
    }
}

fn second(event: &AuditEvent) -> i64 {
    event.time.map(|time| time.seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seconds: i64, workspace: &str, sequence: u64) -> AuditEvent {
        AuditEvent {
            time: Some(Timestamp { seconds, nanos: 0 }),
            workspace: workspace.to_owned(),
            sequence,
            ..AuditEvent::default()
        }
    }

    fn places(events: &[AuditEvent]) -> Vec<(&str, u64)> {
        events
            .iter()
            .map(|event| (event.workspace.as_str(), event.sequence))
            .collect()
    }

    #[test]
    fn each_event_is_new_once_and_late_ones_are_not_lost() {
        let mut seen = Seen::default();
        let fresh = seen.fresh(vec![event(105, "a", 2), event(100, "a", 1)]);
        assert_eq!(places(&fresh), [("a", 1), ("a", 2)]);
        // Written later, of an earlier time, in another log.
        let again = vec![event(106, "a", 3), event(105, "a", 2), event(101, "b", 1)];
        assert_eq!(places(&seen.fresh(again)), [("b", 1), ("a", 3)]);
        assert!(seen.fresh(vec![event(106, "a", 3)]).is_empty());
        // What is out of sight is forgotten.
        seen.fresh(vec![event(10_000, "a", 4)]);
        assert_eq!(seen.events.len(), 1);
    }

    #[test]
    fn a_look_goes_back_a_little_but_not_before_what_was_asked_for() {
        let mut seen = Seen::default();
        let start = |seen: &Seen, given: Option<i64>| {
            let request = ListAuditEventsRequest {
                start_time: given.map(|seconds| Timestamp { seconds, nanos: 0 }),
                ..ListAuditEventsRequest::default()
            };
            let window = seen.window(request, &[]);
            window.start_time.map(|time| time.seconds)
        };
        assert_eq!(start(&seen, None), None);
        assert_eq!(start(&seen, Some(5)), Some(5));
        seen.fresh(vec![event(1_000, "a", 1)]);
        assert_eq!(start(&seen, None), Some(1_000 - MARGIN));
        assert_eq!(start(&seen, Some(5)), Some(1_000 - MARGIN));
        assert_eq!(start(&seen, Some(990)), Some(990));
    }
}
