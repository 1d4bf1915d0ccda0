//! Who may answer by OCSP (RFC 6960 4.2.2.2), and for how long an answer is believed.

use probity_domain::Timestamp;
use probity_pki::Result;
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry, build_crl};
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::x509::{Certificate, Profile, Subject};

use crate::asn1::{CONTEXT_0, Node, OCTET_STRING, SEQUENCE};
use crate::crafted::{extension, extensions, is_extension, recertified};
use crate::fixture::{HOUR_MS, Holder, NOW, SEAL_SERIAL, World, certified};

const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const NO_CHECK: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5];
const UNKNOWN: [u8; 3] = [0x55, 0x1d, 0x7f];
const OCSP_SIGNING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 9];
const CODE_SIGNING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 3];
const RESPONDER_SERIAL: [u8; 16] = [0x71; 16];

struct Service {
    world: World,
    responder: Holder,
}

impl Service {
    fn new() -> Self {
        let world = World::new();
        let subject = Subject::new("OCSP");
        let issuer = Some(&world.issuing);
        let profile = Profile::OcspResponder;
        let responder = certified(profile, subject, &RESPONDER_SERIAL, issuer, None);
        Self { world, responder }
    }

    fn issuer(&self) -> &Certificate {
        &self.world.issuing.certificate
    }

    /// About the seal's certificate, current for an hour.
    fn answer(&self, status: CertStatus) -> Vec<u8> {
        let request = make_request(self.issuer(), &SEAL_SERIAL, None).unwrap();
        let request = OcspRequest::from_der(&request).unwrap();
        let responder = Responder {
            certificate: self.responder.certificate.clone(),
            issuer: self.issuer().clone(),
        };
        let times = ResponseTimes {
            produced_at: NOW,
            this_update: NOW,
            next_update: NOW.plus_ms(HOUR_MS),
        };
        let status = |_: &[u8]| status;
        responder
            .respond(&request, &self.responder.key, times, &status)
            .unwrap()
    }

    /// The good answer with other certificates in it, which its signature does not cover.
    fn beside(&self, certificates: &[Certificate]) -> Result<OcspResponse> {
        let mut whole = Node::parse(&self.answer(CertStatus::Good));
        let Node::Primitive(_, basic) = whole.at(&[1, 0, 1]).clone() else {
            unreachable!()
        };
        let mut basic = Node::parse(&basic);
        let inside = certificates.iter().map(|c| Node::parse(c.der())).collect();
        let inside = Node::Constructed(SEQUENCE, inside);
        *basic.at(&[3]) = Node::Constructed(CONTEXT_0, vec![inside]);
        *whole.at(&[1, 0, 1]) = Node::Primitive(OCTET_STRING, basic.der());
        OcspResponse::from_der(&whole.der())
    }

    fn recertified(&self, edit: impl FnOnce(&mut Node)) -> Certificate {
        let issuer = &self.world.issuing.key;
        recertified(&self.responder.certificate, issuer, edit)
    }

    fn judged(&self, response: &OcspResponse, at: Timestamp) -> Result<CertStatus> {
        response.verify(self.issuer(), &SEAL_SERIAL, None, at)
    }
}

fn without(tbs: &mut Node, oid: &[u8]) {
    extensions(tbs).retain(|node| !is_extension(node, oid));
}

