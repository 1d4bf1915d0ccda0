//! Issuing tokens.

use const_oid::ObjectIdentifier;
use der::asn1::{Int, Uint};
use der::{Encode, Error as DerError};

use super::response::{WHAT_POLICY, granted};
use super::structures::{Accuracy, MessageImprint, TstInfoValue};
use super::token::TimeStampToken;
use super::{ClockEvidence, GenTime, Imprint, TimeStampReq};
use crate::asn1_time::PreciseTime;
use crate::cms::{Parts, Unstamped, build};
use crate::digest::HashAlgorithm;
use crate::keys::Signer;
use crate::lint::{self, Artifact, TokenContext};
use crate::x509::{Certificate, magnitude};
use crate::{Error, Result, oid};

const WHAT: &str = "time-stamp token";

/// A time-stamping unit: all but its key and its clock.
#[derive(Debug, Clone)]
pub struct TimeStampAuthority {
    /// With timeStamping as its one and critical extended key usage.
    pub certificate: Certificate,
    /// Intermediate CAs to send along, without the root.
    pub chain: Vec<Certificate>,
    /// Policy tokens are issued under.
    pub policy: ObjectIdentifier,
    /// What the clock is good for: stated in tokens whose [`GenTime`] does not know better, and no token states
    /// more. 0 makes no claim.
    pub accuracy_ms: u32,
}

impl TimeStampAuthority {
    /// A granted TimeStampResp, DER. The token inside is parsed and verified before it is returned.
    /// `serial` is positive, at most 20 bytes and never used twice.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another policy, [`Error::Key`] if signing fails.
    pub fn respond(
        &self,
        request: &TimeStampReq,
        key: &dyn Signer,
        gen_time: impl Into<GenTime>,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        granted(&self.token(request, key, gen_time, serial)?)
    }

    /// The token alone (ContentInfo, DER); otherwise as [`TimeStampAuthority::respond`].
    ///
    /// # Errors
    /// As [`TimeStampAuthority::respond`].
    pub fn token(
        &self,
        request: &TimeStampReq,
        key: &dyn Signer,
        gen_time: impl Into<GenTime>,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        let gen_time = gen_time.into();
        if request.policy.is_some_and(|policy| policy != self.policy) {
            return Err(Error::unsupported(WHAT_POLICY, "not issued here"));
        }
        if !(1..=20).contains(&serial.len()) || serial.iter().all(|byte| *byte == 0) {
            return Err(Error::malformed(
                WHAT,
                "serial must be positive and of 1 to 20 bytes",
            ));
        }
        let accuracy_ms = gen_time.accuracy_ms.unwrap_or(self.accuracy_ms);
        if accuracy_ms > self.accuracy_ms {
            return Err(Error::not_verified(
                WHAT,
                format!("{accuracy_ms} ms is worse than the unit's claim"),
            ));
        }
        let content = self.tst_info(request, &gen_time, accuracy_ms, serial)?;
        let context = TokenContext {
            unit: &self.certificate,
            policy: self.policy,
            imprint: &request.imprint,
            nonce: request.nonce.as_deref(),
            gen_time: gen_time.at,
        };
        lint::require(&content, &Artifact::TstInfo(context))?;
        // RFC 3161 2.4.1: no certificates unless asked for.
        let certificates = if request.cert_req {
            core::iter::once(&self.certificate)
                .chain(&self.chain)
                .collect()
        } else {
            vec![]
        };
        let parts = Parts {
            content_type: oid::CT_TST_INFO,
            content: &content,
            is_detached: false,
            signer: &self.certificate,
            certificates,
            crls: &[],
            ocsp: &[],
            binds_status: false,
            attributes: vec![],
        };
        let der = build(parts, key)?;
        self.check(&der, request, &gen_time, serial)?;
        Ok(der)
    }

    /// CAdES-B becomes CAdES-T, as by [`crate::cms::add_signature_time_stamp`] with a token over the signature value;
    /// but the token is verified only once.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is a signature time-stamp already, otherwise as
    /// [`TimeStampAuthority::respond`].
    pub fn stamp_signature(
        &self,
        cms_der: &[u8],
        key: &dyn Signer,
        gen_time: impl Into<GenTime>,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        let signature = Unstamped::from_der(cms_der)?;
        let imprint = Imprint::of(HashAlgorithm::Sha384, signature.value());
        let request = TimeStampReq::make(imprint, None, true, None)?;
        let token = self.token(&request, key, gen_time, serial)?;
        signature.attach(&token)
    }

    fn tst_info(
        &self,
        request: &TimeStampReq,
        gen_time: &GenTime,
        accuracy_ms: u32,
        serial: &[u8],
    ) -> Result<Vec<u8>> {
        let encode = || {
            let evidence = gen_time.evidence.as_ref();
            let extension = evidence.map(ClockEvidence::to_extension).transpose()?;
            TstInfoValue {
                version: 1,
                policy: self.policy,
                message_imprint: MessageImprint::of(&request.imprint, request.has_null_parameters)?,
                serial_number: Int::from(Uint::new(serial)?),
                gen_time: PreciseTime { at: gen_time.at },
                accuracy: Accuracy::of_ms(accuracy_ms),
                ordering: false,
                nonce: request.nonce.as_deref().map(Int::new).transpose()?,
                tsa: None,
                extensions: extension.map(|extension| vec![extension]),
            }
            .to_der()
        };
        encode().map_err(|e: DerError| Error::malformed(WHAT, e))
    }

    /// No token leaves that does not read back as what was asked for.
    fn check(
        &self,
        der: &[u8],
        request: &TimeStampReq,
        gen_time: &GenTime,
        serial: &[u8],
    ) -> Result<()> {
        let token = TimeStampToken::from_der(der)?;
        let unit = core::slice::from_ref(&self.certificate);
        token.verify_with(request.imprint.algorithm, &request.imprint.digest, unit)?;
        let info = token.tst_info();
        let as_asked = info.gen_time == gen_time.at
            && info.nonce == request.nonce
            && info.policy == self.policy
            && info.serial == magnitude(serial)
            && info.clock_evidence == gen_time.evidence;
        if !as_asked {
            return Err(Error::not_verified(WHAT, "differs from what was asked for"));
        }
        Ok(())
    }
}
