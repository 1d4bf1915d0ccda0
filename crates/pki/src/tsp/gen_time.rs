//! When a token was made, and why the clock was believed.

use der::asn1::OctetString;
use der::{Decode, Encode, Sequence};
use probity_domain::Timestamp;
use x509_cert::ext::Extension;

use crate::{Error, Result, oid};

const WHAT: &str = "clock evidence";
const RECORD_BYTES_MAX: usize = 256;

/// The time a token states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenTime {
    pub at: Timestamp,
    /// Bound on its error then, milliseconds; `None` states the unit's claim.
    pub accuracy_ms: Option<u32>,
    pub evidence: Option<ClockEvidence>,
}

/// A time under the unit's claim, without evidence.
impl From<Timestamp> for GenTime {
    fn from(at: Timestamp) -> Self {
        Self {
            at,
            accuracy_ms: None,
            evidence: None,
        }
    }
}

/// The newest durable record of the clock log when the token was made. In a token it is a non-critical
/// extension, for whoever wants to know why the clock was believed:
///
/// ```text
/// ClockEvidence ::= SEQUENCE {
///     record  UTF8String,                  -- where it is kept; finds it, proves nothing
///     digest  OCTET STRING (SIZE(32)) }    -- SHA-256 of its bytes
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockEvidence {
    /// At most 256 bytes.
    pub record: String,
    pub digest: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct ClockEvidenceValue {
    record: String,
    digest: OctetString,
}

impl ClockEvidence {
    pub(super) fn to_extension(&self) -> der::Result<Extension> {
        let value = ClockEvidenceValue {
            record: self.record.clone(),
            digest: OctetString::new(self.digest.as_slice())?,
        };
        Ok(Extension {
            extn_id: oid::CLOCK_EVIDENCE,
            critical: false,
            extn_value: OctetString::new(value.to_der()?)?,
        })
    }

    /// The one among the extensions of a token; twice is malformed.
    pub(super) fn find(extensions: &[Extension]) -> Result<Option<Self>> {
        let mut found = extensions
            .iter()
            .filter(|extension| extension.extn_id == oid::CLOCK_EVIDENCE);
        let Some(extension) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(Error::malformed(WHAT, "is there twice"));
        }
        let value = ClockEvidenceValue::from_der(extension.extn_value.as_bytes())
            .map_err(|e| Error::malformed(WHAT, e))?;
        if value.record.len() > RECORD_BYTES_MAX {
            return Err(Error::malformed(WHAT, "record name of more than 256 bytes"));
        }
        let digest = <[u8; 32]>::try_from(value.digest.as_bytes())
            .map_err(|_| Error::malformed(WHAT, "digest of the wrong length"))?;
        Ok(Some(Self {
            record: value.record,
            digest,
        }))
    }
}
