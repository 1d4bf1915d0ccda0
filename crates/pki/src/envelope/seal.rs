//! Sealing: header first, ciphertext as it comes, tag last.

use cms::cert::IssuerAndSerialNumber;
use cms::content_info::CmsVersion;
use cms::enveloped_data::{
    KeyAgreeRecipientIdentifier, KeyAgreeRecipientInfo, OriginatorIdentifierOrKey,
    OriginatorPublicKey, RecipientEncryptedKey, RecipientInfo, RecipientInfos,
};
use const_oid::ObjectIdentifier;
use der::asn1::{BitString, OctetString};
use der::{Any, Decode, Encode};
use p384::SecretKey;
use spki::AlgorithmIdentifierOwned;
use x509_cert::certificate::Rfc5280;
use zeroize::Zeroizing;

use super::gcm::{Gcm, KEY_BYTES, NONCE_BYTES, TAG_BYTES};
use super::recipient::{Agreed, point, public_key};
use super::{
    AES256_GCM, AES256_WRAP, AUTH_ENVELOPED_DATA, CONTENT_BYTES_MAX, DATA, EC_PUBLIC_KEY,
    GcmParameters, STD_DH_SHA384_KDF, WHAT,
};
use crate::x509::Certificate;
use crate::{Error, Result};

/// The randomness of one envelope. Each field is fresh for each envelope, from a cryptographic
/// generator: reusing them gives plaintext away.
pub struct EnvelopeRandom {
    /// Scalar of the ephemeral key.
    pub ephemeral: Zeroizing<[u8; 48]>,
    pub content_key: Zeroizing<[u8; KEY_BYTES]>,
    pub nonce: [u8; NONCE_BYTES],
}

impl EnvelopeRandom {
    /// Bytes [`from_bytes`](Self::from_bytes) takes.
    pub const BYTES: usize = 48 + KEY_BYTES + NONCE_BYTES;

    /// Splits one draw of random bytes.
    #[must_use]
    pub fn from_bytes(random: &[u8; Self::BYTES]) -> Self {
        let mut split = Self {
            ephemeral: Zeroizing::new([0; 48]),
            content_key: Zeroizing::new([0; KEY_BYTES]),
            nonce: [0; NONCE_BYTES],
        };
        let fields = split
            .ephemeral
            .iter_mut()
            .chain(split.content_key.iter_mut());
        for (to, from) in fields.chain(&mut split.nonce).zip(random) {
            *to = *from;
        }
        split
    }
}

/// Encrypts one content of known length. What the calls append to `out`, in order, is the envelope.
pub struct Encryptor {
    gcm: Gcm,
    left: u64,
    envelope_bytes: u64,
}

impl Encryptor {
    /// Agrees on a key and appends the header. The certificate must have passed
    /// [`check_recipient`](super::check_recipient).
    ///
    /// # Errors
    /// [`Error::TooLarge`] past [`CONTENT_BYTES_MAX`]; [`Error::Malformed`] for a certificate without
    /// a P-384 key; [`Error::Key`] for random bytes that are no scalar (chance 2^-190: draw again).
    pub fn new(
        recipient: &Certificate,
        content_bytes: u64,
        random: &EnvelopeRandom,
        out: &mut Vec<u8>,
    ) -> Result<Self> {
        if content_bytes > CONTENT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: WHAT,
                limit: CONTENT_BYTES_MAX,
            });
        }
        let ephemeral = SecretKey::from_slice(random.ephemeral.as_slice())
            .map_err(|_| Error::Key("random bytes are not a scalar of P-384".to_owned()))?;
        let infos = recipient_infos(recipient, &ephemeral, &random.content_key)?;
        let header = header(&infos, &random.nonce, content_bytes)?;
        out.extend_from_slice(&header);
        let tail = (TAG_HEADER.len() + TAG_BYTES) as u64;
        Ok(Self {
            gcm: Gcm::new(&random.content_key, &random.nonce),
            left: content_bytes,
            envelope_bytes: header.len() as u64 + content_bytes + tail,
        })
    }

    /// Length of the whole envelope in bytes, known from the start.
    #[must_use]
    pub const fn envelope_bytes(&self) -> u64 {
        self.envelope_bytes
    }

    /// Bytes of the content that have not come yet.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Encrypts the next bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the content is longer than announced.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.left = self
            .left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| Error::malformed(WHAT, "content is longer than announced"))?;
        let start = out.len();
        out.extend_from_slice(content);
        self.gcm.encrypt(out.get_mut(start..).unwrap_or_default())
    }

    /// Appends the tag.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the content is shorter than announced.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        if self.left != 0 {
            return Err(Error::malformed(WHAT, "content is shorter than announced"));
        }
        out.extend_from_slice(&TAG_HEADER);
        out.extend_from_slice(&self.gcm.tag());
        Ok(())
    }
}

