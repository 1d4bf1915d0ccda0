//! Revoking a certificate (L5–L8).
//!
//! The decision is one create-only object in the public repository: from then on every CRL names the serial, whoever
//! makes it. The ledger's event and the next CRL follow at once, or at the next period when this process dies between.

use probity_domain::Timestamp;
use probity_pki::crl::RevocationReason;
use probity_platform::ledger::{History, Ledger};
use probity_platform::objects::{Created, Objects};
use probity_platform::{Error, Result};
use probity_proto::format;
use probity_proto::ledger::CertificateEvent;
use serde::{Deserialize, Serialize};

use crate::CertificateState;
use crate::issue::{ACTOR, Issuer};

/// Folder of the notices, one for each revoked serial.
pub(crate) const REVOCATIONS: &str = "repository/revocations/";
const NOTICE_BYTES_MAX: u64 = 16 * 1024;
const NOTICE_FORMAT: &str = "probity.revocation/1";

/// A revoked certificate, for good: a definitive revocation is never undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Lower-case hexadecimal, as everywhere in the repository.
    pub serial: String,
    pub reason: RevocationReason,
    pub revoked_at: Timestamp,
    /// Who asked, e.g. `credential:…`.
    pub actor: String,
}

/// The notice as stored and published.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notice {
    format: String,
    serial: String,
    reason: String,
    revoked_at: String,
    actor: String,
}

const REASONS: [(RevocationReason, &str); 8] = [
    (RevocationReason::Unspecified, "unspecified"),
    (RevocationReason::KeyCompromise, "key_compromise"),
    (RevocationReason::CaCompromise, "ca_compromise"),
    (RevocationReason::AffiliationChanged, "affiliation_changed"),
    (RevocationReason::Superseded, "superseded"),
    (
        RevocationReason::CessationOfOperation,
        "cessation_of_operation",
    ),
    (RevocationReason::PrivilegeWithdrawn, "privilege_withdrawn"),
    (RevocationReason::AaCompromise, "aa_compromise"),
];

/// The reason named by a word (RFC 5280 5.3.1 in snake case). Suspension is not offered.
///
/// # Errors
/// `Malformed` for any other word.
pub fn parse_reason(word: &str) -> Result<RevocationReason> {
    REASONS
        .into_iter()
        .find(|(_, known)| *known == word)
        .map(|(reason, _)| reason)
        .ok_or_else(|| Error::malformed(format!("unknown revocation reason {word:?}")))
}

pub(crate) fn reason_word(reason: RevocationReason) -> &'static str {
    REASONS
        .into_iter()
        .find(|(r, _)| *r == reason)
        .map_or("unspecified", |(_, word)| word)
}

impl Revocation {
    pub(crate) fn serial_bytes(&self) -> Vec<u8> {
        // Read from and written to keys as hexadecimal only.
        hex::decode(&self.serial).unwrap_or_default()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let notice = Notice {
            format: NOTICE_FORMAT.to_owned(),
            serial: self.serial.clone(),
            reason: reason_word(self.reason).to_owned(),
            revoked_at: self.revoked_at.to_rfc3339(),
            actor: self.actor.clone(),
        };
        // Strings only: serialising cannot fail.
        serde_json::to_vec(&notice).unwrap_or_default()
    }

    fn read(serial: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::internal(format!("revocation {serial}: {e}"));
        let notice: Notice =
            format::read_json("notice", NOTICE_FORMAT, bytes).map_err(|e| bad(&e))?;
        format::expect(NOTICE_FORMAT, &notice.format).map_err(|e| bad(&e))?;
        if notice.serial != serial || !is_serial(serial) {
            return Err(bad(&"is another document"));
        }
        Ok(Self {
            serial: notice.serial,
            reason: parse_reason(&notice.reason).map_err(|e| bad(&e))?,
            revoked_at: Timestamp::parse_rfc3339(&notice.revoked_at).map_err(|e| bad(&e))?,
            actor: notice.actor,
        })
    }
}

