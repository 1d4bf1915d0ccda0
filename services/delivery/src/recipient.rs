//! Recipient profiles (ETA s.47): who a court is, what packages are encrypted to, how they reach it.

use probity_domain::{PlaceOfBusiness, RecipientId, Timestamp};
use probity_pki::envelope::check_recipient;
use probity_pki::x509::{Certificate, KeyUsage};
use probity_platform::access::{Caller, CallerRole};
use probity_platform::ledger::{History, Ledger};
use probity_platform::{Clock, Error, Result};
use probity_proto::http::RecipientDocument;
use probity_proto::ledger::RecipientEvent;

use crate::endpoint::Endpoint;
use crate::error::given;

const NAME_BYTES_MAX: usize = 256;
const PEM_BYTES_MAX: usize = 64 * 1024;

/// A parsed profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub place: PlaceOfBusiness,
    pub encryption: Certificate,
    pub signing: Certificate,
    pub channel: Channel,
}

/// How packages reach the recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    Push {
        endpoint: Endpoint,
        tls_ca: Option<String>,
    },
    Pull,
}

impl Profile {
    /// Parses a document. Whether its certificates are good now is [`Self::check_at`]'s to say.
    ///
    /// # Errors
    /// `Malformed`, naming the field.
    pub fn parse(document: &RecipientDocument) -> Result<Self> {
        let bad = |reason: &str| Err(Error::malformed(reason));
        if document.name.is_empty()
            || document.name.len() > NAME_BYTES_MAX
            || document.name.chars().any(char::is_control)
        {
            return bad("name: 1 to 256 bytes without control characters");
        }
        let pems = [
            &document.encryption_certificate,
            &document.signing_certificate,
        ]
        .into_iter();
        if pems
            .chain(&document.tls_ca)
            .any(|pem| pem.len() > PEM_BYTES_MAX)
        {
            return bad("certificates: longer than 64 KiB");
        }
        let channel = match (document.channel.as_str(), &document.endpoint) {
            ("push", Some(endpoint)) => Channel::Push {
                endpoint: Endpoint::parse(endpoint, document.allow_private_address)?,
                tls_ca: document.tls_ca.clone(),
            },
            ("push", None) => return bad("endpoint: needed for push"),
            ("pull", None) if document.tls_ca.is_none() => Channel::Pull,
            ("pull", _) => return bad("endpoint and tls_ca: for push only"),
            _ => return bad("channel: push or pull"),
        };
        if let Some(pem) = &document.tls_ca {
            Certificate::chain_from_pem(pem).map_err(given)?;
        }
        Ok(Self {
            name: document.name.clone(),
            place: PlaceOfBusiness::parse(&document.place_of_business)?,
            encryption: Certificate::from_pem(&document.encryption_certificate).map_err(given)?,
            signing: Certificate::from_pem(&document.signing_certificate).map_err(given)?,
            channel,
        })
    }

    /// Both certificates are on P-384, for their purpose, and valid at `at`.
    ///
    /// # Errors
    /// `Malformed`, naming the certificate.
    pub fn check_at(&self, at: Timestamp) -> Result<()> {
        check_recipient(&self.encryption, at).map_err(given)?;
        let bad = |reason: &str| Err(Error::malformed(format!("signing certificate: {reason}")));
        if !self.signing.is_p384() {
            return bad("its key is not on curve P-384");
        }
        if !self.signing.is_valid_at(at) {
            return bad("it is not valid now");
        }
        let signs = |usage: KeyUsage| usage.digital_signature() || usage.non_repudiation();
        if !self.signing.key_usage().is_some_and(signs) {
            return bad("its key usage is not digitalSignature");
        }
        if self.signing.spki_der() == self.encryption.spki_der() {
            return bad("it has the encryption certificate's key");
        }
        Ok(())
    }

    /// Packages are sent to it, not fetched.
    #[must_use]
    pub const fn is_pushed(&self) -> bool {
        matches!(self.channel, Channel::Push { .. })
    }
}

/// A recipient as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub id: RecipientId,
    pub profile: Profile,
    /// Why nothing is sent to it.
    pub suspended: Option<String>,
    /// How many events told it: with another profile it is another number.
    pub version: usize,
}

/// Reads a recipient.
///
/// # Errors
/// `NotFound` without a profile; those of [`Ledger::read`].
pub async fn read(ledger: &Ledger, id: &RecipientId) -> Result<Recipient> {
    let history = ledger.read::<RecipientEvent>(id.as_str()).await?;
    fold(id, &history)?.ok_or_else(|| Error::not_found(format!("recipient {id} has no profile")))
}

/// The profile as it was stored.
///
/// # Errors
/// As [`read`].
pub async fn read_document(ledger: &Ledger, id: &RecipientId) -> Result<RecipientDocument> {
    let history = ledger.read::<RecipientEvent>(id.as_str()).await?;
    latest(&history)
        .cloned()
        .ok_or_else(|| Error::not_found(format!("recipient {id} has no profile")))
}

/// Stores a profile; the same again changes nothing. A new profile ends a suspension.
///
/// # Errors
/// `Forbidden` for callers that are neither officer nor operator, and for private addresses allowed by anybody but an
/// operator; `Malformed`; those of [`Ledger::update`].
pub async fn put(
    ledger: &Ledger,
    clock: &dyn Clock,
    caller: &Caller,
    id: &RecipientId,
    document: &RecipientDocument,
) -> Result<()> {
    match caller.role {
        CallerRole::Operator => {}
        CallerRole::Officer if !document.allow_private_address => {}
        CallerRole::Officer => {
            return Err(Error::forbidden(
                "private addresses are an operator's to allow",
            ));
        }
        _ => {
            return Err(Error::forbidden(
                "profiles are stored by officers and operators",
            ));
        }
    }
    Profile::parse(document)?.check_at(clock.now())?;
    let decide = |history: &History<RecipientEvent>| {
        let unchanged = matches!(history.facts().next_back(), Some(RecipientEvent::Profiled(d)) if d == document);
        Ok((!unchanged).then(|| RecipientEvent::Profiled(document.clone())))
    };
    ledger
        .update(id.as_str(), &caller.actor(), "PUT /v1/recipients", decide)
        .await
        .map(drop)
}

fn fold(id: &RecipientId, history: &History<RecipientEvent>) -> Result<Option<Recipient>> {
    let Some(document) = latest(history) else {
        return Ok(None);
    };
    // It was checked when it was stored.
    let profile = Profile::parse(document)
        .map_err(|e| Error::internal(format!("recipient {id}: {}", e.detail)))?;
    let suspended = match history.facts().next_back() {
        Some(RecipientEvent::Suspended { reason }) => Some(reason.clone()),
        _ => None,
    };
    Ok(Some(Recipient {
        id: id.clone(),
        profile,
        suspended,
        version: history.events.len(),
    }))
}

fn latest(history: &History<RecipientEvent>) -> Option<&RecipientDocument> {
    history.facts().rev().find_map(|fact| match fact {
        RecipientEvent::Profiled(document) => Some(document),
        RecipientEvent::Suspended { .. } => None,
    })
}
