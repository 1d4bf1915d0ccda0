//! The event signature: arithmetic, certificate path, status, usage, time-stamp.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::crl::Crl;
use probity_pki::path::{PathError, Purpose, Revocation, validate_path};
use probity_pki::tsp::TimeStampToken;
use probity_pki::x509::Certificate;

use crate::policy::Policy;
use crate::verdict::{CheckResult, Text};

type Outcome = (CheckResult, Text);

/// The signature over a manifest, parsed.
pub struct Signed {
    pub data: SignedData,
    pub token: Option<TimeStampToken>,
    /// Set when the token holds for this signature.
    pub time: Option<Timestamp>,
    pub accuracy_us: Option<u64>,
    tsa: Option<Certificate>,
}

/// Reads the signature; an unreadable one fails the signature check.
pub fn read(bytes: &[u8]) -> Result<Signed, Error> {
    let data = SignedData::from_der(bytes)?;
    let token = data.time_stamp_token()?;
    Ok(Signed {
        data,
        token,
        time: None,
        accuracy_us: None,
        tsa: None,
    })
}

/// RFC 5652 section 5.6 and the binding of the certificate.
pub fn check_signature(signed: &Signed, manifest: &[u8]) -> Outcome {
    match verify_detached_content(&signed.data, manifest) {
        Ok(signer) => {
            let subject = signer.certificate.subject();
            let words = Text::new(format!("by {subject}"), format!("签名人：{subject}"));
            (CheckResult::Passed, words)
        }
        Err(e) => (CheckResult::Failed, Text::technical(e)),
    }
}

/// The token covers this signature value and does not come from the future; afterwards `time` is set.
pub fn check_time_stamp(signed: &mut Signed, policy: &Policy) -> Outcome {
    let Some(token) = &signed.token else {
        let words = Text::new(
            "there is no time-stamp: when it was signed is only claimed",
            "没有时间戳：签名时间仅为自称",
        );
        return (CheckResult::Indeterminate, words);
    };
    let info = token.tst_info();
    let value = signed.data.signature_value();
    let digest = info.imprint.algorithm.digest(value);
    let tsa = match token.verify(info.imprint.algorithm, &digest) {
        Ok(tsa) => tsa,
        Err(e) => return (CheckResult::Failed, Text::technical(e)),
    };
    if info.gen_time > policy.at.plus_ms(Policy::CLOCK_TOLERANCE_MS) {
        let words = Text::new(
            format!("its time {} lies after the verification", info.gen_time),
            format!("时间戳时间 {} 晚于验证时间", info.gen_time),
        );
        return (CheckResult::Failed, words);
    }
    let (gen_time, accuracy_us) = (info.gen_time, info.accuracy_us);
    signed.time = Some(gen_time);
    signed.accuracy_us = accuracy_us;
    signed.tsa = Some(tsa);
    let within = accuracy_us
        .map(|us| format!(" ± {} ms", us.div_ceil(1_000)))
        .unwrap_or_default();
    let words = Text::new(
        format!("signature existed at {gen_time}{within}"),
        format!("签名在 {gen_time}{within} 已存在"),
    );
    (CheckResult::Passed, words)
}

