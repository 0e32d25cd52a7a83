//! What is no store of this keyward, or not the one that was acknowledged, is
//! refused before anything is served: each kind with words of its own, which
//! say what to do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;

use keyward::domain::clock::ManualClock;
use keyward::domain::id::KeyId;
use keyward::domain::key::Key;
use keyward::domain::workspace::Workspace;
use keyward::store::home::Home;
use keyward::store::local::SledStore;
use keyward::store::{Damage, OpenError, Record, RecordId, Revision, Store, Versioned};

use crate::records::{
    self, Disk, LOG, admin, block_on, clock, copy_folder, create, files, load, revoked, time,
    update, workspace,
};

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
    fn edit(&self, place: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        self.disk.raw(|tree| {
            let mut value = tree.get(place).unwrap().unwrap().to_vec();
            edit(&mut value);
            tree.insert(place, value).unwrap();
        });
    }

    fn value(&self, place: &str) -> Vec<u8> {
        self.disk
            .raw(|tree| tree.get(place).unwrap().unwrap().to_vec())
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
    ("missing", missing, "make one with `keyward init`"),
    ("exists", exists, "never replaces"),
    ("unfinished", unfinished, "remove"),
    ("guard in store", guard_in_store, "must be outside"),
    ("locked", locked, "stop that first"),
    ("wrong pepper", wrong_pepper, "put the right one back"),
    ("open pepper", open_pepper, "chmod 600"),
    ("short pepper", short_pepper, "put back the one"),
    ("pepper missing", pepper_missing, "put back the one"),
    ("guard missing", guard_missing, "put back the one"),
    ("guard short", guard_short, "put back the one"),
    ("guard garbled", guard_garbled, "put back the one"),
    (
        "emptied",
        emptied,
        "put its files back, or restore a backup",
    ),
    ("foreign", foreign, "put back the one"),
    ("older", older, "put the current one back"),
    ("ahead", ahead, "put back the guard file"),
    ("newer", newer, "run the newer keyward"),
    ("clock behind", clock_behind, "set the clock right"),
    ("edited", edited, "restore a backup"),
    ("swapped", swapped, "restore a backup"),
    ("deleted", deleted, "restore a backup"),
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

fn missing() -> OpenError {
    Disk::empty().load().unwrap_err()
}

#[test]
fn where_there_is_no_store_none_is_opened() {
    let disk = Disk::empty();
    let error = disk.load().unwrap_err();
    assert!(
        matches!(&error, OpenError::Missing(path) if path == disk.home.store_dir()),
        "{error}"
    );
    assert!(
        !disk.home.store_dir().exists() && !disk.home.guard_dir().exists(),
        "nothing was made"
    );
}

fn exists() -> OpenError {
    Disk::with_store().init().unwrap_err()
}

#[test]
fn a_second_init_leaves_everything_as_it_was() {
    let sample = Sample::new();
    let state = sample.disk.load().unwrap();
    let before = [files(sample.store()), files(sample.guard_folder())];
    for _ in 0..2 {
        let error = sample.disk.init().unwrap_err();
        assert!(matches!(error, OpenError::Exists(_)), "{error}");
    }
    assert!([files(sample.store()), files(sample.guard_folder())] == before);
    assert_eq!(sample.disk.load().unwrap(), state);
    sample.revoke();
}

/// What is left of a store is as good a reason as a whole one.
#[test]
fn init_replaces_no_part_of_a_store() {
    for left in ["store", "pepper", "guard"] {
        let sample = Sample::new();
        let parts = [
            ("store", sample.store().to_owned()),
            ("pepper", sample.pepper()),
            ("guard", sample.guard()),
        ];
        for (name, path) in parts {
            if name != left && path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else if name != left {
                fs::remove_file(path).unwrap();
            }
        }
        let found = |folder: &Path| {
            if folder.exists() {
                files(folder)
            } else {
                BTreeMap::new()
            }
        };
        let before = [found(sample.store()), found(sample.guard_folder())];
        let error = sample.disk.init().unwrap_err();
        assert!(matches!(error, OpenError::Exists(_)), "{left}: {error}");
        assert!(
            [found(sample.store()), found(sample.guard_folder())] == before,
            "{left}"
        );
    }
}

#[test]
fn init_takes_no_folder_that_holds_anything() {
    let disk = Disk::empty();
    let notes = disk.home.store_dir().join("notes.txt");
    fs::create_dir_all(disk.home.store_dir()).unwrap();
    fs::write(&notes, "not keyward's").unwrap();
    let error = disk.init().unwrap_err();
    assert!(
        matches!(&error, OpenError::Exists(path) if path == disk.home.store_dir()),
        "{error}"
    );
    assert_eq!(fs::read_to_string(notes).unwrap(), "not keyward's");
    assert!(!disk.home.guard_dir().exists(), "nothing was made");
}

#[test]
fn a_failed_init_leaves_nothing_of_its_own() {
    let disk = Disk::empty();
    let notes = disk.home.guard_dir().join("notes.txt");
    fs::create_dir_all(disk.home.guard_dir()).unwrap();
    fs::write(&notes, "not keyward's").unwrap();
    let mut impossible = admin(0);
    impossible.name = "x".repeat(7_000);
    let failed = block_on(
        disk.home
            .init(clock(), |_| create(Record::AdminKey(impossible))),
    );
    assert!(failed.is_err());
    assert!(!disk.home.store_dir().exists());
    assert_eq!(
        files(disk.home.guard_dir()).into_keys().collect::<Vec<_>>(),
        ["notes.txt"]
    );

    disk.init().unwrap();
    disk.load().unwrap();
    assert_eq!(fs::read_to_string(notes).unwrap(), "not keyward's");
}

#[test]
fn of_two_inits_at_once_one_makes_the_store() {
    for round in 0..60 {
        let disk = Disk::empty();
        let start = Barrier::new(2);
        let made: Vec<_> = thread::scope(|scope| {
            let init = || {
                start.wait();
                disk.init()
            };
            let inits = [(); 2].map(|()| scope.spawn(init));
            inits.map(|init| init.join().unwrap()).into()
        });
        let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
        let [OpenError::Exists(_)] = refused.as_slice() else {
            panic!("round {round}: one is refused, and told that the store exists: {refused:?}")
        };
        let state = disk
            .load()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(state.len(), 1, "round {round}");
    }
}

fn unfinished() -> OpenError {
    let sample = Sample::new();
    fs::rename(sample.guard(), sample.guard_folder().join("guard.new")).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn an_init_that_was_cut_off_is_told_of() {
    assert!(matches!(unfinished(), OpenError::Unfinished { .. }));

    let disk = Disk::empty();
    let cut_off = thread::scope(|scope| {
        let init = || {
            block_on(
                disk.home
                    .init(clock(), |_| std::panic::resume_unwind(Box::new(()))),
            )
        };
        scope.spawn(init).join()
    });
    assert!(cut_off.is_err());
    let error = disk.load().unwrap_err();
    assert!(matches!(error, OpenError::Unfinished { .. }), "{error}");
    assert!(disk.init().is_err(), "nothing is replaced");
    let error = disk.load().unwrap_err();
    assert!(matches!(error, OpenError::Unfinished { .. }), "{error}");

    // The advice helps.
    for folder in [disk.home.store_dir(), disk.home.guard_dir()] {
        fs::remove_dir_all(folder).unwrap();
    }
    disk.init().unwrap();
    disk.load().unwrap();
}

fn guard_in_store() -> OpenError {
    Home::new("data/store".into(), "data/store/guard".into()).unwrap_err()
}

#[test]
fn the_pepper_cannot_lie_in_the_store() {
    for (store, guard) in [
        ("data", "data"),
        ("data", "data/guard"),
        ("/data/store", "/data/store/a/b"),
    ] {
        let error = Home::new(store.into(), guard.into()).unwrap_err();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path == Path::new(guard)),
            "{error}"
        );
    }
    for (store, guard) in [
        ("data/store", "data/guard"),
        ("data/a", "data/ab"),
        ("/data", "/guard"),
    ] {
        Home::new(store.into(), guard.into()).unwrap();
    }
}