/// Encrypts content that is in memory.
///
/// # Errors
/// As [`Encryptor::new`].
pub fn encrypt(
    recipient: &Certificate,
    content: &[u8],
    random: &EnvelopeRandom,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len() + 1024);
    let mut encryptor = Encryptor::new(recipient, content.len() as u64, random, &mut out)?;
    encryptor.write(content, &mut out)?;
    encryptor.finish(&mut out)?;
    Ok(out)
}

/// OCTET STRING of 16 bytes: MessageAuthenticationCode.
const TAG_HEADER: [u8; 2] = [0x04, TAG_BYTES as u8];

/// KeyAgreeRecipientInfo (RFC 5753 section 3.1.1). Built here from the plain types: the builder of
/// the `cms` crate wraps the content key under zeros.
fn recipient_infos(
    recipient: &Certificate,
    ephemeral: &SecretKey,
    content_key: &[u8; KEY_BYTES],
) -> Result<Vec<u8>> {
    let wrapped = Agreed::new(ephemeral, &public_key(recipient)?)?.wrap(content_key)?;
    let encode = || {
        let certificate =
            x509_cert::certificate::CertificateInner::<Rfc5280>::from_der(recipient.der())?;
        let tbs = certificate.tbs_certificate();
        let wrap = AlgorithmIdentifierOwned {
            oid: AES256_WRAP,
            parameters: None,
        };
        let info = KeyAgreeRecipientInfo {
            version: CmsVersion::V3,
            originator: OriginatorIdentifierOrKey::OriginatorKey(OriginatorPublicKey {
                algorithm: AlgorithmIdentifierOwned {
                    oid: EC_PUBLIC_KEY,
                    parameters: None,
                },
                public_key: BitString::from_bytes(&point(&ephemeral.public_key()))?,
            }),
            ukm: None,
            key_enc_alg: AlgorithmIdentifierOwned {
                oid: STD_DH_SHA384_KDF,
                parameters: Some(Any::encode_from(&wrap)?),
            },
            recipient_enc_keys: vec![RecipientEncryptedKey {
                rid: KeyAgreeRecipientIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                    issuer: tbs.issuer().clone(),
                    serial_number: tbs.serial_number().clone(),
                }),
                enc_key: OctetString::new(wrapped)?,
            }],
        };
        RecipientInfos::try_from(vec![RecipientInfo::Kari(info)])?
            .0
            .to_der()
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

/// Everything before the ciphertext, with definite lengths: OpenSSL then need not buffer.
fn header(infos: &[u8], nonce: &[u8; NONCE_BYTES], content_bytes: u64) -> Result<Vec<u8>> {
    let algorithm = || {
        let parameters = GcmParameters {
            nonce: OctetString::new(*nonce)?,
            icv_bytes: TAG_BYTES as u8,
        };
        AlgorithmIdentifierOwned {
            oid: AES256_GCM,
            parameters: Some(Any::encode_from(&parameters)?),
        }
        .to_der()
    };
    let algorithm = algorithm().map_err(|e: der::Error| Error::malformed(WHAT, e))?;
    // EncryptedContentInfo, up to the content
    let mut content_info = oid(DATA)?;
    content_info.extend(algorithm);
    content_info.extend(tag_and_length(0x80, content_bytes));
    let content_info_bytes = content_info.len() as u64 + content_bytes;
    // AuthEnvelopedData: version 0, recipientInfos, authEncryptedContentInfo, mac
    let mut enveloped = vec![0x02, 0x01, 0x00];
    enveloped.extend_from_slice(infos);
    enveloped.extend(tag_and_length(0x30, content_info_bytes));
    let tail = (TAG_HEADER.len() + TAG_BYTES) as u64;
    let enveloped_bytes = enveloped.len() as u64 + content_info_bytes + tail;
    enveloped.extend(content_info);
    // ContentInfo
    let inner = tag_and_length(0x30, enveloped_bytes);
    let explicit_bytes = inner.len() as u64 + enveloped_bytes;
    let explicit = tag_and_length(0xa0, explicit_bytes);
    let kind = oid(AUTH_ENVELOPED_DATA)?;
    let all_bytes = kind.len() as u64 + explicit.len() as u64 + explicit_bytes;
    Ok([
        tag_and_length(0x30, all_bytes),
        kind,
        explicit,
        inner,
        enveloped,
    ]
    .concat())
}

fn oid(oid: ObjectIdentifier) -> Result<Vec<u8>> {
    oid.to_der().map_err(|e| Error::malformed(WHAT, e))
}

/// Identifier and definite length octets in DER (X.690 8.1.3, 10.1), for lengths past the 256 MiB
/// the `der` crate stops at.
pub(super) fn tag_and_length(tag: u8, length: u64) -> Vec<u8> {
    if length < 0x80 {
        return vec![tag, length as u8];
    }
    let octets = length.to_be_bytes();
    let used = octets.iter().skip_while(|octet| **octet == 0);
    let count = used.clone().count();
    [tag, 0x80 | count as u8]
        .into_iter()
        .chain(used.copied())
        .collect()
}
