//! What a lost commit left behind the newest checkpoint: entries that it wrote before it was lost together with its head.
//!
//! They stand where the next ones have to, so a store that keeps no versions can only go on from them. But whoever may
//! write into `truth` can put entries there too, so they are believed no more than a message: each must hold as a deposit
//! must, and be new.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use probity_pki::tlog::{TILE_WIDTH, bundle_path};
use probity_platform::{Error, ErrorKind, Result};

use super::entries::{full_bundle, segment};
use super::layout::{WIDTH, key, segment_key};
use super::tree::{Entry, Tree};
use super::writer::Writer;

/// Entries of one commit (`append_max`).
const LEFT_MAX: usize = 10_000;

/// Judges what may stand in the log.
#[async_trait]
pub trait Verify: Send + Sync {
    /// That each of these entries would be deposited.
    ///
    /// # Errors
    /// Transient kinds when it cannot be said now; any other when one of them would not.
    async fn verify(&self, entries: &[Entry]) -> Result<()>;
}

/// An object behind the log's end.
struct Written {
    key: String,
    /// `None` when it is no entries that follow on the log.
    entries: Option<Vec<Entry>>,
    /// A commit writes one segment, last.
    is_last: bool,
}

impl Writer {
    /// The entries behind a published tree that are taken for the log's.
    ///
    /// # Errors
    /// `Internal` when something else stands there and the store would not keep it as a version; those of [`Verify`] that
    /// are transient.
    pub(super) async fn left_behind(&self, tree: &Tree) -> Result<Vec<Entry>> {
        let (mut left, mut keys) = (Vec::new(), Vec::new());
        while let Some(written) = self.written_behind(tree, left.len() as u64).await? {
            let Some(entries) = written.entries else {
                return self.not_ours(&written.key, "it holds no entries").await;
            };
            left.extend(entries);
            keys.push(written.key);
            if written.is_last || left.len() > LEFT_MAX {
                break;
            }
        }
        match self.believed(&left).await {
            Ok(()) => Ok(left),
            Err(e) if e.kind.is_transient() => Err(e),
            Err(e) => self.not_ours(&keys.join(" "), &e.detail).await,
        }
    }

    async fn believed(&self, left: &[Entry]) -> Result<()> {
        if left.len() > LEFT_MAX {
            return Err(Error::malformed("more entries than a commit has"));
        }
        self.log.prove_new(left).await?;
        let mut numbers = HashSet::new();
        for Entry { evidence, .. } in left {
            if self.log.leaf(*evidence).is_some() || !numbers.insert(*evidence) {
                return Err(Error::conflict(format!("{evidence} is in the log already")));
            }
        }
        match &self.verify {
            _ if left.is_empty() => Ok(()),
            Some(verify) => verify.verify(left).await,
            None => Err(Error::malformed("nobody here can verify entries")),
        }
    }

    /// Nothing is taken up, and the next commit writes over it.
    async fn not_ours(&self, key: &str, reason: &str) -> Result<Vec<Entry>> {
        tracing::error!(
            key,
            reason,
            "what lies behind the log's newest checkpoint is not the log's"
        );
        match self.log.truth.keeping().await?.versions {
            true => Ok(Vec::new()),
            false => Err(Error::internal(format!(
                "{key} lies behind the log's newest checkpoint and is not the log's: {reason}"
            ))),
        }
    }

    /// What stands `far` entries behind the tree: a full bundle that goes on from its tail, or a segment.
    async fn written_behind(&self, tree: &Tree, far: u64) -> Result<Option<Written>> {
        let truth = &*self.log.truth;
        let at = tree.size + far;
        let known = if far == 0 { tree.tail() } else { &[] };
        let bundle = read(full_bundle(truth, at / WIDTH).await)?.map(|entries| Written {
            key: key(&bundle_path(at / WIDTH, TILE_WIDTH)),
            entries: entries.and_then(|entries| follow(entries, known)),
            is_last: false,
        });
        if let Some(Written {
            entries: Some(_), ..
        }) = bundle
        {
            return Ok(bundle);
        }
        let segment = read(segment(truth, at).await)?.map(|entries| Written {
            key: segment_key(at),
            entries: entries.and_then(|entries| follow(entries, &[])),
            is_last: true,
        });
        Ok(segment.or(bundle))
    }
}

/// What is there; the inner `None` when it does not read.
fn read(read: Result<Option<Vec<Bytes>>>) -> Result<Option<Option<Vec<Bytes>>>> {
    match read {
        Ok(entries) => Ok(entries.map(Some)),
        Err(e) if matches!(e.kind, ErrorKind::Internal | ErrorKind::Malformed) => Ok(Some(None)),
        Err(e) => Err(e),
    }
}

/// The entries after those that are known; `None` unless these come first and some follow.
fn follow(entries: Vec<Bytes>, known: &[Entry]) -> Option<Vec<Entry>> {
    let (first, new) = entries.split_at_checked(known.len())?;
    let same = first.iter().eq(known.iter().map(|entry| &entry.bytes));
    let new: Vec<Entry> = new
        .iter()
        .map(|e| Entry::read(e))
        .collect::<Result<_>>()
        .ok()?;
    (same && !new.is_empty()).then_some(new)
}
