//! A terminal: somebody who sees what a command writes, and answers.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// All that was written so far.
    pub(super) seen: String,
}

impl Terminal {
    /// Runs the command on a terminal of 100 columns.
    pub(super) fn run(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        // The last of its ends here: what is read ends when the command does.
        drop((command, theirs));

        let keyboard = File::from(ours);
        let mut reader = keyboard.try_clone().unwrap();
        let (told, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if told.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: String::new(),
        }
    }

    /// Waits until this is on the screen, for the `number`th time.
    pub(super) fn wait_for(&mut self, text: &str, number: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.matches(text).count() < number {
            let left = deadline.saturating_duration_since(Instant::now());
            let read = self.screen.recv_timeout(left);
            let read = read.unwrap_or_else(|error| panic!("{error}; {text:?} in {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&read).replace('\r', "");
        }
    }

    pub(super) fn type_in(&mut self, line: &str) {
        self.keyboard.write_all(line.as_bytes()).unwrap();
    }

    /// Waits until the command ends, and gives its exit code and all that was
    /// written.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        while let Ok(read) = self.screen.recv_timeout(PATIENCE) {
            self.seen += &String::from_utf8_lossy(&read).replace('\r', "");
        }
        let status = self.child.wait().unwrap();
        (status.code(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
