//! timestamping: RFC 3161 tokens, for the pipeline and for anybody.
//!
//! | | |
//! |---|---|
//! | does | puts a token over each event signature (CAdES-B becomes CAdES-T); answers `POST /tsa`; keeps the clock log |
//! | wakes on | `evidence.signed`; questions `timestamping.stamp`; HTTP requests |
//! | needs | a quorum of time sources that agree with the machine's clock, and the store for the clock log |
//! | makes | `evidence.stamped`; records under `clock/`; ledger events of the kind `quarantine` |
//! | asks | NTP servers, or the local chronyd, as configured |
//! | holds | the time-stamping unit's key |
//! | refuses when | its clock lease is not good (T3): `timeNotAvailable` to the public, retry to the pipeline; a submission that lies in its future is left until its time has come |
//!
//! The lease lasts less than a second and is renewed five times a second, as long as a quorum of sources agrees that the
//! wall clock is within `accuracy_ms`, the wall clock has not jumped against the monotonic one, no leap second is near
//! and the newest record of the clock log is durable and fresh. Sources are asked slowly; what they said ages. Each token
//! states the bound then measured as its accuracy and names that record. Whether the clock was to be believed at a
//! token's time is answered by `POST /tsa/clock` and `GET /tsa/clock/<unit>/<hour>` ([`clock::audit`]).

pub mod clock;
mod config;
mod router;
mod serve;
mod stamp;

pub use clock::{ClockLease, ClockReader, Reading, SystemReader};
pub use config::{ClockConfig, Config, SourceConfig};
pub use router::router;
pub use serve::serve;
pub use stamp::TimeStamper;