#[test]
fn the_pepper_cannot_lie_in_the_store_by_a_detour() {
    for guard in ["store/../store/guard", "x/../store/guard", "link/guard"] {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        fs::create_dir(&store).unwrap();
        std::os::unix::fs::symlink(&store, folder.path().join("link")).unwrap();

        let home = Home::new(store.clone(), folder.path().join(guard));
        let first = |_: &_| create(Record::AdminKey(admin(0)));
        let made = home.and_then(|home| block_on(home.init(clock(), first)));
        assert!(
            matches!(made, Err(OpenError::Guard { .. })),
            "{guard}: {made:?}"
        );
        assert_eq!(files(&store), BTreeMap::new(), "{guard}");
    }
}

fn locked() -> OpenError {
    let disk = Disk::with_store();
    let (_held, _) = disk.open().unwrap();
    disk.load().unwrap_err()
}

#[test]
fn a_store_is_open_once_at_a_time() {
    let disk = Disk::with_store();
    let (held, state) = disk.open().unwrap();
    let error = disk.load().unwrap_err();
    assert!(
        matches!(&error, OpenError::Locked(path) if path == disk.home.store_dir()),
        "{error}"
    );
    // Whoever was refused has done no harm.
    block_on(held.commit(create(Record::AdminKey(admin(1))))).unwrap();
    disk.close(held);
    assert_eq!(disk.load().unwrap().len(), state.len() + 1);
}

