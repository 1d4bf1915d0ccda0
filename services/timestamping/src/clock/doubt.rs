//! Why no time is given.

/// Why the clock may not be believed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Doubt {
    #[error("the sources have no quorum")]
    NoQuorum,
    #[error("the clock's error is not within the accuracy claimed")]
    Inaccurate,
    #[error("the clock has jumped")]
    Jumped,
    #[error("a leap second is being stepped over")]
    LeapSecond,
    #[error("the clock lease is stale")]
    Stale,
    #[error("the clock log is not durable")]
    Unlogged,
}
