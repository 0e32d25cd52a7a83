//! A record that was changed, moved, taken away or put back.

use keyward::domain::key::Key;
use keyward::domain::usage::Usage;
use keyward::store::local::SledStore;
use keyward::store::{Damage, OpenError, Record, Revision, Store};

use crate::records::{self, block_on, buried, create, request, update, workspace};

use super::{Sample, place};

/// A sample in which more was done: a request was carried out, and a key and a
/// workspace were deleted.
struct Remains {
    sample: Sample,
    newest: Revision,
    /// Where the deleted key was, in the store and in its workspace's list.
    key: String,
    posting: String,
    /// What was stored of it.
    whole: Vec<u8>,
    request: String,
}

impl Remains {
    fn new() -> Self {
        let sample = Sample::new();
        let key = records::key(&sample.workspace, 3);
        let gone = workspace("gone");
        let issued = request(1, key.id);
        let request = format!("r/{}", issued.id().to_string().replace("request ", ""));
        let mut creation = create(Record::Key(key.clone()));
        creation.writes.extend(create(issued).writes);
        let created = sample.commit(creation);
        let place = place(key.id);
        let whole = sample.value(&place);
        sample.commit(update(buried(&Record::Key(key.clone())), created));
        let gone = Record::Workspace(gone);
        let created = sample.commit(create(gone.clone()));
        let newest = sample.commit(update(buried(&gone), created));
        Self {
            sample,
            newest,
            key: place,
            posting: format!("n/klipy\0{}", key.id),
            whole,
            request,
        }
    }
}

pub(super) fn newer() -> OpenError {
    let sample = Sample::new();
    sample.edit(place(sample.keys[0].id), |value| value[0] = 2);
    sample.refusal()
}

#[test]
fn a_newer_format_is_refused_wherever_it_is() {
    assert!(matches!(newer(), OpenError::Newer { found: 2, known: 1 }));
    for place in ["s", "w/klipy", "h/klipy"] {
        let sample = Sample::new();
        sample.edit(place, |value| value[0] = 9);
        let error = sample.refusal();
        assert!(
            matches!(error, OpenError::Newer { found: 9, known: 1 }),
            "{place}: {error}"
        );
    }
}

pub(super) fn edited() -> OpenError {
    let sample = Sample::new();
    sample.edit(place(sample.keys[1].id), |value| widen_a_scope(value));
    sample.refusal()
}

/// Makes `people:read` of what a key may do into `people:*ead`.
fn widen_a_scope(value: &mut [u8]) {
    let scope = b"people:read";
    let at = value
        .windows(scope.len())
        .position(|text| text == scope)
        .unwrap();
    value[at + b"people:".len()] = b'*';
}

#[test]
fn an_edited_record_is_refused_and_named() {
    let sample = Sample::new();
    let place = place(sample.keys[1].id);
    let whole = sample.value(&place);
    let edits: [fn(&mut Vec<u8>); 6] = [
        |value| widen_a_scope(value),
        // The revision, the MAC, the last byte; one more, one less; nothing.
        |value| value[8] ^= 1,
        |value| value[9] ^= 1,
        |value| *value.last_mut().unwrap() ^= 1,
        |value| value.push(0),
        Vec::clear,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        sample.edit(&place, |value| {
            value.clone_from(&whole);
            edit(value);
        });
        let error = sample.refusal();
        assert!(
            matches!(&error, OpenError::Damaged(Damage::Edited(at)) if *at == place),
            "edit {number}: {error}"
        );
    }
    sample.edit(&place, |value| value.clone_from(&whole));
    sample.disk.load().unwrap();
}

