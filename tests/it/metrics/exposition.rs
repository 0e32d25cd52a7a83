//! A strict reader of the `OpenMetrics` text format: what it does not know is an
//! error.

use std::collections::{BTreeMap, BTreeSet};

/// A whole text.
#[derive(Debug)]
pub(crate) struct Exposition {
    pub(crate) families: Vec<Family>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> &str {
        &self.labels[name]
    }
}

impl Family {
    /// The names of its labels, but for that of a bucket.
    pub(crate) fn labels(&self) -> BTreeSet<String> {
        let names = self.samples.iter().flat_map(|sample| sample.labels.keys());
        names.filter(|name| *name != "le").cloned().collect()
    }

    fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Counter => &["_total"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["_sum", "_count", "_bucket"],
            Kind::Info => &["_info"],
        }
    }

    fn check(&self) {
        let name = &self.name;
        assert!(!self.samples.is_empty(), "{name} has no sample");
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let of_family = self
                .suffixes()
                .iter()
                .any(|suffix| sample.name == format!("{name}{suffix}"));
            assert!(of_family, "{} is none of {name}", sample.name);
            assert!(
                seen.insert((&sample.name, &sample.labels)),
                "{sample:?} twice"
            );
            assert_eq!(
                sample.labels.keys().any(|label| label == "le"),
                sample.name.ends_with("_bucket"),
                "{sample:?}"
            );
            assert!(sample.value >= 0.0, "{sample:?}");
        }
        if self.kind == Kind::Histogram {
            self.check_buckets();
        }
    }

    /// Buckets rise in bounds and counts, up to all of them.
    fn check_buckets(&self) {
        let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for sample in self
            .samples
            .iter()
            .filter(|sample| sample.name.ends_with("_bucket"))
        {
            let mut labels = sample.labels.clone();
            let bound = number(&labels.remove("le").unwrap());
            series
                .entry(labels)
                .or_default()
                .push((bound, sample.value));
        }
        for (labels, buckets) in series {
            let rises = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
            assert!(rises, "{} {labels:?} {buckets:?}", self.name);
            let count = self
                .samples
                .iter()
                .find(|sample| sample.name.ends_with("_count") && sample.labels == labels);
            let last = buckets.last().unwrap();
            assert_eq!(
                *last,
                (f64::INFINITY, count.unwrap().value),
                "{}",
                self.name
            );
        }
    }
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.strip_suffix("# EOF\n").expect("the end is marked");
        let mut families: Vec<Family> = Vec::new();
        let (mut help, mut unit) = (None, None);
        for line in lines.lines() {
            if let Some(told) = line.strip_prefix("# HELP ") {
                let (name, told) = told.split_once(' ').unwrap();
                assert!(told.ends_with('.') && told.len() > 10, "{line}");
                help = Some(name.to_owned());
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                let (name, kind) = told.split_once(' ').unwrap();
                assert_eq!(help.take().as_deref(), Some(name), "help comes first");
                families.push(Family {
                    name: name.to_owned(),
                    kind: kind_of(kind),
                    samples: Vec::new(),
                });
            } else if let Some(told) = line.strip_prefix("# UNIT ") {
                let (name, told) = told.split_once(' ').unwrap();
                assert!(name.ends_with(&format!("_{told}")), "{line}");
                unit = Some(name.to_owned());
            } else {
                let family = families.last_mut().unwrap();
                if let Some(unit) = unit.take() {
                    assert_eq!(unit, family.name);
                }
                family.samples.push(sample(line));
            }
        }
        let names: BTreeSet<_> = families.iter().map(|family| &family.name).collect();
        assert_eq!(names.len(), families.len(), "a family is told twice");
        families.iter().for_each(Family::check);
        Self { families }
    }

    pub(crate) fn samples_of(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let samples = self.families.iter().flat_map(|family| &family.samples);
        samples.filter(move |sample| sample.name == name)
    }

    /// The value of the one sample that has exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<_, _> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut found = self
            .samples_of(name)
            .filter(|sample| sample.labels == labels);
        let found = found.next();
        found
            .unwrap_or_else(|| panic!("no {name} {labels:?}"))
            .value
    }
}

fn kind_of(word: &str) -> Kind {
    match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "info" => Kind::Info,
        other => panic!("no kind is called {other}"),
    }
}

/// `name{label="value",…} number`; no label's value has anything to escape.
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        None => (series, BTreeMap::new()),
        Some((name, rest)) => {
            let inner = rest.strip_suffix("\"}").unwrap();
            let labels = inner.split("\",").map(|pair| {
                let (label, value) = pair.split_once("=\"").unwrap();
                assert!(is_name(label) && !value.contains(['"', '\\']), "{line}");
                (label.to_owned(), value.to_owned())
            });
            let labels: Vec<_> = labels.collect();
            let number = labels.len();
            let labels: BTreeMap<_, _> = labels.into_iter().collect();
            assert_eq!(labels.len(), number, "{line}");
            (name, labels)
        }
    };
    assert!(is_name(name), "{line}");
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value),
    }
}

fn number(text: &str) -> f64 {
    if text == "+Inf" {
        return f64::INFINITY;
    }
    text.parse().unwrap()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
