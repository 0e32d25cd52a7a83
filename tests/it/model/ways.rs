//! In which ways an answer can come about: so that it is known that all of them
//! were met, and that none is lost without a word.

use super::slow::scopes::meaning;
use super::slow::{Key, World};
use super::words::{Answer, Ask, Change, Credential, Layer, Reading, Told, Verdict};

/// All ways.
pub(super) const ALL: [&str; 27] = [
    "passes with a personal key",
    "passes with an old token",
    "passes with less than the key's scopes",
    "passes on a default limit",
    "passes on a default limit with a personal key",
    "passes on a limit that hides a default",
    "passes on a limit that is always counted",
    "passes with credits",
    "passes with a look at credits that are used up",
    "is UNKNOWN, being of another workspace",
    "is UNKNOWN, being personal and no member's",
    "is UNKNOWN, being deleted",
    "is DISABLED, as the key is",
    "is DISABLED, as the principal is",
    "is DISABLED, as the workspace is",
    "is DISABLED, being no member's",
    "is beyond the ceiling alone",
    "is RATE_LIMITED with enough credits",
    "is RATE_LIMITED by a default limit",
    "is CREDITS_EXHAUSTED until a turn",
    "is CREDITS_EXHAUSTED with limits that fit",
    "fills credits daily",
    "fills credits monthly",
    "forfeits credits",
    "passes on a limit that all keys of a principal share",
    "passes on such a limit that hides a default",
    "is RATE_LIMITED by such a limit",
];

/// In which ways a question is answered.
pub(super) fn of_answer(world: &World, ask: &Ask, answer: &Answer) -> Vec<&'static str> {
    let Credential::Token(number, _) = ask.credential else {
        return Vec::new();
    };
    let key = &world.keys[number];
    match &answer.verdict {
        Verdict::Allowed(told) => of_passing(world, ask, (key, told), answer),
        Verdict::Denied { .. } => of_denial(world, ask, key, answer),
    }
}

fn of_passing(
    world: &World,
    ask: &Ask,
    (key, told): (&Key, &Told),
    answer: &Answer,
) -> Vec<&'static str> {
    let is_personal = key.workspace.is_none();
    let mut workspaces = world.workspaces.iter();
    let workspace = workspaces.find(|workspace| workspace.id == told.workspace);
    let defaults = |reading: &Reading| reading.layer == Layer::Workspace && ask.cost > 0;
    let hides = |reading: &Reading| {
        let hidden = workspace.is_some_and(|at| at.limits.contains_key(reading.name.as_str()));
        reading.layer != Layer::Workspace && hidden
    };
    let shared = |reading: &Reading| reading.layer == Layer::Principal && ask.cost > 0;
    let unnamed = |reading: &Reading| !ask.limits.contains(&reading.name.as_str());
    let limits = answer.limits.iter();
    let left = answer.credits.as_ref().map(|left| left.remaining);
    let ways = [
        ("passes with a personal key", is_personal),
        ("passes with an old token", told.superseded == Some(true)),
        (
            "passes with less than the key's scopes",
            meaning(&told.scopes) != meaning(&key.scopes),
        ),
        ("passes on a default limit", limits.clone().any(defaults)),
        (
            "passes on a default limit with a personal key",
            is_personal && limits.clone().any(defaults),
        ),
        (
            "passes on a limit that hides a default",
            limits.clone().any(hides),
        ),
        (
            "passes on a limit that is always counted",
            limits.clone().any(unnamed),
        ),
        ("passes with credits", left.is_some() && ask.cost > 0),
        (
            "passes with a look at credits that are used up",
            left == Some(0) && ask.cost == 0,
        ),
        (
            "passes on a limit that all keys of a principal share",
            limits.clone().any(shared),
        ),
        (
            "passes on such a limit that hides a default",
            limits.clone().any(|limit| shared(limit) && hides(limit)),
        ),
    ];
    those_that_hold(&ways)
}

