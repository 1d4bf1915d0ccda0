//! The delivery seal over the whole package.

use probity_domain::Timestamp;
use probity_pki::cms::verify_detached_content;
use probity_pki::crl::Crl;
use probity_pki::path::{Purpose, Revocation};

use crate::policy::Policy;
use crate::signature::{Signed, check_time_stamp, path_failure, validate};
use crate::verdict::{CheckResult, Text};

/// Signature over manifest 002, its certificate's path, status and purpose at the time of sealing.
/// That time is proven by a time-stamp if the seal has one, else claimed; it cannot lie before the
/// evidence's own time or after the verification.
pub fn check(
    signed: &mut Signed,
    manifest: &[u8],
    crls: &[Crl],
    event_time: Option<Timestamp>,
    policy: &Policy,
) -> (CheckResult, Text) {
    let signer = match verify_detached_content(&signed.data, manifest) {
        Ok(signer) => signer,
        Err(e) => return (CheckResult::Failed, Text::technical(e)),
    };
    let (at, en, zh) = if signed.token.is_some() {
        let (result, words) = check_time_stamp(signed, policy);
        match (result, signed.time) {
            (CheckResult::Passed, Some(time)) => (time, "", ""),
            _ => return (CheckResult::Failed, words),
        }
    } else if let Some(claimed) = signer.signing_time {
        (claimed, " (claimed)", "（自称）")
    } else {
        let words = Text::new("it does not say when it was made", "未说明封签时间");
        return (CheckResult::Indeterminate, words);
    };
    let tolerance = Policy::CLOCK_TOLERANCE_MS;
    let too_early = event_time.is_some_and(|time| at.plus_ms(tolerance) < time);
    if too_early || at > policy.at.plus_ms(tolerance) {
        let words = Text::new(
            format!("sealed at {at}{en}, before the evidence or after the verification"),
            format!("封签时间 {at}{zh} 早于证据或晚于验证时间"),
        );
        return (CheckResult::Failed, words);
    }
    let revocation = Revocation::Crls {
        crls,
        tolerance_ms: 0,
    };
    let others = signed.data.certificates();
    match validate(
        &signer.certificate,
        others,
        policy,
        revocation,
        at,
        Purpose::Seal,
    ) {
        Ok(root) => {
            let subject = signer.certificate.subject();
            let words = Text::new(
                format!("by {subject} at {at}{en}, leads to {root}"),
                format!("{subject} 于 {at}{zh} 封签，证书链至 {root}"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, policy),
    }
}
