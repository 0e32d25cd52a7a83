//! The processor time that another process spends, to the nanosecond: the
//! scheduler's own count, summed over its threads.

use std::collections::HashMap;
use std::time::Duration;

use crate::Result;

/// Measures one process from its start on.
pub(crate) struct Meter {
    pid: u32,
    before: HashMap<String, u64>,
}

impl Meter {
    /// Starts measuring.
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            before: nanoseconds_by_thread(pid)?,
        })
    }

    /// What was spent since the start. Threads that have ended in between are
    /// not counted: neither server ends those that serve.
    pub(crate) fn stop(self) -> Result<Duration> {
        let after = nanoseconds_by_thread(self.pid)?;
        let spent = after
            .iter()
            .map(|(thread, now)| now - self.before.get(thread).unwrap_or(&0))
            .sum();
        Ok(Duration::from_nanos(spent))
    }
}

fn nanoseconds_by_thread(pid: u32) -> Result<HashMap<String, u64>> {
    let mut threads = HashMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        // The first number is the time on a processor.
        let Ok(text) = std::fs::read_to_string(entry.path().join("schedstat")) else {
            continue;
        };
        let spent = text.split(' ').next().unwrap_or_default().parse()?;
        threads.insert(entry.file_name().to_string_lossy().into_owned(), spent);
    }
    if threads.is_empty() {
        return Err("the kernel counts no scheduler times (/proc/<pid>/task/*/schedstat)".into());
    }
    Ok(threads)
}
