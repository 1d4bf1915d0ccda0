//! The evidence in the log: the record is put together again from the members.

use probity_domain::Record;
use probity_pki::package::{
    CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, Inclusion, STATEMENT,
};
use probity_pki::statement::Statement;
use probity_pki::tlog::{Checkpoint, LogVerifier, check_inclusion, leaf_hash};
use probity_pki::{Error, Result};

use crate::check::CheckResult;
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::signature::Outcome;
use crate::text::Text;
use crate::verdict::Log;

/// Checks the checkpoint's signature by a pinned key and the audit path from the record to its root.
pub fn check(
    diagnostic: &Diagnostic,
    statement: &Statement,
    policy: &Policy,
) -> (Outcome, Option<Log>) {
    let documents = (
        diagnostic.document(CHECKPOINT),
        diagnostic.document(INCLUSION),
    );
    let (checkpoint, inclusion) = match documents {
        (Some(checkpoint), Some(inclusion)) => (checkpoint, inclusion),
        _ if [CHECKPOINT, INCLUSION].map(|name| diagnostic.member(name)) != [None, None] => {
            let words = Text::new("half of the proof is missing", "日志证明不完整");
            return ((CheckResult::Failed, words), None);
        }
        _ => {
            let words = Text::new("there is no proof of the deposit", "没有存入日志的证明");
            return ((CheckResult::NotPresent, words), None);
        }
    };
    if policy.log_verifier_keys.is_empty() {
        let words = Text::new("no log key is pinned", "未指定可信的日志公钥");
        return ((CheckResult::Indeterminate, words), None);
    }
    let part = |name| diagnostic.document(name).unwrap_or_default().to_vec();
    let record = Record {
        evidence: statement.evidence_number,
        statement: part(STATEMENT),
        manifest: part(EVENT_MANIFEST),
        signature: part(EVENT_SIGNATURE),
    };
    match proved(&record, checkpoint, inclusion, policy) {
        Ok(log) => {
            let words = Text::new(
                format!(
                    "entry {} of {} in {}",
                    log.leaf_index, log.tree_size, log.origin
                ),
                format!(
                    "{} 日志第 {} 条（共 {} 条）",
                    log.origin, log.leaf_index, log.tree_size
                ),
            );
            ((CheckResult::Passed, words), Some(log))
        }
        Err(e) => ((CheckResult::Failed, Text::error(&e)), None),
    }
}

fn proved(record: &Record, checkpoint: &[u8], inclusion: &[u8], policy: &Policy) -> Result<Log> {
    let pinned = policy
        .log_verifier_keys
        .iter()
        .map(|key| LogVerifier::parse(key));
    let pinned = pinned.collect::<Result<Vec<_>>>()?;
    let checkpoint = Checkpoint::verify(checkpoint, &pinned)?;
    let inclusion = Inclusion::parse(inclusion)?;
    if inclusion.tree_size != checkpoint.size {
        let reason = "it is for another size than the checkpoint's";
        return Err(Error::not_verified("inclusion proof", reason));
    }
    let entry = record.encode().map_err(|e| Error::malformed("record", e))?;
    let (size, index) = (inclusion.tree_size, inclusion.leaf_index);
    check_inclusion(
        &inclusion.hashes,
        size,
        checkpoint.root,
        index,
        leaf_hash(&entry),
    )?;
    Ok(Log {
        origin: checkpoint.origin,
        leaf_index: index,
        tree_size: size,
    })
}
