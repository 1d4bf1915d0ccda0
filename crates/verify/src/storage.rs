//! Storage's attestation of how it keeps the evidence (R5): signed by the log's key, and about this evidence.

use std::collections::BTreeSet;

use probity_domain::{Sha3_256, Timestamp};
use probity_pki::attestation::StorageAttestation;
use probity_pki::package::STORAGE_ATTESTATION;
use probity_pki::statement::Statement;
use probity_pki::tlog::LogVerifier;

use crate::check::CheckResult;
use crate::diagnostic::Diagnostic;
use crate::parts::Part;
use crate::policy::Policy;
use crate::signature::Outcome;
use crate::text::Text;
use crate::verdict::Log;

/// What the attestation has to agree with.
pub struct Known<'k> {
    pub statement: &'k Statement,
    pub log: Option<&'k Log>,
    /// Proven time of the evidence.
    pub when: Option<Timestamp>,
    /// When the package was made: an attestation inside is no later.
    pub made_at: Option<Timestamp>,
}

pub fn check(diagnostic: &Diagnostic, known: &Known<'_>, policy: &Policy) -> Outcome {
    let parse = StorageAttestation::parse_unverified;
    let attestation = match Part::of(diagnostic, STORAGE_ATTESTATION, parse) {
        Part::Read(attestation) => attestation,
        Part::Unreadable(reason) => return (CheckResult::Failed, reason),
        Part::Absent => {
            let words = Text::new(
                "storage has attested nothing of how it keeps the evidence",
                "存储方未就保管情况出具证明",
            );
            return (CheckResult::NotPresent, words);
        }
    };
    if policy.log_verifier_keys.is_empty() {
        let words = Text::new("no log key is pinned", "未指定可信的日志公钥");
        return (CheckResult::Indeterminate, words);
    }
    let keys = policy.log_verifier_keys.iter();
    let pinned: probity_pki::Result<Vec<_>> = keys.map(|key| LogVerifier::parse(key)).collect();
    let note = diagnostic.document(STORAGE_ATTESTATION).unwrap_or_default();
    let verified = pinned.and_then(|pinned| StorageAttestation::verify(note, &pinned));
    if let Err(e) = verified {
        return (CheckResult::Failed, Text::error(&e));
    }
    match contradiction(&attestation, known, policy) {
        Some(words) => (CheckResult::Failed, words),
        None => told(&attestation),
    }
}

/// What it says that cannot be of this evidence in this package.
fn contradiction(
    attestation: &StorageAttestation,
    known: &Known<'_>,
    policy: &Policy,
) -> Option<Text> {
    let statement = known.statement;
    if attestation.evidence_number != statement.evidence_number {
        return Some(Text::new(
            format!("it is of evidence {}", attestation.evidence_number),
            format!("其所涉为证据 {}", attestation.evidence_number),
        ));
    }
    let at = &attestation.log;
    if let Some(log) = known.log
        && (&log.origin, log.leaf_index) != (&at.origin, at.leaf_index)
    {
        let (origin, leaf) = (&at.origin, at.leaf_index);
        return Some(Text::new(
            format!("it is of entry {leaf} in {origin}"),
            format!("其所涉为 {origin} 日志第 {leaf} 条"),
        ));
    }
    let stated = statement.artifacts.iter().map(|a| a.sha3_256.0);
    let stated: BTreeSet<_> = stated.collect();
    let attested = attestation.artifacts.iter().map(|a| a.sha3_256.0);
    if stated != attested.collect() {
        return Some(Text::new(
            "the files it speaks of are not those of the evidence",
            "其所涉文件与证据文件不一致",
        ));
    }
    let size_of = |digest: Sha3_256| {
        let mut stated = statement.artifacts.iter();
        stated.find(|a| a.sha3_256 == digest).map(|a| a.size_bytes)
    };
    let another_size = attestation.artifacts.iter().find(|artifact| {
        let size = artifact.size_bytes;
        size.is_some() && size != size_of(artifact.sha3_256)
    });
    if let Some(artifact) = another_size {
        return Some(Text::new(
            format!("{} has another size than the file", artifact.key),
            format!("{} 的大小与文件不符", artifact.key),
        ));
    }
    let made = attestation.attested_at;
    let latest = known.made_at.map_or(policy.at, |at| at.min(policy.at));
    let too_late = made > latest.plus_ms(policy.clock_tolerance_ms);
    let too_early = |when| made.plus_ms(policy.clock_tolerance_ms) < when;
    if too_late || known.when.is_some_and(too_early) {
        return Some(Text::new(
            format!("attested at {made}, before the evidence or after the package"),
            format!("出具时间 {made} 早于证据或晚于证据包"),
        ));
    }
    None
}

/// What it says, in one sentence. Defects that storage itself tells of leave the matter open: the files in the package
/// are judged by their own digests.
fn told(attestation: &StorageAttestation) -> Outcome {
    let at = attestation.attested_at;
    let defects: Vec<Text> = attestation
        .defects()
        .map(|artifact| Text::new(artifact.key.clone(), artifact.key.clone()))
        .collect();
    if !defects.is_empty() {
        let keys = Text::join(&defects);
        let words = Text::new(
            format!("as of {at} storage tells of defects: {}", keys.en),
            format!("截至 {at}，存储方报告下列对象存在缺陷：{}", keys.zh),
        );
        return (CheckResult::Indeterminate, words);
    }
    let until = attestation.artifacts.iter().map(|a| a.retain_until);
    let until = until.min().flatten();
    let (mut en, mut zh) = (format!("as of {at}"), format!("截至 {at}"));
    match until {
        Some(until) => {
            en.push_str(&format!(": locked until {until}"));
            zh.push_str(&format!("：锁定保管至 {until}"));
        }
        None => {
            en.push_str(": no lock");
            zh.push_str("：未加锁");
        }
    }
    match &attestation.replica {
        Some(replica) => {
            let (copies, of) = (replica.copies, attestation.artifacts.len());
            en.push_str(&format!(", {copies} of {of} files in a replica"));
            zh.push_str(&format!("，{of} 个文件中 {copies} 个存有副本"));
        }
        None => {
            en.push_str(", no replica");
            zh.push_str("，无副本");
        }
    }
    match &attestation.scrub {
        Some(lap) => {
            let ended = lap.ended_at;
            en.push_str(&format!(", all of the store read again by {ended}"));
            zh.push_str(&format!("，全库最近一次复核完成于 {ended}"));
        }
        None => {
            en.push_str(", not read again yet");
            zh.push_str("，尚未复核");
        }
    }
    (CheckResult::Passed, Text::new(en, zh))
}
