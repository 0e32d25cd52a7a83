//! Files damaged at random: either exactly what was committed is loaded, or
//! nothing is. No panic gets out, and nothing hangs.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::panic;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::Duration;

use keyward::domain::key::Key;
use keyward::store::local::SledStore;
use keyward::store::{OpenError, Record, Store};

use crate::records::{
    self, Disk, LOG, State, block_on, copy_folder, create, files, revoked, update, workspace,
};

/// A round that takes this long hangs.
const WATCHDOG: Duration = Duration::from_secs(30);

/// The size of the pages in which disks lose what they lose.
const PAGE: usize = 4_096;

const CONFIG: &str = "conf";

/// What damages a store's files.
type Damage = fn(&mut Files, &mut Random);

/// The files of a store, by their names.
type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn flipped_bits_of_the_log() {
    rounds(0..12, |files, random| {
        for _ in 0..=random.below(3) {
            let log = written_part(files);
            let at = random.below(log.len());
            log[at] ^= 1 << random.below(8);
        }
    });
}

#[test]
fn a_lost_page_of_the_log() {
    rounds(100..110, |files, random| {
        let log = written_part(files);
        let at = random.below(log.len() / PAGE) * PAGE;
        log[at..at + PAGE].fill(0);
    });
}

#[test]
fn a_log_cut_short() {
    rounds(200..210, |files, random| {
        let length = random.below(written_part(files).len());
        files.get_mut(LOG).unwrap().truncate(length);
    });
}

#[test]
fn a_log_without_its_snapshot() {
    rounds(300..301, |files, _| {
        let name = snapshot(files);
        files.remove(&name);
    });
}

#[test]
fn a_log_cut_short_without_its_snapshot() {
    rounds(350..360, |files, random| {
        let name = snapshot(files);
        files.remove(&name);
        let length = random.below(written_part(files).len());
        files.get_mut(LOG).unwrap().truncate(length);
    });
}

#[test]
fn a_garbled_snapshot() {
    rounds(400..408, |files, random| {
        let name = snapshot(files);
        let bytes = files.get_mut(&name).unwrap();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
    });
}

#[test]
fn a_snapshot_cut_short() {
    rounds(500..506, |files, random| {
        let name = snapshot(files);
        let bytes = files.get_mut(&name).unwrap();
        bytes.truncate(random.below(bytes.len()));
    });
}

#[test]
fn a_snapshot_of_garbage() {
    rounds(550..553, |files, random| {
        let name = snapshot(files);
        files.get_mut(&name).unwrap().fill_with(|| random.byte());
    });
}

#[test]
fn a_lost_configuration() {
    rounds(600..601, |files, _| assert!(files.remove(CONFIG).is_some()));
}

#[test]
fn a_garbled_configuration() {
    rounds(650..653, |files, random| {
        files.get_mut(CONFIG).unwrap().fill_with(|| random.byte())
    });
}

/// Some commits of another moment: what a backup that is no snapshot does.
#[test]
fn a_log_of_two_moments() {
    rounds(700..706, |files, random| {
        let earlier = &sample().earlier[LOG];
        let log = written_part(files);
        let pages = random.below(log.len() / PAGE);
        let torn = (pages * PAGE).min(earlier.len());
        log[..torn].copy_from_slice(&earlier[..torn]);
    });
}

/// A store of some hundred commits, as it was left and half way there.
struct Sample {
    disk: Disk,
    state: State,
    earlier: Files,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = Disk::with_store();
        let workspace = workspace("klipy");
        disk.run(|store| {
            block_on(store.commit(create(Record::Workspace(workspace.clone())))).unwrap()
        });
        // Large enough that the log has several segments.
        let large = |number| Key {
            description: "x".repeat(3_000),
            ..records::key(&workspace, number)
        };
        let keys: Vec<_> = (0..200).map(large).collect();
        let (early, late) = keys.split_at(100);
        disk.run(|store| write(store, early));
        let earlier = files(disk.home.store_dir());
        // Opened again, it has a snapshot of the log beside the log.
        disk.run(|store| write(store, late));
        let state = disk.load().unwrap();
        assert_eq!(state.len(), 2 + keys.len());
        snapshot(&files(disk.home.store_dir()));
        Sample {
            disk,
            state,
            earlier,
        }
    })
}

/// Creates `keys`, and revokes every other.
fn write(store: &SledStore, keys: &[Key]) {
    let creations = keys.iter().map(|key| create(Record::Key(key.clone())));
    let made = block_on(async {
        let mut made = Vec::new();
        for batch in creations {
            made.push(store.commit(batch).await.unwrap());
        }
        made
    });
    for (key, at) in keys.iter().zip(made).step_by(2) {
        block_on(store.commit(update(Record::Key(revoked(key)), at))).unwrap();
    }
}

/// The part of the log that anything was ever written to.
fn written_part(files: &mut Files) -> &mut [u8] {
    let log = files.get_mut(LOG).unwrap();
    let pages = log.len().div_ceil(PAGE);
    let empty = log
        .rchunks(PAGE)
        .take_while(|page| page.iter().all(|byte| *byte == 0))
        .count();
    let written = ((pages - empty) * PAGE).min(log.len());
    &mut log[..written]
}

fn snapshot(files: &Files) -> String {
    files
        .keys()
        .find(|name| name.starts_with("snap"))
        .expect("sled leaves a snapshot when it is opened again")
        .clone()
}

/// Damages a copy of the sample once for each of `seeds`.
fn rounds(seeds: Range<u64>, damage: Damage) {
    ignore_panics_of_sled();
    for seed in seeds {
        let sample = sample();
        let mut damaged = files(sample.disk.home.store_dir());
        damage(&mut damaged, &mut Random(seed));
        let disk = Disk::empty();
        copy_folder(sample.disk.home.guard_dir(), disk.home.guard_dir());
        fs::create_dir(disk.home.store_dir()).unwrap();
        for (name, bytes) in &damaged {
            write_file(&disk.home.store_dir().join(name), bytes);
        }
        match under_watchdog(seed, move || disk.load()) {
            Ok(state) => assert!(
                state == sample.state,
                "seed {seed}: something else was loaded"
            ),
            Err(error) => assert!(
                matches!(
                    error,
                    OpenError::Damaged(_)
                        | OpenError::Emptied { .. }
                        | OpenError::Older { .. }
                        | OpenError::Newer { .. }
                ),
                "seed {seed}: {error}"
            ),
        }
    }
}

fn write_file(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Runs `work` in a thread of its own, which may neither panic nor hang.
fn under_watchdog<T: Send + 'static>(seed: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    match outcome.recv_timeout(WATCHDOG) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Disconnected) => panic!("seed {seed}: a panic got out"),
        Err(RecvTimeoutError::Timeout) => panic!("seed {seed}: hangs"),
    }
}

/// What the store catches would fill the screen nevertheless.
fn ignore_panics_of_sled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !panic
                .location()
                .is_some_and(|place| place.file().contains("/sled-"))
            {
                tell(panic);
            }
        }));
    });
}

/// Random numbers that are the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}
