//! Files of this command: secrets only their owner reads, replacements that are whole or not there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::failure::Failure;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    ByAll,
    ByOwner,
}

/// Writes a file whole: beside it first, then renamed into place.
pub fn write(path: &Path, bytes: &[u8], readable: Readable) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("{}: {e}", path.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mode = if readable == Readable::ByOwner {
        0o600
    } else {
        0o644
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// Reads a text file, or says which one cannot be read.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
}

/// DER as PEM (RFC 7468).
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines = body
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned());
    let lines: Vec<_> = lines.collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// DER from one PEM block of this label.
pub fn from_pem(label: &str, pem: &str) -> Result<Vec<u8>, Failure> {
    let bad = || Failure::usage(format!("expected one PEM block {label}"));
    let body = pem
        .trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .ok_or_else(bad)?;
    let body = body
        .strip_suffix(&format!("-----END {label}-----"))
        .ok_or_else(bad)?;
    let packed: String = body.split_whitespace().collect();
    STANDARD.decode(packed).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        write(&path, b"one", Readable::ByOwner).unwrap();
        write(&path, b"two", Readable::ByOwner).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn pem_round_trip() {
        let der: Vec<u8> = (0..=255).collect();
        let pem = to_pem("PRIVATE KEY", &der);
        assert_eq!(from_pem("PRIVATE KEY", &pem).unwrap(), der);
        assert!(from_pem("CERTIFICATE", &pem).is_err());
        assert!(from_pem("PRIVATE KEY", "nonsense").is_err());
    }
}
