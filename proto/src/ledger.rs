//! Events of the ledger: registries kept as streams of facts under `ledger/<kind>/<id>/<seq>`.
//!
//! State is a fold over a stream's events, and applying an event cannot fail: whatever is wrong with a request was
//! refused before its event was written.

use probity_domain::Malformed;
use serde::{Deserialize, Serialize};

use crate::format;

/// One stored event with who, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<E> {
    /// Always `probity.event/1`.
    pub format: String,
    pub kind: String,
    pub id: String,
    pub seq: u64,
    /// RFC 3339.
    pub at: String,
    /// The credential or role that acted, e.g. `credential:0192…` or `role:issuance`.
    pub actor: String,
    /// What led to it, e.g. a submission or intent id.
    pub cause: String,
    /// 128 random bits in hexadecimal: tells a writer's own event from another writer's of the same content.
    pub write_id: String,
    pub event: E,
}

/// The format name of events.
pub const EVENT_FORMAT: &str = "probity.event/1";

/// Event types say which registry they belong to.
pub trait LedgerEvent:
    Serialize + for<'de> Deserialize<'de> + Clone + Send + Sync + 'static
{
    /// First segment under `ledger/`.
    const KIND: &'static str;
}

/// People and organisations; id = party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PartyEvent {
    Applied(crate::http::PartyApplicationDocument),
    Decided {
        verified: bool,
        method: String,
        /// Who verified: an officer's credential or a provider's name.
        verifier: String,
        document_sha3_256: Vec<String>,
        note: String,
    },
    AgreementAccepted {
        agreement: String,
        version: String,
        sha3_256: String,
        channel: String,
        /// Peer address of the acceptance.
        from_address: String,
    },
}

/// Published agreement texts; id = `<agreement>.<version>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AgreementEvent {
    Published { text: String, sha3_256: String },
    Withdrawn { reason: String },
}

/// Credentials; id = credential id. Only the digest of the secret is kept: it is 256 random bits, so a plain SHA-256
/// cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialEvent {
    Issued {
        role: String,
        tenant: Option<String>,
        party: Option<String>,
        recipient: Option<String>,
        secret_sha256: String,
    },
    Revoked {
        reason: String,
    },
}

/// Intents; id = intent id. Attempts are events, so their number is limited whatever races.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum IntentEvent {
    Requested {
        tenant: String,
        party: String,
        credential: String,
        instruction_sha256: String,
        summary: String,
        /// HMAC-SHA-256 of id and code under the identity role's key.
        code_hmac: String,
        channel: String,
        masked_destination: String,
        expires_at: String,
    },
    Delivered {},
    AttemptFailed {
        reason: String,
        from_address: String,
        user_agent: String,
    },
    Confirmed {
        from_address: String,
        user_agent: String,
    },
    /// One code, one instruction (I2): a second submission under the same intent is refused.
    Used {
        submission: String,
    },
}

/// Idempotency: id = SHA-256 of tenant and key, in hexadecimal. A second reservation follows when the first lapsed
/// before its submission was written; the latest counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum InstructionEvent {
    Reserved {
        tenant: String,
        submission: String,
        instruction_sha256: String,
        received_at: String,
    },
}

/// Certificates; id = serial number in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateEvent {
    /// Serial and to-be-signed bytes, recorded before the CA key touches them.
    Intended {
        profile: String,
        party: String,
        submission: String,
        tbs_certificate: String,
    },
    /// Base64 DER.
    Issued {
        certificate: String,
    },
    Revoked {
        reason: String,
        revoked_at: String,
    },
}

/// Recipient profiles; id = recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum RecipientEvent {
    Profiled(crate::http::RecipientDocument),
    Suspended { reason: String },
}

/// Deliveries; id = delivery id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum DeliveryEvent {
    Requested {
        evidence: String,
        recipient: String,
        tenant: String,
        case: String,
    },
    /// `object` is the encrypted package's key in bucket `work`.
    Prepared {
        object: String,
        size_bytes: u64,
        package_sha256: String,
        content_sha3_256: String,
        /// Length of each envelope in bytes, in their order, where there are several.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        part_bytes: Vec<u64>,
    },
    AttemptFailed {
        next_at: String,
        reason: String,
    },
    Entered {
        rule: String,
        place: String,
    },
    /// Base64 of receipt and signature, as they came.
    Acknowledged {
        scope: String,
        receipt: String,
        signature: String,
    },
    Suspended {
        reason: String,
    },
    /// A read by the recipient, with the legal basis it gave (R7), as it was written before [`ReadEvent`].
    Fetched {
        credential: String,
        legal_basis: String,
    },
}

