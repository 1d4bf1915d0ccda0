//! ASN.1 of the time-stamp protocol (RFC 3161 2.4).

use const_oid::ObjectIdentifier;
use der::asn1::{BitString, Int, OctetString};
use der::{Any, Sequence};
use spki::AlgorithmIdentifierOwned;
use x509_cert::ext::Extension;

use super::Imprint;
use crate::asn1_time::PreciseTime;
use crate::digest::HashAlgorithm;
use crate::{Error, Result};

/// RFC 3161 2.4.1.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampReqValue {
    /// Not a small integer: another version is a request we do not serve, whatever its number.
    pub(super) version: Int,
    pub(super) message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    pub(super) policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<Int>,
    #[asn1(default = "Default::default")]
    pub(super) cert_req: bool,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct MessageImprint {
    pub(super) hash_algorithm: AlgorithmIdentifierOwned,
    pub(super) hashed_message: OctetString,
}

impl MessageImprint {
    /// With NULL parameters or without, as the requester has it: some compare byte for byte.
    pub(super) fn of(imprint: &Imprint, has_null_parameters: bool) -> der::Result<Self> {
        let mut hash_algorithm = imprint.algorithm.identifier();
        hash_algorithm.parameters = has_null_parameters.then(Any::null);
        Ok(Self {
            hash_algorithm,
            hashed_message: OctetString::new(imprint.digest.as_slice())?,
        })
    }

    pub(super) fn parsed(&self) -> Result<Imprint> {
        let algorithm = HashAlgorithm::from_identifier(&self.hash_algorithm)?;
        Imprint::new(algorithm, self.hashed_message.as_bytes())
    }
}

/// RFC 3161 2.4.2.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TimeStampRespValue {
    pub(super) status: PkiStatusInfo,
    #[asn1(optional = "true")]
    pub(super) time_stamp_token: Option<Any>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct PkiStatusInfo {
    pub(super) status: u32,
    #[asn1(optional = "true")]
    pub(super) status_string: Option<Vec<String>>,
    #[asn1(optional = "true")]
    pub(super) fail_info: Option<BitString>,
}

/// RFC 3161 2.4.2.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct TstInfoValue {
    pub(super) version: u8,
    pub(super) policy: ObjectIdentifier,
    pub(super) message_imprint: MessageImprint,
    pub(super) serial_number: Int,
    pub(super) gen_time: PreciseTime,
    #[asn1(optional = "true")]
    pub(super) accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    pub(super) ordering: bool,
    #[asn1(optional = "true")]
    pub(super) nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) tsa: Option<Any>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<Extension>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
pub(super) struct Accuracy {
    #[asn1(optional = "true")]
    pub(super) seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) micros: Option<u16>,
}

impl Accuracy {
    /// `None` for zero: no claim.
    pub(super) fn of_ms(accuracy_ms: u32) -> Option<Self> {
        let millis = u16::try_from(accuracy_ms % 1_000).unwrap_or_default();
        (accuracy_ms > 0).then_some(Self {
            seconds: (accuracy_ms >= 1_000).then_some(accuracy_ms / 1_000),
            millis: (millis > 0).then_some(millis),
            micros: None,
        })
    }

    pub(super) fn microseconds(&self) -> Result<u64> {
        let part = |part: Option<u16>| match part {
            None => Ok(0),
            Some(part @ 1..=999) => Ok(u64::from(part)),
            Some(_) => Err(Error::malformed("time-stamp accuracy", "not 1 to 999")),
        };
        Ok(u64::from(self.seconds.unwrap_or(0)) * 1_000_000
            + part(self.millis)? * 1_000
            + part(self.micros)?)
    }
}