/// Forty lower-case hexadecimal digits: twenty bytes.
pub(crate) fn is_serial(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The decision on a serial number, if there is one.
pub(crate) async fn find_revocation(
    truth: &dyn Objects,
    serial: &str,
) -> Result<Option<Revocation>> {
    let key = format!("{REVOCATIONS}{serial}.json");
    let object = truth.get(&key, NOTICE_BYTES_MAX).await?;
    object
        .map(|object| Revocation::read(serial, &object.bytes))
        .transpose()
}

pub(crate) async fn read_revocation(truth: &dyn Objects, serial: &str) -> Result<Revocation> {
    let found = find_revocation(truth, serial).await?;
    found.ok_or_else(|| Error::unavailable(format!("revocation {serial} is listed and gone")))
}

/// Revokes a certificate and publishes a CRL that says so. Again is the same as once: the first reason and time stay.
///
/// # Errors
/// `NotFound` for a serial never intended, nor issued in the ceremony; those of the store. After an error the revocation may stand; repeating
/// the request completes it.
pub async fn revoke(
    issuer: &Issuer,
    serial: &str,
    reason: RevocationReason,
    actor: &str,
) -> Result<Revocation> {
    if !is_serial(serial) {
        return Err(Error::not_found("no certificate has this serial number"));
    }
    let history = issuer.ledger.read::<CertificateEvent>(serial).await?;
    if history.is_empty() && !issuer.authority.made_in_ceremony(serial) {
        return Err(Error::not_found("no certificate has this serial number"));
    }
    let wanted = Revocation {
        serial: serial.to_owned(),
        reason,
        revoked_at: issuer.clock.now(),
        actor: actor.to_owned(),
    };
    let key = format!("{REVOCATIONS}{serial}.json");
    let decided = match issuer.truth.create(&key, wanted.to_bytes().into()).await? {
        Created::Created => wanted,
        Created::Exists(first) => Revocation::read(serial, &first)?,
    };
    record(&issuer.ledger, &decided).await?;
    issuer.crls.refresh().await?;
    tracing::info!(serial, reason = reason_word(decided.reason), "revoked");
    Ok(decided)
}

/// Brings the ledger in line with a decided revocation.
pub(crate) async fn record(ledger: &Ledger, decided: &Revocation) -> Result<()> {
    let event = CertificateEvent::Revoked {
        reason: reason_word(decided.reason).to_owned(),
        revoked_at: decided.revoked_at.to_rfc3339(),
    };
    let decide = |history: &History<CertificateEvent>| {
        let revoked = CertificateState::of(&history.events).revoked.is_some();
        Ok((!revoked).then(|| event.clone()))
    };
    let cause = format!("revocation by {}", decided.actor);
    ledger
        .update(&decided.serial, ACTOR, &cause, decide)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use probity_testkit::Golden;

    use super::*;

    /// A notice of yesterday revokes today, and a newer one is refused by its name.
    #[test]
    fn notices_of_yesterday() {
        let meant = Revocation {
            serial: "58e28a556689893053a35729ce4250445eb95c5b".to_owned(),
            reason: RevocationReason::KeyCompromise,
            revoked_at: Timestamp::from_unix_ms(1_795_000_000_000),
            actor: "credential:1".to_owned(),
        };
        let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
        let bytes = golden.read("revocation.json", || meant.to_bytes());
        assert_eq!(Revocation::read(&meant.serial, &bytes).unwrap(), meant);
        assert_eq!(meant.to_bytes(), bytes);
        let newer = String::from_utf8(bytes).unwrap();
        let newer = newer.replace("revocation/1\"", "revocation/2\",\"newer\":1");
        let refused = Revocation::read(&meant.serial, newer.as_bytes()).unwrap_err();
        assert!(refused.detail.contains("probity.revocation/2"), "{refused}");
    }
}
