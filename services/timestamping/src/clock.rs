//! The clock lease: the right to say what time it is, for less than a second at a time (ETSI EN 319 421 7.7.2).
//!
//! [`source`] asks, each source at its own slow pace; [`lease`] judges the wall clock by what they said, as it ages, at
//! every use; [`log`] writes down what was judged before a token may refer to it; [`audit`] reads that years later.

pub mod audit;
mod chrony;
mod doubt;
mod interval;
mod leap;
mod lease;
mod log;
mod ntp;
mod period;
mod reading;
mod sample;
mod source;
mod watch;

pub use doubt::Doubt;
pub use leap::LeapIndicator;
pub use lease::{ClockLease, Rules};
pub use log::{ClockLog, unit_name};
pub use period::Period;
pub use reading::{ClockReader, Reading, SystemReader};
pub use sample::Sample;
pub use source::{Heard, Source};
pub use watch::watch;
