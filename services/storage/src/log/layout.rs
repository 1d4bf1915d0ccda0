//! Keys of the log.

/// The head: what the next commit must swap.
pub(crate) const HEAD: &str = "log/head";
/// Who appends.
pub(crate) const LEASE: &str = "log/lease";
/// Where the reconciler begins.
pub(crate) const LOW_WATER: &str = "log/low-water";
/// Submissions of which an item was released from quarantine, for the reconciler to look at.
pub(crate) const RETRIES: &str = "log/retries/";
pub(crate) const CHECKPOINTS: &str = "log/checkpoints/";
pub(crate) const SEGMENTS: &str = "log/segments/";

/// Entries in a full bundle.
pub(crate) const WIDTH: u64 = 256;

/// Objects of the log under a path of tlog-tiles, or ours beside them.
pub(crate) fn key(path: &str) -> String {
    format!("log/{path}")
}

/// Twelve digits keep keys in the order of their numbers up to 10^12 entries.
pub(crate) fn checkpoint_key(size: u64) -> String {
    format!("{CHECKPOINTS}{size:012}")
}

pub(crate) fn segment_key(first: u64) -> String {
    format!("{SEGMENTS}{first:012}")
}

pub(crate) fn staged_key(size: u64, nonce: &str) -> String {
    format!("log/staged/{size:012}-{nonce}")
}

/// The number at the end of a checkpoint's or segment's key.
pub(crate) fn number(key: &str, prefix: &str) -> Option<u64> {
    let digits = key.strip_prefix(prefix)?;
    (digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}
