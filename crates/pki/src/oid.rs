//! Object identifiers, each with the document that assigns it.

use const_oid::ObjectIdentifier as Oid;

const fn oid(dotted: &str) -> Oid {
    Oid::new_unwrap(dotted)
}

// Keys and signatures: RFC 5480, RFC 5758, RFC 8017.
pub const EC_PUBLIC_KEY: Oid = oid("1.2.840.10045.2.1");
pub const SECP256R1: Oid = oid("1.2.840.10045.3.1.7");
pub const SECP384R1: Oid = oid("1.3.132.0.34");
pub const ECDSA_WITH_SHA256: Oid = oid("1.2.840.10045.4.3.2");
pub const ECDSA_WITH_SHA384: Oid = oid("1.2.840.10045.4.3.3");
pub const ECDSA_WITH_SHA512: Oid = oid("1.2.840.10045.4.3.4");
pub const RSA_ENCRYPTION: Oid = oid("1.2.840.113549.1.1.1");
pub const SHA256_WITH_RSA: Oid = oid("1.2.840.113549.1.1.11");
pub const SHA384_WITH_RSA: Oid = oid("1.2.840.113549.1.1.12");
pub const SHA512_WITH_RSA: Oid = oid("1.2.840.113549.1.1.13");

// Digests: FIPS 180-4 and FIPS 202, NIST's arc.
pub const SHA256: Oid = oid("2.16.840.1.101.3.4.2.1");
pub const SHA384: Oid = oid("2.16.840.1.101.3.4.2.2");
pub const SHA512: Oid = oid("2.16.840.1.101.3.4.2.3");
pub const SHA3_256: Oid = oid("2.16.840.1.101.3.4.2.8");
pub const SHA3_384: Oid = oid("2.16.840.1.101.3.4.2.9");
pub const SHA3_512: Oid = oid("2.16.840.1.101.3.4.2.10");

// Names: X.520.
pub const COMMON_NAME: Oid = oid("2.5.4.3");
pub const SERIAL_NUMBER: Oid = oid("2.5.4.5");
pub const SURNAME: Oid = oid("2.5.4.4");
pub const COUNTRY_NAME: Oid = oid("2.5.4.6");
pub const ORGANIZATION_NAME: Oid = oid("2.5.4.10");
pub const GIVEN_NAME: Oid = oid("2.5.4.42");
pub const PSEUDONYM: Oid = oid("2.5.4.65");
pub const ORGANIZATION_IDENTIFIER: Oid = oid("2.5.4.97");

// Certificate and CRL extensions: RFC 5280, RFC 6960.
pub const SUBJECT_KEY_IDENTIFIER: Oid = oid("2.5.29.14");
pub const KEY_USAGE: Oid = oid("2.5.29.15");
pub const SUBJECT_ALT_NAME: Oid = oid("2.5.29.17");
pub const BASIC_CONSTRAINTS: Oid = oid("2.5.29.19");
pub const CRL_NUMBER: Oid = oid("2.5.29.20");
pub const CRL_REASON: Oid = oid("2.5.29.21");
pub const INVALIDITY_DATE: Oid = oid("2.5.29.24");
pub const CRL_DISTRIBUTION_POINTS: Oid = oid("2.5.29.31");
pub const CERTIFICATE_POLICIES: Oid = oid("2.5.29.32");
pub const ANY_POLICY: Oid = oid("2.5.29.32.0");
pub const AUTHORITY_KEY_IDENTIFIER: Oid = oid("2.5.29.35");
pub const EXTENDED_KEY_USAGE: Oid = oid("2.5.29.37");
pub const AUTHORITY_INFO_ACCESS: Oid = oid("1.3.6.1.5.5.7.1.1");
pub const AD_OCSP: Oid = oid("1.3.6.1.5.5.7.48.1");
pub const AD_CA_ISSUERS: Oid = oid("1.3.6.1.5.5.7.48.2");
pub const OCSP_BASIC: Oid = oid("1.3.6.1.5.5.7.48.1.1");
pub const OCSP_NONCE: Oid = oid("1.3.6.1.5.5.7.48.1.2");
pub const OCSP_NO_CHECK: Oid = oid("1.3.6.1.5.5.7.48.1.5");
pub const QUALIFIER_CPS: Oid = oid("1.3.6.1.5.5.7.2.1");
pub const QUALIFIER_USER_NOTICE: Oid = oid("1.3.6.1.5.5.7.2.2");

