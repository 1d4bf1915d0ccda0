//! The ceremony itself.

use std::io::Write;

use probity_domain::Timestamp;
use probity_pki::cms::{CommitmentType, SignRequest, sign_detached};
use probity_pki::crl::{Crl, build_crl};
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::tlog::LogKey;
use probity_pki::x509::{Addresses, Certificate, CertificateTemplate, Profile, sign_certificate};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::folder::Unfinished;
use crate::layout::{self, Place};
use crate::record::{self, CertificateEntry, FileEntry, LogEntry, Record};
use crate::settings::{self, Make};

pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
pub(crate) const YEAR_MS: i64 = 365 * DAY_MS;
const ISSUING_YEARS_MAX: u8 = 10;
const TSA_YEARS_MAX: u8 = 10;
const SEAL_YEARS_MAX: u8 = 3;
/// Its certificate cannot be revoked (id-pkix-ocsp-nocheck), so it is short.
pub(crate) const OCSP_YEARS_MAX: u8 = 1;
pub(crate) const OCSP_TITLE: &str = "OCSP Responder";
/// Certificates are good from a little before the ceremony: other machines' clocks may be behind.
pub(crate) const BACKDATED_MS: i64 = 60 * 60 * 1000;
const FIRST_CRL: u64 = 1;

/// A key and its certificate.
struct Holder {
    key: MemoryKey,
    certificate: Certificate,
}

/// What a certificate says beyond its profile.
struct Order<'a> {
    profile: Profile,
    title: &'a str,
    years: u8,
    issuer: Option<&'a Holder>,
    ocsp: bool,
}

/// Makes everything, then writes it: a ceremony is there whole or not at all.
pub(crate) fn make(settings: &Make, now: Timestamp, out: &mut dyn Write) -> Result<()> {
    let passphrase = settings::passphrase(&settings.passphrase_file)?;
    let root_passphrase = match &settings.root_passphrase_file {
        Some(file) => settings::passphrase(file)?,
        None => passphrase.clone(),
    };
    let folder = Unfinished::new(&settings.out)?;
    let session = Session { settings, now };

    let root = session.issue(&Order::root(settings.years))?;
    let issuing = session.issue(&Order::below(&root, Profile::IssuingCa))?;
    let tsa = session.issue(&Order::below(&root, Profile::Tsa))?;
    let ocsp = session.issue(&Order::below(&issuing, Profile::OcspResponder))?;
    let seal = session.issue(&Order::below(&issuing, Profile::Seal))?;
    let log = session.log_key()?;
    let crl = session.first_crl(&root)?;

    let kept = [
        (layout::ROOT, &root, &root_passphrase),
        (layout::ISSUING, &issuing, &passphrase),
        (layout::OCSP, &ocsp, &passphrase),
        (layout::TSA, &tsa, &passphrase),
        (layout::SEAL, &seal, &passphrase),
    ];
    for (place, holder, passphrase) in kept {
        write_holder(&folder, place, holder, passphrase)?;
    }
    folder.write_secret(
        layout::LOG_KEY,
        log.to_encrypted_pem(&passphrase)?.as_bytes(),
    )?;
    folder.write_public(
        layout::LOG_VERIFIER,
        format!("{}\n", log.verifier_key()).as_bytes(),
    )?;
    folder.write_public(layout::ROOT_CRL, crl.der())?;
    folder.write_public(layout::ROOT_CRL_PEM, crl.to_pem()?.as_bytes())?;

    let mut entries: Vec<CertificateEntry> = kept
        .iter()
        .map(|(place, holder, _)| {
            CertificateEntry::new(place.public(), &holder.certificate, Some(place.key()))
        })
        .collect();
    // The key lives in this block only: it signs the record and nothing ever after.
    {
        let witness = session.issue(&Order::below(&root, Profile::Ceremony))?;
        entries.push(CertificateEntry::new(
            layout::WITNESS.to_owned(),
            &witness.certificate,
            None,
        ));
        let record = session.record(entries, &log, &crl).to_bytes()?;
        let signature = sign_record(&record, &witness, now)?;
        folder.write_public(layout::WITNESS, witness.certificate.to_pem()?.as_bytes())?;
        folder.write_public(layout::RECORD, &record)?;
        folder.write_public(layout::RECORD_SIGNATURE, &signature)?;
    }
    folder.finish()?;
    report(
        settings,
        &kept.map(|(place, holder, _)| (place, &holder.certificate)),
        &log,
        out,
    )
}

impl<'a> Order<'a> {
    fn root(years: u8) -> Self {
        Self {
            profile: Profile::RootCa,
            title: "Root CA",
            years,
            issuer: None,
            ocsp: false,
        }
    }

    fn below(issuer: &'a Holder, profile: Profile) -> Self {
        let (title, years) = match profile {
            Profile::IssuingCa => ("Issuing CA", ISSUING_YEARS_MAX),
            Profile::Tsa => ("Time-Stamping Unit", TSA_YEARS_MAX),
            Profile::OcspResponder => (OCSP_TITLE, OCSP_YEARS_MAX),
            Profile::Seal => ("Delivery Seal", SEAL_YEARS_MAX),
            _ => ("Key Ceremony", u8::MAX),
        };
        let by_root = issuer.certificate.is_self_issued();
        Self {
            profile,
            title,
            years,
            issuer: Some(issuer),
            // The responder answers for what the issuing CA issued, but for itself.
            ocsp: !by_root && profile != Profile::OcspResponder,
        }
    }
}