#[test]
fn a_closed_store_can_be_opened_at_once() {
    let disk = Disk::with_store();
    for round in 0..30 {
        let (store, _) = disk
            .open()
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        block_on(store.commit(create(Record::AdminKey(admin(round))))).unwrap();
        store.close();
    }
}

fn wrong_pepper() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.pepper(), [1; 32]).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_wrong_pepper_is_named_and_so_is_the_right_one() {
    let sample = Sample::new();
    let (store, right) = sample.disk.home.open(clock()).unwrap();
    sample.disk.close(store);
    let other = Disk::with_store();
    fs::copy(other.home.guard_dir().join("pepper"), sample.pepper()).unwrap();
    let (_, wrong) = other.home.open(clock()).unwrap();

    let error = sample.refusal_from_outside();
    let OpenError::WrongPepper {
        path,
        found,
        expected,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (path, *found, *expected),
        (&sample.pepper(), wrong.id(), right.id())
    );
    let message = error.to_string();
    assert!(
        message.contains(&wrong.id().to_string()) && message.contains(&right.id().to_string()),
        "{message}"
    );
}

fn open_pepper() -> OpenError {
    let sample = Sample::new();
    fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(0o640)).unwrap();
    sample.refusal_from_outside()
}

fn short_pepper() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.pepper(), [1; 31]).unwrap();
    sample.refusal_from_outside()
}

fn pepper_missing() -> OpenError {
    let sample = Sample::new();
    fs::remove_file(sample.pepper()).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_pepper_that_cannot_be_one_is_refused() {
    for spoil in [open_pepper, short_pepper, pepper_missing] {
        let error = spoil();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path.ends_with("guard/pepper")),
            "{error}"
        );
    }
    let sample = Sample::new();
    for mode in [0o604, 0o620, 0o610, 0o777] {
        fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{mode:o}"
        );
    }
    fs::set_permissions(sample.pepper(), fs::Permissions::from_mode(0o600)).unwrap();
    for length in [0, 33, 64] {
        fs::write(sample.pepper(), vec![1; length]).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{length}"
        );
    }
}

fn guard_missing() -> OpenError {
    let sample = Sample::new();
    fs::remove_file(sample.guard()).unwrap();
    sample.refusal_from_outside()
}

fn guard_short() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.guard(), b"KEYWARDG").unwrap();
    sample.refusal_from_outside()
}

fn guard_garbled() -> OpenError {
    let sample = Sample::new();
    fs::write(sample.guard(), vec![b'x'; 12_288]).unwrap();
    sample.refusal_from_outside()
}

#[test]
fn a_guard_file_that_cannot_be_one_is_refused() {
    for spoil in [guard_missing, guard_short, guard_garbled] {
        let error = spoil();
        assert!(
            matches!(&error, OpenError::Guard { path, .. } if path.ends_with("guard/guard")),
            "{error}"
        );
    }
    let sample = Sample::new();
    let whole = fs::read(sample.guard()).unwrap();
    for length in [0, 8, 48, 4_096] {
        fs::write(sample.guard(), &whole[..length]).unwrap();
        assert!(
            matches!(sample.refusal_from_outside(), OpenError::Guard { .. }),
            "{length}"
        );
    }
    fs::write(sample.guard(), whole).unwrap();
    sample.disk.load().unwrap();
}

