//! How long requests took: the figures that are told of many of them.

use std::time::Duration;

/// Of many requests.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    /// In microseconds: half were no slower.
    pub(crate) p50: f64,
    /// In microseconds: 99 of 100 were no slower.
    pub(crate) p99: f64,
}

impl Times {
    /// None if there were no requests.
    pub(crate) fn of(mut micros: Vec<u32>) -> Option<Self> {
        micros.sort_unstable();
        Some(Self {
            p50: quantile(&micros, 50)?,
            p99: quantile(&micros, 99)?,
        })
    }
}

/// The least of the values, sorted, that `percent` of them do not exceed.
fn quantile(sorted: &[u32], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied().map(f64::from)
}

/// The middle of the values, or between the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// What each of so many requests had of this time, in microseconds.
pub(crate) fn per_request(spent: Duration, requests: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let requests = requests as f64;
    spent.as_secs_f64() * 1e6 / requests
}
