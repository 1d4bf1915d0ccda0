//! Paths to pinned roots, and what is known of revocation on them.

use probity_domain::Timestamp;
use probity_pki::Error;
use probity_pki::crl::Crl;
use probity_pki::ocsp::OcspResponse;
use probity_pki::path::{Path, PathError, Purpose, Revocation, find_revocation, validate_path};
use probity_pki::x509::Certificate;

use crate::check::CheckResult;
use crate::signature::Outcome;
use crate::text::Text;

/// Revocation lists and OCSP responses. Untrusted until a path is validated with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub crls: Vec<Crl>,
    pub ocsp: Vec<OcspResponse>,
}

impl Lists {
    pub fn and(mut self, other: Self) -> Self {
        self.crls.extend(other.crls);
        self.ocsp.extend(other.ocsp);
        self
    }

    pub const fn is_empty(&self) -> bool {
        self.crls.is_empty() && self.ocsp.is_empty()
    }
}

/// What is known of revocation.
#[derive(Clone, Default)]
pub struct Status {
    /// Travels with the evidence, under a signature.
    pub kept: Lists,
    /// Handed in by whoever verifies, or under no signature. Whoever chose it may have left out what came later, so
    /// it can only add revocations.
    pub beside: Lists,
}

/// Validates a path; whether one of its certificates was revoked is not asked.
pub fn validate(
    leaf: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
    purpose: Purpose,
) -> Result<Path, Error> {
    let revocation = Revocation::NotChecked;
    validate_path(leaf, others, roots, revocation, at, purpose)
}

/// Validates a path none of whose certificates was revoked at `at`.
pub fn validate_unrevoked(
    leaf: &Certificate,
    others: &[Certificate],
    roots: &[Certificate],
    status: &Status,
    at: Timestamp,
    purpose: Purpose,
) -> Result<Path, Error> {
    let Status { kept, beside } = status;
    let revocation = Revocation::Kept {
        crls: &kept.crls,
        ocsp: &kept.ocsp,
        tolerance_ms: 0,
    };
    let judged = validate_path(leaf, others, roots, revocation, at, purpose);
    let revoked = |path: &Path| find_revocation(path, &beside.crls, &beside.ocsp, at, purpose);
    match &judged {
        Ok(path) => revoked(path)?,
        Err(Error::Path(PathError::RevocationUnknown { .. })) if !beside.is_empty() => {
            revoked(&validate(leaf, others, roots, at, purpose)?)?;
        }
        Err(_) => {}
    }
    judged
}

pub fn root_name(path: &Path) -> String {
    let root = path.certificates.last();
    root.map(Certificate::subject).unwrap_or_default()
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
