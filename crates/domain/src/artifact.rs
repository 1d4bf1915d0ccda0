//! Artifacts: the bytes of a capture and what is said about them.

use crate::{Digests, Malformed};

/// A file name inside one piece of evidence: a relative path of at most 255 bytes, safe on every file system.
///
/// Refused: empty and dot segments, absolute paths, backslashes, colons, control characters, Unicode direction
/// marks, trailing dots or spaces, and the names Windows reserves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactName(String);

const NAME_BYTES_MAX: usize = 255;
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

impl ArtifactName {
    /// Parses a relative path with `/` between segments.
    ///
    /// # Errors
    /// [`Malformed`] naming the broken rule.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bad = |reason: &str| Err(Malformed::new("artifact name", reason));
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return bad("1 to 255 bytes");
        }
        if text.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
            return bad("one of \\ : < > \" | ? * is not allowed");
        }
        if text.chars().any(|c| c.is_control() || is_direction_mark(c)) {
            return bad("control characters and direction marks are not allowed");
        }
        for segment in text.split('/') {
            if segment.is_empty() || segment == "." || segment == ".." {
                return bad(
                    "empty, . and .. segments and leading or trailing slashes are not allowed",
                );
            }
            if segment.ends_with(['.', ' ']) || segment.starts_with(' ') {
                return bad("a segment may not start with a space or end with a space or dot");
            }
            let stem = segment
                .split('.')
                .next()
                .unwrap_or(segment)
                .to_ascii_lowercase();
            if RESERVED.contains(&stem.as_str()) {
                return bad("a segment is a name reserved on Windows");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What counts as the same name: file systems fold case, so two names that differ only in it would overwrite
    /// each other when a court unpacks them.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl core::fmt::Display for ArtifactName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Marks that reorder displayed text could make `exe.txt` out of `txt.exe`.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A media type such as `text/html` (RFC 6838), without parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType(String);

impl MediaType {
    /// Parses `type/subtype` in RFC 6838's restricted characters, lower-cased.
    ///
    /// # Errors
    /// [`Malformed`] otherwise.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let token = |part: &str| {
            !part.is_empty()
                && part.len() <= 127
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match text.split_once('/') {
            Some((kind, sub)) if token(kind) && token(sub) => Ok(Self(text.to_ascii_lowercase())),
            _ => Err(Malformed::new(
                "media type",
                "expected type/subtype without parameters",
            )),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an artifact is in its piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactRole {
    /// What was captured: page, archive, image, video, any file.
    Content,
    /// The log of the capture's course (C3).
    ProcessLog,
    /// A recording of the course (C4).
    Recording,
    /// The clean check of the capturing environment (C5).
    CleanCheck,
    /// Anything else that belongs to it.
    Other,
}

impl ArtifactRole {
    /// The word on the wire and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::ProcessLog => "process_log",
            Self::Recording => "recording",
            Self::CleanCheck => "clean_check",
            Self::Other => "other",
        }
    }

    /// Parses the word.
    ///
    /// # Errors
    /// [`Malformed`] for any other word.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        [
            Self::Content,
            Self::ProcessLog,
            Self::Recording,
            Self::CleanCheck,
            Self::Other,
        ]
        .into_iter()
        .find(|role| role.as_str() == text)
        .ok_or_else(|| {
            Malformed::new(
                "artifact role",
                "expected content, process_log, recording, clean_check or other",
            )
        })
    }
}

/// One stored artifact: its name, kind, size in bytes and digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub name: ArtifactName,
    pub media_type: MediaType,
    pub role: ArtifactRole,
    pub size_bytes: u64,
    pub digests: Digests,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_courts_can_unpack() {
        for good in [
            "page.html",
            "a/b/c.warc.gz",
            "截图 1.png",
            ".hidden",
            "LICENSE",
        ] {
            assert!(ArtifactName::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn path_tricks_and_control_characters() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".",
            "a\\b",
            "C:x",
            "a\u{0}b",
            "a\nb",
            "a\u{202e}txt.exe",
            "nul",
            "NUL.txt",
            "a/con.log",
            "trailing.",
            "trailing ",
            " leading",
            &"x".repeat(256),
        ] {
            assert!(ArtifactName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn media_types() {
        assert_eq!(MediaType::parse("Text/HTML").unwrap().as_str(), "text/html");
        for bad in [
            "",
            "text",
            "text/",
            "/html",
            "text/html; charset=utf-8",
            "te xt/html",
        ] {
            assert!(MediaType::parse(bad).is_err(), "{bad}");
        }
    }
}
