//! Certificate revocation lists (RFC 5280 5).

mod extensions;
mod reason;

use core::fmt;
use std::sync::Arc;

use der::asn1::Uint;
use der::{Decode, Encode, Sequence};
use probity_domain::Timestamp;
use spki::AlgorithmIdentifierOwned;
use x509_cert::crl::{CertificateList, RevokedCert};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Time;

use extensions::find;
pub(crate) use extensions::{invalidity_date, refuse_unknown_critical};
pub use reason::RevocationReason;
pub(crate) use reason::{counts_since, crl_reason, revocation_reason};

use crate::asn1_time::{from_time, to_generalized, to_time};
use crate::keys::{KnownSignatures, Signer};
use crate::lint::{Artifact, ToBeSigned};
use crate::signed::Signed;
use crate::x509::Certificate;
use crate::{Error, Result, oid};

const WHAT: &str = "certificate revocation list";
/// Some 200,000 entries.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Big-endian magnitude without leading zeros, as [`Certificate::serial`].
    pub serial: Vec<u8>,
    /// When the certificate was revoked; whole seconds.
    pub at: Timestamp,
    /// `None` if the list gives none, which is not the same as unspecified (RFC 3161 4).
    pub reason: Option<RevocationReason>,
    /// Since when the key is known or suspected to be another's, or the certificate wrong (invalidityDate, RFC 5280
    /// 5.3.2); whole seconds.
    pub invalid_since: Option<Timestamp>,
}

impl RevokedEntry {
    /// Since when the revocation counts: a key that was stolen was so before anybody revoked it, so an earlier
    /// invalidityDate counts where the reason is a compromise, or none is given. Another reason counts from the
    /// day of revocation: RFC 5280 5.3.2 leaves to the reader what an invalidityDate undoes.
    #[must_use]
    pub fn counts_since(&self) -> Timestamp {
        counts_since(self.at, self.reason, self.invalid_since)
    }
}

/// RFC 5280 5.1, written here because the library's builder derives a wrong authority key identifier
/// for a CA that is not a root.
#[derive(Sequence)]
struct TbsCertList {
    version: u8,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    this_update: Time,
    next_update: Time,
    #[asn1(optional = "true")]
    revoked_certificates: Option<Vec<RevokedCert>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    crl_extensions: Vec<Extension>,
}

const VERSION_2: u8 = 1;

/// A signed list, DER. `number` must grow with every list of the issuer.
///
/// # Errors
/// [`Error::Malformed`] for impossible input, [`Error::Lint`] naming the rules, [`Error::Key`] if signing fails.
pub fn build_crl(
    issuer: &Certificate,
    key: &dyn Signer,
    number: u64,
    this_update: Timestamp,
    next_update: Timestamp,
    revoked: &[RevokedEntry],
) -> Result<Vec<u8>> {
    if key.public_key_der() != issuer.spki_der() {
        return Err(Error::Key("is not the CRL issuer's".to_owned()));
    }
    if next_update <= this_update {
        return Err(Error::malformed(
            WHAT,
            "next update is not after this update",
        ));
    }
    let key_id = issuer
        .subject_key_id()
        .ok_or_else(|| Error::malformed(WHAT, "issuer without subject key identifier"))?;
    let entries = revoked.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let (this_update, next_update) = (to_time(this_update)?, to_time(next_update)?);
    let encode = || {
        let authority = crate::x509::authority_key_identifier(key_id)?;
        let number = CrlNumber(Uint::new(&number.to_be_bytes())?);
        TbsCertList {
            version: VERSION_2,
            signature: key.algorithm().identifier(),
            issuer: issuer.subject_name().clone(),
            this_update,
            next_update,
            // RFC 5280 5.1.2.6: absent rather than empty.
            revoked_certificates: (!entries.is_empty()).then_some(entries),
            crl_extensions: vec![
                crate::x509::extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority)?,
                crate::x509::extension(oid::CRL_NUMBER, false, &number)?,
            ],
        }
        .to_der()
    };
    let to_be_signed = encode().map_err(|e: der::Error| Error::malformed(WHAT, e))?;
    let to_be_signed = ToBeSigned::new(to_be_signed, &Artifact::Crl(issuer))?;
    let der = Signed::sign(WHAT, &to_be_signed, key)?;
    Crl::from_der(&der)?.verify(issuer)?;
    Ok(der)
}

