//! Extensions of lists and of their entries.

use const_oid::{AssociatedOid, ObjectIdentifier};
use der::Decode;
use der::asn1::GeneralizedTime;
use probity_domain::Timestamp;
use x509_cert::ext::Extension;

use super::WHAT;
use crate::asn1_time::from_generalized;
use crate::{Error, Result, oid};

/// RFC 5280 5.3.2; OCSP has it from there (RFC 6960 4.4.5).
pub(crate) fn invalidity_date(extensions: &[Extension]) -> Result<Option<Timestamp>> {
    let date = find_by::<GeneralizedTime>(extensions, oid::INVALIDITY_DATE)?;
    Ok(date.map(from_generalized))
}

pub(super) fn find<T: for<'a> Decode<'a, Error = der::Error> + AssociatedOid>(
    extensions: &[Extension],
) -> Result<Option<T>> {
    find_by(extensions, T::OID)
}

fn find_by<T: for<'a> Decode<'a, Error = der::Error>>(
    extensions: &[Extension],
    oid: ObjectIdentifier,
) -> Result<Option<T>> {
    let mut found = extensions
        .iter()
        .filter(|extension| extension.extn_id == oid);
    let Some(first) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(Error::malformed(WHAT, "an extension appears twice"));
    }
    T::from_der(first.extn_value.as_bytes())
        .map(Some)
        .map_err(|e| Error::malformed(WHAT, e))
}

/// deltaCRLIndicator, issuingDistributionPoint and certificateIssuer are critical by definition
/// (RFC 5280 5.2.4, 5.2.5, 5.3.3), so refusing critical extensions refuses partial and indirect lists.
pub(crate) fn refuse_unknown_critical(extensions: &[Extension]) -> Result<()> {
    const KNOWN: [ObjectIdentifier; 4] = [
        oid::CRL_NUMBER,
        oid::CRL_REASON,
        oid::INVALIDITY_DATE,
        oid::AUTHORITY_KEY_IDENTIFIER,
    ];
    match extensions
        .iter()
        .find(|e| e.critical && !KNOWN.contains(&e.extn_id))
    {
        Some(extension) => Err(Error::unsupported(
            WHAT,
            format!("critical extension {}", extension.extn_id),
        )),
        None => Ok(()),
    }
}
