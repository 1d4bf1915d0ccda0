//! The event signature: arithmetic, certificate path, status, usage, time-stamp.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::cms::{SignedData, VerifiedSigner, verify_detached_content};
use probity_pki::path::{Path, PathError, Purpose};
use probity_pki::tsp::TimeStampToken;
use probity_pki::x509::Certificate;

use crate::algorithms::Relied;
use crate::check::CheckResult;
use crate::policy::Policy;
use crate::text::Text;
use crate::trust::{Lists, Status, path_failure, root_name, validate, validate_unrevoked};

pub type Outcome = (CheckResult, Text);

/// A signature over some content, parsed and computed; nobody is trusted yet.
pub struct Signed {
    pub data: SignedData,
    /// Whether signature value, message digest and binding of the certificate hold (RFC 5652 5.6).
    pub signer: Result<VerifiedSigner, Text>,
    pub stamp: Option<Stamp>,
}

/// The signature time-stamp.
pub struct Stamp {
    pub token: TimeStampToken,
    /// Whose token it is, if it holds for this very signature value.
    pub unit: Result<Certificate, Text>,
}

impl Signed {
    /// Parses a signature and computes what needs no trust.
    pub fn read(der: &[u8], content: &[u8]) -> Result<Self, Error> {
        let data = SignedData::from_der(der)?;
        let signer = verify_detached_content(&data, content).map_err(|e| Text::error(&e));
        let stamp = data.time_stamp_token()?.map(|token| {
            let algorithm = token.tst_info().imprint.algorithm;
            let digest = algorithm.digest(data.signature_value());
            let unit = token
                .verify_with(algorithm, &digest, data.certificates())
                .map_err(|e| Text::error(&e));
            Stamp { token, unit }
        });
        Ok(Self {
            data,
            signer,
            stamp,
        })
    }

    /// The time-stamping unit and the time it proves, if the token holds and is not from the future.
    pub fn proven(&self, policy: &Policy) -> Option<(&Stamp, &Certificate, Timestamp)> {
        let stamp = self.stamp.as_ref()?;
        let unit = stamp.unit.as_ref().ok()?;
        let at = stamp.token.tst_info().gen_time;
        (at <= policy.latest()).then_some((stamp, unit, at))
    }

    pub fn proven_time(&self, policy: &Policy) -> Option<Timestamp> {
        self.proven(policy).map(|(_, _, at)| at)
    }

    /// The proven time, or else the instant of verification (T5).
    pub fn judged_at(&self, policy: &Policy) -> Timestamp {
        self.proven_time(policy).unwrap_or(policy.at)
    }

    /// Every certificate that travels with the signature, the token's included.
    pub fn certificates(&self) -> Vec<Certificate> {
        let stamped = self.stamp.iter().flat_map(|s| s.token.certificates());
        let all = self.data.certificates().iter().chain(stamped);
        all.cloned().collect()
    }

    /// What travels with the signature about revocation, the token's included.
    pub fn kept(&self) -> Lists {
        Lists {
            crls: self.data.crls().to_vec(),
            ocsp: self.data.ocsp_responses().to_vec(),
        }
        .and(self.kept_by_token())
    }

    /// Of it, what is under the signature, and what is not: lists are no part of what CMS signs.
    pub fn bound_and_unbound(&self) -> (Lists, Lists) {
        let bound = Lists {
            crls: self.data.bound_crls().into_iter().cloned().collect(),
            ocsp: self
                .data
                .bound_ocsp_responses()
                .into_iter()
                .cloned()
                .collect(),
        };
        let mut unbound = self.kept();
        unbound.crls.retain(|crl| !bound.crls.contains(crl));
        unbound.ocsp.retain(|one| !bound.ocsp.contains(one));
        (bound, unbound)
    }

    fn kept_by_token(&self) -> Lists {
        let tokens = || self.stamp.iter().map(|stamp| &stamp.token);
        Lists {
            crls: tokens().flat_map(|token| token.crls()).cloned().collect(),
            ocsp: tokens()
                .flat_map(|token| token.ocsp_responses())
                .cloned()
                .collect(),
        }
    }