struct Session<'a> {
    settings: &'a Make,
    now: Timestamp,
}

impl Session<'_> {
    fn issue(&self, order: &Order<'_>) -> Result<Holder> {
        let key = MemoryKey::generate()?;
        let years = i64::from(order.years.min(self.settings.years));
        let not_before = self.now.plus_ms(-BACKDATED_MS);
        let mut not_after = self.now.plus_ms(years * YEAR_MS);
        if let Some(issuer) = order.issuer {
            not_after = not_after.min(issuer.certificate.not_after());
        }
        let serial = serial()?;
        let template = CertificateTemplate {
            profile: order.profile,
            serial: &serial,
            subject: self.settings.operator().subject(order.title),
            spki_der: key.public_key_der(),
            not_before,
            not_after,
            issuer: order.issuer.map(|issuer| &issuer.certificate),
            addresses: Addresses {
                crl: of_issuer(order.issuer, self.settings.crl_url.as_deref(), "root.crl"),
                ocsp: self.settings.ocsp_url.clone().filter(|_| order.ocsp),
                ca_issuers: of_issuer(
                    order.issuer,
                    self.settings.ca_issuers_url.as_deref(),
                    "root.cer",
                ),
                cps: self.settings.cps_url.clone(),
            },
            reliance_limit: None,
            instruction: None,
        };
        let issuer_key = order.issuer.map_or(&key, |issuer| &issuer.key);
        let certificate = sign_certificate(&template.to_be_signed()?, issuer_key)?;
        Ok(Holder { key, certificate })
    }

    fn log_key(&self) -> Result<LogKey> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        random(seed.as_mut_slice())?;
        Ok(LogKey::generate(&self.settings.log_name, &seed)?)
    }

    fn first_crl(&self, root: &Holder) -> Result<Crl> {
        let next_update = self.now.plus_ms(i64::from(self.settings.crl_days) * DAY_MS);
        let this_update = self.now.plus_ms(-BACKDATED_MS);
        let der = build_crl(
            &root.certificate,
            &root.key,
            FIRST_CRL,
            this_update,
            next_update,
            &[],
        )?;
        Ok(Crl::from_der(&der)?)
    }

    fn record(&self, certificates: Vec<CertificateEntry>, log: &LogKey, crl: &Crl) -> Record {
        Record {
            format: record::FORMAT.to_owned(),
            at: self.now.to_rfc3339(),
            operator: self.settings.operator(),
            witnesses: self.settings.witnesses.clone(),
            software: record::software(),
            certificates,
            log: LogEntry {
                name: log.name().to_owned(),
                verifier_key: log.verifier_key().to_owned(),
                key_file: layout::LOG_KEY.to_owned(),
            },
            root_crl: FileEntry {
                file: layout::ROOT_CRL.to_owned(),
                sha256: record::sha256(crl.der()),
            },
        }
    }
}

/// Where what belongs to `issuer` is published: the issuing CA's at `url`, the root's beside it.
fn of_issuer(issuer: Option<&Holder>, url: Option<&str>, of_root: &str) -> Option<String> {
    let (issuer, url) = (issuer?, url?);
    if !issuer.certificate.is_self_issued() {
        return Some(url.to_owned());
    }
    let (folder, _) = url.rsplit_once('/')?;
    Some(format!("{folder}/{of_root}"))
}

fn write_holder(
    folder: &Unfinished,
    place: Place,
    holder: &Holder,
    passphrase: &[u8],
) -> Result<()> {
    let pem = holder.certificate.to_pem()?;
    folder.write_secret(
        &place.key(),
        holder.key.to_encrypted_pem(passphrase)?.as_bytes(),
    )?;
    folder.write_public(&place.certificate(), pem.as_bytes())?;
    folder.write_public(&place.public(), pem.as_bytes())
}

fn sign_record(record: &[u8], witness: &Holder, now: Timestamp) -> Result<Vec<u8>> {
    let request = SignRequest {
        content: record,
        signer: &witness.certificate,
        extra_certificates: &[],
        crls: &[],
        signing_time: now,
        commitment: CommitmentType::ProofOfCreation,
        instruction_digest: None,
    };
    Ok(sign_detached(&request, &witness.key)?)
}

/// 20 random bytes, positive (RFC 5280 4.1.2.2).
pub(crate) fn serial() -> Result<[u8; 20]> {
    let mut serial = [0; 20];
    random(&mut serial)?;
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    Ok(serial)
}

fn random(buffer: &mut [u8]) -> Result<()> {
    getrandom::fill(buffer)
        .map_err(|e| Error::Refused(format!("the system gives no randomness: {e}")))
}

fn report(
    settings: &Make,
    kept: &[(Place, &Certificate)],
    log: &LogKey,
    out: &mut dyn Write,
) -> Result<()> {
    writeln!(
        out,
        "ceremony of {} in {}",
        settings.operator_name,
        settings.out.display()
    )?;
    for (place, certificate) in kept {
        let digest = hex::encode(certificate.sha256());
        writeln!(out, "  {:<28} SHA-256 {digest}", place.key())?;
    }
    writeln!(out, "  {:<28} {}", layout::LOG_KEY, log.verifier_key())?;
    if settings.root_passphrase_file.is_none() {
        writeln!(
            out,
            "  root and roles share one passphrase: fit for a demonstration only"
        )?;
    }
    writeln!(
        out,
        "  read the digests aloud, sign the record, carry folder `root` to a safe"
    )?;
    Ok(())
}
