//! Every metric that there is, with its name, its unit and what it means.
//!
//! `docs/metrics.md` has the same list, and a test compares the two.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::build_info;

use super::Sources;
use super::histogram::Spread;
use super::listeners::{CallKind, ListenerCounts};
use super::process::Process;

/// Writes them.
#[derive(Debug)]
pub(super) struct Families(pub(super) Sources);

impl Collector for Families {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.checks(&mut page)?;
        self.index(&mut page)?;
        self.commits(&mut page)?;
        self.listeners(&mut page)?;
        self.admin(&mut page)?;
        self.build(&mut page)?;
        process(&mut page)
    }
}

impl Families {
    fn checks(&self, page: &mut Page<'_>) -> fmt::Result {
        let checks = &self.0.checks;
        page.counters(
            (
                "keyward_checks",
                "Checks that were decided on, by the way they came in, the verdict and its reason.",
            ),
            ["interface", "verdict", "reason"],
            &checks.read_decided(),
        )?;
        page.counters(
            (
                "keyward_undecided",
                "Checks that have no verdict, by the way they came in and the cause.",
            ),
            ["interface", "cause"],
            &checks.read_undecided(),
        )?;
        page.histograms(
            ("keyward_check_duration", "Time from when a question was there as a whole until its answer was written; of a batch, for all of its questions together."),
            Some(Unit::Seconds),
            ["interface"],
            &checks.read_durations(),
        )
    }

    fn index(&self, page: &mut Page<'_>) -> fmt::Result {
        let standing = (self.0.standing)();
        for (name, help, number) in [
            (
                "keyward_index_keys",
                "Keys that checks know, those that do not work any more among them.",
                standing.keys as u64,
            ),
            (
                "keyward_index_tokens",
                "Tokens that stand for a key: one that is being rotated has several.",
                standing.tokens as u64,
            ),
            (
                "keyward_index_workspaces",
                "Workspaces that checks know.",
                standing.workspaces as u64,
            ),
            (
                "keyward_index_principals",
                "Principals that checks know.",
                standing.principals as u64,
            ),
            (
                "keyward_index_revision",
                "The revision of the store that checks judge by.",
                standing.revision,
            ),
            (
                "keyward_store_revision",
                "The revision of the last change that this process made durable, or that the store had when it started.",
                self.0.commits.revision().max(standing.revision),
            ),
            (
                "keyward_store_healthy",
                "1 while the store takes changes, 0 once it is lost: checks go on from memory then.",
                u64::from(standing.sound),
            ),
        ] {
            page.gauge((name, help), None, Some(number))?;
        }
        Ok(())
    }

    fn commits(&self, page: &mut Page<'_>) -> fmt::Result {
        let commits = &self.0.commits;
        page.counters(
            (
                "keyward_commits",
                "Changes that were to be made durable, by what became of them.",
            ),
            ["outcome"],
            &commits.read_ends(),
        )?;
        page.histograms(
            (
                "keyward_commit_duration",
                "Time from when a change was queued until it was durable.",
            ),
            Some(Unit::Seconds),
            [],
            &[([], commits.durations.read())],
        )?;
        page.histograms(
            (
                "keyward_commit_group_size",
                "Changes that became durable with one sync.",
            ),
            None,
            [],
            &[([], commits.groups.read())],
        )
    }

    fn listeners(&self, page: &mut Page<'_>) -> fmt::Result {
        let each = |number: &dyn Fn(&ListenerCounts) -> u64| -> Vec<_> {
            let listeners = self.0.listeners.iter();
            listeners
                .map(|listener| ([listener.name], number(listener)))
                .collect()
        };
        let name = ["listener"];
        page.gauges(
            ("keyward_connections", "Connections that are open."),
            name,
            &each(&|listener| listener.load().connections as u64),
        )?;
        page.gauges(
            (
                "keyward_connections_limit",
                "Connections that the listener takes at a time.",
            ),
            name,
            &each(&|listener| listener.limits.connections as u64),
        )?;
        page.counters(
            (
                "keyward_connections_refused",
                "Connections that were closed, as there were as many as the listener takes.",
            ),
            name,
            &each(&|listener| listener.connections_refused.get()),
        )?;
        page.counters(
            (
                "keyward_tls_handshakes_failed",
                "TLS handshakes that failed by what the client sent or has.",
            ),
            name,
            &each(&|listener| listener.handshakes_failed.get()),
        )?;
        self.calls(page)
    }