/// A read of a delivery's package by its recipient (R7); id = delivery, `_`, and a number of the read's own, so that
/// each is a stream of one event: nothing has to be read to write one, and who reads often fills nothing up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ReadEvent {
    /// Its bytes were given out; whether the last one was taken, [`DeliveryEvent::Entered`] says.
    Fetched {
        credential: String,
        legal_basis: String,
        /// Of the encrypted package.
        package_sha256: String,
        /// Which bytes, where it was not asked for as a whole: a part, or what was missing of a fetch that broke off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<ByteRange>,
    },
}

/// From the first byte to the last, both included and counted from zero, as RFC 9110 section 14.1.2 counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

/// What the scrubber found not to be as it was written; id = SHA-256 of the object's key, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FindingEvent {
    Found {
        key: String,
        /// `missing`, `wrong`, `truncated`, `second_version` or `removed`.
        what: String,
        detail: String,
    },
    /// The right bytes were written again; their digest was checked before.
    Repaired {
        key: String,
        /// `replica`; `log` for what follows from the log itself; `elsewhere` for what a later lap found no more.
        from: String,
        /// Versions of the key since then: more than these are another finding.
        versions: u64,
    },
}

/// Accepted items that a stage refuses for good; id = evidence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum QuarantineEvent {
    /// `stage` is the role that refused it.
    Held { stage: String, reason: String },
    /// Tried again from here on.
    Released {},
}

/// Legal holds and deletions by authority; id = evidence number. The log's entry of the evidence stays whatever happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CustodyEvent {
    /// Nothing of it may be removed, whatever its retention says.
    Held { order: String },
    /// Ends the hold of this order.
    Lifted { order: String },
    /// Its bytes are removed: what was named here is gone on purpose.
    Deleted { order: String, keys: Vec<String> },
}

/// Bytes that an order removes, told before and after; id = tenant and UTC day ([`crate::removal`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum RemovalEvent {
    /// From when this is noticed, nothing new relies on these bytes; later they are removed. `removal` is a name of its
    /// own for this try.
    Begun {
        removal: String,
        order: String,
        keys: Vec<String>,
    },
    /// What the store says of them is to be relied on again: they are gone, or, as another evidence needs them, stay.
    Ended { removal: String, removed: bool },
}

macro_rules! registries {
    ($($event:ident $kind:literal),* $(,)?) => {
        $(impl LedgerEvent for $event {
            const KIND: &'static str = $kind;
        })*

        /// The kinds of all registries.
        pub const KINDS: &[&str] = &[$($kind),*];

        /// Reads an event of any kind, for whoever checks that it reads and asks only who, when and why.
        ///
        /// # Errors
        /// [`Malformed`] for a kind that is none, and an event that is none of its kind.
        pub fn read_event(kind: &str, json: &[u8]) -> Result<Envelope<()>, Malformed> {
            match kind {
                $($kind => read_one::<$event>(json),)*
                _ => Err(Malformed::new("kind", format!("no registry is of kind {kind:?}"))),
            }
        }
    };
}

registries! {
    PartyEvent "party",
    AgreementEvent "agreement",
    CredentialEvent "credential",
    IntentEvent "intent",
    InstructionEvent "instruction",
    CertificateEvent "certificate",
    RecipientEvent "recipient",
    DeliveryEvent "delivery",
    ReadEvent "read",
    FindingEvent "finding",
    QuarantineEvent "quarantine",
    CustodyEvent "custody",
    RemovalEvent "removal",
}

fn read_one<E: LedgerEvent>(json: &[u8]) -> Result<Envelope<()>, Malformed> {
    let read: Envelope<E> = format::read_json("event", EVENT_FORMAT, json)?;
    format::expect(EVENT_FORMAT, &read.format)?;
    Ok(Envelope {
        format: read.format,
        kind: read.kind,
        id: read.id,
        seq: read.seq,
        at: read.at,
        actor: read.actor,
        cause: read.cause,
        write_id: read.write_id,
        event: (),
    })
}

impl CustodyEvent {
    /// The order by which the bytes were deleted, if they were.
    pub fn deleted<'e>(events: impl Iterator<Item = &'e Self>) -> Option<&'e str> {
        events.fold(None, |known, event| match event {
            Self::Deleted { order, .. } => Some(order.as_str()),
            Self::Held { .. } | Self::Lifted { .. } => known,
        })
    }

    /// Orders that hold the evidence now.
    pub fn holding<'e>(events: impl Iterator<Item = &'e Self>) -> Vec<&'e str> {
        let mut holding = Vec::new();
        for event in events {
            match event {
                Self::Held { order } if !holding.contains(&order.as_str()) => holding.push(order),
                Self::Lifted { order } => holding.retain(|held| held != order),
                Self::Held { .. } | Self::Deleted { .. } => {}
            }
        }
        holding
    }
}
