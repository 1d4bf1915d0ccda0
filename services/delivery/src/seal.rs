//! The delivery seal: one signature over every member of a package.

use std::sync::{Arc, Mutex, PoisonError};

use probity_domain::Timestamp;
use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_manifest,
};
use probity_pki::crl::Crl;
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::Signer;
use probity_pki::tsp::{Imprint, TimeStampReq, TimeStampResp};
use probity_pki::x509::Certificate;
use probity_platform::keys::{self, Validity};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};

use crate::Config;
use crate::error::kept;
use crate::ports::Stamp;

/// Where issuance publishes its lists; the numbers in their names sort.
const ISSUING_CRLS: &str = "repository/crl/issuing/";
const CRL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long the newest list is not looked for again.
const CRL_AGE_MS_MAX: i64 = 60_000;
const PAGE: u16 = 1_000;

/// The seal's key with what verifiers need beside its signature.
pub struct Seal {
    parts: Arc<Parts>,
    truth: Arc<dyn Objects>,
    newest: Mutex<Option<Newest>>,
    stamp: Option<Arc<dyn Stamp>>,
}

/// What lies in files.
struct Parts {
    key: Box<dyn Signer>,
    certificate: Certificate,
    chain: Vec<Certificate>,
    crls: Vec<Crl>,
}

#[derive(Clone)]
struct Newest {
    key: String,
    crl: Crl,
    looked_at: Timestamp,
}

impl Seal {
    /// Opens the files the configuration names.
    ///
    /// # Errors
    /// `Malformed`, naming the file.
    pub fn open(config: &Config, truth: Arc<dyn Objects>) -> Result<Self> {
        let certificate = keys::read_certificate(&config.seal_certificate_file)?;
        let key = keys::open_signer(
            config.seal_key_file.as_deref(),
            config.seal_passphrase_file.as_ref(),
            config.seal_pkcs11.as_ref(),
            &certificate,
        )?;
        let mut chain = Vec::new();
        for file in &config.seal_chain_files {
            chain.extend(keys::read_certificates(file)?);
        }
        let crls = config
            .seal_crl_files
            .iter()
            .map(|file| keys::read_crl(file))
            .collect::<Result<_>>()?;
        Ok(Self::new(key, certificate, chain, crls, truth))
    }

    /// From parts at hand.
    #[must_use]
    pub fn new(
        key: Box<dyn Signer>,
        certificate: Certificate,
        chain: Vec<Certificate>,
        crls: Vec<Crl>,
        truth: Arc<dyn Objects>,
    ) -> Self {
        let parts = Parts {
            key,
            certificate,
            chain,
            crls,
        };
        Self {
            parts: Arc::new(parts),
            truth,
            newest: Mutex::new(None),
            stamp: None,
        }
    }

    /// Proves the time of its seals by a time-stamp; without, it is only claimed.
    #[must_use]
    pub fn stamped_by(mut self, stamp: Arc<dyn Stamp>) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// The seal's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.parts.certificate
    }

    /// What a seal cannot do without, and how long each of it is good.
    #[must_use]
    pub fn validities(&self) -> Vec<Validity> {
        let mut validities = vec![Validity::of_certificate(
            "seal certificate",
            &self.parts.certificate,
        )];
        let earliest = |a: &Crl, b: &Crl| a.next_update().cmp(&b.next_update());
        let crl = self.parts.crls.iter().min_by(|a, b| earliest(a, b));
        validities.extend(crl.map(|crl| Validity::of_crl("seal CRL", crl)));
        validities
    }

    /// Signs a seal manifest.
    ///
    /// # Errors
    /// `Unavailable` when the certificate is not valid at `at`, the repository cannot be read or there is no time-stamp.
    pub async fn sign(&self, manifest: &[u8], at: Timestamp) -> Result<Vec<u8>> {
        if !self.parts.certificate.is_valid_at(at) {
            return Err(Error::unavailable(
                "the delivery seal's certificate is not valid now",
            ));
        }
        let newest = self.newest_issuing_crl(at).await?;
        let (parts, content) = (self.parts.clone(), manifest.to_vec());
        let signed = keys::signing(move || parts.sign(&content, newest, at));
        let signature = signed.await?;
        match &self.stamp {
            Some(stamp) => time_stamped(&signature, &**stamp).await,
            None => Ok(signature),
        }
    }

    /// The issuing CA's newest list; `None` while it has published none.
    async fn newest_issuing_crl(&self, now: Timestamp) -> Result<Option<Crl>> {
        let known = self
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = &known
            && now.ms_since(known.looked_at) < CRL_AGE_MS_MAX
        {
            return Ok(Some(known.crl.clone()));
        }
        let mut newest = known.map(|n| n.key);
        loop {
            let page = self
                .truth
                .list(ISSUING_CRLS, newest.as_deref(), PAGE)
                .await?;
            let full = page.len() == usize::from(PAGE);
            if let Some(last) = page.into_iter().next_back() {
                newest = Some(last.key);
            }
            if !full {
                break;
            }
        }
        let Some(key) = newest else { return Ok(None) };
        let object = self.truth.get(&key, CRL_BYTES_MAX).await?;
        let object = object.ok_or_else(|| Error::unavailable(format!("{key} is gone")))?;
        let crl = Crl::from_der(&object.bytes).map_err(kept)?;
        let found = Newest {
            key,
            crl: crl.clone(),
            looked_at: now,
        };
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(Some(crl))
    }
}

impl Parts {
    fn sign(&self, content: &[u8], newest: Option<Crl>, at: Timestamp) -> Result<Vec<u8>> {
        let crls: Vec<Crl> = self.crls.iter().cloned().chain(newest).collect();
        let request = SignRequest {
            content,
            signer: &self.certificate,
            extra_certificates: &self.chain,
            crls: &crls,
            signing_time: at,
            commitment: CommitmentType::ProofOfDelivery,
            instruction_digest: None,
        };
        sign_manifest(&request, &[], &*self.key).map_err(keys::unsigned)
    }
}

/// CAdES-B becomes CAdES-T.
async fn time_stamped(signature: &[u8], stamp: &dyn Stamp) -> Result<Vec<u8>> {
    let signed = SignedData::from_der(signature).map_err(kept)?;
    let imprint = Imprint::of(HashAlgorithm::Sha384, signed.signature_value());
    let request = TimeStampReq::make(imprint, None, true, None).map_err(kept)?;
    let response = stamp.stamp(request.to_der().map_err(kept)?).await?;
    let response = TimeStampResp::from_der(&response).map_err(kept)?;
    if let TimeStampResp::Refused { text, .. } = &response {
        return Err(Error::unavailable(format!("no time-stamp: {text}")));
    }
    let token = response.token_for(&request).map_err(kept)?;
    add_signature_time_stamp(signature, token.der()).map_err(kept)
}
