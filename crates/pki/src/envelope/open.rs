//! Opening: the receiving side, for courts without OpenSSL and for our own tests.

use std::io::{Read, Write};

use cms::enveloped_data::{KeyAgreeRecipientInfo, OriginatorIdentifierOrKey, RecipientInfo};
use const_oid::ObjectIdentifier;
use der::asn1::SetOfVec;
use der::{Any, Decode};
use p384::{PublicKey, SecretKey};
use pkcs8::DecodePrivateKey;
use spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::gcm::{Gcm, NONCE_BYTES, TAG_BYTES};
use super::recipient::Agreed;
use super::{
    AES256_GCM, AES256_WRAP, AUTH_ENVELOPED_DATA, CONTENT_BYTES_MAX, DATA, EC_PUBLIC_KEY,
    GcmParameters, PARTS_MAX, STD_DH_SHA384_KDF, WHAT,
};
use crate::{Error, Result};

const HEADER_FIELD_BYTES_MAX: u64 = 64 * 1024;
const RECIPIENTS_MAX: usize = 16;
const PIECE_BYTES: usize = 64 * 1024;

/// Decrypts a package, one envelope or several to the end of `from`, with the recipient's PKCS#8 private
/// key; returns the length of what was in them together.
///
/// Plaintext reaches `out` before the tags at the ends have been checked. So `out` is a temporary file,
/// and only after `Ok` may it get the name somebody looks for; after an error it is deleted. Each envelope
/// stands for itself: that none is missing, doubled or in another's place, the digest of the whole or the
/// container inside must say.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::Unsupported`] for another encoding, [`Error::Key`] for an
/// unreadable key, [`Error::NotVerified`] for the wrong key or changed bytes, [`Error::TooLarge`] for more
/// than [`PARTS_MAX`] envelopes or more in one than it may carry, [`Error::Io`].
pub fn decrypt(from: &mut dyn Read, key_pkcs8_der: &[u8], out: &mut dyn Write) -> Result<u64> {
    let key = SecretKey::from_pkcs8_der(key_pkcs8_der)
        .map_err(|e| Error::Key(format!("recipient's private key: {e}")))?;
    let (mut parts, mut content_bytes) = (0, 0);
    loop {
        let mut first = Vec::with_capacity(1);
        if (&mut *from).take(1).read_to_end(&mut first)? == 0 {
            break;
        }
        parts += 1;
        if parts > PARTS_MAX {
            return Err(Error::TooLarge {
                what: "number of envelopes",
                limit: PARTS_MAX,
            });
        }
        content_bytes += decrypt_part(&mut first.as_slice().chain(&mut *from), &key, out)?;
    }
    if parts == 0 {
        return Err(bad("nothing there"));
    }
    out.flush()?;
    Ok(content_bytes)
}

/// One envelope, not a byte further.
fn decrypt_part(from: &mut dyn Read, key: &SecretKey, out: &mut dyn Write) -> Result<u64> {
    let mut from = Counted { from, read: 0 };
    let (header, ends) = read_header(&mut from)?;
    let content_key = agree(&header.recipients, key)?;
    let mut gcm = Gcm::new(&content_key, &header.nonce);
    let mut left = header.content_bytes;
    let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
    while left > 0 {
        let take = usize::try_from(left)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        let piece = piece.get_mut(..take).unwrap_or_default();
        from.exact(piece)?;
        gcm.decrypt(piece)?;
        out.write_all(piece)?;
        left -= take as u64;
    }
    ends.content_info.check(from.read)?;
    let mut tag = [0; 2 + TAG_BYTES];
    from.exact(&mut tag)?;
    let [0x04, 0x10, tag @ ..] = tag else {
        return Err(bad("no tag of 16 bytes"));
    };
    for end in [ends.enveloped, ends.explicit, ends.all] {
        end.check(from.read)?;
    }
    gcm.verify(&tag)?;
    Ok(header.content_bytes)
}

struct Header {
    recipients: SetOfVec<RecipientInfo>,
    nonce: [u8; NONCE_BYTES],
    content_bytes: u64,
}

/// Where each structure says it ends.
struct Ends {
    all: End,
    explicit: End,
    enveloped: End,
    content_info: End,
}

struct End(u64);

impl End {
    fn check(&self, at: u64) -> Result<()> {
        if self.0 == at {
            Ok(())
        } else {
            Err(bad("lengths that contradict each other"))
        }
    }
}