fn entry(revoked: &RevokedEntry) -> Result<RevokedCert> {
    let revocation_date = to_time(revoked.at)?;
    let invalid_since = revoked.invalid_since.map(to_generalized).transpose()?;
    let encode = || {
        let mut extensions = Vec::new();
        if let Some(reason) = crl_reason(revoked.reason) {
            extensions.push(crate::x509::extension(oid::CRL_REASON, false, &reason)?);
        }
        if let Some(since) = &invalid_since {
            extensions.push(crate::x509::extension(oid::INVALIDITY_DATE, false, since)?);
        }
        Ok(RevokedCert {
            serial_number: SerialNumber::new(&revoked.serial)?,
            revocation_date,
            crl_entry_extensions: (!extensions.is_empty()).then_some(extensions),
        })
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

/// A parsed list: complete (no delta, no partition, no indirect issuer), version 2, with next update.
/// Cloning is cheap. Nothing is verified by parsing.
#[derive(Clone)]
pub struct Crl(Arc<Parsed>);

struct Parsed {
    der: Vec<u8>,
    signed: Signed,
    issuer: Name,
    number: Vec<u8>,
    authority_key_id: Option<Vec<u8>>,
    this_update: Timestamp,
    next_update: Timestamp,
    /// Sorted by serial.
    revoked: Vec<RevokedEntry>,
}

impl Crl {
    /// Parses DER.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::TooLarge`] over 8 MiB, [`Error::Unsupported`] for a list that does
    /// not speak for all certificates of its issuer.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let bad = |e: der::Error| Error::malformed(WHAT, e);
        let signed = Signed::from_der(WHAT, der, BYTES_MAX)?;
        let list =
            CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der).map_err(bad)?;
        let tbs = list.tbs_cert_list;
        if tbs.version != x509_cert::Version::V2 {
            return Err(Error::unsupported(WHAT, "version other than 2"));
        }
        if tbs.signature != list.signature_algorithm {
            return Err(Error::malformed(WHAT, "two different signature algorithms"));
        }
        let next_update = tbs
            .next_update
            .ok_or_else(|| Error::unsupported(WHAT, "no next update"))?;
        let extensions = tbs.crl_extensions.unwrap_or_default();
        refuse_unknown_critical(&extensions)?;
        let number = find::<CrlNumber>(&extensions)?
            .ok_or_else(|| Error::unsupported(WHAT, "no CRL number"))?;
        let authority = find::<AuthorityKeyIdentifier>(&extensions)?;
        let mut revoked = tbs
            .revoked_certificates
            .unwrap_or_default()
            .into_iter()
            .map(parse_entry)
            .collect::<Result<Vec<_>>>()?;
        revoked.sort_by(|a, b| a.serial.cmp(&b.serial));
        Ok(Self(Arc::new(Parsed {
            der: der.to_vec(),
            signed,
            issuer: tbs.issuer,
            number: number.0.as_bytes().to_vec(),
            authority_key_id: authority
                .and_then(|authority| authority.key_identifier)
                .map(|id| id.as_bytes().to_vec()),
            this_update: from_time(tbs.this_update),
            next_update: from_time(next_update),
            revoked,
        })))
    }

    /// Parses one PEM block `X509 CRL`.
    ///
    /// # Errors
    /// As [`Crl::from_der`].
    pub fn from_pem(pem: &str) -> Result<Self> {
        let (label, document) =
            der::Document::from_pem(pem).map_err(|e| Error::malformed(WHAT, e))?;
        if label != "X509 CRL" {
            return Err(Error::malformed(WHAT, format!("PEM label {label:?}")));
        }
        Self::from_der(document.as_bytes())
    }

    /// The bytes that were parsed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// One PEM block `X509 CRL` with a final newline.
    ///
    /// # Errors
    /// [`Error::Malformed`] if encoding fails.
    pub fn to_pem(&self) -> Result<String> {
        der::pem::encode_string("X509 CRL", der::pem::LineEnding::LF, self.der())
            .map_err(|e| Error::malformed(WHAT, e))
    }

    /// Issuer name as RFC 4514 text.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.0.issuer.to_string()
    }

    /// CRL number, or `None` if it does not fit 64 bits.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let digits = crate::x509::magnitude(&self.0.number);
        let mut bytes = [0; 8];
        bytes
            .get_mut(8_usize.checked_sub(digits.len())?..)?
            .copy_from_slice(digits);
        Some(u64::from_be_bytes(bytes))
    }

    /// When the list was made.
    #[must_use]
    pub fn this_update(&self) -> Timestamp {
        self.0.this_update
    }

    /// By when a newer list will be there.
    #[must_use]
    pub fn next_update(&self) -> Timestamp {
        self.0.next_update
    }

    /// All entries, by serial.
    #[must_use]
    pub fn revoked(&self) -> &[RevokedEntry] {
        &self.0.revoked
    }

    /// The entry of a serial number (with or without leading zero bytes), if listed.
    #[must_use]
    pub fn find(&self, serial: &[u8]) -> Option<&RevokedEntry> {
        let serial = crate::x509::magnitude(serial);
        let at = self
            .0
            .revoked
            .binary_search_by(|e| e.serial.as_slice().cmp(serial))
            .ok()?;
        self.0.revoked.get(at)
    }

    /// Whether the list names `issuer` as its issuer. Does not verify.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        let key_matches = match (&self.0.authority_key_id, issuer.subject_key_id()) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        key_matches && self.0.issuer == *issuer.subject_name()
    }

    /// Whether the list says something of a certificate at an instant: made when the certificate existed, for an older
    /// list cannot know of it; not after it expired, for its entry may have been dropped since (RFC 5280 3.3);
    /// and not out of date, give or take the tolerance.
    #[must_use]
    pub fn tells_of(&self, certificate: &Certificate, at: Timestamp, tolerance_ms: i64) -> bool {
        certificate.not_before() <= self.this_update()
            && self.this_update() <= certificate.not_after()
            && at <= self.next_update().plus_ms(tolerance_ms)
    }

    /// Verifies name, right to sign CRLs and signature. Freshness is the caller's decision.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    pub fn verify(&self, issuer: &Certificate) -> Result<()> {
        self.verify_unless_known(issuer, None)
    }

    pub(crate) fn verify_unless_known(
        &self,
        issuer: &Certificate,
        known: Option<&KnownSignatures>,
    ) -> Result<()> {
        if !self.is_issued_by(issuer) {
            return Err(Error::not_verified(WHAT, "issuer differs"));
        }
        if issuer.key_usage().is_none_or(|usage| !usage.crl_sign()) {
            return Err(Error::not_verified(WHAT, "issuer may not sign CRLs"));
        }
        self.0.signed.verify(WHAT, issuer.spki_der(), known)
    }
}

fn parse_entry(revoked: RevokedCert) -> Result<RevokedEntry> {
    let extensions = revoked.crl_entry_extensions.unwrap_or_default();
    refuse_unknown_critical(&extensions)?;
    let reason = find::<CrlReason>(&extensions)?;
    let invalid_since = invalidity_date(&extensions)?;
    Ok(RevokedEntry {
        serial: crate::x509::magnitude(revoked.serial_number.as_bytes()).to_vec(),
        at: from_time(revoked.revocation_date),
        reason: reason.map(revocation_reason),
        invalid_since,
    })
}

impl PartialEq for Crl {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Crl {}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("issuer", &self.issuer())
            .field("number", &self.number())
            .finish_non_exhaustive()
    }
}
