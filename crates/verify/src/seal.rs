//! The delivery seal over the whole package.

use probity_domain::Timestamp;
use probity_pki::path::Purpose;

use crate::check::CheckResult;
use crate::policy::Policy;
use crate::signature::{
    Outcome, Signed, Status, check_time_stamp, path_failure, root_name, validate,
};
use crate::text::Text;

/// Signature over manifest 002, its certificate's path, status and purpose at the time of sealing.
/// That time is proven by a time-stamp if the seal has one, else claimed; it cannot lie before the
/// evidence's own time or after the verification.
pub fn check(
    signed: &Signed,
    kept: &Status,
    event_time: Option<Timestamp>,
    policy: &Policy,
) -> Outcome {
    let signer = match &signed.signer {
        Ok(signer) => signer,
        Err(words) => return (CheckResult::Failed, words.clone()),
    };
    let (at, en, zh) = if signed.stamp.is_some() {
        match sealed_at(signed, kept, policy) {
            Ok(time) => (time, "", ""),
            Err(outcome) => return outcome,
        }
    } else if let Some(claimed) = signer.signing_time {
        (claimed, " (claimed)", "（自称）")
    } else {
        let words = Text::new("it does not say when it was made", "未说明封签时间");
        return (CheckResult::Indeterminate, words);
    };
    let too_early = event_time.is_some_and(|time| at.plus_ms(policy.clock_tolerance_ms) < time);
    if too_early || at > policy.latest() {
        let words = Text::new(
            format!("sealed at {at}{en}, before the evidence or after the verification"),
            format!("封签时间 {at}{zh} 早于证据或晚于验证时间"),
        );
        return (CheckResult::Failed, words);
    }
    let (leaf, others) = (&signer.certificate, signed.data.certificates());
    let path = validate(
        leaf,
        others,
        &policy.roots,
        kept.revocation(),
        at,
        Purpose::Seal,
    );
    match path {
        Ok(path) => {
            let (subject, root) = (leaf.subject(), root_name(&path));
            let words = Text::new(
                format!("by {subject} at {at}{en}, leads to {root}"),
                format!("{subject} 于 {at}{zh} 封签，证书链至 {root}"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, &policy.roots),
    }
}

/// The time a seal's own time-stamp proves; its unit is held to the same as the evidence's.
fn sealed_at(signed: &Signed, kept: &Status, policy: &Policy) -> Result<Timestamp, Outcome> {
    let Some((_, unit, at)) = signed.proven(policy) else {
        return Err(check_time_stamp(signed, policy));
    };
    let (others, purpose) = (signed.certificates(), Purpose::TimeStamping);
    validate(unit, &others, &policy.roots, kept.revocation(), at, purpose)
        .map(|_| at)
        .map_err(|e| path_failure(&e, &policy.roots))
}
