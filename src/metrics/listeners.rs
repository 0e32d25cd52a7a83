//! What listeners take on, and what they turn away.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::count::Count;

/// The kinds of calls that are counted apart, each up to a limit of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallKind {
    /// One question, or one change.
    Call,
    /// One that goes on.
    Conversation,
    /// One that asks for health.
    Health,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Call, Self::Conversation, Self::Health];

    /// Its name as the value of a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Conversation => "conversation",
            Self::Health => "health",
        }
    }
}

/// What a listener takes on at a time, at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListenerLimits {
    /// Connections; as many conversations, and calls for health.
    pub connections: usize,
    /// Calls of the kind [`CallKind::Call`].
    pub calls: usize,
}

/// What is under way on a listener now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Calls, in the order of [`CallKind::ALL`].
    pub calls: [usize; CallKind::ALL.len()],
}

/// Tells what is under way.
type Gauge = Box<dyn Fn() -> Load + Send + Sync>;

/// Counts what one listener turns away, and knows whom to ask for what is under
/// way there.
pub struct ListenerCounts {
    pub(super) name: &'static str,
    pub(super) limits: ListenerLimits,
    /// Connections that were closed, as there were too many.
    pub connections_refused: Count,
    /// Handshakes that failed by what TLS found wrong.
    pub handshakes_failed: Count,
    calls_refused: [Count; CallKind::ALL.len()],
    gauges: Mutex<Vec<Gauge>>,
}

impl fmt::Debug for ListenerCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListenerCounts({})", self.name)
    }
}

impl ListenerCounts {
    /// Those of the listener `name`.
    #[must_use]
    pub fn new(name: &'static str, limits: ListenerLimits) -> Self {
        Self {
            name,
            limits,
            connections_refused: Count::default(),
            handshakes_failed: Count::default(),
            calls_refused: std::array::from_fn(|_| Count::default()),
            gauges: Mutex::default(),
        }
    }

    /// A call was turned away.
    pub fn call_refused(&self, kind: CallKind) {
        self.calls_refused[kind as usize].one_more();
    }

    /// Has `gauge` asked for what is under way, too: what several tell is added
    /// up.
    pub fn watch(&self, gauge: impl Fn() -> Load + Send + Sync + 'static) {
        self.gauges().push(Box::new(gauge));
    }

    /// What is under way.
    pub(super) fn load(&self) -> Load {
        self.gauges().iter().fold(Load::default(), |sum, gauge| {
            let more = gauge();
            Load {
                connections: sum.connections + more.connections,
                calls: CallKind::ALL.map(|kind| {
                    let at = kind as usize;
                    sum.calls[at] + more.calls[at]
                }),
            }
        })
    }

    /// How many calls of a kind were turned away.
    pub(super) fn refused(&self, kind: CallKind) -> u64 {
        self.calls_refused[kind as usize].get()
    }

    fn gauges(&self) -> std::sync::MutexGuard<'_, Vec<Gauge>> {
        // What a panic left behind is a list as good as any.
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
