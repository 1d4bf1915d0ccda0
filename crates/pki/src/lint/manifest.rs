//! `ASiCManifest` (EN 319 162-1 annex A.4).

use super::{Findings, rules};
use crate::asic::{MIMETYPE_MEMBER, Manifest, SIGNATURE_MIME_TYPE};

pub(super) fn lint(bytes: &[u8], findings: &mut Findings) {
    // Refuses what is not the schema's, a member referenced twice and a digest of a wrong length.
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(reason) => return findings.add(&rules::MANIFEST_SCHEMA, reason.to_string()),
    };
    let signature = manifest.signature.as_str();
    let file = signature.strip_prefix("META-INF/").unwrap_or_default();
    let named = file.contains("signature") && file.ends_with(".p7s") && !file.contains('/');
    findings.require(&rules::MANIFEST_SIGNATURE, named, signature);
    let typed = manifest.signature_mime_type.as_deref() == Some(SIGNATURE_MIME_TYPE);
    findings.require(&rules::MANIFEST_MIME_TYPE, typed, "the signature's");
    for reference in &manifest.references {
        let member = reference.member.as_str();
        // Neither its own signature nor the container's type can be covered by it.
        let outside = member == signature || member == MIMETYPE_MEMBER;
        let inside = !member.starts_with('/') && !member.split('/').any(|part| part == "..");
        findings.require(&rules::MANIFEST_REFERENCE, !outside && inside, member);
        let typed = reference.mime_type.as_deref().is_some_and(is_media_type);
        findings.require(&rules::MANIFEST_MIME_TYPE, typed, member);
    }
    let again = manifest.to_xml().is_ok_and(|xml| xml == bytes);
    findings.require(
        &rules::MANIFEST_FORM,
        again,
        "not the one form of this manifest",
    );
}

fn is_media_type(text: &str) -> bool {
    let parts = text
        .split(';')
        .next()
        .and_then(|plain| plain.split_once('/'));
    parts.is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty())
}
