//! What a stage says of a message.

use crate::{Error, ErrorKind, Result};

/// What became of one message.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The work is done, or was done before.
    Done,
    /// Not now, and through no fault of the message: a clock in doubt, a queue that is full. It stays here, is handed to
    /// the function again twice a second, and none of that counts as a try.
    Hold(Error),
    /// Not before its time has come ([`super::not_early`]). The message leaves the bus and counts as no failure; the reconciler
    /// hints again when it is due.
    Early(Error),
    /// Later may be better; after [`super::DELIVERIES_MAX`] deliveries it is parked.
    Retry(Error),
    /// Trying again cannot help. The message leaves the bus; the reconciler finds the work again.
    Park(Error),
}

impl Outcome {
    /// Of work that was done and could not be told to the stage after it: a full queue holds.
    #[must_use]
    pub fn untold(error: Error) -> Self {
        match error.kind {
            ErrorKind::TooMany => Self::Hold(error),
            _ => Self::from(error),
        }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::from(Err(error))
    }
}

impl From<Result<()>> for Outcome {
    /// Transient kinds retry, as does `internal`; what the message itself brings about parks.
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(e) if e.kind.is_transient() || e.kind == ErrorKind::Internal => Self::Retry(e),
            Err(e) => Self::Park(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_outcomes() {
        assert!(matches!(Outcome::from(Ok(())), Outcome::Done));
        assert!(matches!(
            Outcome::from(Err(Error::unavailable("x"))),
            Outcome::Retry(_)
        ));
        assert!(matches!(
            Outcome::untold(Error::too_many("x")),
            Outcome::Hold(_)
        ));
        assert!(matches!(
            Outcome::from(Err(Error::internal("x"))),
            Outcome::Retry(_)
        ));
        assert!(matches!(
            Outcome::from(Err(Error::malformed("x"))),
            Outcome::Park(_)
        ));
    }
}
