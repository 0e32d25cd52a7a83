//! How far an import has come: a bar where somebody watches, else a line now
//! and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{say, watched};
use crate::cli::output::Output;

/// How often a line is written where there is no bar.
const EVERY: Duration = Duration::from_secs(5);

/// How far an import has come.
pub(super) struct Progress {
    bar: ProgressBar,
    drawn: bool,
    all: u64,
    done: u64,
    told: Instant,
}

impl Progress {
    /// None of `all` are done.
    pub(super) fn start(all: u64, output: Output) -> Self {
        let drawn = watched(output);
        let target = match drawn {
            true => ProgressDrawTarget::stderr_with_hz(5),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(all), target);
        let style = "{bar:40} {pos} of {len} keys, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            bar,
            drawn,
            all,
            done: 0,
            told: Instant::now(),
        }
    }

    /// So many more are done.
    pub(super) fn more(&mut self, done: u64) {
        self.done += done;
        self.bar.inc(done);
        if !self.drawn && self.told.elapsed() >= EVERY {
            say(&format!("{} of {} keys", self.done, self.all));
            self.told = Instant::now();
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
