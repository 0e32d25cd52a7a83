//! A new file for a token: private, made before the token has any meaning, and
//! gone again if it came to none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that was made by this command, readable by its owner alone. It is
/// removed unless it is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes the file, which must not be there.
    ///
    /// # Errors
    ///
    /// A sentence for people.
    pub(crate) fn create(path: &Path) -> Result<Self, String> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = made.map_err(|error| {
            let path = path.display();
            if error.kind() == ErrorKind::AlreadyExists {
                return format!(
                    "{path} exists; name another file for the token, or move that one away"
                );
            }
            format!("{path}: {error}")
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            kept: false,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the token to the disk.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn write(&mut self, token: &str) -> io::Result<()> {
        writeln!(self.file, "{token}")?;
        self.file.sync_all()
    }

    /// The token in it is one, or may be: the file stays.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_only_stays_if_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = NewFile::create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        // One that is there is left alone.
        let complaint = NewFile::create(&path).unwrap_err();
        assert!(
            complaint.contains("token exists; name another"),
            "{complaint}"
        );
        assert!(path.exists());
        drop(made);
        assert!(!path.exists());

        let mut made = NewFile::create(&path).unwrap();
        made.write("klg_x").unwrap();
        drop(made);
        assert!(!path.exists());

        let mut made = NewFile::create(&path).unwrap();
        made.write("klg_x").unwrap();
        made.keep();
        assert_eq!(fs::read_to_string(&path).unwrap(), "klg_x\n");
    }
}
