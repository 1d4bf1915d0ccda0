//! The offline verifier: a package in, a verdict out.
//!
//! Knows no network, clock or store: trust anchors and the instant of verification are parameters.
//! Members are streamed, so memory stays bounded whatever a package holds; a hostile package ends in
//! a verdict, never in a panic. Every check has a name that does not change, says what it found, and
//! what the package does *not* prove is part of the verdict.

mod digest;
mod log;
mod members;
mod package;
mod policy;
mod render;
mod seal;
mod signature;
mod stated;
mod verdict;
mod words;

pub use package::verify_package;
pub use policy::Policy;
pub use probity_pki::asic::Limits;
pub use render::{VERDICT_FORMAT, render};
pub use verdict::{Check, CheckName, CheckResult, Log, Overall, Text, Verdict, What, Who};
pub use words::Lang;
