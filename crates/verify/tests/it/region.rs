//! Which part of a signature an element belongs to, and which checks answer for it.

use probity_verify::CheckName::{self, Signature, SigningCertificate, TimeStamp};

use crate::tlv::Element;

/// The parts of a CAdES-T signature (RFC 5652 5, RFC 3161 2.4.2) and the checks one of which must be
/// the first to object. What is not DER any more always is no signature.
pub const ALL: [(&str, &[CheckName]); 27] = [
    ("content info", &[Signature]),
    ("version", &[Signature]),
    ("digest algorithms", &[Signature]),
    ("encapsulated content", &[Signature]),
    ("certificates", &[Signature, SigningCertificate]),
    ("certificate", &[Signature, SigningCertificate]),
    ("inside a certificate", &[Signature, SigningCertificate]),
    ("revocation lists", &[Signature]),
    ("revocation list", &[Signature]),
    ("inside a revocation list", &[Signature]),
    ("signer info", &[Signature]),
    ("signer version", &[Signature]),
    ("signer identifier", &[Signature]),
    ("digest algorithm", &[Signature]),
    ("signed attributes", &[Signature]),
    ("signature algorithm", &[Signature]),
    ("signature value", &[Signature]),
    ("unsigned attributes", &[Signature, TimeStamp]),
    ("token", &[Signature]),
    ("token version", &[Signature]),
    ("token digest algorithms", &[Signature]),
    ("token content", &[Signature, TimeStamp]),
    ("token certificates", &[Signature, TimeStamp]),
    ("token signer info", &[Signature, TimeStamp]),
    ("token signer version", &[Signature]),
    ("token signed attributes", &[Signature, TimeStamp]),
    ("token signature value", &[Signature, TimeStamp]),
];

/// The part that the element at `path` of a ContentInfo belongs to.
pub fn region(root: &Element, path: &[usize]) -> &'static str {
    let [1, 0, field, rest @ ..] = path else {
        return "content info";
    };
    let Some(element) = root.at(&[1, 0, *field]) else {
        return "content info";
    };
    match (*field, element.tag.as_slice(), rest) {
        (0, ..) => "version",
        (1, ..) => "digest algorithms",
        (2, ..) => "encapsulated content",
        (_, [0xa0], []) => "certificates",
        (_, [0xa0], [_]) => "certificate",
        (_, [0xa0], _) => "inside a certificate",
        (_, [0xa1], []) => "revocation lists",
        (_, [0xa1], [_]) => "revocation list",
        (_, [0xa1], _) => "inside a revocation list",
        (_, _, [0, field, rest @ ..]) => of_signer(element, *field, rest),
        _ => "signer info",
    }
}

fn of_signer(signers: &Element, field: usize, rest: &[usize]) -> &'static str {
    let Some(element) = signers.at(&[0, field]) else {
        return "signer info";
    };
    match (field, element.tag.as_slice(), rest) {
        (0, ..) => "signer version",
        (1, ..) => "signer identifier",
        (2, ..) => "digest algorithm",
        (_, [0xa0], _) => "signed attributes",
        (_, [0x30], _) => "signature algorithm",
        (_, [0x04], _) => "signature value",
        (_, [0xa1], [0, 1, 0, rest @ ..]) => match element.at(&[0, 1, 0]) {
            Some(token) => of_token(region(token, rest)),
            None => "unsigned attributes",
        },
        _ => "unsigned attributes",
    }
}

fn of_token(region: &'static str) -> &'static str {
    match region {
        "version" => "token version",
        "digest algorithms" => "token digest algorithms",
        "encapsulated content" => "token content",
        "certificates" | "certificate" | "inside a certificate" => "token certificates",
        "signer version" => "token signer version",
        "signed attributes" => "token signed attributes",
        "signature value" => "token signature value",
        "signer info"
        | "signer identifier"
        | "digest algorithm"
        | "signature algorithm"
        | "unsigned attributes" => "token signer info",
        _ => "token",
    }
}