    /// The signer's path to a root, at the proven time. What its key may be used for, and whether one
    /// of its certificates was revoked, are checks of their own.
    pub fn path(&self, policy: &Policy) -> Result<Path, Error> {
        let leaf = self.data.signer_certificate()?;
        let (others, at) = (self.data.certificates(), self.judged_at(policy));
        validate(leaf, others, &policy.roots, at, Purpose::ReceiptSigning)
    }

    /// The time-stamping unit's path to a root, at genTime.
    pub fn unit_path(&self, policy: &Policy) -> Option<Result<Path, Error>> {
        let (_, unit, at) = self.proven(policy)?;
        let (others, roots) = (self.certificates(), policy.time_stamp_roots());
        let purpose = Purpose::TimeStamping;
        Some(validate(unit, &others, roots, at, purpose))
    }
}

/// The time that a seal's or a receipt's own time-stamp proves, and the words for it. The unit is held to the same as the
/// evidence's: its path, and whether it was revoked.
pub fn trusted_time(
    signed: &Signed,
    status: &Status,
    roots: &[Certificate],
    policy: &Policy,
    relied: &mut Relied,
) -> Result<(Timestamp, Text), Outcome> {
    let (result, words) = check_time_stamp(signed, policy);
    let Some((stamp, unit, at)) = signed.proven(policy) else {
        return Err((result, words));
    };
    let (others, purpose) = (signed.certificates(), Purpose::TimeStamping);
    let path = validate_unrevoked(unit, &others, roots, status, at, purpose);
    relied.time_stamp(stamp, path.as_ref().ok(), policy.at);
    let path = path.map_err(|e| path_failure(&e, roots))?;
    relied.status(&path, policy.at);
    let (subject, root) = (unit.subject(), root_name(&path));
    let words = Text::new(
        format!("{}, by {subject}, leads to {root}", words.en),
        format!("{}，{subject}，证书链至 {root}", words.zh),
    );
    Ok((at, words))
}

/// RFC 5652 section 5.6 and the binding of the certificate.
pub fn check_signature(signed: &Signed) -> Outcome {
    match &signed.signer {
        Ok(signer) => {
            let subject = signer.certificate.subject();
            let words = Text::new(format!("by {subject}"), format!("签名人：{subject}"));
            (CheckResult::Passed, words)
        }
        Err(words) => (CheckResult::Failed, words.clone()),
    }
}

/// The token covers this signature value and does not come from the future.
pub fn check_time_stamp(signed: &Signed, policy: &Policy) -> Outcome {
    let Some(stamp) = &signed.stamp else {
        let words = Text::new(
            "there is no time-stamp: when it was signed is only claimed",
            "没有时间戳：签名时间仅为自称",
        );
        return (CheckResult::NotPresent, words);
    };
    if let Err(words) = &stamp.unit {
        return (CheckResult::Failed, words.clone());
    }
    let info = stamp.token.tst_info();
    let gen_time = info.gen_time;
    if gen_time > policy.latest() {
        let words = Text::new(
            format!("its time {gen_time} lies after the verification"),
            format!("时间戳时间 {gen_time} 晚于验证时间"),
        );
        return (CheckResult::Failed, words);
    }
    let within = info
        .accuracy_us
        .map(|us| format!(" ± {} ms", us.div_ceil(1_000)))
        .unwrap_or_default();
    let words = Text::new(
        format!("signature existed at {gen_time}{within}"),
        format!("签名在 {gen_time}{within} 已存在"),
    );
    (CheckResult::Passed, words)
}

/// The signer's certificate leads to a pinned root, at the proven time.
pub fn check_certificate(signed: &Signed, path: &Result<Path, Error>, policy: &Policy) -> Outcome {
    let proven = signed.proven_time(policy);
    match path {
        Ok(path) => {
            let (root, at) = (root_name(path), signed.judged_at(policy));
            let (en, zh) = match proven {
                Some(_) => ("", ""),
                None => (" (no time-stamp that holds)", "（没有成立的时间戳）"),
            };
            let words = Text::new(
                format!("leads to {root}, valid at {at}{en}"),
                format!("证书链至 {root}，于 {at}{zh} 有效"),
            );
            (CheckResult::Passed, words)
        }
        // EN 319 102-1 5.2.6: expired now, and nothing proves that it was not yet when it signed.
        Err(e @ Error::Path(PathError::Expired { .. })) if proven.is_none() => {
            (CheckResult::Indeterminate, Text::error(e))
        }
        Err(e) => path_failure(e, &policy.roots),
    }
}

