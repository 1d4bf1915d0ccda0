//! Secrets: text that never prints itself, read from a file or an environment variable.

use std::fmt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::{Error, Result};

/// Secret text. `Debug` hides it, there is no `Display`, and its memory is wiped when it goes.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that has to hand it over, send or compare it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads a secret from the file or, without one, from the environment variable of that name; exactly one of the two
/// has to be given. Line ends at the end are cut.
///
/// # Errors
/// `Malformed`, naming `what`, the file or the variable but never the content.
pub fn read(what: &str, file: Option<&Path>, variable: Option<&str>) -> Result<SecretString> {
    let bad = |reason: String| Error::malformed(format!("{what}: {reason}"));
    let text = match (file, variable) {
        (Some(path), None) => std::fs::read_to_string(path)
            .map_err(|e| bad(format!("cannot read {}: {e}", path.display())))?,
        (None, Some(name)) => std::env::var(name)
            .map_err(|_| bad(format!("environment variable {name} is not set")))?,
        _ => {
            return Err(bad(
                "give either a file or an environment variable".to_owned()
            ));
        }
    };
    let text = Zeroizing::new(text);
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(bad("is empty".to_owned()));
    }
    Ok(SecretString::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exactly_one_source() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "abc\r\n").unwrap();
        assert_eq!(read("key", Some(&path), None).unwrap().expose(), "abc");
        assert!(read("key", None, None).is_err());
        assert!(read("key", Some(&path), Some("HOME")).is_err());
        assert!(read("key", None, Some("PROBITY_NO_SUCH_VARIABLE")).is_err());
        std::fs::write(&path, "\n").unwrap();
        assert!(read("key", Some(&path), None).is_err());
    }

    #[test]
    fn never_prints() {
        let secret = SecretString::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }
}
