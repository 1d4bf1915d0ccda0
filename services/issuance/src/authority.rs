//! The CA itself: its key, its chain, and what it puts into certificates.

use probity_domain::Timestamp;
use probity_pki::crl::Crl;
use probity_pki::keys::Signer;
use probity_pki::x509::{Addresses, Certificate};
use probity_platform::keys::{self, Validity};
use probity_platform::{Error, Result};

use crate::Config;

/// The issuing CA. Its key leaves this type as signatures only.
pub struct Authority {
    pub(crate) key: Box<dyn Signer>,
    pub(crate) certificate: Certificate,
    pub(crate) root: Certificate,
    pub(crate) root_crl: Crl,
    ceremony: Vec<Certificate>,
    pub(crate) settings: Settings,
}

/// What the configuration decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Stand in every certificate.
    pub addresses: Addresses,
    pub reliance_limit: Option<String>,
    pub event_validity_ms: i64,
    pub crl_validity_ms: i64,
    pub crl_period_ms: i64,
}

impl Settings {
    /// # Errors
    /// `Malformed` when a period does not fit into the validity it renews.
    pub fn of(config: &Config) -> Result<Self> {
        let hours = |hours: u32| i64::from(hours) * 3_600_000;
        let settings = Self {
            addresses: Addresses {
                crl: Some(config.crl_url.clone()),
                ocsp: config.ocsp.as_ref().map(|ocsp| ocsp.url.clone()),
                ca_issuers: config.ca_issuers_url.clone(),
                cps: config.cps_url.clone(),
            },
            reliance_limit: config.reliance_limit.clone(),
            event_validity_ms: hours(config.event_validity_hours),
            crl_validity_ms: hours(config.crl_validity_hours),
            crl_period_ms: i64::from(config.crl_period_s) * 1_000,
        };
        if settings.event_validity_ms == 0 || settings.event_validity_ms > hours(24 * 31) {
            return Err(Error::malformed("event_validity_hours is 1 to 744"));
        }
        if settings.crl_validity_ms > hours(24 * 366) {
            return Err(Error::malformed("crl_validity_hours is 1 to 8784"));
        }
        if settings.crl_period_ms == 0 || settings.crl_period_ms * 2 > settings.crl_validity_ms {
            return Err(Error::malformed(
                "a CRL is valid for at least two crl_period_s",
            ));
        }
        Ok(settings)
    }
}

impl Authority {
    /// Reads the files the configuration names.
    ///
    /// # Errors
    /// `Malformed`, naming the file or the parts that do not belong together.
    pub fn open(config: &Config) -> Result<Self> {
        let certificate = keys::read_certificate(&config.issuing_certificate_file)?;
        let key = keys::open_signer(
            config.issuing_key_file.as_deref(),
            config.issuing_passphrase_file.as_ref(),
            config.issuing_pkcs11.as_ref(),
            &certificate,
        )?;
        let root = keys::read_certificate(&config.root_certificate_file)?;
        let root_crl = keys::read_crl(&config.root_crl_file)?;
        let files = &config.ceremony_certificate_files;
        let ceremony = files.iter().map(|file| keys::read_certificate(file));
        let ceremony = ceremony.collect::<Result<_>>()?;
        Self::new(key, certificate, root, root_crl, Settings::of(config)?)?
            .with_ceremony_certificates(ceremony)
    }

    /// From parts that are checked to belong together.
    ///
    /// # Errors
    /// `Malformed` when they do not.
    pub fn new(
        key: Box<dyn Signer>,
        certificate: Certificate,
        root: Certificate,
        root_crl: Crl,
        settings: Settings,
    ) -> Result<Self> {
        if key.public_key_der() != certificate.spki_der() || !certificate.is_ca() {
            return Err(Error::malformed(
                "the issuing certificate is not a CA's with this key",
            ));
        }
        certificate
            .verify_issued_by(&root)
            .map_err(Error::malformed)?;
        root_crl.verify(&root).map_err(Error::malformed)?;
        if root_crl.find(certificate.serial()).is_some() {
            return Err(Error::malformed(
                "the root has revoked the issuing certificate",
            ));
        }
        Ok(Self {
            key,
            certificate,
            root,
            root_crl,
            ceremony: Vec::new(),
            settings,
        })
    }

    /// Adds certificates the issuing CA signed in the ceremony.
    ///
    /// # Errors
    /// `Malformed` for one of another issuer.
    pub fn with_ceremony_certificates(mut self, certificates: Vec<Certificate>) -> Result<Self> {
        for certificate in &certificates {
            certificate
                .verify_issued_by(&self.certificate)
                .map_err(|e| Error::malformed(format!("{}: {e}", certificate.subject())))?;
        }
        self.ceremony = certificates;
        Ok(self)
    }

    /// Whether a certificate of the ceremony has this serial number, in lower-case hexadecimal.
    pub(crate) fn made_in_ceremony(&self, serial: &str) -> bool {
        self.ceremony.iter().any(|c| c.serial_hex() == serial)
    }

    /// The issuing CA's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What the CA cannot issue without, and how long each of it is good.
    #[must_use]
    pub fn validities(&self) -> Vec<Validity> {
        vec![
            Validity::of_certificate("root certificate", &self.root),
            Validity::of_crl("root CRL", &self.root_crl),
            Validity::of_certificate("issuing certificate", &self.certificate),
        ]
    }

    /// A CA whose root says nothing current about it issues nothing: nobody could check what it issued.
    ///
    /// # Errors
    /// `Unavailable` until the ceremony's next root CRL is in place.
    pub(crate) fn check_current(&self, now: Timestamp) -> Result<()> {
        if self.root_crl.next_update() <= now {
            return Err(Error::unavailable("the root CRL is out of date"));
        }
        if !self.certificate.is_valid_at(now) {
            return Err(Error::unavailable(
                "the issuing certificate is not valid now",
            ));
        }
        Ok(())
    }
}
