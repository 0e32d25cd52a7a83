//! The parts of what is drawn: scopes, addresses, ranges.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use rand::RngExt;

use super::super::slow::scopes::SEGMENTS;
use super::super::words::{Address, Range};
use super::Dice;

impl Dice {
    pub(super) fn scopes(&mut self) -> BTreeSet<String> {
        let number = self.0.random_range(0..4);
        (0..number)
            .map(|_| self.scope())
            // As it is kept.
            .map(|scope| scope.replace("ALL", "*"))
            .collect()
    }

    /// A scope ceiling: everything, or some of it; or, which is refused, nothing.
    pub(super) fn ceiling(&mut self) -> BTreeSet<String> {
        if self.once_in(3) {
            return ["*".to_owned()].into();
        }
        let mut ceiling = self.scopes();
        if !self.once_in(8) {
            ceiling.insert(self.one_of(&["a:*", "b:*", "a"]).to_owned());
        }
        ceiling
    }

    /// A scope of one to three segments.
    pub(super) fn scope(&mut self) -> String {
        if self.once_in(12) {
            return self.one_of(&["*", "ALL"]).to_owned();
        }
        let number = self.0.random_range(1..=3);
        let mut segments: Vec<_> = (0..number).map(|_| self.one_of(&SEGMENTS)).collect();
        if number > 1 && self.once_in(3) {
            segments[number - 1] = "*";
        }
        segments.join(":")
    }

    pub(super) fn ranges(&mut self) -> Vec<Range> {
        if !self.once_in(3) {
            return Vec::new();
        }
        let number = self.0.random_range(1..4);
        let mut ranges = Vec::new();
        for _ in 0..number {
            let Address { v4, mut bits } = self.address();
            let most = bits.len();
            bits.truncate(match self.0.random_range(0..4) {
                0 => most,
                1 => 0,
                // Near where the addresses differ.
                2 => most - self.0.random_range(0..5),
                _ => self.0.random_range(0..=most),
            });
            ranges.push(Range { v4, prefix: bits });
        }
        ranges
    }

    /// An address of few, which differ in their last bits or in their first.
    pub(super) fn address(&mut self) -> Address {
        let last = self.0.random_range(0..8_u8);
        if self.once_in(2) {
            let first = self.one_of(&[10, 11, 203]);
            let bits = Ipv4Addr::new(first, 0, 113, last).to_bits();
            return Address {
                v4: true,
                bits: format!("{bits:032b}"),
            };
        }
        let first = self.one_of(&[0, 0x2001, 0xfe80]);
        let bits = Ipv6Addr::new(first, 0xdb8, 0, 0, 0, 0, 0, last.into()).to_bits();
        Address {
            v4: false,
            bits: format!("{bits:0128b}"),
        }
    }
}
