//! The head: the one object that is compared and swapped.

use bytes::Bytes;
use probity_platform::objects::{Objects, Version};
use probity_platform::{Error, Result};
use serde::{Deserialize, Serialize};

use super::layout::HEAD;
use super::tree::Entry;

const FORMAT: &str = "probity.log-head/1";
/// Heads of every version begin with it.
const FORMATS: &str = "probity.log-head/";
const HEAD_BYTES_MAX: u64 = 64 * 1024;
const STAGED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A committed size of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    format: String,
    pub size: u64,
    /// The signed note of that size: what will stand under its checkpoint's key.
    pub checkpoint: String,
    /// The size before, whose checkpoint was published before this head was written.
    pub previous_size: u64,
    /// Key in `work` of the entries between the two.
    pub staged: String,
    /// Drawn for each head: two writers' heads are never the same bytes.
    pub nonce: String,
}

impl Head {
    pub(crate) fn new(
        size: u64,
        checkpoint: String,
        previous_size: u64,
        staged: String,
        nonce: String,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            size,
            checkpoint,
            previous_size,
            staged,
            nonce,
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(Error::internal)
    }
}

/// What stands in the head's place, a head or why it is none, and its version; `None` when nothing does.
///
/// # Errors
/// `Internal` for the head of another version of this program, which must not be gone past; those of the store.
pub(crate) async fn find_head(
    work: &dyn Objects,
) -> Result<Option<(core::result::Result<Head, String>, Version)>> {
    let Some(object) = work.get(HEAD, STAGED_BYTES_MAX).await? else {
        return Ok(None);
    };
    if let Ok(Named { format }) = serde_json::from_slice(&object.bytes)
        && format != FORMAT
        && format.starts_with(FORMATS)
    {
        let detail = format!("{HEAD} is of another version's format, {format}");
        return Err(Error::internal(detail));
    }
    Ok(Some((parse(&object.bytes), object.version)))
}

/// All that heads of different versions have in common.
#[derive(Deserialize)]
struct Named {
    format: String,
}

fn parse(bytes: &[u8]) -> core::result::Result<Head, String> {
    if bytes.len() as u64 > HEAD_BYTES_MAX {
        return Err(format!("{HEAD} is larger than any"));
    }
    let head: Head =
        serde_json::from_slice(bytes).map_err(|e| format!("{HEAD} does not read: {e}"))?;
    if head.format != FORMAT || head.previous_size > head.size {
        return Err(format!("{HEAD} is of another format"));
    }
    Ok(head)
}

/// The head and its version; `None` when there is none.
pub(crate) async fn read_head(work: &dyn Objects) -> Result<Option<(Head, Version)>> {
    match find_head(work).await? {
        Some((head, version)) => Ok(Some((head.map_err(Error::internal)?, version))),
        None => Ok(None),
    }
}

/// Entries as staged: each behind its length in two big-endian bytes.
pub(crate) fn encode_staged(entries: &[Entry]) -> Result<Bytes> {
    let mut out = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.bytes.len()).map_err(Error::internal)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&entry.bytes);
    }
    Ok(out.into())
}

pub(crate) async fn read_staged(work: &dyn Objects, key: &str) -> Result<Option<Vec<Entry>>> {
    let Some(object) = work.get(key, STAGED_BYTES_MAX).await? else {
        return Ok(None);
    };
    let bad = || Error::internal(format!("{key} is cut short"));
    let mut rest: &[u8] = &object.bytes;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(bad)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or_else(bad)?;
        entries.push(Entry::read(entry)?);
        rest = after;
    }
    Ok(Some(entries))
}
