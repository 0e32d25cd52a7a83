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

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}
