//! Where a store lies: its folder, and outside of it the pepper and the guard
//! file. Makes one, and opens one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::clock::Clock;
use crate::domain::digest::{PEPPER_LEN, Pepper, StoreId};

use super::guard::GuardFile;
use super::local::{LOG_FILE, LocalStore, SledEngine, SledStore, Unopened};
use super::{Batch, Damage, OpenError, Store};

const PEPPER_FILE: &str = "pepper";
const GUARD_FILE: &str = "guard";
/// The guard file's name until the first commit is in it.
const NEW_GUARD_FILE: &str = "guard.new";

/// The folders of one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    store: PathBuf,
    guard: PathBuf,
}

impl Home {
    /// A store in the folder `store`, with pepper and guard file in `guard`.
    ///
    /// # Errors
    ///
    /// [`OpenError::Guard`] if the guard's folder is in the store's: a copy of
    /// the store must not carry the pepper along.
    pub fn new(store: PathBuf, guard: PathBuf) -> Result<Self, OpenError> {
        let home = Self { store, guard };
        home.refuse_nested(|path| std::path::absolute(path))?;
        Ok(home)
    }

    /// The folder of the store.
    #[must_use]
    pub fn store_dir(&self) -> &Path {
        &self.store
    }

    /// The folder of pepper and guard file.
    #[must_use]
    pub fn guard_dir(&self) -> &Path {
        &self.guard
    }

    /// Where the pepper is, or will be.
    #[must_use]
    pub fn pepper_file(&self) -> PathBuf {
        self.guard.join(PEPPER_FILE)
    }

    /// Makes pepper, store and guard file, with one commit in them, which
    /// `first` makes for the pepper that it is given. The store is closed
    /// again when this returns.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] if any of it is there already; else what went
    /// wrong, with nothing left behind.
    pub async fn init(
        &self,
        clock: Arc<dyn Clock>,
        first: impl FnOnce(&Pepper) -> Batch,
    ) -> Result<(), OpenError> {
        self.refuse_existing()?;
        for folder in [&self.store, &self.guard] {
            make_private_dir(folder).map_err(|error| OpenError::io(folder, error))?;
        }
        // It may have been there, empty and open to all.
        fs::set_permissions(&self.store, fs::Permissions::from_mode(0o700))
            .map_err(|error| OpenError::io(&self.store, error))?;
        self.refuse_nested(|path| path.canonicalize())?;
        // Whoever makes the pepper makes the store: of two inits at once, the
        // other leaves everything as it is.
        let pepper = Pepper::generate();
        write_pepper(&self.guard.join(PEPPER_FILE), &pepper)?;
        let made = self.make(&pepper, clock, first).await;
        if made.is_err() {
            // Best effort: what stays is told of as an unfinished init.
            let _ = fs::remove_dir_all(&self.store);
            for file in [PEPPER_FILE, GUARD_FILE, NEW_GUARD_FILE] {
                let _ = fs::remove_file(self.guard.join(file));
            }
        }
        made
    }

    /// Opens the store and its pepper. The guard file is read first: opening
    /// sled changes its files.
    ///
    /// # Errors
    ///
    /// The store cannot be served, and why.
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<(SledStore, Pepper), OpenError> {
        self.refuse_absent()?;
        self.refuse_nested(|path| path.canonicalize().or_else(|_| std::path::absolute(path)))?;
        let pepper_path = self.guard.join(PEPPER_FILE);
        let pepper = read_pepper(&pepper_path)?;
        let (guard, id) = GuardFile::open(&self.guard.join(GUARD_FILE), &pepper, &pepper_path)
            .map_err(|error| {
                if matches!(error, OpenError::Locked(_)) {
                    return OpenError::Locked(self.store.clone());
                }
                error
            })?;
        if !present(&self.store.join(LOG_FILE))? {
            return Err(OpenError::Emptied {
                guard: guard.newest().revision,
            });
        }
        remove_unfinished_snapshots(&self.store)?;
        let engine = self.open_engine()?;
        let store = LocalStore::start(engine, &pepper, id, Some(guard), clock)?;
        Ok((store, pepper))
    }

    fn open_engine(&self) -> Result<SledEngine, OpenError> {
        SledEngine::open(&self.store).map_err(|error| match error {
            Unopened::Locked => OpenError::Locked(self.store.clone()),
            Unopened::Failed(error) => error.into(),
        })
    }

    /// `real` finds the path that a path stands for.
    fn refuse_nested(&self, real: impl Fn(&Path) -> io::Result<PathBuf>) -> Result<(), OpenError> {
        let real = |path: &Path| real(path).map_err(|error| OpenError::io(path, error));
        if !real(&self.guard)?.starts_with(real(&self.store)?) {
            return Ok(());
        }
        let problem = "lies in the store's folder; pepper and guard file must be outside of it and of its backups";
        Err(OpenError::Guard {
            path: self.guard.clone(),
            problem: problem.to_owned(),
        })
    }

