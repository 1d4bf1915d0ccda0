//! The words of the trade and their rules.
//!
//! Pure: no async, no clock, no randomness, no I/O and no serialisation frameworks. A value of one of these types is
//! well-formed by construction; the edges parse into them, everything behind the edges trusts them.
//!
//! One capture reads: [`Submission`] (a vendor's instruction, one to ten thousand [`Item`]s) → one [`EvidenceId`] per
//! item → [`Record`] (statement, manifest, signature with time-stamp: one entry of the log) → [`DeliveryState`].

mod artifact;
mod delivery;
mod digest;
mod error;
mod id;
mod place;
mod record;
mod retry;
mod submission;
mod time;

pub use artifact::{Artifact, ArtifactName, ArtifactRole, MediaType};
pub use delivery::{DeliveryFact, DeliveryState, ReceiptScope};
pub use digest::{Digests, Sha3_256, Sha256};
pub use error::{Malformed, REASON_CHARS_MAX};
pub use id::{
    CaseId, CredentialId, DeliveryId, EvidenceId, IdempotencyKey, IntentId, PartyId, ReadId,
    RecipientId, SubmissionId, TenantId,
};
pub use place::{PlaceOfBusiness, ReceiptRule, receipt_time};
pub use record::{RECORD_BYTES_MAX, Record};
pub use retry::RetrySchedule;
pub use submission::{
    ARTIFACTS_PER_ITEM_MAX, ITEM_RECORD_BYTES_MAX, ITEMS_PER_SUBMISSION_MAX, Item, ItemOutcome,
    Purpose, Submission, SubmissionDraft, SubmitterSignature,
};
pub use time::Timestamp;
