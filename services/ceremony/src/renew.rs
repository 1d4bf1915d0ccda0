//! The OCSP responder's next certificate: it is good for a year, so this session comes before the root's.
//!
//! Signed by the issuing CA, like the first one. Its key stays (in its file or its token, neither of which is touched),
//! or is made anew here, or is the one in a certification request that a token's own tools made.

use std::io::Write;

use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Csr, Profile, sign_certificate,
};

use crate::error::Result;
use crate::folder::{self, read_text};
use crate::layout::{self, OCSP};
use crate::make::{BACKDATED_MS, OCSP_TITLE, OCSP_YEARS_MAX, YEAR_MS, serial};
use crate::record::Record;
use crate::settings::{self, Ocsp};

/// Replaces the responder's certificate, and keeps the one before it beside it in `public/`.
pub(crate) fn ocsp(settings: &Ocsp, now: Timestamp, out: &mut dyn Write) -> Result<()> {
    let file = |name: &str| settings.dir.join(name);
    let passphrase = settings::passphrase(&settings.passphrase_file)?;
    let issuing = Certificate::from_pem(&read_text(&file(&layout::ISSUING.public()))?)?;
    let issuing_key = read_text(&file(&layout::ISSUING.key()))?;
    let issuing_key = MemoryKey::from_encrypted_pem(&issuing_key, &passphrase)?;
    let before = Certificate::from_pem(&read_text(&file(&OCSP.public()))?)?;
    before.verify_issued_by(&issuing)?;
    let record: Record = serde_json::from_slice(&folder::read(&file(layout::RECORD))?)?;

    let new_key = settings.new_key.then(MemoryKey::generate).transpose()?;
    let spki_der = match (&new_key, &settings.request) {
        (Some(key), _) => key.public_key_der().to_vec(),
        (None, Some(path)) => Csr::from_pem(&read_text(path)?)?.spki_der().to_vec(),
        (None, None) => before.spki_der().to_vec(),
    };
    let template = CertificateTemplate {
        profile: Profile::OcspResponder,
        serial: &serial()?,
        subject: record.operator.subject(OCSP_TITLE),
        spki_der: &spki_der,
        not_before: now.plus_ms(-BACKDATED_MS),
        not_after: now
            .plus_ms(i64::from(OCSP_YEARS_MAX) * YEAR_MS)
            .min(issuing.not_after()),
        issuer: Some(&issuing),
        // Nobody asks whether it is revoked (id-pkix-ocsp-nocheck, RFC 6960 4.2.2.2.1).
        addresses: Addresses {
            cps: settings.cps_url.clone(),
            ..Addresses::default()
        },
        reliance_limit: None,
        instruction: None,
    };
    let certificate = sign_certificate(&template.to_be_signed()?, &issuing_key)?;
    let pem = certificate.to_pem()?;

    let kept = layout::former(OCSP, before.serial_hex());
    folder::replace_public(&file(&kept), before.to_pem()?.as_bytes())?;
    if let Some(key) = &new_key {
        let key = key.to_encrypted_pem(&passphrase)?;
        folder::replace_secret(&file(&OCSP.key()), key.as_bytes())?;
    }
    folder::replace_public(&file(&OCSP.certificate()), pem.as_bytes())?;
    folder::replace_public(&file(&OCSP.public()), pem.as_bytes())?;
    writeln!(
        out,
        "{}: serial {}, until {}, key {}; the one before it is {kept}",
        OCSP.public(),
        certificate.serial_hex(),
        certificate.not_after(),
        if spki_der == before.spki_der() {
            "kept"
        } else {
            "new"
        },
    )?;
    Ok(())
}
