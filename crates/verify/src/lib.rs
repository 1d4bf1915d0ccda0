//! The offline verifier: a package in, a verdict out.
//!
//! Knows no network, clock or store: trust anchors and the instant of verification are parameters.
//! Members are streamed, so memory stays bounded whatever a package holds; a hostile package ends in
//! a verdict, never in a panic. Every check has a name that does not change, says what it found, and
//! what the package does *not* prove is part of the verdict.
//!
//! Two halves: [`examine`] measures a package and has no opinion, [`judge`] applies a [`Policy`] to what
//! was measured. Between them lie [`Diagnostic`] data, which can be kept and judged again.

mod algorithms;
mod check;
mod clock;
mod diagnostic;
mod digest;
mod examine;
mod findings;
mod glossary;
mod judge;
mod log;
mod members;
mod parts;
mod policy;
mod receipt;
mod render;
mod seal;
mod signature;
mod stated;
mod storage;
mod submitter;
mod text;
mod trust;
mod verdict;
mod words;

pub use check::{Check, CheckName, CheckResult};
pub use diagnostic::{
    Container, DIAGNOSTIC_FORMAT, Diagnostic, Document, Member, SignedReceipt, WholeFile,
};
pub use examine::{examine, measure_file};
pub use judge::{judge, verify_package};
pub use policy::{ALWAYS, Accepted, POLICY_FORMAT, Policy, Required};
pub use probity_pki::asic::Limits;
pub use render::{VERDICT_FORMAT, render};
pub use text::Text;
pub use trust::Lists;
pub use verdict::{HandedIn, Log, Missing, Overall, PolicyName, Source, Verdict, What, Who};
pub use words::Lang;