// Extended key usages: RFC 5280, RFC 9336 (documentSigning).
pub const ANY_EXTENDED_KEY_USAGE: Oid = oid("2.5.29.37.0");
pub const KP_EMAIL_PROTECTION: Oid = oid("1.3.6.1.5.5.7.3.4");
pub const KP_TIME_STAMPING: Oid = oid("1.3.6.1.5.5.7.3.8");
pub const KP_OCSP_SIGNING: Oid = oid("1.3.6.1.5.5.7.3.9");
pub const KP_DOCUMENT_SIGNING: Oid = oid("1.3.6.1.5.5.7.3.36");

// CMS and its attributes: RFC 5652, RFC 5035, RFC 3161, RFC 5940, ETSI EN 319 122-1.
pub const DATA: Oid = oid("1.2.840.113549.1.7.1");
pub const SIGNED_DATA: Oid = oid("1.2.840.113549.1.7.2");
pub const CONTENT_TYPE: Oid = oid("1.2.840.113549.1.9.3");
pub const MESSAGE_DIGEST: Oid = oid("1.2.840.113549.1.9.4");
pub const SIGNING_TIME: Oid = oid("1.2.840.113549.1.9.5");
pub const CT_TST_INFO: Oid = oid("1.2.840.113549.1.9.16.1.4");
pub const RI_OCSP_RESPONSE: Oid = oid("1.3.6.1.5.5.7.16.2");
pub const AA_SIGNING_CERTIFICATE: Oid = oid("1.2.840.113549.1.9.16.2.12");
pub const AA_TIME_STAMP_TOKEN: Oid = oid("1.2.840.113549.1.9.16.2.14");
pub const AA_COMMITMENT_TYPE: Oid = oid("1.2.840.113549.1.9.16.2.16");
pub const AA_SIGNING_CERTIFICATE_V2: Oid = oid("1.2.840.113549.1.9.16.2.47");
pub const CTI_PROOF_OF_ORIGIN: Oid = oid("1.2.840.113549.1.9.16.6.1");
pub const CTI_PROOF_OF_RECEIPT: Oid = oid("1.2.840.113549.1.9.16.6.2");
pub const CTI_PROOF_OF_DELIVERY: Oid = oid("1.2.840.113549.1.9.16.6.3");
pub const CTI_PROOF_OF_SENDER: Oid = oid("1.2.840.113549.1.9.16.6.4");
pub const CTI_PROOF_OF_APPROVAL: Oid = oid("1.2.840.113549.1.9.16.6.5");
pub const CTI_PROOF_OF_CREATION: Oid = oid("1.2.840.113549.1.9.16.6.6");

/// Probity's own arc. 32473 is the enterprise number RFC 5612 reserves for documentation: an
/// operator puts its own IANA private enterprise number here before its root ceremony, never after.
pub const PROBITY: Oid = oid("1.3.6.1.4.1.32473.20");
/// Certificate extension: the instruction (submission) the certificate was issued for, UTF8String.
pub const INSTRUCTION: Oid = oid("1.3.6.1.4.1.32473.20.1");
/// Signed attribute: SHA3-256 digest of the instruction, OCTET STRING of 32 bytes.
pub const INSTRUCTION_DIGEST: Oid = oid("1.3.6.1.4.1.32473.20.2");
/// Signed attribute: what revocation data the signer kept with the signature, SEQUENCE OF OCTET STRING:
/// digests of lists and OCSP responses, by the signature's digest algorithm.
pub const STATUS_DIGESTS: Oid = oid("1.3.6.1.4.1.32473.20.6");
/// Certificate policy of event certificates.
pub const POLICY_EVENT: Oid = oid("1.3.6.1.4.1.32473.20.3.1");
/// Certificate policy of the delivery seal.
pub const POLICY_SEAL: Oid = oid("1.3.6.1.4.1.32473.20.3.2");
/// Certificate policy of time-stamping units.
pub const POLICY_TSA: Oid = oid("1.3.6.1.4.1.32473.20.3.3");
/// Certificate policy of OCSP responders.
pub const POLICY_OCSP: Oid = oid("1.3.6.1.4.1.32473.20.3.4");
/// Certificate policy of recipients (courts), for encryption and for receipts.
pub const POLICY_COURT: Oid = oid("1.3.6.1.4.1.32473.20.3.5");
/// Signature on the record of a key ceremony.
pub const POLICY_CEREMONY: Oid = oid("1.3.6.1.4.1.32473.20.3.6");
/// Policy under which time-stamp tokens are issued (RFC 3161 TSAPolicyId), the default one.
pub const POLICY_TIME_STAMP: Oid = oid("1.3.6.1.4.1.32473.20.4.1");
/// TSTInfo extension: the clock-log record under which the token was issued, [`crate::tsp::ClockEvidence`].
pub const CLOCK_EVIDENCE: Oid = oid("1.3.6.1.4.1.32473.20.5");