#[test]
fn a_newer_guard_file_is_refused() {
    let sample = Sample::new();
    let mut bytes = fs::read(sample.guard()).unwrap();
    bytes[8] = 2;
    fs::write(sample.guard(), bytes).unwrap();
    assert!(matches!(
        sample.refusal_from_outside(),
        OpenError::Newer { found: 2, known: 1 }
    ));
}

fn emptied() -> OpenError {
    let sample = Sample::new();
    for name in files(sample.store()).into_keys() {
        fs::remove_file(sample.store().join(name)).unwrap();
    }
    sample.refusal_from_outside()
}

#[test]
fn an_emptied_store_is_no_new_one() {
    let sample = Sample::new();
    let log = fs::read(sample.store().join(LOG)).unwrap();
    for name in files(sample.store()).into_keys() {
        fs::remove_file(sample.store().join(name)).unwrap();
    }
    for _ in 0..2 {
        let error = sample.refusal_from_outside();
        assert!(
            matches!(error, OpenError::Emptied { guard } if guard == sample.newest),
            "{error}"
        );
    }
    fs::remove_dir_all(sample.store()).unwrap();
    assert!(matches!(sample.refusal(), OpenError::Emptied { guard } if guard == sample.newest));
    assert!(!sample.store().exists(), "nothing was made");

    // The files are there, and nothing is in them.
    fs::create_dir(sample.store()).unwrap();
    fs::write(sample.store().join(LOG), b"").unwrap();
    for _ in 0..2 {
        let error = sample.refusal();
        assert!(
            matches!(error, OpenError::Emptied { guard } if guard == sample.newest),
            "{error}"
        );
    }

    // The advice helps.
    fs::remove_dir_all(sample.store()).unwrap();
    fs::create_dir(sample.store()).unwrap();
    fs::write(sample.store().join(LOG), log).unwrap();
    let _ = sample.disk.load();
}

fn foreign() -> OpenError {
    let (sample, other) = (Sample::new(), Sample::new());
    copy_folder(other.guard_folder(), sample.guard_folder());
    sample.refusal()
}

#[test]
fn the_guard_of_another_store_is_refused() {
    let (sample, other) = (Sample::new(), Sample::new());
    let own = sample.disk.aside("own");
    copy_folder(sample.guard_folder(), &own);
    copy_folder(other.guard_folder(), sample.guard_folder());
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Foreign), "{error}");

    // The advice helps.
    copy_folder(&own, sample.guard_folder());
    sample.disk.load().unwrap();
}

/// Two stories of one store, which part after a copy was made.
#[test]
fn another_story_of_the_same_length_is_refused() {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let guard = fs::read(sample.guard()).unwrap();
    sample.revoke();
    // The copy goes on, beside the guard file as it was.
    let current = fs::read(sample.guard()).unwrap();
    copy_folder(&copy, sample.store());
    fs::write(sample.guard(), guard).unwrap();
    sample
        .disk
        .run(|store| block_on(store.commit(create(Record::AdminKey(admin(1))))).unwrap());
    fs::write(sample.guard(), current).unwrap();
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Foreign), "{error}");
}

fn older() -> OpenError {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    sample.revoke();
    copy_folder(&copy, sample.store());
    sample.refusal()
}

#[test]
fn a_store_older_by_one_commit_is_refused() {
    let sample = Sample::new();
    let (copy, current) = (sample.disk.aside("copy"), sample.disk.aside("current"));
    copy_folder(sample.store(), &copy);
    let newest = sample.revoke();
    copy_folder(sample.store(), &current);
    copy_folder(&copy, sample.store());
    for _ in 0..2 {
        let error = sample.refusal();
        let OpenError::Older { found, guard } = error else {
            panic!("{error}")
        };
        assert_eq!((found, guard), (sample.newest, newest));
    }

    // The advice helps.
    copy_folder(&current, sample.store());
    let state = sample.disk.load().unwrap();
    assert_eq!(
        state[&RecordId::Key(sample.keys[0].id)].record,
        Record::Key(revoked(&sample.keys[0]))
    );
}

