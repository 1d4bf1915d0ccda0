//! Credentials at the edges, checked against the ledger, so that neither NATS nor Redis is needed to let a vendor in.
//!
//! A credential reads `pk_<credential id>_<43 base64url characters>`. The ledger keeps the SHA-256 of the secret half:
//! 256 random bits cannot be searched, so a slow hash would only slow the edge down.

mod caller;
mod remembered;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRef, FromRequestParts};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use probity_domain::CredentialId;
use probity_proto::ledger::CredentialEvent;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use caller::{Caller, CallerRole};

use crate::edge::Problem;
use crate::ledger::{History, Ledger};
use crate::{Clock, Error, Random, Result};
use remembered::Remembered;

pub use crate::secret::SecretString;

const PREFIX: &str = "pk_";
const UUID_CHARS: usize = 36;

/// Issues, revokes and checks credentials. Cheap to clone.
///
/// Answers are remembered for 5 s: a revoked credential is refused everywhere after that.
#[derive(Clone)]
pub struct Access {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    remembered: Arc<Mutex<Remembered<Option<Credential>>>>,
}

/// A credential as the ledger knows it, while it is valid.
#[derive(Clone)]
struct Credential {
    role: CallerRole,
    secret_sha256: [u8; 32],
}

impl Access {
    /// On this ledger.
    #[must_use]
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            ledger,
            clock,
            random,
            remembered: Arc::default(),
        }
    }

    /// Who stands behind these request headers (`Authorization: Bearer …`, RFC 6750 section 2.1).
    ///
    /// # Errors
    /// As [`Self::authenticate_bearer`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Error::unauthenticated("a bearer credential is needed"));
        };
        let text = value.to_str().map_err(|_| refused())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        self.authenticate_bearer(token.trim_start()).await
    }

    /// Who this credential belongs to.
    ///
    /// # Errors
    /// `Unauthenticated`, without saying why, for whatever is not a valid credential; `Unavailable` or `Timeout` when
    /// the ledger cannot be read.
    pub async fn authenticate_bearer(&self, token: &str) -> Result<Caller> {
        let (id, secret) = parse(token).ok_or_else(refused)?;
        let given: [u8; 32] = Sha256::digest(&secret[..]).into();
        let credential = self.look_up(id).await?;
        // Unknown and revoked ids cost the same reads and the same comparison as known ones.
        let known = credential.as_ref().map_or([0; 32], |c| c.secret_sha256);
        let equal: bool = given.ct_eq(&known).into();
        match credential {
            Some(credential) if equal => Ok(Caller {
                credential: id,
                role: credential.role,
            }),
            _ => Err(refused()),
        }
    }

    /// Makes a credential and writes it to the ledger. The secret is shown here and never again.
    ///
    /// # Errors
    /// Those of [`Ledger::append`].
    pub async fn issue(
        &self,
        role: CallerRole,
        actor: &str,
        cause: &str,
    ) -> Result<(CredentialId, SecretString)> {
        let id = CredentialId::new(self.clock.now(), self.random.bytes());
        let secret = Zeroizing::new(self.random.bytes::<32>());
        let event = role.issued_event(hex::encode(Sha256::digest(&secret[..])));
        let mut history = History {
            id: id.to_string(),
            events: Vec::new(),
        };
        // Losing would take two equal ids; then the other's secret stands there and this one opens nothing.
        if self
            .ledger
            .append(&mut history, actor, cause, event)
            .await?
            == crate::ledger::Appended::Lost
        {
            return Err(Error::conflict(format!("credential {id} exists")));
        }
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&secret[..]));
        Ok((
            id,
            SecretString::new(format!("{PREFIX}{id}_{}", encoded.as_str())),
        ))
    }

    /// Ends a credential: at once in this process, within seconds in the others. Revoking twice is the same as once.
    ///
    /// # Errors
    /// `NotFound` for an id never issued, and those of [`Ledger::update`].
    pub async fn revoke(
        &self,
        id: CredentialId,
        actor: &str,
        cause: &str,
        reason: &str,
    ) -> Result<()> {
        let decide = |history: &History<CredentialEvent>| {
            if history.is_empty() {
                return Err(Error::not_found(format!(
                    "credential {id} was never issued"
                )));
            }
            let revoked = history
                .facts()
                .any(|f| matches!(f, CredentialEvent::Revoked { .. }));
            Ok((!revoked).then(|| CredentialEvent::Revoked {
                reason: reason.to_owned(),
            }))
        };
        self.ledger
            .update(&id.to_string(), actor, cause, decide)
            .await?;
        self.remember(id, None);
        Ok(())
    }

    async fn look_up(&self, id: CredentialId) -> Result<Option<Credential>> {
        let now = self.clock.now();
        let known = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id, now);
        if let Some(known) = known {
            return Ok(known);
        }
        let history = self.ledger.read::<CredentialEvent>(&id.to_string()).await?;
        let credential = fold(&history)?;
        // Remembered from when the reading began: the answer is no younger than that.
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.put(id, credential.clone(), now);
        Ok(credential)
    }

    fn remember(&self, id: CredentialId, credential: Option<Credential>) {
        let now = self.clock.now();
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        remembered.put(id, credential, now);
    }
}

/// The valid credential a stream amounts to; `None` when never issued or revoked.
fn fold(history: &History<CredentialEvent>) -> Result<Option<Credential>> {
    let mut state = None;
    for fact in history.facts() {
        state = match fact {
            CredentialEvent::Issued { secret_sha256, .. } => {
                let mut digest = [0; 32];
                hex::decode_to_slice(secret_sha256, &mut digest).map_err(|e| {
                    Error::internal(format!("credential {}: digest: {e}", history.id))
                })?;
                Some(Credential {
                    role: CallerRole::from_event(fact)?,
                    secret_sha256: digest,
                })
            }
            CredentialEvent::Revoked { .. } => return Ok(None),
        };
    }
    Ok(state)
}

fn parse(token: &str) -> Option<(CredentialId, Zeroizing<[u8; 32]>)> {
    let (id, rest) = token.strip_prefix(PREFIX)?.split_at_checked(UUID_CHARS)?;
    let encoded = rest.strip_prefix('_')?;
    let mut secret = Zeroizing::new([0; 32]);
    // 43 characters decode to 32 bytes; the decoder wants room for whole groups of three.
    let mut room = Zeroizing::new([0; 33]);
    let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut room[..]).ok()?;
    if length != secret.len() {
        return None;
    }
    secret.copy_from_slice(room.get(..length)?);
    Some((CredentialId::parse(id).ok()?, secret))
}

fn refused() -> Error {
    Error::unauthenticated("the credential is not accepted")
}

/// Extractor: the handler runs only for a caller with a valid credential. Works with every state that gives an
/// [`Access`] (`FromRef`).
#[derive(Debug, Clone)]
pub struct Authenticated(pub Caller);

impl<S> FromRequestParts<S> for Authenticated
where
    Access: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> core::result::Result<Self, Problem> {
        let caller = Access::from_ref(state)
            .authenticate(&parts.headers)
            .await
            .map_err(Problem)?;
        Ok(Self(caller))
    }
}

#[cfg(test)]
mod tests;
