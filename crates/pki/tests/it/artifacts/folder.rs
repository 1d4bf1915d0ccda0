//! Where cases for the judges go, and how they are spoiled.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where the cases go.
pub struct Folder {
    at: PathBuf,
    _scratch: Option<TempDir>,
}

impl Folder {
    pub fn new() -> Self {
        let scratch = TempDir::new().unwrap();
        let (at, scratch) = match std::env::var_os("PROBITY_ARTIFACTS_DIR") {
            Some(given) => (PathBuf::from(given), None),
            None => (scratch.path().to_owned(), Some(scratch)),
        };
        Self {
            at: at.join("formats"),
            _scratch: scratch,
        }
    }

    fn write(&self, folder: &Path, files: &[(&str, &[u8])]) {
        let folder = self.at.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }

    /// A container too large for memory, that judges must accept: where to write it.
    pub fn container(&self, name: &str) -> PathBuf {
        let folder = Path::new("accept/zip").join(name);
        self.write(&folder, &[]);
        self.at.join(folder).join("container.zip")
    }

    pub fn trust(&self, name: &str, bytes: &[u8]) {
        self.write(Path::new("trust"), &[(name, bytes)]);
    }

    /// A case with the verdict of our own functions, which every other judge must share.
    #[track_caller]
    pub fn case<T, E: std::fmt::Debug>(
        &self,
        expected: Expected,
        kind: &str,
        name: &str,
        files: &[(&str, &[u8])],
        ours: Result<T, E>,
    ) {
        match (expected, ours) {
            (Accept, Err(e)) => panic!("we refuse {kind} {name}: {e:?}"),
            (Refuse, Ok(_)) => panic!("we accept {kind} {name}"),
            _ => {}
        }
        let word = if expected == Accept {
            "accept"
        } else {
            "refuse"
        };
        self.write(&Path::new(word).join(kind).join(name), files);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Accept,
    Refuse,
}
use Expected::{Accept, Refuse};

/// The bytes with one bit changed in the last byte of a part of them.
#[track_caller]
pub fn changed(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let mut windows = bytes.windows(part.len());
    let at = windows.position(|window| window == part).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at + part.len() - 1] ^= 1;
    bytes
}
