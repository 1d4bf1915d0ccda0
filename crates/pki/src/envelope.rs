//! Encryption of a package to one court: CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM (RFC 5084)
//! under a key agreed by ephemeral-static ECDH on P-384 (RFC 5753 section 3.1).
//!
//! A package is one envelope or several, one after another. `openssl cms -decrypt` opens each. It refuses
//! over 2 GiB and takes 2.7 times the size in memory, hence [`CONTENT_BYTES_USUAL`] and [`CONTENT_BYTES_MAX`].
//! Both directions stream in constant memory.

mod gcm;
mod open;
mod parts;
mod recipient;
mod seal;

pub use open::decrypt;
pub use parts::PartsEncryptor;
pub use recipient::check_recipient;
pub use seal::{Encryptor, EnvelopeRandom, encrypt};

use const_oid::ObjectIdentifier;

/// Largest content of one envelope: 1 GiB.
pub const CONTENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What each of several envelopes carries unless somebody decides otherwise: 256 MiB, opened by OpenSSL in 700 MiB.
pub const CONTENT_BYTES_USUAL: u64 = 256 * 1024 * 1024;
/// Most envelopes of one package.
pub const PARTS_MAX: u64 = 64;

/// id-ct-authEnvelopedData (RFC 5083 section 2).
const AUTH_ENVELOPED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.23");
/// id-data (RFC 5652 section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// id-aes256-GCM (RFC 5084 section 3.2).
const AES256_GCM: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.46");
/// id-aes256-wrap (RFC 3565 section 2.3.2).
const AES256_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.45");
/// dhSinglePass-stdDH-sha384kdf-scheme (RFC 5753 section 7.1.4).
const STD_DH_SHA384_KDF: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.1.11.2");
/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// GCMParameters (RFC 5084 section 3.2).
#[derive(der::Sequence)]
struct GcmParameters {
    nonce: der::asn1::OctetString,
    icv_bytes: u8,
}

const WHAT: &str = "envelope";
