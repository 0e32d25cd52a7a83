//! When days and months turn, in UTC: by walking through the calendar.

use super::super::words::{DAY, Refill};

impl Refill {
    /// When the balance is filled next, after `now`.
    pub(super) fn turn(self, now: u64) -> u64 {
        let mut turn = 0;
        for year in 1970.. {
            for month in 1..=12 {
                for day in 1..=days(year, month) {
                    if turn > now && (day == 1 || !self.monthly) {
                        return turn;
                    }
                    turn += DAY;
                }
            }
        }
        unreachable!("years go on")
    }
}

const fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

const fn is_leap(year: u32) -> bool {
    let is_century = year.is_multiple_of(100);
    year.is_multiple_of(4) && (!is_century || year.is_multiple_of(400))
}