    /// An init makes the pepper first and the guard file last.
    fn refuse_unfinished(&self) -> Result<(), OpenError> {
        let pepper = present(&self.guard.join(PEPPER_FILE))?;
        let guard = present(&self.guard.join(GUARD_FILE))?;
        let new_guard = present(&self.guard.join(NEW_GUARD_FILE))?;
        let store = present(&self.store.join(LOG_FILE))?;
        if !guard && (new_guard || (pepper && !store)) {
            return Err(OpenError::Unfinished {
                store: self.store.clone(),
                guard: self.guard.clone(),
            });
        }
        Ok(())
    }

    /// Makes sure that a store could be made here.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`], if any part of one is there already.
    pub fn refuse_existing(&self) -> Result<(), OpenError> {
        let taken = [PEPPER_FILE, GUARD_FILE, NEW_GUARD_FILE].map(|file| self.guard.join(file));
        for path in taken {
            if present(&path)? {
                return Err(OpenError::Exists(path));
            }
        }
        // Whatever lies there: it would be removed if init failed.
        let occupied = fs::read_dir(&self.store).is_ok_and(|mut files| files.next().is_some());
        if occupied {
            Err(OpenError::Exists(self.store.clone()))
        } else {
            Ok(())
        }
    }

    fn refuse_absent(&self) -> Result<(), OpenError> {
        let [pepper, guard] = [PEPPER_FILE, GUARD_FILE].map(|file| self.guard.join(file));
        let store = self.store.join(LOG_FILE);
        self.refuse_unfinished()?;
        if !present(&store)? && !present(&pepper)? && !present(&guard)? {
            return Err(OpenError::Missing(self.store.clone()));
        }
        for (path, what) in [(pepper, "the pepper"), (guard, "the guard file")] {
            if !present(&path)? {
                let problem = format!(
                    "{what} is missing; put back the one that was kept for this store, or say where it is with --guard-dir"
                );
                return Err(OpenError::Guard { path, problem });
            }
        }
        Ok(())
    }

    async fn make(
        &self,
        pepper: &Pepper,
        clock: Arc<dyn Clock>,
        first: impl FnOnce(&Pepper) -> Batch,
    ) -> Result<(), OpenError> {
        let new_guard = self.guard.join(NEW_GUARD_FILE);
        let id = StoreId::generate();
        let guard = GuardFile::create(&new_guard, pepper, id)
            .map_err(|error| OpenError::io(&new_guard, error))?;
        sync_dir(&self.guard)?;

        let store = LocalStore::start(self.open_engine()?, pepper, id, Some(guard), clock)?;
        let batch = first(pepper);
        let store = tokio::task::spawn_blocking(move || {
            store.snapshot()?.try_for_each(|record| record.map(drop))?;
            Ok::<_, OpenError>(store)
        })
        .await
        .map_err(|error| Damage::Files(error.to_string()))??;
        store
            .commit(batch)
            .await
            .map_err(|error| Damage::Files(error.to_string()))?;
        store.close();
        drop(store);

        sync_dir(&self.store)?;
        let guard = self.guard.join(GUARD_FILE);
        fs::rename(&new_guard, &guard).map_err(|error| OpenError::io(&guard, error))?;
        sync_dir(&self.guard)
    }
}

/// Whether there is such a file: one that must not be looked for is an error,
/// not an absence.
fn present(path: &Path) -> Result<bool, OpenError> {
    path.try_exists()
        .map_err(|error| OpenError::io(path, error))
}

fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes what a crash or a full disk has left of a snapshot that sled was
/// writing: sled would take it for a whole one. Only for whoever has the lock.
fn remove_unfinished_snapshots(store: &Path) -> Result<(), OpenError> {
    let files = fs::read_dir(store).map_err(|error| OpenError::io(store, error))?;
    for file in files {
        let path = file.map_err(|error| OpenError::io(store, error))?.path();
        if path
            .extension()
            .is_some_and(|ending| ending == "generating")
        {
            fs::remove_file(&path).map_err(|error| OpenError::io(&path, error))?;
        }
    }
    Ok(())
}

fn sync_dir(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| OpenError::io(path, error))
}

fn write_pepper(path: &Path, pepper: &Pepper) -> Result<(), OpenError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(pepper.expose())?;
        file.sync_all()
    };
    write().map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return OpenError::Exists(path.to_owned());
        }
        OpenError::io(path, error)
    })
}

fn read_pepper(path: &Path) -> Result<Pepper, OpenError> {
    let refuse = |problem: &str| OpenError::Guard {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let mut file = File::open(path).map_err(|error| OpenError::io(path, error))?;
    let mode = file
        .metadata()
        .map_err(|error| OpenError::io(path, error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(refuse(
            "the pepper can be read by others; run `chmod 600` on it",
        ));
    }
    let mut bytes = Zeroizing::new([0; PEPPER_LEN]);
    let whole = file.read_exact(bytes.as_mut_slice()).is_ok()
        && file.read(&mut [0]).is_ok_and(|rest| rest == 0);
    if !whole {
        return Err(refuse(
            "the pepper is not of 32 bytes; put back the one that was kept for this store",
        ));
    }
    Ok(Pepper::from_bytes(bytes))
}
