//! The delivery seal over the whole package.

use probity_domain::Timestamp;
use probity_pki::path::Purpose;

use crate::algorithms::{self, Relied};
use crate::check::CheckResult;
use crate::policy::Policy;
use crate::signature::{Outcome, Signed, trusted_time};
use crate::text::Text;
use crate::trust::{Status, path_failure, root_name, validate_unrevoked};

/// What was found about a seal.
pub struct Sealed {
    pub seal: Outcome,
    pub time_stamp: Outcome,
    /// Proven or claimed.
    pub at: Option<Timestamp>,
    /// Proven by a time-stamp that holds.
    pub proven: Option<Timestamp>,
}

/// Signature over manifest 002, its certificate's path, status and purpose at the time of sealing.
/// That time is proven by a time-stamp, which is a check of its own, else claimed; it cannot lie before the
/// evidence's own time or after the verification.
pub fn check(
    signed: &Signed,
    status: &Status,
    event_time: Option<Timestamp>,
    policy: &Policy,
    relied: &mut Relied,
) -> Sealed {
    let roots = policy.time_stamp_roots();
    let (time_stamp, proven) = match trusted_time(signed, status, roots, policy, relied) {
        Ok((at, words)) => ((CheckResult::Passed, words), Some(at)),
        Err(outcome) => (outcome, None),
    };
    let claimed = signed.signer.as_ref().ok().and_then(|s| s.signing_time);
    let at = proven.or(claimed);
    let seal = trusted(signed, status, (at, proven), event_time, policy, relied);
    Sealed {
        seal: seal.unwrap_or_else(|outcome| outcome),
        time_stamp,
        at,
        proven,
    }
}

fn trusted(
    signed: &Signed,
    status: &Status,
    (at, proven): (Option<Timestamp>, Option<Timestamp>),
    event_time: Option<Timestamp>,
    policy: &Policy,
    relied: &mut Relied,
) -> Result<Outcome, Outcome> {
    let signer = match &signed.signer {
        Ok(signer) => signer,
        Err(words) => return Err((CheckResult::Failed, words.clone())),
    };
    let Some(at) = at else {
        let words = Text::new("it does not say when it was made", "未说明封签时间");
        return Err((CheckResult::Indeterminate, words));
    };
    let (en, zh) = match proven {
        Some(_) => ("", ""),
        None => (" (claimed)", "（自称）"),
    };
    let too_early = event_time.is_some_and(|time| at.plus_ms(policy.clock_tolerance_ms) < time);
    if too_early || at > policy.latest() {
        let words = Text::new(
            format!("sealed at {at}{en}, before the evidence or after the verification"),
            format!("封签时间 {at}{zh} 早于证据或晚于验证时间"),
        );
        return Err((CheckResult::Failed, words));
    }
    let (leaf, others) = (&signer.certificate, signed.data.certificates());
    let path = validate_unrevoked(leaf, others, &policy.roots, status, at, Purpose::Seal);
    // Nothing newer covers it.
    let now = policy.at;
    relied.signature(signed, path.as_ref().ok(), algorithms::SEAL, now);
    let path = path.map_err(|e| path_failure(&e, &policy.roots))?;
    relied.status(&path, proven.unwrap_or(now));
    if !signed.data.binds_status() {
        let words = Text::new(
            "the revocation data kept with it are under no signature: later ones may have been taken away",
            "封签所附吊销信息未受签名保护，较新的信息可能已被移除",
        );
        return Err((CheckResult::Indeterminate, words));
    }
    let (subject, root) = (leaf.subject(), root_name(&path));
    let words = Text::new(
        format!("by {subject} at {at}{en}, leads to {root}"),
        format!("{subject} 于 {at}{zh} 封签，证书链至 {root}"),
    );
    Ok((CheckResult::Passed, words))
}
