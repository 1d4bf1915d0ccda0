//! ASN.1 of SignedData. Certificates, lists and identifiers stay undecoded here, so that encoding gives
//! back the bytes that were read.

use const_oid::ObjectIdentifier;
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Sequence, ValueOrd};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::certpolicy::PolicyInformation;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

/// RFC 5652 3.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct ContentInfo {
    pub(crate) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) content: Any,
}

/// RFC 5652 5.1.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct SignedDataValue {
    pub(crate) version: u8,
    pub(crate) digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub(crate) encapsulated: EncapsulatedContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) certificates: Option<SetOfVec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) crls: Option<SetOfVec<Any>>,
    pub(crate) signer_infos: SetOfVec<SignerInfo>,
}

/// RFC 5652 5.2.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct EncapsulatedContentInfo {
    pub(crate) content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) content: Option<OctetString>,
}

/// RFC 5652 5.3.
#[derive(Debug, Clone, PartialEq, Eq, Sequence, ValueOrd)]
pub(crate) struct SignerInfo {
    pub(crate) version: u8,
    /// `IssuerAndSerialNumber`, or `[0]` a subject key identifier.
    pub(crate) identifier: Any,
    pub(crate) digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) signed_attributes: Option<SetOfVec<Attribute>>,
    pub(crate) signature_algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) unsigned_attributes: Option<SetOfVec<Attribute>>,
}

/// RFC 5652 10.2.1, under the tag `[1]` of RevocationInfoChoice; the format is RFC 5940 2.1's.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct OtherRevocationInfoFormat {
    pub(crate) format: ObjectIdentifier,
    pub(crate) info: Any,
}

/// RFC 5652 10.2.4.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct IssuerAndSerialNumber {
    pub(crate) issuer: Name,
    pub(crate) serial_number: SerialNumber,
}

/// RFC 5035 3.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct SigningCertificateV2 {
    pub(crate) certificates: Vec<EssCertIdV2>,
    #[asn1(optional = "true")]
    pub(crate) policies: Option<Vec<PolicyInformation>>,
}

/// RFC 5035 4.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct EssCertIdV2 {
    /// DEFAULT id-sha256: absent means that.
    #[asn1(optional = "true")]
    pub(crate) hash_algorithm: Option<AlgorithmIdentifierOwned>,
    pub(crate) certificate_hash: OctetString,
    #[asn1(optional = "true")]
    pub(crate) issuer_serial: Option<IssuerSerial>,
}

/// RFC 5035 5.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct IssuerSerial {
    pub(crate) issuer: Vec<GeneralName>,
    pub(crate) serial_number: SerialNumber,
}

/// ETSI EN 319 122-1 5.2.3; qualifiers are not used.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(crate) struct CommitmentTypeIndication {
    pub(crate) commitment_type: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(crate) qualifiers: Option<Vec<Any>>,
}
