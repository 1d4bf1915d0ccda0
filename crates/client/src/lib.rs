//! The SDK of Probity's edges, for vendors, courts and registration officers.
//!
//! | type | speaks for | with |
//! |---|---|---|
//! | [`Applicant`] | whoever applies to become a party | identity, without a credential |
//! | [`Vendor`] | a verified party that submits evidence | intake, identity, delivery |
//! | [`Court`] | a recipient that pulls packages and acknowledges them | delivery |
//! | [`Officer`] | registration officers and operators | identity, delivery |
//!
//! Every call is bounded in time and tries again, with jitter, what can be tried again: refusals that ask to come
//! back later (`Retry-After` honoured) and lost connections, the latter only where asking twice is the same as asking
//! once. Nothing is held in memory whole: files stream both ways and are checked against their digests. A court's fetch
//! that breaks off goes on where it was.

mod connection;
mod court;
mod error;
mod file;
mod officer;
mod resume;
mod retry;
mod vendor;

pub use connection::{Connection, Endpoints, Secret};
pub use court::{Court, DeliveryQuery};
pub use error::{Error, Problem, ProblemKind, Result};
pub use file::{DigestedFile, digest_file};
pub use officer::{Applicant, Officer};
pub use vendor::{EvidenceQuery, Vendor};
