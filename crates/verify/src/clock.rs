//! Clock evidence: what a time-stamp says about the clock it came from.

use crate::check::CheckResult;
use crate::signature::{Outcome, Stamp};
use crate::text::Text;

/// Information: the token names, under the authority's signature, the record of its clock log that was the
/// newest when it was issued. The log itself is the authority's to show.
pub fn check(stamp: Option<&Stamp>) -> Outcome {
    let evidence = stamp.and_then(|stamp| stamp.token.tst_info().clock_evidence.as_ref());
    let Some(evidence) = evidence else {
        let words = Text::new(
            "the time-stamp names no record of its clock",
            "时间戳未指明其时钟记录",
        );
        return (CheckResult::NotPresent, words);
    };
    let (record, digest) = (&evidence.record, hex::encode(evidence.digest));
    let words = Text::new(
        format!("recorded: clock log record {record}, SHA-256 {digest}; the authority keeps it"),
        format!("有记录：时钟日志记录 {record}，SHA-256 {digest}，由时间戳机构保存"),
    );
    (CheckResult::Passed, words)
}
