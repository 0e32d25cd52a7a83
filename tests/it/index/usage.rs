//! Whatever a check holds of a key when it counts, it counts for the key: for
//! all of its tokens, and over each change.

use keyward::domain::clock::Timestamp;
use keyward::domain::usage::Marks;
use keyward::index::usage::Use;

use super::*;

fn count(found: Option<&IndexedKey>) {
    let used = Use {
        time: Timestamp::from_micros(1),
        source: None,
        superseded: false,
    };
    found.unwrap().count_use(used, false, Marks::default);
}

fn counted(index: &Index, key: &Key) -> u64 {
    index.usage(key).map_or(0, |usage| usage.read().allowed)
}

#[test]
fn what_is_counted_on_a_key_that_was_replaced_meanwhile_is_not_lost() {
    let followed = Followed::new();
    let index = &followed.index;
    let key = key(&followed.workspace, 1);
    let at = followed.commit(create(Record::Key(key.clone())));
    let changed = Key {
        disabled: true,
        ..key.clone()
    };
    index.find(&digest(1), |held| {
        assert_eq!(counted(index, &key), 0);
        assert!(index.changed_usages().is_empty());
        followed.commit(update(Record::Key(changed.clone()), at));
        count(held);
    });
    assert_eq!(counted(index, &changed), 1);
    index.find(&digest(1), count);
    assert_eq!(counted(index, &changed), 2);
    assert_eq!(index.changed_usages().len(), 1);
}

#[test]
fn all_tokens_of_a_key_count_together_and_are_told_of_once() {
    let followed = Followed::new();
    let index = &followed.index;
    let key = key(&followed.workspace, 1);
    let at = followed.commit(create(Record::Key(key.clone())));
    index.find(&digest(1), count);
    let rotated = Key {
        secrets: vec![secret(1), secret(2)],
        ..key
    };
    followed.commit(update(Record::Key(rotated.clone()), at));
    for (token, expected) in [(1, 2), (2, 3), (1, 4)] {
        index.find(&digest(token), count);
        assert_eq!(counted(index, &rotated), expected);
    }
    assert_eq!(index.changed_usages().len(), 1);

    // Two at once, from the start: whichever is used first.
    let both = Key {
        secrets: vec![secret(3), secret(4)],
        ..super::key(&followed.workspace, 3)
    };
    followed.commit(create(Record::Key(both.clone())));
    index.find(&digest(4), count);
    index.find(&digest(3), count);
    assert_eq!(counted(index, &both), 2);
    assert_eq!(index.changed_usages().len(), 2);
}