#[test]
fn a_responder_must_be_one() {
    let service = Service::new();
    let null = Node::Primitive(0x05, Vec::new());
    let rows: [(&str, Certificate); 6] = [
        (
            "not for OCSP",
            service.recertified(|tbs| {
                for node in extensions(tbs) {
                    if let Node::Primitive(_, value) = node.inside().last_mut().unwrap()
                        && let Some(at) = value.windows(8).position(|w| w == OCSP_SIGNING)
                    {
                        value[at..at + 8].copy_from_slice(&CODE_SIGNING);
                    }
                }
            }),
        ),
        (
            "not for signatures",
            service.recertified(|tbs| {
                without(tbs, &KEY_USAGE);
                // keyAgreement.
                let usage = Node::Primitive(0x03, vec![3, 0x08]);
                extensions(tbs).push(extension(&KEY_USAGE, true, &usage));
            }),
        ),
        (
            "not for signatures",
            service.recertified(|tbs| without(tbs, &KEY_USAGE)),
        ),
        (
            "unknown critical extension",
            service.recertified(|tbs| extensions(tbs).push(extension(&UNKNOWN, true, &null))),
        ),
        (
            "not valid when it answered",
            service.recertified(|tbs| {
                // notAfter: before the answer.
                *tbs.at(&[4, 1]) = tbs.at(&[4, 0]).clone();
            }),
        ),
        (
            "was revoked is not known",
            service.recertified(|tbs| without(tbs, &NO_CHECK)),
        ),
    ];
    for (said, certificate) in rows {
        let response = service.beside(&[certificate]).unwrap();
        let refused = service.judged(&response, NOW).unwrap_err().to_string();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    // The way of making them is right.
    let same = service.recertified(|_| {});
    let response = service.beside(&[same]).unwrap();
    assert_eq!(service.judged(&response, NOW).unwrap(), CertStatus::Good);
}

/// Without id-pkix-ocsp-nocheck the CA's own list tells of its responder.
#[test]
fn a_responders_status_may_come_from_its_issuers_list() {
    let service = Service::new();
    let world = &service.world;
    let checked = service.recertified(|tbs| without(tbs, &NO_CHECK));
    let ocsp = [service.beside(&[checked]).unwrap()];
    let revoked = |serial: &[u8], reason| RevokedEntry {
        serial: serial.to_vec(),
        at: NOW.plus_ms(60_000),
        reason,
        invalid_since: None,
    };
    let list = |holder: &Holder, this, entries: &[RevokedEntry]| {
        let next = NOW.plus_ms(HOUR_MS);
        let der = build_crl(&holder.certificate, &holder.key, 5, this, next, entries).unwrap();
        Crl::from_der(&der).unwrap()
    };
    let path = |issuing: Crl| {
        let crls = [issuing, list(&world.root, NOW, &[])];
        let revocation = Revocation::Kept {
            crls: &crls,
            ocsp: &ocsp,
            tolerance_ms: 0,
        };
        let (leaf, others) = (&world.seal.certificate, [service.issuer().clone()]);
        let roots = [world.root.certificate.clone()];
        let at = NOW.plus_ms(30_000);
        validate_path(leaf, &others, &roots, revocation, at, Purpose::Seal)
    };
    // Out of date for the seal, so that the answer alone tells of it.
    let (key, issuer) = (&world.issuing.key, service.issuer());
    let (this, next) = (NOW.plus_ms(-1_000), NOW.plus_ms(1_000));
    let brief = build_crl(issuer, key, 5, this, next, &[]).unwrap();
    let told = path(Crl::from_der(&brief).unwrap()).unwrap().told_by;
    // The responder, the list that tells of it, and the root's list.
    assert_eq!(told.len(), 3, "{told:?}");
    // Its key may have been another's already when it answered.
    let stolen = revoked(&RESPONDER_SERIAL, Some(RevocationReason::KeyCompromise));
    let stolen = list(&world.issuing, NOW.plus_ms(60_000), &[stolen]);
    let without_answer = path(stolen.clone()).unwrap().told_by;
    assert_eq!(
        without_answer.len(),
        2,
        "the list alone: {without_answer:?}"
    );
    let orderly = revoked(&RESPONDER_SERIAL, Some(RevocationReason::Superseded));
    let orderly = list(&world.issuing, NOW.plus_ms(60_000), &[orderly]);
    assert_eq!(path(orderly).unwrap().told_by.len(), 4);
}

#[test]
fn a_response_carries_few_certificates() {
    let service = Service::new();
    let own = &service.responder.certificate;
    let several = |count| service.beside(&vec![own.clone(); count]);
    assert_eq!(
        service.judged(&several(4).unwrap(), NOW).unwrap(),
        CertStatus::Good
    );
    let refused = several(5).unwrap_err().to_string();
    assert!(refused.contains("limit of 4"), "{refused}");
}

/// A revocation does not lapse; that all was well does, and a suspension may.
#[test]
fn what_is_revoked_stays_revoked() {
    let service = Service::new();
    let later = NOW.plus_ms(2 * HOUR_MS);
    let judged = |status, at| {
        let response = OcspResponse::from_der(&service.answer(status)).unwrap();
        service.judged(&response, at)
    };
    let revoked = |reason| CertStatus::Revoked {
        at: NOW.plus_ms(-60_000),
        reason: Some(reason),
    };
    let compromised = revoked(RevocationReason::KeyCompromise);
    let held = revoked(RevocationReason::CertificateHold);
    for at in [NOW.plus_ms(-HOUR_MS / 2), NOW, later] {
        assert_eq!(judged(compromised, at).unwrap(), compromised);
    }
    for status in [CertStatus::Good, held] {
        assert_eq!(judged(status, NOW).unwrap(), status);
        judged(status, later).unwrap_err();
        judged(status, NOW.plus_ms(-HOUR_MS / 2)).unwrap_err();
    }
}
