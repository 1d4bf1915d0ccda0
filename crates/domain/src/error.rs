//! What a value that cannot be built says about itself.

/// A value was refused at construction; `what` names the field, `reason` says which rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct Malformed {
    pub what: &'static str,
    pub reason: String,
}

impl Malformed {
    /// Names the thing and the broken rule.
    pub fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self {
            what,
            reason: reason.into(),
        }
    }
}