/// The signer's certificate leads to a pinned root, at the proven time.
pub fn check_certificate(signed: &Signed, policy: &Policy) -> Outcome {
    let (at, time) = judged_at(signed, policy);
    let path = signed.data.signer_certificate().and_then(|leaf| {
        // What the key may be used for is a check of its own.
        validate(
            leaf,
            signed.data.certificates(),
            policy,
            Revocation::NotChecked,
            at,
            Purpose::ReceiptSigning,
        )
    });
    match path {
        Ok(root) => {
            let words = Text::new(
                format!("leads to {root}, valid at {time}"),
                format!("证书链至 {root}，于 {time} 有效"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, policy),
    }
}

/// No revocation, by the lists and responses that travel with the evidence.
pub fn check_status(signed: &Signed, crls: &[Crl], policy: &Policy) -> Outcome {
    let (at, time) = judged_at(signed, policy);
    let revocation = Revocation::Kept {
        crls,
        ocsp: signed.data.ocsp_responses(),
        tolerance_ms: 0,
    };
    let path = signed.data.signer_certificate().and_then(|leaf| {
        validate(
            leaf,
            signed.data.certificates(),
            policy,
            revocation,
            at,
            Purpose::ReceiptSigning,
        )
    });
    match path {
        Ok(_) => {
            let words = Text::new(
                format!("no certificate of the path was revoked at {time}"),
                format!("证书链上各证书于 {time} 均未被吊销"),
            );
            (CheckResult::Passed, words)
        }
        Err(e @ Error::Path(PathError::Revoked { .. })) => {
            (CheckResult::Failed, Text::technical(e))
        }
        // Anything else about the path is the certificate check's to fail.
        Err(e) => (CheckResult::Indeterminate, Text::technical(e)),
    }
}

/// The certificate is an event certificate, and the signer said what it commits to (I5).
pub fn check_usage(signed: &Signed, policy: &Policy) -> Outcome {
    let (at, _) = judged_at(signed, policy);
    let usage = signed.data.signer_certificate().and_then(|leaf| {
        validate(
            leaf,
            signed.data.certificates(),
            policy,
            Revocation::NotChecked,
            at,
            Purpose::EventSigning,
        )
    });
    match usage {
        Err(e @ Error::Path(PathError::WrongPurpose { .. })) => {
            return (CheckResult::Failed, Text::technical(e));
        }
        Err(e) => return (CheckResult::Indeterminate, Text::technical(e)),
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

/// The unit that issued the token: path, status, and time-stamping as its only purpose.
pub fn check_authority(signed: &Signed, crls: &[Crl], policy: &Policy) -> Outcome {
    let (Some(token), Some(at), Some(tsa)) = (&signed.token, signed.time, &signed.tsa) else {
        let words = Text::new("no time-stamp that holds", "没有成立的时间戳");
        return (CheckResult::Indeterminate, words);
    };
    let revocation = Revocation::Crls {
        crls,
        tolerance_ms: 0,
    };
    match validate(
        tsa,
        token.certificates(),
        policy,
        revocation,
        at,
        Purpose::TimeStamping,
    ) {
        Ok(root) => {
            let subject = tsa.subject();
            let words = Text::new(
                format!("{subject}, leads to {root}, not revoked at {at}"),
                format!("{subject}，证书链至 {root}，于 {at} 未被吊销"),
            );
            (CheckResult::Passed, words)
        }
        Err(e) => path_failure(&e, policy),
    }
}

/// Validates a path and names its root.
pub fn validate(
    leaf: &Certificate,
    others: &[Certificate],
    policy: &Policy,
    revocation: Revocation<'_>,
    at: Timestamp,
    purpose: Purpose,
) -> Result<String, Error> {
    let path = validate_path(leaf, others, &policy.roots, revocation, at, purpose)?;
    Ok(path
        .certificates
        .last()
        .map(Certificate::subject)
        .unwrap_or_default())
}

/// Unknown revocation is not a fault; nor is a missing root when none was pinned at all.
pub fn path_failure(error: &Error, policy: &Policy) -> Outcome {
    let unknown = matches!(error, Error::Path(PathError::RevocationUnknown { .. }));
    let result = if unknown || policy.roots.is_empty() {
        CheckResult::Indeterminate
    } else {
        CheckResult::Failed
    };
    (result, Text::technical(error))
}

/// The proven time, or else the instant of verification (T5).
fn judged_at(signed: &Signed, policy: &Policy) -> (Timestamp, String) {
    match signed.time {
        Some(time) => (time, time.to_string()),
        None => (
            policy.at,
            format!("{} (no time-stamp that holds)", policy.at),
        ),
    }
}
