//! X.509 certificates: reading, profiles, issuing, and certification requests (RFC 5280, RFC 2986).

mod certificate;
mod csr;
mod extensions;
mod known;
mod template;

pub use certificate::Certificate;
pub(crate) use certificate::magnitude;
pub(crate) use csr::CertificationRequestInfo;
pub use csr::{Csr, make_csr};
pub(crate) use extensions::{authority_key_identifier, extension};
pub(crate) use template::algorithm_of;
pub use template::{
    Addresses, CertificateTemplate, Profile, Subject, certified_name, sign_certificate,
};
pub use x509_cert::ext::pkix::KeyUsage;