fn of_denial(world: &World, ask: &Ask, key: &Key, answer: &Answer) -> Vec<&'static str> {
    let of = |reason| answer.name() == reason;
    let of_reason = match answer.name() {
        "UNKNOWN" | "DISABLED" => of_standing(world, ask, key, answer),
        _ => of_spending(ask, key, answer),
    };
    let met_without = ask
        .required
        .iter()
        .all(|term| term.is_met_by(meaning(&key.scopes)));
    let beyond = of("INSUFFICIENT_SCOPE") && met_without;
    [
        of_reason,
        those_that_hold(&[("is beyond the ceiling alone", beyond)]),
    ]
    .concat()
}

/// Of what it is that the key does not stand.
fn of_standing(world: &World, ask: &Ask, key: &Key, answer: &Answer) -> Vec<&'static str> {
    let is_personal = key.workspace.is_none();
    let mut workspaces = world.workspaces.iter();
    let asked = workspaces.position(|workspace| Some(workspace.id) == ask.workspace);
    let place = key.workspace.or(asked);
    let is_member = place.is_some_and(|place| world.ceiling(place, key.principal).is_some());
    let of_another = !is_personal && asked.is_some() && asked != key.workspace;
    let of_no_member = is_personal && asked.is_some() && !is_member;
    let is_off = place.is_some_and(|place| world.workspaces[place].disabled);
    let principal_is_off = world.principals[key.principal].disabled;
    let unknown = [
        ("is UNKNOWN, being of another workspace", of_another),
        ("is UNKNOWN, being personal and no member's", of_no_member),
        ("is UNKNOWN, being deleted", key.deleted),
    ];
    let disabled = [
        ("is DISABLED, as the key is", key.disabled),
        ("is DISABLED, as the principal is", principal_is_off),
        ("is DISABLED, as the workspace is", is_off),
        ("is DISABLED, being no member's", !is_member),
    ];
    if answer.name() == "UNKNOWN" {
        those_that_hold(&unknown)
    } else {
        those_that_hold(&disabled)
    }
}

/// Of what it is that there is too little.
fn of_spending(ask: &Ask, key: &Key, answer: &Answer) -> Vec<&'static str> {
    let limited = answer.name() == "RATE_LIMITED";
    let exhausted = answer.name() == "CREDITS_EXHAUSTED";
    let balance = key.credits.as_ref().map(|credits| credits.balance);
    let enough = balance.is_some_and(|balance| u64::from(ask.cost) <= balance);
    let by = |layer: Layer| {
        let mut limits = answer.limits.iter();
        limits.any(|reading| reading.denied && reading.layer == layer)
    };
    let retry = answer.credits.as_ref().and_then(|left| left.retry);
    let ways = [
        ("is RATE_LIMITED with enough credits", limited && enough),
        (
            "is RATE_LIMITED by a default limit",
            limited && by(Layer::Workspace),
        ),
        (
            "is RATE_LIMITED by such a limit",
            limited && by(Layer::Principal),
        ),
        (
            "is CREDITS_EXHAUSTED until a turn",
            exhausted && retry.is_some(),
        ),
        (
            "is CREDITS_EXHAUSTED with limits that fit",
            exhausted && !ask.limits.is_empty(),
        ),
    ];
    those_that_hold(&ways)
}

/// In which ways a change comes about that is about to be made.
pub(super) fn of_change(world: &World, change: &Change) -> Vec<&'static str> {
    let Change::Wait(span) = change else {
        return Vec::new();
    };
    let filled = |monthly: bool| {
        let all = world.keys.iter().filter_map(|key| key.credits.as_ref());
        let mut due = all.filter(|left| left.turn.is_some_and(|turn| turn <= world.now + span));
        due.any(|left| left.refill.is_some_and(|refill| refill.monthly == monthly))
    };
    those_that_hold(&[
        ("fills credits daily", filled(false)),
        ("fills credits monthly", filled(true)),
    ])
}

fn those_that_hold(ways: &[(&'static str, bool)]) -> Vec<&'static str> {
    let held = ways.iter().filter(|(_, holds)| *holds);
    held.map(|(way, _)| *way).collect()
}
