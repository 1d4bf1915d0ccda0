//! Golden files: bytes that an earlier version wrote and this one must read.

use std::fs;
use std::path::{Path, PathBuf};

/// The variable that lets missing files be written; its only value is `write`.
const VARIABLE: &str = "PROBITY_GOLDEN";

/// The golden files of one crate.
pub struct Golden(PathBuf);

impl Golden {
    /// Those under `tests/golden` of the crate with this folder, `env!("CARGO_MANIFEST_DIR")`.
    #[must_use]
    pub fn of(manifest_dir: &str) -> Self {
        Self(Path::new(manifest_dir).join("tests/golden"))
    }

    /// The file's bytes, whenever they were written. With `PROBITY_GOLDEN=write` a file that is missing is written as
    /// `today` has it; one that is there never is.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn read(&self, name: &str, today: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let path = self.0.join(name);
        if let Ok(bytes) = fs::read(&path) {
            return bytes;
        }
        let may_write = std::env::var(VARIABLE).is_ok_and(|value| value == "write");
        assert!(
            may_write,
            "{} is missing; {VARIABLE}=write makes it, for a format that is new",
            path.display()
        );
        let bytes = today();
        let folder = path.parent().unwrap_or(&self.0);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, &bytes));
        if let Err(e) = written {
            panic!("{}: {e}", path.display());
        }
        bytes
    }
}
