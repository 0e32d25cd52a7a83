//! What a clock that was far ahead has left behind: credits that are not filled
//! again before the time that it told has come. At a start it is said of how
//! many keys, for nobody else would notice until they run out.

use tracing::warn;

use crate::domain::clock::Timestamp;
use crate::index::Index;

/// Warns, once, if there are any at `now`.
pub(super) fn warn_of_any(index: &Index, now: Timestamp) {
    let accounts = number(index, now);
    if accounts > 0 {
        warn!(
            accounts,
            "credits were filled by a clock that was ahead, and are not filled again until that time is over: set those \
             of which that is far away anew with their refill"
        );
    }
}

/// Of how many keys the credits were filled last by a clock that is ahead of
/// `now`.
fn number(index: &Index, now: Timestamp) -> usize {
    let accounts = index.all_credits();
    accounts.iter().filter(|one| one.is_ahead(now)).count()
}
