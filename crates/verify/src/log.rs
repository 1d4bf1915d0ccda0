//! The evidence in the log: the record is put together again from the members.

use probity_domain::Record;
use probity_pki::package::Inclusion;
use probity_pki::tlog::{Checkpoint, LogVerifier, check_inclusion, leaf_hash};
use probity_pki::{Error, Result};

use crate::policy::Policy;
use crate::verdict::{CheckResult, Log, Text};

/// Checks the checkpoint's signature by a pinned key and the audit path from the record to its root.
pub fn check(
    record: &Record,
    checkpoint: &[u8],
    inclusion: &[u8],
    policy: &Policy,
) -> (CheckResult, Text, Option<Log>) {
    if policy.log_verifier_keys.is_empty() {
        let words = Text::new("no log key is pinned", "未指定可信的日志公钥");
        return (CheckResult::Indeterminate, words, None);
    }
    match proved(record, checkpoint, inclusion, policy) {
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
            (CheckResult::Passed, words, Some(log))
        }
        Err(e) => (CheckResult::Failed, Text::technical(e), None),
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
