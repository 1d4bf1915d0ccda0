//! What each profile demands of a certificate's extensions.

use const_oid::ObjectIdentifier;
use der::flagset::FlagSet;
use x509_cert::ext::pkix::KeyUsages;

use crate::oid;
use crate::x509::Profile;

pub(super) struct Demands {
    /// pathLenConstraint of a CA; `None` for an end entity.
    pub(super) path_length: Option<u8>,
    pub(super) key_usage: FlagSet<KeyUsages>,
    pub(super) extended_key_usage: &'static [ObjectIdentifier],
    pub(super) policy: ObjectIdentifier,
}

const DOCUMENTS: &[ObjectIdentifier] = &[oid::KP_DOCUMENT_SIGNING, oid::KP_EMAIL_PROTECTION];

impl Demands {
    pub(super) fn of(profile: Profile) -> Self {
        let authority = |path_length| Self {
            path_length: Some(path_length),
            key_usage: KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            extended_key_usage: &[],
            policy: oid::ANY_POLICY,
        };
        let service = |extended_key_usage, policy| Self {
            path_length: None,
            key_usage: KeyUsages::DigitalSignature.into(),
            extended_key_usage,
            policy,
        };
        // Content commitment: the signer stands for what is signed (EN 319 412-2 4.3.2, type C).
        let signer = |policy| Self {
            key_usage: KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
            ..service(DOCUMENTS, policy)
        };
        match profile {
            Profile::RootCa => authority(1),
            Profile::IssuingCa => authority(0),
            Profile::Tsa => service(&[oid::KP_TIME_STAMPING], oid::POLICY_TSA),
            Profile::OcspResponder => service(&[oid::KP_OCSP_SIGNING], oid::POLICY_OCSP),
            Profile::Event => signer(oid::POLICY_EVENT),
            Profile::Seal => signer(oid::POLICY_SEAL),
            Profile::CourtSigning => signer(oid::POLICY_COURT),
            Profile::Ceremony => signer(oid::POLICY_CEREMONY),
            Profile::CourtEncryption => Self {
                key_usage: KeyUsages::KeyAgreement.into(),
                ..service(&[oid::KP_EMAIL_PROTECTION], oid::POLICY_COURT)
            },
        }
    }
}

/// Whether an extension is critical in this profile; `None` for one that is not known.
pub(super) fn criticality(extension: &ObjectIdentifier, profile: Profile) -> Option<bool> {
    match *extension {
        oid::BASIC_CONSTRAINTS | oid::KEY_USAGE => Some(true),
        oid::EXTENDED_KEY_USAGE => Some(profile == Profile::Tsa),
        oid::SUBJECT_KEY_IDENTIFIER
        | oid::AUTHORITY_KEY_IDENTIFIER
        | oid::CERTIFICATE_POLICIES
        | oid::CRL_DISTRIBUTION_POINTS
        | oid::AUTHORITY_INFO_ACCESS
        | oid::OCSP_NO_CHECK
        | oid::SUBJECT_ALT_NAME
        | oid::INSTRUCTION => Some(false),
        _ => None,
    }
}