    fn calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let by_kind = |number: &dyn Fn(&ListenerCounts, CallKind) -> u64| -> Vec<_> {
            let listeners = self.0.listeners.iter();
            listeners
                .flat_map(|listener| {
                    CallKind::ALL
                        .map(|kind| ([listener.name, kind.as_str()], number(listener, kind)))
                })
                .collect()
        };
        let name_and_kind = ["listener", "kind"];
        page.gauges(
            ("keyward_calls", "Calls that are under way."),
            name_and_kind,
            &by_kind(&|listener, kind| listener.load().calls[kind as usize] as u64),
        )?;
        page.gauges(
            (
                "keyward_calls_limit",
                "Calls that the listener takes at a time.",
            ),
            name_and_kind,
            &by_kind(&|listener, kind| match kind {
                CallKind::Call => listener.limits.calls as u64,
                CallKind::Conversation | CallKind::Health => listener.limits.connections as u64,
            }),
        )?;
        page.counters(
            ("keyward_calls_refused", "Calls that were turned away, as there were as many as the listener or a connection takes."),
            name_and_kind,
            &by_kind(&ListenerCounts::refused),
        )
    }

    fn admin(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counters(
            ("keyward_admin_calls", "Calls of operators, by the gRPC code that they ended with. A code that there was not yet is left out, but for OK."),
            ["method", "code"],
            &self.0.admin.read_calls(),
        )?;
        page.counters(
            ("keyward_admin_calls_denied", "Calls of operators that were denied, by the reason. All are counted here; the audit log holds some of them."),
            ["reason"],
            &self.0.admin.read_denials(),
        )
    }

    fn build(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Which build of keyward this is.";
        let build = [
            ("version", build_info::VERSION),
            ("commit", build_info::COMMIT),
        ];
        page.0
            .encode_descriptor("keyward_build", help, None, MetricType::Info)?
            .encode_info(&build)?;
        page.gauge_f64(
            (
                "process_start_time",
                "When the process started, since the Unix epoch.",
            ),
            Unit::Seconds,
            self.0.started.as_micros() as f64 / 1e6,
        )
    }
}

fn process(page: &mut Page<'_>) -> fmt::Result {
    let process = Process::now();
    let help = "Time that the threads of the process have worked.";
    page.0
        .encode_descriptor(
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?
        .encode_counter::<NoLabelSet, _, f64>(&process.cpu_seconds, None)?;
    page.gauge(
        (
            "process_resident_memory",
            "Memory that the process has in use.",
        ),
        Some(Unit::Bytes),
        process.resident_bytes,
    )?;
    page.gauge(
        ("process_open_fds", "Descriptors that the process has open."),
        None,
        process.open_fds,
    )?;
    page.gauge(
        (
            "process_max_fds",
            "Descriptors that the process may have open.",
        ),
        None,
        process.max_fds,
    )
}

/// The name of a family, and what it means.
type Told = (&'static str, &'static str);

/// Where families are written.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn counters<const L: usize>(
        &mut self,
        (name, help): Told,
        labels: [&str; L],
        counts: &[([&str; L], u64)],
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (values, count) in counts {
            family
                .encode_family(&pairs(labels, *values))?
                .encode_counter::<NoLabelSet, _, f64>(count, None)?;
        }
        Ok(())
    }

    fn gauges<const L: usize>(
        &mut self,
        (name, help): Told,
        labels: [&str; L],
        numbers: &[([&str; L], u64)],
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (values, number) in numbers {
            family
                .encode_family(&pairs(labels, *values))?
                .encode_gauge(number)?;
        }
        Ok(())
    }

    /// Nothing, if the number is not known.
    fn gauge(
        &mut self,
        (name, help): Told,
        unit: Option<Unit>,
        number: Option<u64>,
    ) -> fmt::Result {
        let Some(number) = number else { return Ok(()) };
        self.0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?
            .encode_gauge(&number)
    }

    fn gauge_f64(&mut self, (name, help): Told, unit: Unit, number: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, Some(&unit), MetricType::Gauge)?
            .encode_gauge(&number)
    }

    fn histograms<const L: usize>(
        &mut self,
        (name, help): Told,
        unit: Option<Unit>,
        labels: [&str; L],
        spreads: &[([&str; L], Spread)],
    ) -> fmt::Result {
        let mut family =
            self.0
                .encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (values, spread) in spreads {
            let Spread {
                sum,
                count,
                buckets,
            } = spread;
            if L == 0 {
                // Or there would be empty braces.
                family.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
                continue;
            }
            family
                .encode_family(&pairs(labels, *values))?
                .encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
        }
        Ok(())
    }
}

fn pairs<'l, const L: usize>(
    labels: [&'l str; L],
    values: [&'l str; L],
) -> [(&'l str, &'l str); L] {
    std::array::from_fn(|at| (labels[at], values[at]))
}
