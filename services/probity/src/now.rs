//! The machine's clock and randomness, read here and nowhere else in this program.

use probity_domain::Timestamp;

use crate::failure::Failure;

/// Now, by this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the command line's one reading of the clock"
)]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut out = [0; N];
    getrandom::fill(&mut out).map_err(|e| Failure::new(format!("no randomness: {e}")))?;
    Ok(out)
}
