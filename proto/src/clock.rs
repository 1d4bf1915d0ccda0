//! Documents of the clock log in object storage. Each record names the SHA-256 of the one before it, and tokens name
//! the newest: what a record says cannot be changed afterwards without a token showing it.

use probity_domain::Malformed;
use serde::{Deserialize, Serialize};

use crate::format;

/// The format name this version writes and reads.
pub const CLOCK_RECORD_FORMAT: &str = "probity.clock-record/1";

/// First part of every key of the clock log in bucket `truth`.
pub const CLOCK_LOG_PREFIX: &str = "clock/";

/// `clock/<unit>/<hour>/<seq>-<run>`: what one process of a time-stamping unit saw of its clock since its record before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRecordDocument {
    pub format: String,
    /// The unit: the first 16 hexadecimal digits of the SHA-256 of its certificate.
    pub unit: String,
    /// One run of one process, random.
    pub run: String,
    /// Goes on from the record before, over restarts.
    pub seq: u64,
    /// SHA-256 of the record before, hexadecimal; none when there was none to be found.
    pub previous: Option<String>,
    /// The wall clock at both ends of the period.
    pub from: String,
    pub to: String,
    /// Length of the period by the monotonic clock.
    pub elapsed_ms: i64,
    /// Why the clock is not trusted at the end of the period; none when it is.
    pub doubt: Option<String>,
    /// When trust was lost or found within the period, oldest first.
    pub changes: Vec<ClockChange>,
    /// Changes beyond those listed.
    pub changes_unlisted: u64,
    pub quorum: u32,
    pub accuracy_ms: u32,
    /// Readings of both clocks that were judged, and the largest bound on the wall clock's error among the good ones.
    pub readings: u64,
    pub bound_us_max: i64,
    pub sources: Vec<ClockSourceDocument>,
    pub leap: Option<LeapDocument>,
    /// Times handed out, each for one token.
    pub times_given: u64,
    /// Requests refused for want of a trusted clock, by reason.
    pub refusals: Vec<RefusalCount>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockChange {
    pub at: String,
    /// None: trusted again.
    pub doubt: Option<String>,
}

/// One time source over the period; offsets are its time minus the wall clock's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSourceDocument {
    pub name: String,
    pub answers: u64,
    pub failures: u64,
    pub last_failure: Option<String>,
    pub last: Option<ClockSampleDocument>,
    pub offset_us_min: Option<i64>,
    pub offset_us_max: Option<i64>,
    /// Whether its last interval holds the time agreed upon.
    pub agrees: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockSampleDocument {
    pub stratum: u8,
    pub offset_us: i64,
    pub error_us: i64,
    pub delay_us: i64,
    /// Leap indicator, RFC 5905 7.3: 0, 1 or 2.
    pub leap: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeapDocument {
    /// The midnight before which the second is inserted or left out.
    pub at: String,
    pub inserted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalCount {
    pub reason: String,
    pub count: u64,
}

/// Reads a record's bytes.
///
/// # Errors
/// [`Malformed`] when they are not this version's format.
pub fn read_clock_record(bytes: &[u8]) -> Result<ClockRecordDocument, Malformed> {
    let document: ClockRecordDocument =
        format::read_json("clock record", CLOCK_RECORD_FORMAT, bytes)?;
    format::expect(CLOCK_RECORD_FORMAT, &document.format)?;
    Ok(document)
}

/// Writes a record's bytes.
#[must_use]
pub fn write_clock_record(document: &ClockRecordDocument) -> Vec<u8> {
    // Strings, numbers and lists only: serialising cannot fail.
    serde_json::to_vec(document).unwrap_or_default()
}
