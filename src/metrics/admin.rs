//! The calls of operators: how they ended, and those that were denied.

use super::count::Count;

/// The codes of gRPC, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Counts the calls of operators.
#[derive(Debug, Default)]
pub struct AdminCounts {
    methods: Vec<(&'static str, [Count; CODES.len()])>,
    denials: Vec<(&'static str, Count)>,
}

impl AdminCounts {
    /// For these methods, which can be denied for these reasons. Others are not
    /// counted.
    #[must_use]
    pub fn new(methods: &[&'static str], denials: &[&'static str]) -> Self {
        let method = |&name: &&'static str| (name, std::array::from_fn(|_| Count::default()));
        Self {
            methods: methods.iter().map(method).collect(),
            denials: denials
                .iter()
                .map(|&reason| (reason, Count::default()))
                .collect(),
        }
    }

    /// A call has ended with the gRPC code of this number.
    pub fn ended(&self, method: &str, code: i32) {
        let method = self.methods.iter().find(|(name, _)| *name == method);
        let code = usize::try_from(code).unwrap_or(usize::MAX);
        if let Some(count) = method.and_then(|(_, codes)| codes.get(code)) {
            count.one_more();
        }
    }

    /// A call was denied for this reason.
    pub fn denied(&self, reason: &str) {
        let denial = self.denials.iter().find(|(name, _)| *name == reason);
        if let Some((_, count)) = denial {
            count.one_more();
        }
    }

    /// How often each method has ended with which code, with the values of the
    /// labels: method, code. Every method with `OK`, and what there was
    /// otherwise.
    pub(super) fn read_calls(&self) -> Vec<([&'static str; 2], u64)> {
        let calls = self.methods.iter().flat_map(|(method, codes)| {
            let counts = CODES.iter().zip(codes);
            counts.map(move |(&code, count)| ([*method, code], count.get()))
        });
        let tells = |call: &([&str; 2], u64)| call.0[1] == CODES[0] || call.1 > 0;
        calls.filter(tells).collect()
    }

    /// How many calls were denied for which reason.
    pub(super) fn read_denials(&self) -> Vec<([&'static str; 1], u64)> {
        let denials = self.denials.iter();
        denials
            .map(|(reason, count)| ([*reason], count.get()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let counts = AdminCounts::new(&["CreateKey", "GetKey"], &["NOT_VISIBLE", "OTHER"]);
        counts.ended("CreateKey", 0);
        counts.ended("GetKey", 16);
        counts.ended("GetKey", 16);
        counts.ended("GetKey", 17);
        counts.ended("GetKey", -1);
        counts.ended("DropTables", 0);
        counts.denied("NOT_VISIBLE");
        counts.denied("whatever a client says");
        assert_eq!(
            counts.read_calls(),
            [
                (["CreateKey", "OK"], 1),
                (["GetKey", "OK"], 0),
                (["GetKey", "UNAUTHENTICATED"], 2),
            ]
        );
        let denials = [(["NOT_VISIBLE"], 1), (["OTHER"], 0)];
        assert_eq!(counts.read_denials(), denials);
    }
}
