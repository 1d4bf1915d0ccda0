//! The audit: everything proved again, from the two buckets and the pinned keys alone.
//!
//! It walks the way the writer went and compares where the writer wrote, so what it needs is what a stranger can have:
//! a copy of the buckets, the log's public key and the root. No role has to run, and nothing is changed. While the
//! platform runs, what lies behind the newest checkpoint at the start is left to the next audit.
//!
//! | walked | proved by |
//! |---|---|
//! | checkpoints | their signature; the entries between two neighbours lead from one root to the next |
//! | tiles, index tiles, bundles, segments | computed again from the entries, byte for byte |
//! | records | signature, certificates, time-stamp and statement as a stranger verifies them; the number stands once |
//! | submissions | every accepted item is in the log (or held in quarantine), and the log holds nothing that was not accepted |
//! | blobs | hashed again |
//! | ledger | the events of each stream follow one another without a gap, read, and say who acted, when and why |
//! | versions | every key in `truth` has one, or as many as recorded repairs account for, where the store keeps versions |
//! | receipts | numbers that callers were given: each is deposited |

mod bundles;
mod events;
mod receipts;
mod records;
mod report;
mod submissions;
mod tree;
mod versions;

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use probity_domain::{EvidenceId, Timestamp};
use probity_pki::keys::KnownSignatures;
use probity_pki::tlog::{Hash, LogVerifier, TileId, edge_tiles};
use probity_pki::x509::Certificate;
use probity_platform::ledger::Ledger;
use probity_platform::objects::Buckets;
use probity_platform::{Clock, Result, SystemRandom};

use crate::Submissions;
use crate::insistent::Insistent;
use crate::log::{CHECKPOINTS, HEAD, Index, Log, checkpoint_key, number, read_head};

use records::Verifying;

pub use report::{AuditReport, Checked, Finding, FindingKind, Open};

/// Objects read at once.
const READS_AT_ONCE: usize = 16;
const PAGE: u16 = 1_000;
/// Signatures remembered: of a certificate and its status for each of the instructions that lie near each other in the log,
/// and those of the authorities, which all share.
const KNOWN_SIGNATURES_MAX: usize = 65_536;

/// What is audited, and with what.
#[derive(Clone)]
pub struct AuditScope {
    pub buckets: Buckets,
    /// The log's public key, as it was pinned.
    pub log_key: LogVerifier,
    /// Roots that every certificate has to chain to.
    pub roots: Arc<[Certificate]>,
    pub clock: Arc<dyn Clock>,
    /// Items of submissions younger than this may still be under way: they are counted as open, not as lost.
    pub open_s: u32,
    /// Whether the artifacts' bytes are read and hashed again.
    pub blobs: bool,
    /// Files of JSON lines with the evidence numbers that callers were given, under `evidence`.
    pub receipts: Vec<PathBuf>,
}

/// Audits the store. Memory: some twenty bytes an entry, one commit, and a few hundred records that are being verified.
///
/// # Errors
/// Those of the store that say nothing about what it holds (`Unavailable`, `Timeout`), and `Malformed` for a file of
/// receipts that does not read. What is wrong with the evidence, and an object that cannot be read while others can, is no
/// error, but a finding in the report.
pub async fn audit(mut scope: AuditScope) -> Result<AuditReport> {
    scope.buckets = Buckets {
        truth: Insistent::around(scope.buckets.truth),
        work: Insistent::around(scope.buckets.work),
    };
    let log = Log::new(&scope.buckets, scope.log_key.clone());
    let submissions = Submissions::new(scope.buckets.truth.clone());
    let truth = scope.buckets.truth.clone();
    let ledger = Ledger::new(truth, scope.clock.clone(), Arc::new(SystemRandom));
    let started_at = scope.clock.now();
    let mut audit = Audit {
        report: AuditReport::new(scope.log_key.name(), started_at),
        scope,
        log,
        submissions,
        ledger,
        started_at,
        index: Index::default(),
        partial: HashSet::new(),
        known: Arc::new(KnownSignatures::new(KNOWN_SIGNATURES_MAX)),
        verifying: VecDeque::new(),
        held: HashSet::new(),
    };
    let points = audit.checkpoints().await?;
    audit.head(points.last()).await?;
    audit.tree(&points).await?;
    audit.all_verified().await;
    audit.strays(points.last()).await?;
    audit.all_submissions().await?;
    audit.receipts().await?;
    audit.events().await?;
    audit.versions().await?;
    audit.report.finish(points.last(), audit.scope.clock.now());
    Ok(audit.report)
}

/// A published state of the log.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    size: u64,
    root: Hash,
}

struct Audit {
    scope: AuditScope,
    report: AuditReport,
    log: Log,
    submissions: Submissions,
    ledger: Ledger,
    started_at: Timestamp,
    /// Where each number stands, from the entries themselves.
    index: Index,
    /// Incomplete tiles that a checkpoint accounts for.
    partial: HashSet<TileId>,
    /// What authorities have signed stands in many records.
    known: Arc<KnownSignatures>,
    /// The oldest first.
    verifying: VecDeque<Verifying>,
    /// Accepted items that are in quarantine: not in the log, and not lost.
    held: HashSet<EvidenceId>,
}

impl Audit {
    /// Every checkpoint that the pinned key signed, in the order of sizes.
    async fn checkpoints(&mut self) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .log
                .truth
                .list(CHECKPOINTS, after.as_deref(), PAGE)
                .await?;
            let log = &self.log;
            let sizes = page
                .iter()
                .filter_map(|listed| number(&listed.key, CHECKPOINTS));
            let read: Vec<_> = stream::iter(sizes)
                .map(|size| async move { (size, log.checkpoint(size).await) })
                .buffered(READS_AT_ONCE)
                .collect()
                .await;
            for (size, checkpoint) in read {
                self.report.checked.checkpoints += 1;
                let key = checkpoint_key(size);
                self.partial.extend(edge_tiles(size).unwrap_or_default());
                let checkpoint = self
                    .report
                    .read(FindingKind::Checkpoint, &key, checkpoint)?;
                points.extend(checkpoint.flatten().map(|published| Point {
                    size: published.size,
                    root: published.root,
                }));
            }
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(points),
            }
        }
    }

    /// The head was swapped before the newest checkpoint was published, so it is never behind it.
    async fn head(&mut self, newest: Option<&Point>) -> Result<()> {
        let head = read_head(&*self.log.work).await;
        let Some(head) = self.report.read(FindingKind::Head, HEAD, head)? else {
            return Ok(());
        };
        let size = newest.map_or(0, |point| point.size);
        let Some((head, _)) = head else {
            let note = "there is no head: the next writer goes on from the newest checkpoint";
            self.report.notes.push(note.to_owned());
            return Ok(());
        };
        let signed = self.log.read_note(head.checkpoint.into());
        let Some(signed) = self.report.read(FindingKind::Head, HEAD, signed)? else {
            return Ok(());
        };
        if head.size < size {
            let reason = format!(
                "rolled back: of size {}, but {size} is published",
                head.size
            );
            self.report.find(FindingKind::Head, HEAD, reason);
        } else if signed.size != head.size
            || newest.is_some_and(|point| point.size == signed.size && point.root != signed.root)
        {
            let reason = format!("another tree of size {} than the published one", head.size);
            self.report.find(FindingKind::Head, HEAD, reason);
        } else if head.size > size {
            let note = format!("a commit to size {} is not published yet", head.size);
            self.report.notes.push(note);
        }
        Ok(())
    }
}
