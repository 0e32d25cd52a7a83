//! Whether the machine was left alone meanwhile. A server that shares its
//! processors with a compiler takes more calls at each waking and seems cheaper
//! per call, the one more than the other: such a round says nothing.

use std::time::Instant;

use crate::Result;

/// The processors that others may use on average without disturbing.
const TOLERATED: f64 = 0.1;

/// Linux counts these times in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Watches all that is neither the servers, this process nor its children.
pub(crate) struct Watch {
    servers: Vec<u32>,
    since: Instant,
    before: u64,
}

impl Watch {
    /// Starts watching.
    pub(crate) fn start(servers: &[u32]) -> Result<Self> {
        let before = ticks_of_others(servers)?;
        Ok(Self {
            servers: servers.to_vec(),
            since: Instant::now(),
            before,
        })
    }

    /// Whether the others were quiet since then.
    pub(crate) fn was_quiet(&self) -> Result<bool> {
        let seconds = self.since.elapsed().as_secs_f64();
        let ticks = ticks_of_others(&self.servers)?.saturating_sub(self.before);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let processors = ticks as f64 / TICKS_PER_SECOND / seconds;
        Ok(processors < TOLERATED)
    }
}

/// The time that others have spent outside of the kernel. What the kernel does
/// for the sockets of ours is not told apart from what it does for others'.
fn ticks_of_others(servers: &[u32]) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    // `cpu  user nice …`
    let all = sum(line.split_whitespace().skip(1).take(2))?;
    // utime, and cutime of the children that have ended: h2load's.
    let mut ours = times("self", &[11, 13])?;
    for server in servers {
        ours += times(&server.to_string(), &[11])?;
    }
    Ok(all.saturating_sub(ours))
}

/// Adds up fields of /proc/<process>/stat, counted from behind the name.
fn times(process: &str, fields: &[usize]) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may contain anything, and ends with the last parenthesis.
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let columns: Vec<&str> = rest.split(' ').collect();
    sum(fields
        .iter()
        .filter_map(|&field| columns.get(field).copied()))
}

fn sum<'a>(numbers: impl Iterator<Item = &'a str>) -> Result<u64> {
    let mut total = 0;
    for number in numbers {
        total += number.parse::<u64>()?;
    }
    Ok(total)
}
