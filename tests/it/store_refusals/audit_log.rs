//! An audit log with a hole in it, or with what does not belong there, is told
//! of to whoever reads as far, whatever the size of his pages; what is whole
//! can still be read.

use keyward::domain::audit::{AuditEvent, AuditLog};
use keyward::store::local::SledStore;
use keyward::store::{Damage, Record, Store, StoreError};

use crate::records::{admin, copy_folder, create, note};

use super::Sample;

/// How many events the log of the sample's workspace has.
const LINKS: u64 = 7;

/// How many commits there were.
const COMMITS: u64 = 9;

/// The sample, and what its logs are.
struct Logged {
    sample: Sample,
    all: Vec<AuditEvent>,
    own: Vec<AuditEvent>,
}

impl Logged {
    fn new() -> Self {
        let sample = Sample::new();
        sample.revoke();
        for number in 0..3 {
            sample.commit(note(Some(&sample.workspace), &format!("note {number}")));
        }
        sample.commit(create(Record::AdminKey(admin(1))));
        let [all, own] =
            [AuditLog::All, of_klipy(&sample)].map(|log| whole(read(&sample, &log, 100)));
        assert_eq!((all.len() as u64, own.len() as u64), (COMMITS, LINKS));
        Self { sample, all, own }
    }

    /// Makes sure that both logs are told to be broken, or only the one of all
    /// events.
    fn assert_broken(&self, own_too: bool, what: &str) {
        let own = of_klipy(&self.sample);
        self.sample.disk.run(|store| {
            for size in [1, 2, 3, 100] {
                assert_told(&pages(store, &AuditLog::All, size), &self.all, what);
                let own = pages(store, &own, size);
                if own_too {
                    assert_told(&own, &self.own, what);
                } else {
                    assert_eq!(whole(own), self.own, "{what}");
                }
                // What was not touched is as it was.
                let system = whole(pages(store, &AuditLog::Of(None), size));
                assert_eq!(system.len() as u64, COMMITS - LINKS, "{what}");
            }
        });
    }

    fn assert_whole(&self) {
        let own = of_klipy(&self.sample);
        assert_eq!(whole(read(&self.sample, &own, 2)), self.own);
        assert_eq!(whole(read(&self.sample, &AuditLog::All, 2)), self.all);
    }
}

fn of_klipy(sample: &Sample) -> AuditLog {
    AuditLog::Of(Some(sample.workspace.id.clone()))
}

/// The pages of a log, up to the first that cannot be read.
type Pages = Vec<Result<Vec<AuditEvent>, StoreError>>;

/// Opens the store, which has to succeed, and reads a log to its end.
fn read(sample: &Sample, log: &AuditLog, size: usize) -> Pages {
    sample.disk.run(|store| pages(store, log, size))
}

fn pages(store: &SledStore, log: &AuditLog, size: usize) -> Pages {
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = store.audit(log, before, size);
        if matches!(&page, Ok(page) if page.is_empty()) {
            return pages;
        }
        let last = page.as_ref().ok().and_then(|page| page.last());
        before = last.map(|event| log.position(event));
        pages.push(page);
        if before.is_none() {
            return pages;
        }
    }
}

fn whole(pages: Pages) -> Vec<AuditEvent> {
    pages.into_iter().flat_map(Result::unwrap).collect()
}

/// What was read is as it was, up to where the damage was told.
fn assert_told(pages: &Pages, log: &[AuditEvent], what: &str) {
    let Some((Err(error), good)) = pages.split_last() else {
        panic!("{what}: it was not told")
    };
    assert!(matches!(error, StoreError::Damaged(_)), "{what}: {error}");
    let good: Vec<_> = good
        .iter()
        .flat_map(|page| page.as_ref().unwrap())
        .collect();
    assert!(
        good.len() < log.len() && good.into_iter().eq(&log[..good_len(pages)]),
        "{what}: something else was read"
    );
}

fn good_len(pages: &Pages) -> usize {
    pages.iter().flatten().map(Vec::len).sum()
}

fn link(sequence: u64) -> Vec<u8> {
    [b"x/klipy\0".as_slice(), &sequence.to_be_bytes()].concat()
}

fn order(revision: u64) -> Vec<u8> {
    [b"y/".as_slice(), &revision.to_be_bytes()].concat()
}

#[test]
fn a_missing_link_is_told_wherever_it_was() {
    let logged = Logged::new();
    for sequence in 1..=LINKS {
        let value = logged.sample.remove(link(sequence));
        logged.assert_broken(true, &format!("link {sequence}"));
        logged.sample.put(link(sequence), &value);
    }
    logged.assert_whole();
}

#[test]
fn a_missing_place_in_the_order_is_told_wherever_it_was() {
    let logged = Logged::new();
    for revision in 1..=COMMITS {
        let value = logged.sample.remove(order(revision));
        logged.assert_broken(false, &format!("revision {revision}"));
        logged.sample.put(order(revision), &value);
    }
    logged.assert_whole();
}

