//! How much an audit entry can tell: a stored value has a greatest length, and a
//! change to every field of a record at once can have more to say.

use crate::domain::audit::AuditEntry;

/// The most bytes of what an entry tells, beside what it always does.
const MAX_DETAIL_LEN: usize = 5_970;

/// What storing a name and its value costs beyond their bytes.
const OVERHEAD: usize = 8;

/// What the names of values end with that no longer hold.
const BEFORE: &str = "_before";

/// Leaves out the longest of what was before, until the rest fits: it is in the
/// entries before this one, too. What is now always fits.
pub(super) fn fitted(mut entry: AuditEntry) -> AuditEntry {
    let length = |entry: &AuditEntry| -> usize {
        let parts = entry.detail.iter();
        parts
            .map(|(name, value)| name.len() + value.len() + OVERHEAD)
            .sum()
    };
    while length(&entry) > MAX_DETAIL_LEN {
        let before = entry
            .detail
            .iter()
            .filter(|(name, _)| name.ends_with(BEFORE));
        let longest = before.max_by_key(|(_, value)| value.len());
        let Some((name, _)) = longest else { break };
        let name = name.clone();
        entry.detail.remove(&name);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::AuditAction;
    use crate::domain::clock::Timestamp;

    fn names(detail: &[(&str, usize)]) -> Vec<String> {
        let detail = detail
            .iter()
            .map(|(name, length)| ((*name).to_owned(), "x".repeat(*length)));
        let entry = AuditEntry {
            workspace: None,
            time: Timestamp::from_micros(1),
            actor: "adm".to_owned(),
            action: AuditAction::UpdateKey,
            resource: "key".to_owned(),
            detail: detail.collect(),
        };
        fitted(entry).detail.into_keys().collect()
    }

    #[test]
    fn the_longest_of_what_was_before_is_left_out_first() {
        let all = [
            ("a", 2_000),
            ("a_before", 2_000),
            ("b", 700),
            ("b_before", 700),
        ];
        assert_eq!(names(&all), ["a", "a_before", "b", "b_before"]);
        let more = [&all[..], &[("c", 500), ("c_before", 400)]].concat();
        assert_eq!(names(&more), ["a", "b", "b_before", "c", "c_before"]);
        let most = [&more[..], &[("d", 2_000)]].concat();
        assert_eq!(names(&most), ["a", "b", "c", "c_before", "d"]);
        // What is now is never left out.
        assert_eq!(names(&[("a", 9_000)]), ["a"]);
    }

    #[test]
    fn what_fits_to_the_byte_is_told_whole() {
        let overhead = 1 + 8 + 2 * OVERHEAD;
        let values = MAX_DETAIL_LEN - overhead;
        assert_eq!(names(&[("a", values - 9), ("a_before", 9)]).len(), 2);
        assert_eq!(names(&[("a", values - 9), ("a_before", 10)]).len(), 1);
    }
}
