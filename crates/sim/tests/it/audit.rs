//! What must hold when all is over, read from the store alone, by whoever believes nobody.

use std::collections::BTreeMap;

use bytes::Bytes;
use probity_domain::{EvidenceId, Record, Submission, SubmissionId};
use probity_pki::tlog::{Checkpoint, EMPTY_ROOT, Hash, Tiles, append, leaf_hash};
use probity_platform::objects::{MemoryObjects, Objects as _};
use probity_proto::stored::read_submission;
use probity_storage::log::{Entry, Log, read_bundle};
use probity_storage::verify;

use crate::pki::{EPOCH, Pki, log_verifier};
use crate::sim::Sim;
use crate::store::{ROTTEN, Store};
use crate::vendors::Receipts;

const BUNDLE: u64 = 256;

/// Every object under a prefix.
pub async fn objects(bucket: &MemoryObjects, prefix: &str) -> Vec<(String, Bytes)> {
    let (mut found, mut after): (Vec<(String, Bytes)>, Option<String>) = (Vec::new(), None);
    loop {
        let page = bucket.list(prefix, after.as_deref(), 1_000).await.unwrap();
        let Some(last) = page.last() else {
            return found;
        };
        after = Some(last.key.clone());
        for listed in page {
            let object = bucket.get(&listed.key, u64::MAX).await.unwrap().unwrap();
            found.push((listed.key, object.bytes));
        }
    }
}

pub async fn submissions(store: &Store) -> Vec<Submission> {
    let found = objects(&store.truth, "submissions/").await;
    found
        .iter()
        .filter(|(key, _)| *key != *ROTTEN)
        .map(|(_, bytes)| read_submission(bytes).unwrap())
        .collect()
}

/// An entry of no submission, which costs no signatures: what keeps the log's writers busy.
pub fn filler(item: u32) -> Entry {
    let record = Record {
        evidence: EvidenceId {
            submission: filler_submission(),
            item,
        },
        statement: vec![item as u8; 30],
        manifest: vec![],
        signature: vec![],
    };
    Entry::of(&record).unwrap()
}

fn filler_submission() -> SubmissionId {
    SubmissionId::new(EPOCH.plus_ms(-1), [0xee; 10])
}

/// Whether everything accepted stands in the newest checkpoint.
pub async fn is_finished(store: &Store) -> bool {
    let log = Log::new(&store.buckets(), log_verifier());
    if log.refresh().await.is_err() {
        return false;
    }
    let submissions = submissions(store).await;
    let mut accepted = submissions.iter().flat_map(Submission::accepted);
    accepted.all(|(evidence, _)| log.leaf(evidence).is_some())
}

/// Walks everything; what does not hold is a violation.
pub async fn audit(sim: &Sim, store: &Store, receipts: &Receipts, pki: &Pki) {
    let log = Log::new(&store.buckets(), log_verifier());
    if let Err(e) = log.refresh().await {
        return sim.violate(format!("the log does not read: {e}"));
    }
    let Ok(newest) = log.latest() else {
        return sim.violate("the log has no checkpoint".to_owned());
    };
    let mut entries = Vec::new();
    for bundle in 0..newest.size.div_ceil(BUNDLE) {
        match read_bundle(&*store.truth, bundle, newest.size).await {
            Ok(bundle) => entries.extend(bundle),
            Err(e) => return sim.violate(format!("bundle {bundle} does not read: {e}")),
        }
    }
    check_checkpoints(sim, store, &entries).await;
    let places = check_entries(sim, store, pki, &entries).await;
    for submission in submissions(store).await {
        for (evidence, _) in submission.accepted() {
            if !places.contains_key(&evidence) {
                sim.violate(format!("{evidence} was accepted and is not in the log"));
            }
        }
    }
    for evidence in receipts.all() {
        if !places.contains_key(&evidence) {
            sim.violate(format!(
                "{evidence} was given to a vendor and is not in the log"
            ));
        }
    }
}

/// Every checkpoint ever published is a beginning of the one log, and the newest is all of it.
async fn check_checkpoints(sim: &Sim, store: &Store, entries: &[Bytes]) {
    let leaves: Vec<Hash> = entries.iter().map(|bytes| leaf_hash(bytes)).collect();
    for (key, note) in objects(&store.truth, "log/checkpoints/").await {
        let checkpoint = match Checkpoint::verify(&note, &[log_verifier()]) {
            Ok(checkpoint) => checkpoint,
            Err(e) => {
                sim.violate(format!("{key}: {e}"));
                continue;
            }
        };
        let Some(leaves) = leaves.get(..checkpoint.size as usize) else {
            sim.violate(format!("{key} is beyond the newest checkpoint"));
            continue;
        };
        let grown = append(0, EMPTY_ROOT, &Tiles::default(), leaves).unwrap();
        if (grown.size, grown.root) != (checkpoint.size, checkpoint.root) {
            sim.violate(format!("{key} is of another history"));
        }
    }
}

/// Every number once, and every record as a stranger would believe it.
async fn check_entries(
    sim: &Sim,
    store: &Store,
    pki: &Pki,
    entries: &[Bytes],
) -> BTreeMap<EvidenceId, u64> {
    let submissions = submissions(store).await;
    let by_id: BTreeMap<_, _> = submissions.iter().map(|s| (s.id, s)).collect();
    let roots = [pki.root.clone()];
    let mut places = BTreeMap::new();
    for (bytes, leaf) in entries.iter().zip(0..) {
        let Ok(record) = Record::decode(bytes) else {
            sim.violate(format!("leaf {leaf} is no record"));
            continue;
        };
        let evidence = record.evidence;
        if let Some(first) = places.insert(evidence, leaf) {
            sim.violate(format!("{evidence} stands at {first} and at {leaf}"));
        }
        if evidence.submission == filler_submission() {
            continue;
        }
        let Some(submission) = by_id.get(&evidence.submission) else {
            sim.violate(format!("{evidence} is in the log without its submission"));
            continue;
        };
        let late = EPOCH.plus_ms(24 * 3_600_000);
        if let Err(e) = verify(&record, submission, &roots, late) {
            sim.violate(format!("leaf {leaf}: {e}"));
        }
    }
    places
}
