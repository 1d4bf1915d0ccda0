//! The verb: a token over a signature, and tokens for anybody.

use std::sync::Arc;

use const_oid::ObjectIdentifier;
use probity_pki as pki;
use probity_pki::keys::Signer;
use probity_pki::tsp::{GenTime, PkiFailureInfo, TimeStampAuthority, TimeStampReq, refusal};
use probity_pki::x509::Certificate;
use probity_platform::keys::{self, Validity};
use probity_platform::{Error, Random, Result};
use probity_proto::v1::EvidenceRecord;

use crate::{ClockLease, Config};

/// A time-stamping unit at work: authority, key and clock.
pub struct TimeStamper {
    authority: TimeStampAuthority,
    key: Box<dyn Signer>,
    lease: Arc<ClockLease>,
    random: Arc<dyn Random>,
}

impl TimeStamper {
    /// Reads the files the configuration names.
    ///
    /// # Errors
    /// `Malformed`, naming the file or what does not belong together.
    pub fn open(config: &Config, lease: Arc<ClockLease>, random: Arc<dyn Random>) -> Result<Self> {
        let certificate = keys::read_certificate(&config.certificate_file)?;
        let key = keys::open_signer(
            config.key_file.as_deref(),
            config.passphrase_file.as_ref(),
            config.pkcs11.as_ref(),
            &certificate,
        )?;
        let mut chain = Vec::new();
        for file in &config.chain_files {
            chain.extend(keys::read_certificates(file)?);
        }
        let policy = ObjectIdentifier::new(&config.policy_oid)
            .map_err(|e| Error::malformed(format!("policy_oid: {e}")))?;
        let accuracy_ms = config.accuracy_ms;
        let authority = TimeStampAuthority {
            certificate,
            chain,
            policy,
            accuracy_ms,
        };
        Self::new(authority, key, lease, random)
    }

    /// # Errors
    /// `Malformed` when the certificate is no time-stamping unit's or the key is another's.
    pub fn new(
        authority: TimeStampAuthority,
        key: Box<dyn Signer>,
        lease: Arc<ClockLease>,
        random: Arc<dyn Random>,
    ) -> Result<Self> {
        if !authority.certificate.is_time_stamping_unit() {
            return Err(Error::malformed(
                "timeStamping is not the one critical extended key usage",
            ));
        }
        if key.public_key_der() != authority.certificate.spki_der() {
            return Err(Error::malformed(
                "the key is not the time-stamping certificate's",
            ));
        }
        Ok(Self {
            authority,
            key,
            lease,
            random,
        })
    }

    /// The unit's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.authority.certificate
    }

    /// Puts a token over the record's signature. CPU work.
    ///
    /// # Errors
    /// `Unavailable` when the clock may not be believed; `Malformed` when the signature does not read or is stamped
    /// already.
    pub fn stamp(&self, record: &EvidenceRecord) -> Result<EvidenceRecord> {
        let at = self.now()?;
        let signature = self
            .authority
            .stamp_signature(&record.signature, &*self.key, at, &self.serial())
            .map_err(|e| match e {
                pki::Error::Malformed { .. }
                | pki::Error::Unsupported { .. }
                | pki::Error::TooLarge { .. } => Error::malformed(e),
                _ => keys::unsigned(e),
            })?;
        Ok(EvidenceRecord {
            signature: signature.into(),
            ..record.clone()
        })
    }

    /// Answers a TimeStampReq, DER, with a TimeStampResp, DER: a token or a refusal.
    ///
    /// # Errors
    /// `Internal` when not even a refusal can be written.
    pub fn respond(&self, request: &[u8]) -> Result<Vec<u8>> {
        let refused = |failure, text: &str| refusal(failure, text).map_err(Error::internal);
        let request = match TimeStampReq::from_der(request) {
            Ok(request) => request,
            Err(e) => return refused(PkiFailureInfo::of(&e), &e.to_string()),
        };
        let at = match self.now() {
            Ok(at) => at,
            Err(e) => return refused(PkiFailureInfo::TimeNotAvailable, &e.detail),
        };
        match self
            .authority
            .respond(&request, &*self.key, at, &self.serial())
        {
            Ok(response) => Ok(response),
            Err(e) => {
                let failure = PkiFailureInfo::of(&e);
                if failure == PkiFailureInfo::SystemFailure {
                    tracing::error!(error = %e, "a token could not be made");
                    return refused(failure, "the token could not be made");
                }
                refused(failure, &e.to_string())
            }
        }
    }

    /// Whether there may be a token now; leaves no trace in the clock log.
    ///
    /// # Errors
    /// `Unavailable`, saying why not.
    pub fn holds(&self) -> Result<()> {
        self.lease.holds()
    }

    /// What a token cannot do without, and how long each of it is good.
    #[must_use]
    pub fn validities(&self) -> Vec<Validity> {
        let TimeStampAuthority {
            certificate, chain, ..
        } = &self.authority;
        let mut validities = vec![Validity::of_certificate(
            "time-stamping certificate",
            certificate,
        )];
        let earliest = chain.iter().min_by_key(|c| c.not_after());
        validities.extend(earliest.map(|c| Validity::of_certificate("time-stamping chain", c)));
        validities
    }

    fn now(&self) -> Result<GenTime> {
        let at = self.lease.now()?;
        if !self.authority.certificate.is_valid_at(at.at) {
            return Err(Error::unavailable(
                "the time-stamping certificate is not valid now",
            ));
        }
        Ok(at)
    }

    /// 159 random bits, positive: unique for ever without anything to remember (RFC 3161 2.4.2 demands it even after a
    /// crash). Among 2^40 tokens two are the same with a chance of 2^-80; a counter would have to survive every crash,
    /// restored backup and second process of the unit to be as good.
    fn serial(&self) -> [u8; 20] {
        let mut serial = self.random.bytes::<20>();
        if let Some(first) = serial.first_mut() {
            *first &= 0x7f;
        }
        serial
    }
}
