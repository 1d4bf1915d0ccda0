//! Clock evidence: what a time-stamp says about the clock it came from.

use crate::check::CheckResult;
use crate::signature::{Outcome, Stamp};
use crate::text::Text;

/// DER header of an OCTET STRING of 32 bytes.
const OCTET_STRING_OF_32: [u8; 2] = [0x04, 32];

/// Information: the token names, under the authority's signature, the record of its clock log that was the
/// newest when it was issued. The log itself is the authority's to show.
pub fn check(stamp: Option<&Stamp>) -> Outcome {
    let evidence = stamp.and_then(|stamp| stamp.token.tst_info().clock_evidence.as_deref());
    let Some(evidence) = evidence else {
        let words = Text::new(
            "the time-stamp names no record of its clock",
            "时间戳未指明其时钟记录",
        );
        return (CheckResult::NotPresent, words);
    };
    let digest = evidence
        .strip_prefix(&OCTET_STRING_OF_32)
        .filter(|digest| digest.len() == 32);
    let Some(digest) = digest else {
        let words = Text::new(
            "the time-stamp's clock evidence is not a SHA-256 digest",
            "时间戳中的时钟证据不是 SHA-256 摘要",
        );
        return (CheckResult::Failed, words);
    };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let words = Text::new(
        format!("recorded: clock log record {hex}, kept by the authority"),
        format!("有记录：时钟日志记录 {hex}，由时间戳机构保存"),
    );
    (CheckResult::Passed, words)
}
