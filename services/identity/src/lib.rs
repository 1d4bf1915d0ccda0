//! Role `identity`: who somebody is, and that it was their own will.
//!
//! | | |
//! |---|---|
//! | does | takes applications, records decisions on them, publishes agreements and their acceptances, issues and revokes credentials, sends and checks one-time codes |
//! | wakes on | HTTP only: applicants, vendors, registration officers, operators, auditors |
//! | needs | object storage (ledger); a channel for codes: a mail server, or a directory in demos |
//! | makes | ledger events of the kinds `party`, `agreement`, `credential`, `intent` |
//! | asks | nobody |
//! | holds | the key under which one-time codes are kept as HMACs; never a code, never a credential's secret |
//! | refuses when | the applicant does not declare the truth (W6) or leaves a mandatory field out (W3); an agreement's digest is not that of its published text (W5); a credential is asked for a party that is not verified (W1); an instruction comes before an accepted agreement on electronic form (I4); a code is wrong, used, late, exhausted or was made for another instruction (I2) |
//!
//! Every decision is a pure function over the events so far; one file per verb:
//! [`apply`], [`decide`], [`publish`], [`accept`], [`credential`], [`request_intent`], [`confirm_intent`].
//! Who may do what: `http.rs`. Verification is pluggable: [`provider`]; the only provider shipped verifies nothing and
//! says so.

pub mod accept;
pub mod apply;
pub mod channel;
pub mod code;
pub mod confirm_intent;
pub mod credential;
pub mod decide;
pub mod provider;
pub mod publish;
pub mod request_intent;

mod config;
mod http;
mod openapi;
mod origin;
mod serve;
mod status;
mod throttle;

pub use config::{ChannelConfig, Config, SmtpTls};
pub use http::router;
pub use openapi::openapi_json;
pub use origin::Origin;
pub use serve::{Identity, serve};
