//! Which instruction was confirmed by which intent.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, at};

/// One small file per instruction. Losing it costs one more code, nothing else.
pub struct Memory(PathBuf);

impl Memory {
    /// In this folder, made if missing.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        Ok(Self(folder.to_owned()))
    }

    /// The intent that confirmed the instruction.
    pub fn intent(&self, instruction_sha256: &str) -> Result<Option<String>, Failure> {
        let path = self.path(instruction_sha256);
        match std::fs::read_to_string(&path) {
            Ok(intent) => Ok(Some(intent.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(&path)(e)),
        }
    }

    /// Remembers it.
    pub fn remember(&self, instruction_sha256: &str, intent: &str) -> Result<(), Failure> {
        let path = self.path(instruction_sha256);
        std::fs::write(&path, intent).map_err(at(&path))
    }

    fn path(&self, instruction_sha256: &str) -> PathBuf {
        self.0.join(format!("{instruction_sha256}.intent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(&dir.path().join("m")).unwrap();
        assert_eq!(memory.intent("a").unwrap(), None);
        memory.remember("a", "i").unwrap();
        assert_eq!(memory.intent("a").unwrap().as_deref(), Some("i"));
    }
}