/// No revocation, by what travels with the evidence.
pub fn check_status(signed: &Signed, known: &Status, policy: &Policy) -> (Outcome, Option<Path>) {
    let at = signed.judged_at(policy);
    let path = signed.data.signer_certificate().and_then(|leaf| {
        let (others, purpose) = (signed.data.certificates(), Purpose::ReceiptSigning);
        validate_unrevoked(leaf, others, &policy.roots, known, at, purpose)
    });
    status(path, at)
}

/// The same for the time-stamping unit, at genTime.
pub fn check_unit_status(
    signed: &Signed,
    known: &Status,
    policy: &Policy,
) -> (Outcome, Option<Path>) {
    let Some((_, unit, at)) = signed.proven(policy) else {
        return (without_time_stamp(), None);
    };
    let (others, purpose) = (signed.certificates(), Purpose::TimeStamping);
    let roots = policy.time_stamp_roots();
    status(
        validate_unrevoked(unit, &others, roots, known, at, purpose),
        at,
    )
}

fn status(path: Result<Path, Error>, at: Timestamp) -> (Outcome, Option<Path>) {
    match path {
        Ok(path) => {
            let words = Text::new(
                format!("no certificate of the path was revoked at {at}"),
                format!("证书链上各证书于 {at} 均未被吊销"),
            );
            ((CheckResult::Passed, words), Some(path))
        }
        Err(e @ Error::Path(PathError::Revoked { .. })) => {
            ((CheckResult::Failed, Text::error(&e)), None)
        }
        // Anything else about the path is for the check of the path to fail.
        Err(e) => ((CheckResult::Indeterminate, Text::error(&e)), None),
    }
}

/// The certificate is an event certificate, and the signer said what it commits to (I5).
pub fn check_usage(signed: &Signed, policy: &Policy) -> Outcome {
    let at = signed.judged_at(policy);
    let usage = signed.data.signer_certificate().and_then(|leaf| {
        let (others, purpose) = (signed.data.certificates(), Purpose::EventSigning);
        validate(leaf, others, &policy.roots, at, purpose)
    });
    match usage {
        Err(e @ Error::Path(PathError::WrongPurpose { .. })) => {
            return (CheckResult::Failed, Text::error(&e));
        }
        Err(e) => return (CheckResult::Indeterminate, Text::error(&e)),
        Ok(_) => {}
    }
    match signed.data.commitment() {
        Some(commitment) => {
            let words = Text::new(
                format!("event certificate; the signer commits to {commitment:?}"),
                format!("事件证书；签名承诺类型：{commitment:?}"),
            );
            (CheckResult::Passed, words)
        }
        None => {
            let words = Text::new(
                "the signature does not say what it is for",
                "签名未声明其用途",
            );
            (CheckResult::Indeterminate, words)
        }
    }
}

/// The unit that issued the token: path, and time-stamping as its only purpose.
pub fn check_authority(
    signed: &Signed,
    path: Option<&Result<Path, Error>>,
    policy: &Policy,
) -> Outcome {
    let (Some((_, unit, at)), Some(path)) = (signed.proven(policy), path) else {
        return without_time_stamp();
    };
    match path {
        Ok(path) => {
            let (subject, root) = (unit.subject(), root_name(path));
            let words = Text::new(
                format!("{subject}, leads to {root}, valid at {at}"),
                format!("{subject}，证书链至 {root}，于 {at} 有效"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(e, policy.time_stamp_roots()),
    }
}

fn without_time_stamp() -> Outcome {
    let words = Text::new("no time-stamp that holds", "没有成立的时间戳");
    (CheckResult::Indeterminate, words)
}
