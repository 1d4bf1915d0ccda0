//! Writing and reading the ceremony's folder: secrets for their owner's eyes only, nothing overwritten,
//! and the whole folder there or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layout::{PUBLIC, ROLES};

/// No file of a ceremony comes near.
const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const SECRET_FOLDER: u32 = 0o700;
const SECRET_FILE: u32 = 0o600;
const PUBLIC_FOLDER: u32 = 0o755;
const PUBLIC_FILE: u32 = 0o644;

/// A folder being filled beside its final place; removed again unless [`Unfinished::finish`]ed.
pub(crate) struct Unfinished {
    path: PathBuf,
    destination: PathBuf,
    finished: bool,
}

impl Unfinished {
    pub(crate) fn new(destination: &Path) -> Result<Self> {
        if fs::symlink_metadata(destination).is_ok() {
            let path = destination.display();
            return Err(Error::Refused(format!(
                "{path} exists: a ceremony overwrites nothing"
            )));
        }
        let mut name = destination.as_os_str().to_owned();
        name.push(".unfinished");
        let path = PathBuf::from(name);
        make_folder(&path, SECRET_FOLDER)?;
        let folder = Self {
            path,
            destination: destination.to_owned(),
            finished: false,
        };
        for role in ROLES {
            make_folder(&folder.path.join(role), SECRET_FOLDER)?;
        }
        make_folder(&folder.path.join(PUBLIC), PUBLIC_FOLDER)?;
        Ok(folder)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write(&self.path.join(name), bytes, SECRET_FILE)
    }

    /// Writes a file for everybody, as far as its folder lets them in.
    pub(crate) fn write_public(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write(&self.path.join(name), bytes, PUBLIC_FILE)
    }

    /// Puts the folder in its place.
    pub(crate) fn finish(mut self) -> Result<()> {
        fs::rename(&self.path, &self.destination)
            .map_err(|reason| Error::file(&self.destination, reason))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the error that brought us here is the one to report.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<()> {
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .map_err(|reason| Error::file(path, reason))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|reason| Error::file(path, reason))
}

/// Replaces a public file by a newer one, never by half of one.
pub(crate) fn replace_public(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, PUBLIC_FILE)
}

/// The same for a file that only its owner may read.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, SECRET_FILE)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    let next = PathBuf::from(name);
    write(&next, bytes, mode)?;
    fs::rename(&next, path).map_err(|reason| Error::file(path, reason))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|reason| Error::file(path, reason))
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|_| Error::Refused(format!("{}: not UTF-8", path.display())))
}
