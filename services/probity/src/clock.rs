//! The machine's clock, for what needs a "now" and is not told one.

use std::time::{SystemTime, UNIX_EPOCH};

use probity_domain::Timestamp;

/// Now, in UTC.
#[expect(clippy::disallowed_methods, reason = "the one place of this command that reads the machine's clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