#[test]
fn every_kind_of_record_is_sealed() {
    let Remains { sample, .. } = Remains::new();
    let first = &sample.keys[0];
    sample.commit(create(Record::Principal(records::principal_of(first))));
    sample.commit(create(Record::Membership(records::membership_of(first))));
    let usage = Usage {
        allowed: 7,
        ..Usage::none(first.id)
    };
    let noted = |store: &SledStore| block_on(store.note_usage(vec![usage])).unwrap();
    sample.disk.run(noted);
    let places = sample.disk.raw(|tree| {
        let places = tree.iter().keys().map(|place| place.unwrap().to_vec());
        places
            .filter(|place| !matches!(place.first(), Some(b'x' | b'n' | b'q' | b'v' | b'y')))
            .map(|place| String::from_utf8(place).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(
        places.len(),
        14,
        "state, workspace, admin key, principal, membership, two keys, usage, request, what is left \
         of a key and of a workspace, three audit heads: {places:?}"
    );
    for place in places {
        let whole = sample.value(&place);
        sample.edit(&place, |value| *value.last_mut().unwrap() ^= 1);
        let error = sample.refusal();
        let named = place.as_bytes().escape_ascii().to_string();
        assert!(
            matches!(&error, OpenError::Damaged(Damage::Edited(at)) if *at == named),
            "{place}: {error}"
        );
        sample.edit(&place, |value| value.clone_from(&whole));
    }
    sample.disk.load().unwrap();
}

pub(super) fn swapped() -> OpenError {
    let sample = Sample::new();
    let places = sample.keys.each_ref().map(|key| place(key.id));
    let values = places.each_ref().map(|place| sample.value(place));
    sample.edit(&places[0], |value| value.clone_from(&values[1]));
    sample.edit(&places[1], |value| value.clone_from(&values[0]));
    sample.refusal()
}

#[test]
fn swapped_records_are_refused_and_both_are_named() {
    let sample = Sample::new();
    let places = sample.keys.each_ref().map(|key| place(key.id));
    let values = places.each_ref().map(|place| sample.value(place));
    sample.edit(&places[0], |value| value.clone_from(&values[1]));
    sample.edit(&places[1], |value| value.clone_from(&values[0]));
    let error = sample.refusal();
    let OpenError::Damaged(Damage::Swapped { place, of }) = &error else {
        panic!("{error}")
    };
    assert_eq!([place, of], places.each_ref());
    let message = error.to_string();
    assert!(
        places.iter().all(|place| message.contains(place)),
        "{message}"
    );
}

#[test]
fn a_record_copied_to_a_new_place_is_refused() {
    let sample = Sample::new();
    let value = sample.value(place(sample.keys[0].id));
    let new = place(records::key(&sample.workspace, 9).id);
    sample.disk.raw(|tree| tree.insert(&new, value).unwrap());
    let error = sample.refusal();
    assert!(
        matches!(&error, OpenError::Damaged(Damage::Swapped { place, .. }) if *place == new),
        "{error}"
    );
}

pub(super) fn deleted() -> OpenError {
    let sample = Sample::new();
    sample
        .disk
        .raw(|tree| tree.remove(place(sample.keys[0].id)).unwrap());
    sample.refusal()
}

#[test]
fn a_deleted_record_is_missed() {
    let Remains {
        sample,
        newest,
        key,
        request,
        ..
    } = Remains::new();
    let places = [
        place(sample.keys[0].id),
        key,
        request,
        "w/klipy".to_owned(),
        "w/gone".to_owned(),
        "h/klipy".to_owned(),
        "h/gone".to_owned(),
        "h/".to_owned(),
    ];
    for place in places {
        let value = sample.remove(&place);
        let error = sample.refusal();
        let expected = Damage::Digest(newest);
        assert!(
            matches!(&error, OpenError::Damaged(damage) if *damage == expected),
            "{place}: {error}"
        );
        sample.put(&place, &value);
    }
    sample.disk.load().unwrap();
}

#[test]
fn a_key_that_is_missing_in_its_workspace_s_list_is_missed() {
    let sample = Sample::new();
    let deleted = sample.disk.raw(|tree| {
        let (posting, _) = tree.scan_prefix("n/").next().unwrap().unwrap();
        tree.remove(posting).unwrap()
    });
    assert!(deleted.is_some());
    let error = sample.refusal();
    assert!(
        matches!(error, OpenError::Damaged(Damage::Lists { expected, found }) if expected == found + 1),
        "{error}"
    );
}

#[test]
fn a_list_of_as_many_keys_that_are_others_is_seen() {
    let sample = Sample::new();
    let posting = |key: &Key| format!("n/klipy\0{}", key.id);
    let strangers = [
        posting(&records::key(&sample.workspace, 9)),
        posting(&sample.keys[0]).replace("klipy", "klipz"),
        posting(&sample.keys[0]) + "x",
    ];
    for stranger in strangers {
        sample.remove(posting(&sample.keys[0]));
        sample.put(&stranger, b"");
        let error = sample.refusal();
        assert!(
            matches!(
                error,
                OpenError::Damaged(Damage::Lists {
                    expected: 4,
                    found: 4
                })
            ),
            "{error}"
        );
        sample.remove(&stranger);
        sample.put(posting(&sample.keys[0]), b"");
    }
    sample.disk.load().unwrap();
}

/// Its record verifies, and so does everything else.
#[test]
fn a_deleted_key_cannot_be_brought_back() {
    let Remains {
        sample,
        newest,
        key,
        posting,
        whole,
        ..
    } = Remains::new();
    sample.edit(&key, |value| {
        assert_ne!(*value, whole, "something else is left of it");
        value.clone_from(&whole);
    });
    for listed in [false, true] {
        if listed {
            sample.put(&posting, b"");
        }
        let error = sample.refusal();
        let expected = Damage::Digest(newest);
        assert!(
            matches!(&error, OpenError::Damaged(damage) if *damage == expected),
            "{error}"
        );
    }
}

#[test]
fn a_deleted_key_is_on_no_list() {
    let Remains {
        sample, posting, ..
    } = Remains::new();
    sample.disk.load().unwrap();
    sample.put(&posting, b"");
    let error = sample.refusal();
    assert!(
        matches!(
            error,
            OpenError::Damaged(Damage::Lists {
                expected: 4,
                found: 5
            })
        ),
        "{error}"
    );
}

#[test]
fn a_deleted_state_is_missed() {
    let sample = Sample::new();
    sample.disk.raw(|tree| tree.remove("s").unwrap());
    let error = sample.refusal();
    assert!(
        matches!(&error, OpenError::Damaged(Damage::Digest(_))),
        "{error}"
    );
}

#[test]
fn an_old_record_put_back_is_seen() {
    let sample = Sample::new();
    sample.put_back_after_revoking(&place(sample.keys[0].id));
    let error = sample.refusal();
    let revision = Revision(sample.newest.0 + 1);
    assert!(
        matches!(&error, OpenError::Damaged(Damage::Digest(at)) if *at == revision),
        "{error}"
    );
}

#[test]
fn an_old_audit_head_put_back_is_seen() {
    let sample = Sample::new();
    sample.put_back_after_revoking("h/klipy");
    let error = sample.refusal();
    assert!(
        matches!(&error, OpenError::Damaged(Damage::Digest(_))),
        "{error}"
    );
}
