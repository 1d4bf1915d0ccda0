//! CertificationRequestInfo (RFC 2986 4.1).

use super::{Findings, rules};
use crate::x509::CertificationRequestInfo;
use der::Encode;

pub(super) fn lint(bytes: &[u8], spki_der: &[u8], findings: &mut Findings) {
    let Some(info) = findings.decode::<CertificationRequestInfo>(bytes) else {
        return;
    };
    findings.require(&rules::REQUEST_VERSION, info.version == 0, "not version 1");
    let spki = info.subject_public_key_info.to_der();
    let own = spki.is_ok_and(|spki| spki == spki_der);
    findings.require(&rules::REQUEST_KEY, own, "not the key that signs");
}
