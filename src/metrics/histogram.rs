//! How values are spread, in buckets of fixed bounds: to note one is two
//! additions, whoever asks does the sums.

use std::time::Duration;

use super::count::Count;

/// The bounds of buckets, and the unit that they are told in.
#[derive(Debug)]
pub(super) struct Scale<const N: usize> {
    /// The largest value of each bucket, in rising order.
    bounds: [u64; N],
    /// How many of what is counted make one of the unit that is told.
    per_unit: f64,
}

/// How long checks take, told in seconds and counted in nanoseconds. One that
/// waits for credits gets three seconds at most.
pub(super) static CHECK_DURATIONS: Scale<14> = Scale {
    bounds: [
        1_000,
        2_000,
        5_000,
        10_000,
        20_000,
        50_000,
        100_000,
        200_000,
        500_000,
        1_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
        3_000_000_000,
    ],
    per_unit: 1e9,
};

/// How long commits take, told in seconds and counted in nanoseconds: a sync of a
/// good disk, of a bad one, and the ten seconds after which the store is lost.
pub(super) static COMMIT_DURATIONS: Scale<13> = Scale {
    bounds: [
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        500_000_000,
        2_500_000_000,
        10_000_000_000,
    ],
    per_unit: 1e9,
};

/// How many commits share a sync: up to as many as the writer takes at once.
pub(super) static GROUP_SIZES: Scale<9> = Scale {
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    per_unit: 1.0,
};

/// Counts of values, by bucket.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    scale: &'static Scale<N>,
    buckets: [Count; N],
    /// Of the values above all bounds.
    beyond: Count,
    sum: Count,
}

/// What a histogram has counted: whole at one moment, as far as its sum may lag
/// behind by what is being noted.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Spread {
    /// The sum of all values, in the unit that is told.
    pub(super) sum: f64,
    /// How many there are.
    pub(super) count: u64,
    /// The upper bound of each bucket, and how many are in it alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl<const N: usize> Histogram<N> {
    /// It has counted nothing.
    pub(super) fn new(scale: &'static Scale<N>) -> Self {
        Self {
            scale,
            buckets: std::array::from_fn(|_| Count::default()),
            beyond: Count::default(),
            sum: Count::default(),
        }
    }

    /// Counts one value.
    pub(super) fn note(&self, value: u64) {
        // From the low end, where nearly all are.
        let bounds = self.scale.bounds.iter().zip(&self.buckets);
        let bucket = bounds
            .into_iter()
            .find_map(|(&bound, bucket)| (value <= bound).then_some(bucket));
        bucket.unwrap_or(&self.beyond).one_more();
        self.sum.add(value);
    }

    /// Counts a time, in nanoseconds.
    pub(super) fn took(&self, time: Duration) {
        self.note(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted by all of `parts`, which are of one scale.
    pub(super) fn spread<'h>(
        scale: &Scale<N>,
        parts: impl Iterator<Item = &'h Self> + Clone,
    ) -> Spread {
        let told = |value: u64| value as f64 / scale.per_unit;
        let total = |of: &dyn Fn(&Self) -> u64| parts.clone().map(of).sum::<u64>();
        let bounds = scale.bounds.iter().enumerate();
        let mut buckets: Vec<_> = bounds
            .map(|(at, &bound)| (told(bound), total(&|part| part.buckets[at].get())))
            .collect();
        buckets.push((f64::INFINITY, total(&|part| part.beyond.get())));
        Spread {
            sum: told(total(&|part| part.sum.get())),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }

    /// What it has counted.
    pub(super) fn read(&self) -> Spread {
        Self::spread(self.scale, std::iter::once(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it() {
        let sizes = Histogram::new(&GROUP_SIZES);
        for value in [0, 1, 2, 3, 256, 257, 1_000_000] {
            sizes.note(value);
        }
        let spread = sizes.read();
        let of = |bound: f64| {
            spread
                .buckets
                .iter()
                .find(|(at, _)| *at == bound)
                .unwrap()
                .1
        };
        assert_eq!((of(1.0), of(2.0), of(4.0), of(8.0)), (2, 1, 1, 0));
        assert_eq!((of(256.0), of(f64::INFINITY)), (1, 2));
        assert_eq!((spread.count, spread.sum), (7, 1_000_519.0));
    }

    #[test]
    fn times_are_told_in_seconds() {
        let times = Histogram::new(&CHECK_DURATIONS);
        times.took(Duration::from_micros(2));
        times.took(Duration::from_secs(2));
        times.took(Duration::MAX);
        let spread = times.read();
        assert_eq!(spread.buckets[1], (0.000_002, 1));
        assert_eq!(spread.buckets[13], (3.0, 1));
        assert_eq!(spread.buckets[14], (f64::INFINITY, 1));
    }

    #[test]
    fn what_threads_have_counted_is_added_up() {
        let parts = [(); 3].map(|()| Histogram::new(&GROUP_SIZES));
        for (part, value) in parts.iter().zip([1, 1, 300]) {
            part.note(value);
        }
        let spread = Histogram::spread(&GROUP_SIZES, parts.iter());
        assert_eq!((spread.count, spread.sum), (3, 302.0));
        assert_eq!(spread.buckets[0], (1.0, 2));
    }
}
