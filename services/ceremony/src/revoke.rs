//! The root's later sessions: the next revocation list.

use std::io::Write;

use probity_domain::Timestamp;
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::keys::MemoryKey;
use probity_pki::x509::Certificate;

use crate::error::{Error, Result};
use crate::folder::{self, read_text};
use crate::layout;
use crate::make::{BACKDATED_MS, DAY_MS};
use crate::settings::{self, Reason};

/// Replaces the root's list by one with the next number, all entries so far and the new one.
pub(crate) fn next_list(
    settings: &settings::Crl,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<()> {
    let file = |name: &str| settings.dir.join(name);
    let passphrase = settings::passphrase(&settings.root_passphrase_file)?;
    let root = Certificate::from_pem(&read_text(&file(&layout::ROOT.public()))?)?;
    let key = read_text(&file(&layout::ROOT.key()))?;
    let key = MemoryKey::from_encrypted_pem(&key, &passphrase)?;
    let last = Crl::from_der(&folder::read(&file(layout::ROOT_CRL))?)?;
    last.verify(&root)?;

    let mut revoked = last.revoked().to_vec();
    if let (Some(path), Some(reason)) = (&settings.revoke, settings.reason) {
        let certificate = Certificate::from_pem(&read_text(path)?)?;
        certificate.verify_issued_by(&root)?;
        if last.find(certificate.serial()).is_some() {
            return Err(Error::Refused(format!(
                "{} is revoked already",
                certificate.subject()
            )));
        }
        let serial = certificate.serial().to_vec();
        revoked.push(RevokedEntry {
            serial,
            at: now,
            reason: Some(reason.into()),
            invalid_since: None,
        });
    }
    let number = last
        .number()
        .and_then(|number| number.checked_add(1))
        .ok_or_else(|| Error::Refused("the last list's number has no successor".to_owned()))?;
    // Not backdated below the last one: the order of lists is the order of their times; nor below what it says: no
    // list knows what comes after it.
    let known = revoked.iter().map(|entry| entry.at);
    let earliest = known.fold(last.this_update(), Timestamp::max);
    let this_update = now.plus_ms(-BACKDATED_MS).max(earliest).min(now);
    let next_update = now.plus_ms(i64::from(settings.crl_days) * DAY_MS);
    let crl = Crl::from_der(&build_crl(
        &root,
        &key,
        number,
        this_update,
        next_update,
        &revoked,
    )?)?;
    folder::replace_public(&file(layout::ROOT_CRL), crl.der())?;
    folder::replace_public(&file(layout::ROOT_CRL_PEM), crl.to_pem()?.as_bytes())?;
    writeln!(
        out,
        "root revocation list {number}: {} revoked, next update {next_update}",
        revoked.len()
    )?;
    Ok(())
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::CaCompromise => Self::CaCompromise,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}
