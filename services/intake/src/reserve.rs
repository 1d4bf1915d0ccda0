//! The idempotency key: whoever comes with it again gets the same numbers, with every cache gone (check 23).
//!
//! A reservation gives an instruction its submission id, whose hour says where the submission will lie. It has to be
//! written while that hour is still looked at by whoever looks for unfinished work, so a reservation lapses: after
//! [`WRITE_WITHIN_MS`] nobody begins to write under its id any more, after [`LAPSED_AFTER_MS`] the instruction gets
//! another one.

use probity_domain::{IdempotencyKey, Sha256, SubmissionId, TenantId, Timestamp};
use probity_platform::ledger::{Appended, History, Ledger};
use probity_platform::{Error, Result};
use probity_proto::ledger::InstructionEvent;
use probity_proto::registry::Reservation;
use sha2::Digest as _;

/// Writing a submission begins at most this long after the time in its id. Storage's reconciler keeps an hour open for
/// ten minutes after its end: twice as long, so that the write has come to its end as well.
pub const WRITE_WITHIN_MS: i64 = 5 * 60_000;
/// Until then a write begun in time may still come to its end.
pub const LAPSED_AFTER_MS: i64 = 15 * 60_000;

/// How often a lost reservation is looked at again.
const TRIES_MAX: usize = 8;

/// An idempotency key's reservations.
pub struct Reservations {
    history: History<InstructionEvent>,
    latest: Option<Reservation>,
}

/// An instruction's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub submission: SubmissionId,
    pub received_at: Timestamp,
}

impl Reservations {
    /// Reads what a tenant's key stands for.
    ///
    /// # Errors
    /// `Conflict` when it stands for another instruction; those of the ledger.
    pub async fn read(
        ledger: &Ledger,
        tenant: &TenantId,
        key: &IdempotencyKey,
        instruction: Sha256,
    ) -> Result<Self> {
        let history = ledger
            .read::<InstructionEvent>(&stream_id(tenant, key))
            .await?;
        let latest = Reservation::of(&history.events);
        same_instruction(latest.as_ref(), instruction)?;
        Ok(Self { history, latest })
    }

    /// The latest place reserved.
    ///
    /// # Errors
    /// `Internal` when the ledger's event does not read.
    pub fn latest(&self) -> Result<Option<Reserved>> {
        self.latest.as_ref().map(place).transpose()
    }

    /// Every submission id reserved under the key.
    #[must_use]
    pub fn submissions(&self) -> Vec<String> {
        self.history
            .facts()
            .map(|InstructionEvent::Reserved { submission, .. }| submission.clone())
            .collect()
    }

    /// Takes the reservation that stands, or makes `fresh` one. Whoever comes at the same time with the same key gets
    /// the same place.
    ///
    /// # Errors
    /// `Conflict` when somebody reserved the key for another instruction meanwhile; `Unavailable` while an earlier
    /// try may still be writing.
    pub async fn reserve(
        mut self,
        ledger: &Ledger,
        actor: &str,
        tenant: &TenantId,
        instruction: Sha256,
        fresh: Reserved,
    ) -> Result<Reserved> {
        let cause = fresh.submission.to_string();
        for _ in 0..TRIES_MAX {
            let latest = Reservation::of(&self.history.events);
            let Some(event) = decide(latest.as_ref(), tenant, instruction, fresh)? else {
                return latest.as_ref().map_or(Ok(fresh), place);
            };
            if ledger
                .append(&mut self.history, actor, &cause, event)
                .await?
                == Appended::Appended
            {
                return Ok(fresh);
            }
            ledger.catch_up(&mut self.history).await?;
        }
        Err(Error::unavailable("the idempotency key is fought over"))
    }
}

fn decide(
    latest: Option<&Reservation>,
    tenant: &TenantId,
    instruction: Sha256,
    fresh: Reserved,
) -> Result<Option<InstructionEvent>> {
    same_instruction(latest, instruction)?;
    if let Some(latest) = latest {
        let age_ms = fresh.received_at.ms_since(place(latest)?.received_at);
        if age_ms < WRITE_WITHIN_MS {
            return Ok(None);
        }
        if age_ms < LAPSED_AFTER_MS {
            return Err(Error::unavailable(
                "an earlier try may still be under way; try again in some minutes",
            ));
        }
    }
    Ok(Some(InstructionEvent::Reserved {
        tenant: tenant.to_string(),
        submission: fresh.submission.to_string(),
        instruction_sha256: instruction.to_hex(),
        received_at: fresh.received_at.to_rfc3339(),
    }))
}

fn same_instruction(latest: Option<&Reservation>, instruction: Sha256) -> Result<()> {
    match latest {
        Some(reservation) if reservation.instruction_sha256 != instruction.to_hex() => Err(
            Error::conflict("the idempotency key was used for an instruction with another content"),
        ),
        _ => Ok(()),
    }
}

fn place(reservation: &Reservation) -> Result<Reserved> {
    let read = || -> core::result::Result<Reserved, probity_domain::Malformed> {
        Ok(Reserved {
            submission: SubmissionId::parse(&reservation.submission)?,
            received_at: Timestamp::parse_rfc3339(&reservation.received_at)?,
        })
    };
    read().map_err(|e| Error::internal(format!("stored reservation: {e}")))
}

/// Keys are the vendor's own text: their digest is safe in an object's name. A tenant has no line ends in its name.
fn stream_id(tenant: &TenantId, key: &IdempotencyKey) -> String {
    let digest = sha2::Sha256::digest(format!("{tenant}\n{key}").as_bytes());
    Sha256(digest.into()).to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_platform::ErrorKind;

    #[test]
    fn reservations_stand_then_lapse() {
        let tenant = TenantId::parse("t").unwrap();
        let began = Timestamp::from_unix_ms(1_795_000_000_000);
        let at = |ms| {
            let received_at = began.plus_ms(ms);
            Reserved {
                submission: SubmissionId::new(received_at, [0; 10]),
                received_at,
            }
        };
        let (this, other) = (Sha256([1; 32]), Sha256([2; 32]));
        let stands = Reservation {
            tenant: "t".into(),
            submission: at(0).submission.to_string(),
            instruction_sha256: this.to_hex(),
            received_at: began.to_rfc3339(),
        };
        let decide = |latest, instruction, ms| {
            decide(latest, &tenant, instruction, at(ms))
                .map(|e| e.is_some())
                .map_err(|e| e.kind)
        };
        assert_eq!(decide(None, this, 0), Ok(true));
        assert_eq!(decide(Some(&stands), this, 0), Ok(false));
        assert_eq!(decide(Some(&stands), this, WRITE_WITHIN_MS - 1), Ok(false));
        assert_eq!(
            decide(Some(&stands), this, WRITE_WITHIN_MS),
            Err(ErrorKind::Unavailable)
        );
        assert_eq!(decide(Some(&stands), this, LAPSED_AFTER_MS), Ok(true));
        assert_eq!(decide(Some(&stands), other, 0), Err(ErrorKind::Conflict));
        assert_eq!(
            decide(Some(&stands), other, LAPSED_AFTER_MS),
            Err(ErrorKind::Conflict)
        );
    }

    #[test]
    fn keys_of_tenants_stay_apart() {
        let id = |tenant: &str, key: &str| {
            stream_id(
                &TenantId::parse(tenant).unwrap(),
                &IdempotencyKey::parse(key).unwrap(),
            )
        };
        assert_ne!(id("a", "k"), id("b", "k"));
        assert_ne!(id("a", "b-k"), id("a-b", "k"));
        assert_eq!(id("a", "../../k").len(), 64);
    }
}
