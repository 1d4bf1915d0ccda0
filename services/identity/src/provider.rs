//! Verification of identities by others than the officer's own eyes.

use async_trait::async_trait;
use probity_platform::Result;
use probity_proto::http::PartyApplicationDocument;

/// What a provider found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub verified: bool,
    /// Recorded and shown wherever the identity is: how it was verified, and the provider's reference.
    pub note: String,
}

/// Verifies who an applicant is: a registry, a bank, a video identification service.
#[async_trait]
pub trait VerificationProvider: Send + Sync + 'static {
    /// The word recorded as method, e.g. `sandbox`.
    fn name(&self) -> &'static str;

    /// Looks at an application.
    ///
    /// # Errors
    /// `Unavailable` or `Timeout` when the provider gives no answer: nothing is decided then.
    async fn verify(&self, application: &PartyApplicationDocument) -> Result<Verification>;
}

/// Lets everybody through and says so. For demos and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sandbox;

#[async_trait]
impl VerificationProvider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn verify(&self, _: &PartyApplicationDocument) -> Result<Verification> {
        Ok(Verification {
            verified: true,
            note: "sandbox: nothing was verified; this identity proves nothing".to_owned(),
        })
    }
}
