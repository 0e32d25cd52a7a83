//! What is no store of this keyward, or not the one that was acknowledged, is
//! refused before anything is served: each kind with words of its own, which
//! say what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use keyward::domain::id::KeyId;
use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::{Batch, OpenError, Record, RecordId, Revision, Store, Versioned};

use crate::records::{self, Disk, block_on, create, files, revoked, update, workspace};

mod audit_log;
mod guard;
mod history;
mod init;
mod records_on_disk;

/// A store with a workspace and two keys in it, and what is known of it.
struct Sample {
    disk: Disk,
    workspace: Workspace,
    /// In the order of their places.
    keys: [Key; 2],
    newest: Revision,
}

impl Sample {
    fn new() -> Self {
        let disk = Disk::with_store();
        let workspace = workspace("klipy");
        let keys = [1, 2].map(|number| records::key(&workspace, number));
        let records = [
            Record::Workspace(workspace.clone()),
            Record::Key(keys[0].clone()),
            Record::Key(keys[1].clone()),
        ];
        let newest = disk.run(|store| {
            let revisions = records.map(|record| block_on(store.commit(create(record))).unwrap());
            revisions[2]
        });
        Self {
            disk,
            workspace,
            keys,
            newest,
        }
    }

    /// One more commit: the first key is revoked.
    fn revoke(&self) -> Revision {
        let id = RecordId::Key(self.keys[0].id);
        self.disk.run(|store| {
            let Some(Versioned { revision, .. }) = store.get(&id).unwrap() else {
                panic!("the key is there")
            };
            block_on(store.commit(update(Record::Key(revoked(&self.keys[0])), revision))).unwrap()
        })
    }

    fn store(&self) -> &Path {
        self.disk.home.store_dir()
    }

    fn guard_folder(&self) -> &Path {
        self.disk.home.guard_dir()
    }

    fn guard(&self) -> PathBuf {
        self.guard_folder().join("guard")
    }

    fn pepper(&self) -> PathBuf {
        self.guard_folder().join("pepper")
    }

    /// Why the store is not served.
    fn refusal(&self) -> OpenError {
        self.disk.load().unwrap_err()
    }

    /// Why the store is not served, without a byte of it being touched.
    fn refusal_from_outside(&self) -> OpenError {
        let before = files(self.store());
        let error = self.refusal();
        assert!(
            files(self.store()) == before,
            "the store was touched: {error}"
        );
        error
    }

    /// Changes a stored value behind keyward's back.
    fn edit(&self, place: impl AsRef<[u8]>, edit: impl FnOnce(&mut Vec<u8>)) {
        self.disk.raw(|tree| {
            let place = place.as_ref();
            let mut value = tree.get(place).unwrap().unwrap().to_vec();
            edit(&mut value);
            tree.insert(place, value).unwrap();
        });
    }

    fn value(&self, place: impl AsRef<[u8]>) -> Vec<u8> {
        self.disk
            .raw(|tree| tree.get(place).unwrap().unwrap().to_vec())
    }

    /// Takes a stored value away behind keyward's back.
    fn remove(&self, place: impl AsRef<[u8]>) -> Vec<u8> {
        self.disk
            .raw(|tree| tree.remove(place).unwrap().unwrap().to_vec())
    }

    /// Puts a value where there may be none, behind keyward's back.
    fn put(&self, place: impl AsRef<[u8]>, value: &[u8]) {
        self.disk.raw(|tree| tree.insert(place, value).unwrap());
    }

    /// Makes a change as keyward does.
    fn commit(&self, batch: Batch) -> Revision {
        self.disk
            .run(|store| block_on(store.commit(batch)).unwrap())
    }

    /// Puts back what lay at `place` before the newest commit.
    fn put_back_after_revoking(&self, place: &str) {
        let old = self.value(place);
        self.revoke();
        self.edit(place, |value| {
            assert_ne!(*value, old, "the commit changed it");
            value.clone_from(&old);
        });
    }
}

fn place(id: KeyId) -> String {
    format!("k/{id}")
}

/// One way to spoil a store: what it is called, what it does and answers, and
/// what the operator is told to do.
type Case = (&'static str, fn() -> OpenError, &'static str);

const CASES: [Case; 21] = [
    ("missing", init::missing, "make one with `keyward init`"),
    ("exists", init::exists, "never replaces"),
    ("unfinished", init::unfinished, "remove"),
    ("guard in store", guard::guard_in_store, "must be outside"),
    ("locked", guard::locked, "stop that first"),
    (
        "wrong pepper",
        guard::wrong_pepper,
        "put the right one back",
    ),
    ("open pepper", guard::open_pepper, "chmod 600"),
    ("short pepper", guard::short_pepper, "put back the one"),
    ("pepper missing", guard::pepper_missing, "put back the one"),
    ("guard missing", guard::guard_missing, "put back the one"),
    ("guard short", guard::guard_short, "put back the one"),
    ("guard garbled", guard::guard_garbled, "put back the one"),
    (
        "emptied",
        history::emptied,
        "put its files back, or restore a backup",
    ),
    ("foreign", history::foreign, "put back the one"),
    ("older", history::older, "put the current one back"),
    ("ahead", history::ahead, "put back the guard file"),
    ("newer", records_on_disk::newer, "run the newer keyward"),
    ("clock behind", history::clock_behind, "set the clock right"),
    ("edited", records_on_disk::edited, "restore a backup"),
    ("swapped", records_on_disk::swapped, "restore a backup"),
    ("deleted", records_on_disk::deleted, "restore a backup"),
];

#[test]
fn each_refusal_has_its_own_words_and_says_what_to_do() {
    let mut told: BTreeMap<String, &str> = BTreeMap::new();
    for (name, spoil, advice) in CASES {
        let message = spoil().to_string();
        assert!(message.contains(advice), "{name}: {message}");
        assert!(
            !message.contains('\n') && !message.contains("panicked"),
            "{name}: {message}"
        );
        // Folders have random names, which are no difference.
        let words = message
            .split(' ')
            .filter(|word| !word.contains('/'))
            .collect::<Vec<_>>()
            .join(" ");
        assert!(words.len() > 20, "{name}: {message}");
        let other = told.insert(words, name);
        assert_eq!(other, None, "{name}: {message}");
    }
}
