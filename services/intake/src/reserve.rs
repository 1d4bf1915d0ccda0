//! The idempotency key: whoever comes with it again gets the same numbers, with every cache gone (check 23).
//!
//! A reservation gives an instruction its submission id, whose hour says where the submission will lie. It has to be
//! written while that hour is still looked at by whoever looks for unfinished work, and says when the instruction came;
//! so a place is good for [`WRITE_WITHIN_MS`] after its time and, for a clock that was ahead, not before it.
//!
//! A place whose time is not now is *closed* before the key gets another one: a void submission is created under its
//! id. Whoever reserved it may be writing at this moment, on a clock that is right or wrong, or may stop here for an
//! hour and go on; no clock is asked which. Of the two creations of one object the store lets one win:
//!
//! - the writer was first: whoever closes finds its submission, and that is the answer to the key;
//! - the closing was first: the writer finds the void, answers "try again", and its next try meets the new place.
//!
//! The new place is reserved only after the closing, so of two places of one key never more than one has evidence.
//! Whoever dies between closing and reserving leaves a closed place, which everybody knows by the void in it.

use probity_domain::{IdempotencyKey, Sha256, SubmissionId, TenantId, Timestamp};
use probity_platform::ledger::{Appended, History, Ledger};
use probity_platform::{Error, Result};
use probity_proto::ledger::InstructionEvent;
use probity_proto::registry::Reservation;
use sha2::Digest as _;

/// Writing a submission begins at most this long after the time in its id. Storage's reconciler keeps an hour open for
/// another after its end: much longer, so that the write has come to its end as well.
pub const WRITE_WITHIN_MS: i64 = 5 * 60_000;
/// How much earlier a place's time may be reached by this clock: clocks of several intakes differ.
const AHEAD_MS_MAX: i64 = 10_000;

/// How often a lost reservation is looked at again.
const TRIES_MAX: usize = 8;

/// An idempotency key's reservations.
pub struct Reservations {
    history: History<InstructionEvent>,
    latest: Option<Reservation>,
    /// A place in which a void submission was seen.
    closed: Option<SubmissionId>,
}

/// An instruction's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    pub submission: SubmissionId,
    pub received_at: Timestamp,
}

impl Reserved {
    /// Whether the writing of its submission may begin.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        (-AHEAD_MS_MAX..WRITE_WITHIN_MS).contains(&now.ms_since(self.received_at))
    }
}

/// What stands under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// To be written to.
    Open(Reserved),
    /// To be closed, then asked for again.
    Stale(Reserved),
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
        Ok(Self {
            history,
            latest,
            closed: None,
        })
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

    /// A void submission stands in this place: the key needs another one.
    pub const fn note_closed(&mut self, submission: SubmissionId) {
        self.closed = Some(submission);
    }

    /// Takes the place that stands, or reserves `fresh`. Whoever comes at the same time with the same key gets the
    /// same place.
    ///
    /// # Errors
    /// `Conflict` when somebody reserved the key for another instruction meanwhile; those of the ledger.
    pub async fn reserve(
        &mut self,
        ledger: &Ledger,
        actor: &str,
        tenant: &TenantId,
        instruction: Sha256,
        fresh: Reserved,
    ) -> Result<Place> {
        let cause = fresh.submission.to_string();
        for _ in 0..TRIES_MAX {
            let latest = Reservation::of(&self.history.events);
            same_instruction(latest.as_ref(), instruction)?;
            let latest = latest.as_ref().map(place).transpose()?;
            if let Some(place) = standing(latest, self.closed, fresh.received_at) {
                return Ok(place);
            }
            let event = InstructionEvent::Reserved {
                tenant: tenant.to_string(),
                submission: fresh.submission.to_string(),
                instruction_sha256: instruction.to_hex(),
                received_at: fresh.received_at.to_rfc3339(),
            };
            if ledger
                .append(&mut self.history, actor, &cause, event)
                .await?
                == Appended::Appended
            {
                return Ok(Place::Open(fresh));
            }
            ledger.catch_up(&mut self.history).await?;
        }
        Err(Error::unavailable("the idempotency key is fought over"))
    }
}

/// What the latest reservation is good for; `None` when another one is to be made.
fn standing(
    latest: Option<Reserved>,
    closed: Option<SubmissionId>,
    now: Timestamp,
) -> Option<Place> {
    let latest = latest.filter(|latest| Some(latest.submission) != closed)?;
    Some(match latest.is_open(now) {
        true => Place::Open(latest),
        false => Place::Stale(latest),
    })
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
    fn a_place_is_open_at_its_time_and_stale_before_and_after() {
        let began = Timestamp::from_unix_ms(1_795_000_000_000);
        let place = Reserved {
            submission: SubmissionId::new(began, [0; 10]),
            received_at: began,
        };
        let at = |ms| standing(Some(place), None, began.plus_ms(ms)).unwrap();
        for ms in [-AHEAD_MS_MAX, 0, WRITE_WITHIN_MS - 1] {
            assert_eq!(at(ms), Place::Open(place), "{ms}");
        }
        for ms in [
            -600_000,
            -AHEAD_MS_MAX - 1,
            WRITE_WITHIN_MS,
            i64::from(u32::MAX),
        ] {
            assert_eq!(at(ms), Place::Stale(place), "{ms}");
        }
        assert_eq!(standing(None, None, began), None);
        assert_eq!(standing(Some(place), Some(place.submission), began), None);
        let other = SubmissionId::new(began, [1; 10]);
        assert!(standing(Some(place), Some(other), began).is_some());
    }

    #[test]
    fn another_instruction_under_the_key_is_refused() {
        let (this, other) = (Sha256([1; 32]), Sha256([2; 32]));
        let stands = Reservation {
            tenant: "t".into(),
            submission: String::new(),
            instruction_sha256: this.to_hex(),
            received_at: String::new(),
        };
        assert!(same_instruction(None, this).is_ok());
        assert!(same_instruction(Some(&stands), this).is_ok());
        let refused = same_instruction(Some(&stands), other).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
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
