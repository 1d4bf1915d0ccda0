//! Who calls, and what for.

use core::fmt;

use probity_domain::{CredentialId, PartyId, RecipientId, TenantId};
use probity_proto::ledger::CredentialEvent;

use crate::{Error, Result};

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub credential: CredentialId,
    pub role: CallerRole,
}

/// What a credential is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerRole {
    /// Submits and reads for one tenant, as one party.
    Vendor { tenant: TenantId, party: PartyId },
    /// Fetches and acknowledges what was delivered to it.
    Court { recipient: RecipientId },
    /// Verifies identities.
    Officer,
    /// Runs the platform: credentials, agreements, recipients.
    Operator,
    /// Reads the log and the registries.
    Auditor,
}

impl CallerRole {
    /// The word in the ledger.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Vendor { .. } => "vendor",
            Self::Court { .. } => "court",
            Self::Officer => "officer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        }
    }

    /// Builds a role from its word and what belongs to it; nothing else may be given.
    ///
    /// # Errors
    /// `Malformed` for unknown words and for ids that are missing, superfluous or ill-formed.
    pub fn parse(
        word: &str,
        tenant: Option<&str>,
        party: Option<&str>,
        recipient: Option<&str>,
    ) -> Result<Self> {
        match (word, tenant, party, recipient) {
            ("vendor", Some(tenant), Some(party), None) => Ok(Self::Vendor {
                tenant: TenantId::parse(tenant)?,
                party: PartyId::parse(party)?,
            }),
            ("court", None, None, Some(recipient)) => Ok(Self::Court {
                recipient: RecipientId::parse(recipient)?,
            }),
            ("officer", None, None, None) => Ok(Self::Officer),
            ("operator", None, None, None) => Ok(Self::Operator),
            ("auditor", None, None, None) => Ok(Self::Auditor),
            _ => Err(Error::malformed(
                "role: vendor with tenant and party, court with recipient, or officer, operator, auditor",
            )),
        }
    }

    pub(super) fn issued_event(&self, secret_sha256: String) -> CredentialEvent {
        let (mut tenant, mut party, mut recipient) = (None, None, None);
        match self {
            Self::Vendor {
                tenant: t,
                party: p,
            } => {
                tenant = Some(t.to_string());
                party = Some(p.to_string());
            }
            Self::Court { recipient: r } => recipient = Some(r.to_string()),
            Self::Officer | Self::Operator | Self::Auditor => {}
        }
        CredentialEvent::Issued {
            role: self.as_str().to_owned(),
            tenant,
            party,
            recipient,
            secret_sha256,
        }
    }

    pub(super) fn from_event(event: &CredentialEvent) -> Result<Self> {
        match event {
            CredentialEvent::Issued {
                role,
                tenant,
                party,
                recipient,
                ..
            } => Self::parse(
                role,
                tenant.as_deref(),
                party.as_deref(),
                recipient.as_deref(),
            )
            .map_err(|e| Error::internal(format!("stored credential: {}", e.detail))),
            CredentialEvent::Revoked { .. } => Err(Error::internal("a revocation has no role")),
        }
    }
}

impl Caller {
    /// Who was let in with these extensions of a request ([`crate::edge::for_known_callers`]).
    ///
    /// # Errors
    /// `Unauthenticated` when nobody was.
    pub fn of(extensions: &http::Extensions) -> Result<&Self> {
        extensions
            .get()
            .ok_or_else(|| Error::unauthenticated("a bearer credential is needed"))
    }

    /// How this caller is named as the actor of ledger events.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("credential:{}", self.credential)
    }

    /// # Errors
    /// `Forbidden` for everybody but vendors.
    pub fn require_vendor(&self) -> Result<(&TenantId, &PartyId)> {
        match &self.role {
            CallerRole::Vendor { tenant, party } => Ok((tenant, party)),
            _ => Err(self.forbidden("vendor")),
        }
    }

    /// # Errors
    /// `Forbidden` for everybody but courts.
    pub fn require_court(&self) -> Result<&RecipientId> {
        match &self.role {
            CallerRole::Court { recipient } => Ok(recipient),
            _ => Err(self.forbidden("court")),
        }
    }

    /// # Errors
    /// `Forbidden` for everybody but officers.
    pub fn require_officer(&self) -> Result<()> {
        self.require(&CallerRole::Officer)
    }

    /// # Errors
    /// `Forbidden` for everybody but operators.
    pub fn require_operator(&self) -> Result<()> {
        self.require(&CallerRole::Operator)
    }

    /// # Errors
    /// `Forbidden` for everybody but auditors.
    pub fn require_auditor(&self) -> Result<()> {
        self.require(&CallerRole::Auditor)
    }

    fn require(&self, role: &CallerRole) -> Result<()> {
        if self.role == *role {
            Ok(())
        } else {
            Err(self.forbidden(role.as_str()))
        }
    }

    fn forbidden(&self, needed: &str) -> Error {
        Error::forbidden(format!(
            "needs the credential of a {needed}, this is one of a {}",
            self.role
        ))
    }
}

impl fmt::Display for CallerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
