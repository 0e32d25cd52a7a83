//! The two texts that metrics are told in: `OpenMetrics`, which the crate writes,
//! and Prometheus's older one, into which that is turned for whoever asks for it.

/// What a scraper understands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus's own text, version 0.0.4.
    Prometheus,
}

impl Format {
    /// What a request with this `Accept` header is answered in: `OpenMetrics` if
    /// it names that, otherwise what everybody reads.
    #[must_use]
    pub fn wanted(accept: Option<&str>) -> Self {
        let named = |part: &str| {
            let (kind, parameters) = part.split_once(';').unwrap_or((part, ""));
            let refused = parameters.split(';').any(|parameter| {
                let zero = parameter.trim().strip_prefix("q=");
                zero.and_then(|q| q.trim().parse().ok()) == Some(0.0)
            });
            kind.trim()
                .eq_ignore_ascii_case("application/openmetrics-text")
                && !refused
        };
        if accept.is_some_and(|accept| accept.split(',').any(named)) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The content type of a text in it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What `open_metrics` says in Prometheus's older text: families have the names
/// of their samples there, and there are neither units nor an end.
pub(super) fn as_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // What is said of a family before its type, with which its name comes.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(told) = line.strip_prefix("# HELP ") {
            help = told.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|told| told.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some(help) = help.take() {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        for (accept, expected) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain;version=0.0.4"), Format::Prometheus),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (Some("application/openmetrics-text;q=0"), Format::Prometheus),
            (
                Some("application/openmetrics-text;q=0.0, */*"),
                Format::Prometheus,
            ),
            // What Prometheus 2 and 3 say.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            (
                Some("text/plain;q=0.3, Application/OpenMetrics-Text; version=1.0.0; q=0.6"),
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(Format::wanted(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_older_text_names_families_as_their_samples() {
        let open_metrics = "# HELP a_seconds How long.\n# TYPE a_seconds counter\n\
                            # UNIT a_seconds seconds\na_seconds_total{b=\"# c\"} 1.5\n\
                            # HELP d Which.\n# TYPE d info\nd_info{e=\"f\"} 1\n\
                            # HELP g Now.\n# TYPE g gauge\ng 2\n# EOF\n";
        let expected = "# HELP a_seconds_total How long.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{b=\"# c\"} 1.5\n\
                        # HELP d_info Which.\n# TYPE d_info gauge\nd_info{e=\"f\"} 1\n\
                        # HELP g Now.\n# TYPE g gauge\ng 2\n";
        assert_eq!(as_prometheus(open_metrics), expected);
    }
}