/// Mirrors what the sealing side writes: DER, definite lengths, no originatorInfo, no attributes.
fn read_header(from: &mut Counted<'_>) -> Result<(Header, Ends)> {
    let all = from.expect(0x30)?;
    from.expect_oid(AUTH_ENVELOPED_DATA)?;
    let explicit = from.expect(0xa0)?;
    let enveloped = from.expect(0x30)?;
    if from.element()? != [0x02, 0x01, 0x00] {
        return Err(Error::unsupported(WHAT, "a version other than 0"));
    }
    let recipients = SetOfVec::<RecipientInfo>::from_der(&from.element()?).map_err(bad)?;
    let content_info = from.expect(0x30)?;
    from.expect_oid(DATA)?;
    let algorithm = AlgorithmIdentifierOwned::from_der(&from.element()?).map_err(bad)?;
    if algorithm.oid != AES256_GCM {
        return Err(Error::unsupported(
            WHAT,
            format!("content cipher {}", algorithm.oid),
        ));
    }
    let parameters = algorithm
        .parameters
        .ok_or_else(|| bad("no parameters of the cipher"))?;
    let parameters = parameters.decode_as::<GcmParameters>().map_err(bad)?;
    if usize::from(parameters.icv_bytes) != TAG_BYTES {
        return Err(Error::unsupported(WHAT, "a tag that is not 16 bytes"));
    }
    let nonce = parameters.nonce.as_bytes().try_into();
    let nonce = nonce.map_err(|_| Error::unsupported(WHAT, "a nonce that is not 12 bytes"))?;
    let (tag, content_bytes) = from.tag_and_length()?;
    if tag != 0x80 {
        return Err(Error::unsupported(WHAT, "content in pieces or none"));
    }
    if content_bytes > CONTENT_BYTES_MAX {
        return Err(Error::TooLarge {
            what: WHAT,
            limit: CONTENT_BYTES_MAX,
        });
    }
    let header = Header {
        recipients,
        nonce,
        content_bytes,
    };
    Ok((
        header,
        Ends {
            all,
            explicit,
            enveloped,
            content_info,
        },
    ))
}

/// Finds the recipient this key opens. A wrapped key carries its own check, so it is simply tried.
fn agree(recipients: &SetOfVec<RecipientInfo>, key: &SecretKey) -> Result<Zeroizing<[u8; 32]>> {
    let mut last = Error::unsupported(WHAT, "no recipient by key agreement");
    for recipient in recipients.iter().take(RECIPIENTS_MAX) {
        let RecipientInfo::Kari(info) = recipient else {
            continue;
        };
        match agree_one(info, key) {
            Ok(content_key) => return Ok(content_key),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn agree_one(info: &KeyAgreeRecipientInfo, key: &SecretKey) -> Result<Zeroizing<[u8; 32]>> {
    let wrap = info.key_enc_alg.parameters.as_ref().map(Any::decode_as);
    let wrap: Option<AlgorithmIdentifierOwned> = wrap.transpose().map_err(bad)?;
    if info.key_enc_alg.oid != STD_DH_SHA384_KDF || wrap.map(|w| w.oid) != Some(AES256_WRAP) {
        return Err(Error::unsupported(
            WHAT,
            "another key agreement than ECDH SHA-384 AES-256",
        ));
    }
    let OriginatorIdentifierOrKey::OriginatorKey(originator) = &info.originator else {
        return Err(Error::unsupported(WHAT, "a static key of the originator"));
    };
    if info.ukm.is_some() || originator.algorithm.oid != EC_PUBLIC_KEY {
        return Err(Error::unsupported(
            WHAT,
            "user keying material or another kind of key",
        ));
    }
    let point = originator
        .public_key
        .as_bytes()
        .ok_or_else(|| bad("unused bits in a point"))?;
    let ephemeral = PublicKey::from_sec1_bytes(point).map_err(bad)?;
    let agreed = Agreed::new(key, &ephemeral)?;
    let mut last = bad("no wrapped key");
    for wrapped in info.recipient_enc_keys.iter().take(RECIPIENTS_MAX) {
        match agreed.unwrap(wrapped.enc_key.as_bytes()) {
            Ok(content_key) => return Ok(content_key),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn bad(reason: impl ToString) -> Error {
    Error::malformed(WHAT, reason)
}

/// Reads DER elements off a stream and knows how far it is.
struct Counted<'r> {
    from: &'r mut dyn Read,
    read: u64,
}

impl Counted<'_> {
    fn exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.from.read_exact(buffer).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => bad("cut short"),
            _ => Error::Io(e),
        })?;
        self.read += buffer.len() as u64;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    fn tag_and_length(&mut self) -> Result<(u8, u64)> {
        let tag = self.byte()?;
        let first = self.byte()?;
        if first < 0x80 {
            return Ok((tag, first.into()));
        }
        let octets = first & 0x7f;
        if octets == 0 || octets > 6 {
            return Err(Error::unsupported(WHAT, "indefinite or absurd lengths"));
        }
        let mut length = 0u64;
        for _ in 0..octets {
            length = (length << 8) | u64::from(self.byte()?);
        }
        Ok((tag, length))
    }

    fn expect(&mut self, expected: u8) -> Result<End> {
        match self.tag_and_length()? {
            (tag, length) if tag == expected => Ok(End(self.read.saturating_add(length))),
            (tag, _) => Err(bad(format!("tag {tag:02x} where {expected:02x} must be"))),
        }
    }

    /// A whole small element with its header.
    fn element(&mut self) -> Result<Vec<u8>> {
        let (tag, length) = self.tag_and_length()?;
        if length > HEADER_FIELD_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "envelope header",
                limit: HEADER_FIELD_BYTES_MAX,
            });
        }
        let mut element = super::seal::tag_and_length(tag, length);
        let start = element.len();
        element.resize(start + usize::try_from(length).map_err(bad)?, 0);
        self.exact(element.get_mut(start..).unwrap_or_default())?;
        Ok(element)
    }

    fn expect_oid(&mut self, expected: ObjectIdentifier) -> Result<()> {
        let found = ObjectIdentifier::from_der(&self.element()?).map_err(bad)?;
        if found == expected {
            return Ok(());
        }
        Err(Error::unsupported(WHAT, format!("content type {found}")))
    }
}
