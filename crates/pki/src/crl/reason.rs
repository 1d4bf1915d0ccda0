//! Why certificates are revoked, and what that undoes.

use probity_domain::Timestamp;
use x509_cert::ext::pkix::CrlReason;

/// Why a certificate was revoked (RFC 5280 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    /// Suspended; may be released again.
    CertificateHold,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl RevocationReason {
    /// Whether what the key had signed before stays good: RFC 3161 4 names these four reasons. Without a reason, or
    /// with another, the key may be somebody else's, who writes any time with it.
    pub(crate) const fn leaves_the_past(reason: Option<Self>) -> bool {
        matches!(
            reason,
            Some(
                Self::Unspecified
                    | Self::AffiliationChanged
                    | Self::Superseded
                    | Self::CessationOfOperation
            )
        )
    }
}

pub(crate) fn counts_since(
    at: Timestamp,
    reason: Option<RevocationReason>,
    invalid_since: Option<Timestamp>,
) -> Timestamp {
    use RevocationReason::{AaCompromise, CaCompromise, KeyCompromise};
    match (reason, invalid_since) {
        (None | Some(KeyCompromise | CaCompromise | AaCompromise), Some(since)) => at.min(since),
        _ => at,
    }
}

/// `None` for unspecified as well, which is said by leaving the extension out (RFC 5280 5.3.1).
pub(crate) const fn crl_reason(reason: Option<RevocationReason>) -> Option<CrlReason> {
    let Some(reason) = reason else { return None };
    Some(match reason {
        RevocationReason::Unspecified => return None,
        RevocationReason::KeyCompromise => CrlReason::KeyCompromise,
        RevocationReason::CaCompromise => CrlReason::CaCompromise,
        RevocationReason::AffiliationChanged => CrlReason::AffiliationChanged,
        RevocationReason::Superseded => CrlReason::Superseded,
        RevocationReason::CessationOfOperation => CrlReason::CessationOfOperation,
        RevocationReason::CertificateHold => CrlReason::CertificateHold,
        RevocationReason::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        RevocationReason::AaCompromise => CrlReason::AaCompromise,
    })
}

pub(crate) const fn revocation_reason(reason: CrlReason) -> RevocationReason {
    match reason {
        // removeFromCRL belongs to delta CRLs, which are refused.
        CrlReason::Unspecified | CrlReason::RemoveFromCRL => RevocationReason::Unspecified,
        CrlReason::KeyCompromise => RevocationReason::KeyCompromise,
        CrlReason::CaCompromise => RevocationReason::CaCompromise,
        CrlReason::AffiliationChanged => RevocationReason::AffiliationChanged,
        CrlReason::Superseded => RevocationReason::Superseded,
        CrlReason::CessationOfOperation => RevocationReason::CessationOfOperation,
        CrlReason::CertificateHold => RevocationReason::CertificateHold,
        CrlReason::PrivilegeWithdrawn => RevocationReason::PrivilegeWithdrawn,
        CrlReason::AaCompromise => RevocationReason::AaCompromise,
    }
}
