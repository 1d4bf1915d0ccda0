//! The clock lease: the right to say what time it is, for a second at a time (ETSI EN 319 421 7.7.2).

mod chrony;
mod lease;

pub use chrony::Chrony;
pub use lease::{ClockLease, ClockReader, Reading, SystemReader};
