//! The event signature: arithmetic, certificate path, status, usage, time-stamp.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::cms::{SignedData, VerifiedSigner, verify_detached_content};
use probity_pki::crl::Crl;
use probity_pki::ocsp::OcspResponse;
use probity_pki::path::{PathError, Purpose, Revocation, validate_path};
use probity_pki::tsp::TimeStampToken;
use probity_pki::x509::Certificate;

use crate::check::CheckResult;
use crate::policy::Policy;
use crate::text::Text;

pub type Outcome = (CheckResult, Text);

/// A signature over some content, parsed and computed; nobody is trusted yet.
pub struct Signed {
    pub data: SignedData,
    /// Whether signature value, message digest and binding of the certificate hold (RFC 5652 5.6).
    pub signer: Result<VerifiedSigner, Text>,
    pub stamp: Option<Stamp>,
}

/// Revocation lists and OCSP responses. Untrusted until a path is validated with them.
#[derive(Default)]
pub struct Status {
    pub crls: Vec<Crl>,
    pub ocsp: Vec<OcspResponse>,
}

impl Status {
    /// Responses or lists made later know of more revocations, dated back to before the signature.
    pub fn and(mut self, other: Option<Self>) -> Self {
        if let Some(other) = other {
            self.crls.extend(other.crls);
            self.ocsp.extend(other.ocsp);
        }
        self
    }

    pub fn is_empty(&self) -> bool {
        self.crls.is_empty() && self.ocsp.is_empty()
    }

    pub fn revocation(&self) -> Revocation<'_> {
        Revocation::Kept {
            crls: &self.crls,
            ocsp: &self.ocsp,
            tolerance_ms: 0,
        }
    }
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
    fn judged_at(&self, policy: &Policy) -> Timestamp {
        self.proven_time(policy).unwrap_or(policy.at)
    }

    /// Every certificate that travels with the signature, the token's included.
    pub fn certificates(&self) -> Vec<Certificate> {
        let stamped = self.stamp.iter().flat_map(|s| s.token.certificates());
        let all = self.data.certificates().iter().chain(stamped);
        all.cloned().collect()
    }

    /// What travels with the signature about revocation, the token's included.
    pub fn status(&self) -> Status {
        let tokens = || self.stamp.iter().map(|stamp| &stamp.token);
        let crls = tokens().flat_map(|token| token.crls());
        let ocsp = tokens().flat_map(|token| token.ocsp_responses());
        Status {
            crls: self.data.crls().iter().chain(crls).cloned().collect(),
            ocsp: self
                .data
                .ocsp_responses()
                .iter()
                .chain(ocsp)
                .cloned()
                .collect(),
        }
    }

    /// The signer's path to a root, at the proven time. What its key may be used for, and whether one
    /// of its certificates was revoked, are checks of their own.
    pub fn path(&self, policy: &Policy) -> Result<Vec<Certificate>, Error> {
        let leaf = self.data.signer_certificate()?;
        let (others, at) = (self.data.certificates(), self.judged_at(policy));
        let revocation = Revocation::NotChecked;
        validate(
            leaf,
            others,
            &policy.roots,
            revocation,
            at,
            Purpose::ReceiptSigning,
        )
    }

    /// The time-stamping unit's path to a root, at genTime.
    pub fn unit_path(&self, policy: &Policy) -> Option<Result<Vec<Certificate>, Error>> {
        let (_, unit, at) = self.proven(policy)?;
        let revocation = Revocation::NotChecked;
        let purpose = Purpose::TimeStamping;
        Some(validate(
            unit,
            &self.certificates(),
            &policy.roots,
            revocation,
            at,
            purpose,
        ))
    }
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
pub fn check_certificate(
    signed: &Signed,
    path: &Result<Vec<Certificate>, Error>,
    policy: &Policy,
) -> Outcome {
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
pub fn check_status(signed: &Signed, kept: &Status, policy: &Policy) -> Outcome {
    let at = signed.judged_at(policy);
    let path = signed.data.signer_certificate().and_then(|leaf| {
        let (others, purpose) = (signed.data.certificates(), Purpose::ReceiptSigning);
        validate(leaf, others, &policy.roots, kept.revocation(), at, purpose)
    });
    status(path, at)
}

/// The same for the time-stamping unit, at genTime.
pub fn check_unit_status(signed: &Signed, kept: &Status, policy: &Policy) -> Outcome {
    let Some((_, unit, at)) = signed.proven(policy) else {
        return without_time_stamp();
    };
    let (others, purpose) = (signed.certificates(), Purpose::TimeStamping);
    let path = validate(unit, &others, &policy.roots, kept.revocation(), at, purpose);
    status(path, at)
}

fn status(path: Result<Vec<Certificate>, Error>, at: Timestamp) -> Outcome {
    match path {
        Ok(_) => {
            let words = Text::new(
                format!("no certificate of the path was revoked at {at}"),
                format!("证书链上各证书于 {at} 均未被吊销"),
            );
            (CheckResult::Passed, words)
        }
        Err(e @ Error::Path(PathError::Revoked { .. })) => (CheckResult::Failed, Text::error(&e)),
        // Anything else about the path is for the check of the path to fail.
        Err(e) => (CheckResult::Indeterminate, Text::error(&e)),
    }
}

/// The certificate is an event certificate, and the signer said what it commits to (I5).
pub fn check_usage(signed: &Signed, policy: &Policy) -> Outcome {
    let at = signed.judged_at(policy);
    let usage = signed.data.signer_certificate().and_then(|leaf| {
        let (others, purpose) = (signed.data.certificates(), Purpose::EventSigning);
        validate(
            leaf,
            others,
            &policy.roots,
            Revocation::NotChecked,
            at,
            purpose,
        )
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
    path: Option<&Result<Vec<Certificate>, Error>>,
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
        Err(e) => path_failure(e, &policy.roots),
    }
}

fn without_time_stamp() -> Outcome {
    let words = Text::new("no time-stamp that holds", "没有成立的时间戳");
    (CheckResult::Indeterminate, words)
}

/// Validates a path; from the leaf to the root.
pub fn validate(
    leaf: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    revocation: Revocation<'_>,
    at: Timestamp,
    purpose: Purpose,
) -> Result<Vec<Certificate>, Error> {
    Ok(validate_path(leaf, others, roots, revocation, at, purpose)?.certificates)
}

pub fn root_name(path: &[Certificate]) -> String {
    path.last().map(Certificate::subject).unwrap_or_default()
}

/// Unknown revocation is not a fault; nor is a missing root when none was pinned at all.
pub fn path_failure(error: &Error, roots: &[Certificate]) -> Outcome {
    if roots.is_empty() {
        let words = Text::new("no root certificate is pinned", "未指定可信的根证书");
        return (CheckResult::Indeterminate, words);
    }
    let unknown = matches!(error, Error::Path(PathError::RevocationUnknown { .. }));
    let result = if unknown {
        CheckResult::Indeterminate
    } else {
        CheckResult::Failed
    };
    (result, Text::error(error))
}