fn ahead() -> OpenError {
    let sample = Sample::new();
    let guard = fs::read(sample.guard()).unwrap();
    commit_each_alone(&sample.disk, 3);
    fs::write(sample.guard(), guard).unwrap();
    sample.refusal()
}

/// Makes admin keys, each in a group of its own.
fn commit_each_alone(disk: &Disk, commits: u64) {
    disk.run(|store| {
        for number in 1..=commits {
            block_on(store.commit(create(Record::AdminKey(admin(number))))).unwrap();
        }
    });
}

#[test]
fn a_guard_file_older_by_more_than_a_crash_explains_is_refused() {
    for commits in [2, 3] {
        let sample = Sample::new();
        let guard = fs::read(sample.guard()).unwrap();
        commit_each_alone(&sample.disk, commits);
        fs::write(sample.guard(), guard).unwrap();
        let error = sample.refusal();
        let OpenError::Ahead { found, guard } = error else {
            panic!("{error}")
        };
        assert_eq!(
            (found, guard),
            (Revision(sample.newest.0 + commits), sample.newest)
        );
    }
}

/// A crash between the sync of the store and that of the guard file.
#[test]
fn a_guard_file_one_group_behind_catches_up() {
    let sample = Sample::new();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let guard = fs::read(sample.guard()).unwrap();
    let newest = sample.revoke();
    fs::write(sample.guard(), guard).unwrap();

    let (store, _) = sample.disk.home.open(clock()).unwrap();
    let (revision, state) = load(&store).unwrap();
    assert_eq!(revision, newest);
    assert_eq!(
        state[&RecordId::Key(sample.keys[0].id)].record,
        Record::Key(revoked(&sample.keys[0]))
    );
    sample.disk.close(store);

    // It now knows of the commit: a store without it is an older one.
    copy_folder(&copy, sample.store());
    let error = sample.refusal();
    assert!(
        matches!(error, OpenError::Older { guard, .. } if guard == newest),
        "{error}"
    );
}

