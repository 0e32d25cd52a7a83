//! What the process takes of its machine, under the names that every Prometheus
//! client has for it.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What is known of the process. What the system does not tell is left out.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Process {
    /// The time that its threads have worked, in seconds.
    pub(super) cpu_seconds: f64,
    /// The memory that it has in use, in bytes.
    pub(super) resident_bytes: Option<u64>,
    /// How many descriptors it has open.
    pub(super) open_fds: Option<u64>,
    /// How many it may have; none: as many as it likes.
    pub(super) max_fds: Option<u64>,
}

impl Process {
    /// As it is now.
    pub(super) fn now() -> Self {
        let worked = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu_seconds: worked.tv_sec as f64 + worked.tv_nsec as f64 / 1e9,
            resident_bytes: fs::read_to_string("/proc/self/status")
                .ok()
                .and_then(|status| resident(&status)),
            // Less the one that is open to count them.
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|open| (open.count() as u64).saturating_sub(1)),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The system tells it in KiB, and calls those kB.
fn resident(status: &str) -> Option<u64> {
    let told = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let number: u64 = told.trim().strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_process() {
        let before = Process::now();
        let held: Vec<_> = (0..20)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let after = Process::now();
        drop(held);
        assert!(after.cpu_seconds > 0.0 && after.cpu_seconds >= before.cpu_seconds);
        assert!(after.resident_bytes.unwrap() > 1024 * 1024);
        // Other tests of this process open and close some, too.
        assert!(after.open_fds.unwrap() >= 20);
        assert!(
            after
                .max_fds
                .is_none_or(|max| max >= after.open_fds.unwrap())
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let status = "VmPeak:\t  9 kB\nVmRSS:\t   12 kB\nThreads:\t3\n";
        assert_eq!(resident(status), Some(12 * 1024));
        for status in ["", "VmRSS:\t12 MB\n", "VmRSS:\t-1 kB\n"] {
            assert_eq!(resident(status), None, "{status}");
        }
    }
}