#[test]
fn a_log_that_was_cut_off_at_either_end_is_told() {
    for cut in 1..=3 {
        let ends: [fn(u64, u64) -> u64; 2] = [|cut, _| cut, |cut, newest| newest + 1 - cut];
        for end in ends {
            let logged = Logged::new();
            for number in 1..=cut {
                logged.sample.remove(order(end(number, COMMITS)));
            }
            logged.assert_broken(false, &format!("{cut} of the order"));
            for number in 1..=cut {
                logged.sample.remove(link(end(number, LINKS)));
            }
            logged.assert_broken(true, &format!("{cut} of both"));
        }
    }
}

#[test]
fn nothing_left_of_a_log_is_told() {
    let logged = Logged::new();
    for revision in 1..=COMMITS {
        logged.sample.remove(order(revision));
    }
    logged.assert_broken(false, "no order");
    for sequence in 1..=LINKS {
        logged.sample.remove(link(sequence));
    }
    logged.assert_broken(true, "no links");
}

#[test]
fn edited_and_swapped_links_are_told() {
    let logged = Logged::new();
    let value = logged.sample.value(link(3));
    for at in [0, 8, 9, value.len() - 1] {
        logged.sample.edit(link(3), |value| value[at] ^= 1);
        logged.assert_broken(true, &format!("byte {at}"));
        logged
            .sample
            .edit(link(3), |edited| edited.clone_from(&value));
    }
    for other in [2, 4, LINKS] {
        let swapped = logged.sample.value(link(other));
        logged.sample.put(link(3), &swapped);
        logged.sample.put(link(other), &value);
        logged.assert_broken(true, &format!("3 and {other}"));
        logged.sample.put(link(other), &swapped);
        logged.sample.put(link(3), &value);
    }
    logged.assert_whole();
}

/// The order is not sealed: what it names is held against what is there.
#[test]
fn places_that_do_not_belong_in_the_order_are_told() {
    let logged = Logged::new();
    let values: Vec<_> = (1..=COMMITS)
        .map(|revision| logged.sample.value(order(revision)))
        .collect();
    for (one, other) in [(3, 4), (1, COMMITS), (5, 9)] {
        let [of_one, of_other] = [one, other].map(|revision| &values[revision as usize - 1]);
        logged.sample.put(order(one), of_other);
        logged.sample.put(order(other), of_one);
        logged.assert_broken(false, &format!("{one} and {other}"));
        logged.sample.put(order(one), of_one);
        logged.sample.put(order(other), of_other);
    }
    let key = format!("k/{}", logged.sample.keys[0].id);
    let elsewhere = [
        values[1].as_slice(),
        b"",
        b"s",
        b"x/",
        b"x/klipy",
        b"x/\xff\0",
        b"x/Klipy\0",
        b"h/klipy",
        key.as_bytes(),
    ];
    for place in elsewhere {
        logged.sample.put(order(5), place);
        logged.assert_broken(false, &place.escape_ascii().to_string());
    }
    logged.sample.put(order(5), &values[4]);
    logged.assert_whole();
    // Nor is one behind the newest of them read.
    logged
        .sample
        .put(order(COMMITS + 1), &values[COMMITS as usize - 1]);
    logged
        .sample
        .put(link(LINKS + 1), &logged.sample.value(link(LINKS)));
    logged.assert_whole();
}

/// A copy of the store went a way of its own: its events have seals that fit.
#[test]
fn an_event_of_another_story_is_told() {
    let sample = Sample::new();
    let (copy, guard) = (sample.disk.aside("copy"), sample.disk.aside("its guard"));
    copy_folder(sample.store(), &copy);
    copy_folder(sample.guard_folder(), &guard);
    let told = |name: &str| {
        for number in 0..4 {
            sample.commit(note(Some(&sample.workspace), &format!("{name} {number}")));
        }
        [4, 5, 6, 7].map(|sequence| sample.value(link(sequence)))
    };
    let other = told("other");
    copy_folder(&copy, sample.store());
    copy_folder(&guard, sample.guard_folder());
    let own = told("own");
    let logs = [AuditLog::All, of_klipy(&sample)];
    let stories = logs.each_ref().map(|log| whole(read(&sample, log, 100)));

    for exchanged in [0..1, 1..2, 3..4, 0..2, 1..4, 0..4] {
        for at in exchanged.clone() {
            assert_ne!(own[at], other[at]);
            sample.put(link(4 + at as u64), &other[at]);
        }
        sample.disk.run(|store| {
            for (log, story) in logs.iter().zip(&stories) {
                for size in [1, 2, 100] {
                    let what = format!("{log:?}, {exchanged:?}, {size}");
                    assert_told(&pages(store, log, size), story, &what);
                }
            }
        });
        for at in exchanged {
            sample.put(link(4 + at as u64), &own[at]);
        }
    }
    for (log, story) in logs.iter().zip(stories) {
        assert_eq!(whole(read(&sample, log, 2)), story);
    }
}

/// What is served names the place, for whoever has to repair it.
#[test]
fn the_damage_says_where_it_is() {
    let logged = Logged::new();
    logged.sample.remove(link(3));
    let pages = read(&logged.sample, &of_klipy(&logged.sample), 1);
    let Some(Err(StoreError::Damaged(Damage::AuditLog { place, .. }))) = pages.last() else {
        panic!("{pages:?}")
    };
    assert!(place.starts_with("x/klipy\\x00"), "{place}");
}