fn newer() -> OpenError {
    let sample = Sample::new();
    sample.edit(&place(sample.keys[0].id), |value| value[0] = 2);
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

fn clock_behind() -> OpenError {
    let sample = Sample::new();
    let (store, _) = sample
        .disk
        .home
        .open(Arc::new(ManualClock::at(time(999_999))))
        .unwrap();
    let error = load(&store).unwrap_err();
    sample.disk.close(store);
    error
}

#[test]
fn a_clock_behind_the_last_commit_is_refused() {
    let error = clock_behind();
    let OpenError::ClockBehind { now, last } = &error else {
        panic!("{error}")
    };
    assert_eq!((*now, *last), (time(999_999), time(1_000_000)));
    assert!(error.to_string().contains(&last.to_string()), "{error}");
}

fn edited() -> OpenError {
    let sample = Sample::new();
    sample.edit(&place(sample.keys[1].id), |value| widen_a_scope(value));
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
    let sample = Sample::new();
    let places = sample.disk.raw(|tree| {
        let places = tree
            .iter()
            .keys()
            .map(|place| String::from_utf8(place.unwrap().to_vec()).unwrap());
        places
            .filter(|place| {
                ["x/", "n/", "y/"]
                    .iter()
                    .all(|list| !place.starts_with(list))
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(
        places.len(),
        7,
        "state, workspace, admin key, two keys, two audit heads: {places:?}"
    );
    for place in places {
        let whole = sample.value(&place);
        sample.edit(&place, |value| *value.last_mut().unwrap() ^= 1);
        let error = sample.refusal();
        assert!(
            matches!(&error, OpenError::Damaged(Damage::Edited(at)) if *at == place),
            "{place}: {error}"
        );
        sample.edit(&place, |value| value.clone_from(&whole));
    }
    sample.disk.load().unwrap();
}

fn swapped() -> OpenError {
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
    let value = sample.value(&place(sample.keys[0].id));
    let new = place(records::key(&sample.workspace, 9).id);
    sample.disk.raw(|tree| tree.insert(&new, value).unwrap());
    let error = sample.refusal();
    assert!(
        matches!(&error, OpenError::Damaged(Damage::Swapped { place, .. }) if *place == new),
        "{error}"
    );
}

fn deleted() -> OpenError {
    let sample = Sample::new();
    sample
        .disk
        .raw(|tree| tree.remove(place(sample.keys[0].id)).unwrap());
    sample.refusal()
}

#[test]
fn a_deleted_record_is_missed() {
    let sample = Sample::new();
    let places = [
        place(sample.keys[0].id),
        "w/klipy".to_owned(),
        "h/klipy".to_owned(),
        "h/".to_owned(),
    ];
    for place in places {
        let value = sample.value(&place);
        sample.disk.raw(|tree| tree.remove(&place).unwrap());
        let error = sample.refusal();
        let expected = Damage::Digest(sample.newest);
        assert!(
            matches!(&error, OpenError::Damaged(damage) if *damage == expected),
            "{place}: {error}"
        );
        sample.disk.raw(|tree| tree.insert(&place, value).unwrap());
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
        matches!(error, OpenError::Damaged(Damage::Lists { keys, found }) if keys == found + 1),
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

#[test]
fn an_old_state_put_back_is_an_older_store() {
    let sample = Sample::new();
    sample.put_back_after_revoking("s");
    let error = sample.refusal();
    assert!(matches!(error, OpenError::Older { .. }), "{error}");
}

/// All of the last commit undone at once, its traces too.
#[test]
fn a_commit_undone_in_every_record_is_seen() {
    let sample = Sample::new();
    let before = sample
        .disk
        .raw(|tree| tree.iter().map(Result::unwrap).collect::<Vec<_>>());
    sample.revoke();
    sample.disk.raw(|tree| {
        tree.clear().unwrap();
        for (place, value) in &before {
            tree.insert(place, value).unwrap();
        }
    });
    let error = sample.refusal();
    assert!(
        matches!(error, OpenError::Older { found, .. } if found == sample.newest),
        "{error}"
    );
}

#[test]
fn nothing_is_written_on_top_of_what_was_refused() {
    let sample = Sample::new();
    sample
        .disk
        .raw(|tree| tree.remove(place(sample.keys[0].id)).unwrap());
    let (store, _): (SledStore, _) = sample.disk.home.open(clock()).unwrap();
    let guard = fs::read(sample.guard()).unwrap();
    for _ in 0..2 {
        assert!(load(&store).is_err());
        let error = block_on(store.commit(create(Record::AdminKey(admin(1))))).unwrap_err();
        assert!(error.certainly_not_applied(), "{error}");
    }
    sample.disk.close(store);
    assert_eq!(fs::read(sample.guard()).unwrap(), guard);
}

/// The log's tail may be empty room; what it holds is not cut off unseen.
#[test]
fn a_truncated_log_is_refused_or_as_good_as_whole() {
    let sample = Sample::new();
    let state = sample.disk.load().unwrap();
    let copy = sample.disk.aside("copy");
    copy_folder(sample.store(), &copy);
    let length = fs::metadata(copy.join(LOG)).unwrap().len();
    for kept in [0, 1, 100, 1_000, length / 4, length / 2, length - 1] {
        copy_folder(&copy, sample.store());
        let log = fs::OpenOptions::new()
            .write(true)
            .open(sample.store().join(LOG))
            .unwrap();
        log.set_len(kept).unwrap();
        match sample.disk.load() {
            Ok(loaded) => assert!(kept > 1_000 && loaded == state, "{kept} of {length}"),
            Err(error) => assert!(
                matches!(
                    error,
                    OpenError::Damaged(_) | OpenError::Emptied { .. } | OpenError::Older { .. }
                ),
                "{kept} of {length}: {error}"
            ),
        }
    }
}

#[test]
fn a_snapshot_that_was_cut_off_is_no_snapshot() {
    let sample = Sample::new();
    // What a full disk, or a crash, leaves of one that sled was writing.
    let unfinished = sample
        .disk
        .home
        .store_dir()
        .join("snap.00000000FFFFFFFF.generating");
    std::fs::write(&unfinished, b"").unwrap();
    sample.disk.load().unwrap();
    assert!(!unfinished.exists());
}
