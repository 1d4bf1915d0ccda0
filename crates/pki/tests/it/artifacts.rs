//! What the formats make, left in a folder for programs that we did not write (docs/judges.md).
//!
//! `PROBITY_ARTIFACTS_DIR` names the folder; without it a scratch folder is used. A case is a folder
//! `formats/accept|refuse/KIND/NAME`; what every judge is given beforehand lies in `formats/trust`.
//! Our own functions judge each case first.

mod folder;

use std::io::Cursor;

use probity_pki::asic::{ContainerReader, ContainerWriter, Limits, Packing};
use probity_pki::cms::{SignedData, add_signature_time_stamp, verify_detached_content};
use probity_pki::crl::{Crl, RevocationReason, RevokedEntry};
use probity_pki::digest::HashAlgorithm;
use probity_pki::envelope::{EnvelopeRandom, decrypt, encrypt};
use probity_pki::keys::{MemoryKey, SignatureAlgorithm, Signer};
use probity_pki::ocsp::{
    CertStatus, OcspRequest, OcspResponse, Responder, ResponseTimes, make_request,
};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::tlog::{Checkpoint, Hash, LogKey, LogVerifier};
use probity_pki::tsp::{Imprint, TimeStampReq, TimeStampResp, TimeStampToken};
use probity_pki::x509::{
    Certificate, CertificateTemplate, Csr, Profile, Subject, make_csr, sign_certificate,
};

pub use self::folder::Folder;
use self::folder::{
    Expected::{Accept, Refuse},
    changed,
};
use crate::fixture::{HOUR_MS, Holder, Pki, crl, issue, template};

const CONTENT: &[u8] = b"<ASiCManifest/>\r\nnot\ncanonical\r";

/// The fixture's authorities with one certificate that the issuing CA's list revokes.
struct World {
    folder: Folder,
    pki: Pki,
    revoked: Holder,
}

impl World {
    fn new() -> Self {
        let mut pki = Pki::new();
        let revoked = issue(pki.now, Profile::Event, "Revoked", 7, Some(&pki.issuing));
        let entry = RevokedEntry {
            serial: revoked.certificate.serial().to_vec(),
            at: pki.now.plus_ms(-HOUR_MS / 2),
            reason: Some(RevocationReason::KeyCompromise),
            invalid_since: None,
        };
        pki.issuing_crl = crl(pki.now, &pki.issuing, &[entry]);
        let folder = Folder::new();
        let pem = |certificate: &Certificate| certificate.to_pem().unwrap().into_bytes();
        folder.trust("root.pem", &pem(&pki.root.certificate));
        folder.trust("issuing.pem", &pem(&pki.issuing.certificate));
        folder.trust("root.crl", pki.root_crl.der());
        folder.trust("issuing.crl", pki.issuing_crl.der());
        Self {
            folder,
            pki,
            revoked,
        }
    }

    fn valid_at(
        &self,
        leaf: &Certificate,
        at: probity_domain::Timestamp,
        purpose: Purpose,
    ) -> probity_pki::Result<()> {
        let revocation = Revocation::Crls {
            crls: &self.pki.crls(),
            tolerance_ms: 0,
        };
        let (chain, roots) = (self.pki.intermediates(), self.pki.roots());
        validate_path(leaf, &chain, &roots, revocation, at, purpose).map(drop)
    }

    fn signature_holds(&self, der: &[u8], content: &[u8]) -> probity_pki::Result<()> {
        let signed = SignedData::from_der(der)?;
        let signer = verify_detached_content(&signed, content)?;
        self.valid_at(&signer.certificate, self.pki.now, Purpose::EventSigning)
    }

    fn token_holds(&self, der: &[u8], data: &[u8]) -> probity_pki::Result<()> {
        let token = TimeStampToken::from_der(der)?;
        let info = token.tst_info();
        let algorithm = info.imprint.algorithm;
        let unit = token.verify(algorithm, &algorithm.digest(data))?;
        self.valid_at(&unit, info.gen_time, Purpose::TimeStamping)
    }
}

/// One world for all: what is in `trust` holds for every case.
#[test]
fn left_for_the_judges() {
    let world = World::new();
    certificates_and_lists(&world);
    requests_for_certificates(&world);
    tokens(&world);
    exchanges(&world);
    signatures(&world);
    certificate_status(&world);
    envelopes(&world);
    checkpoints(&world);
    containers(&world);
}

fn certificates_and_lists(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let case = |expected, name: &str, certificate: &Certificate, purpose| {
        let pem = certificate.to_pem().unwrap();
        let ours = world.valid_at(certificate, pki.now, purpose);
        folder.case(
            expected,
            "certificate",
            name,
            &[("certificate.pem", pem.as_bytes())],
            ours,
        );
    };
    case(
        Accept,
        "event",
        &pki.event.certificate,
        Purpose::EventSigning,
    );
    case(Accept, "seal", &pki.seal.certificate, Purpose::Seal);
    case(Accept, "tsa", &pki.tsa.certificate, Purpose::TimeStamping);
    let revoked = &world.revoked.certificate;
    case(Refuse, "revoked", revoked, Purpose::EventSigning);
    case(Refuse, "expired", &expired(pki), Purpose::EventSigning);
    // The same names, other keys.
    let foreign = Pki::new().event.certificate;
    case(Refuse, "of-an-impostor", &foreign, Purpose::EventSigning);
    let der = pki.event.certificate.der();
    for (name, bytes) in [
        ("changed-name", changed(der, "某某科技".as_bytes())),
        ("changed-signature", changed(der, &der[der.len() - 4..])),
    ] {
        let certificate = Certificate::from_der(&bytes).unwrap();
        case(Refuse, name, &certificate, Purpose::EventSigning);
    }

    let issuer = pki.issuing.certificate.to_pem().unwrap();
    let holds =
        |der: &[u8]| Crl::from_der(der).and_then(|crl| crl.verify(&pki.issuing.certificate));
    let der = pki.issuing_crl.der();
    for (expected, name, bytes) in [
        (Accept, "issuing", der.to_vec()),
        (Refuse, "changed-entry", changed(der, revoked.serial())),
        (
            Refuse,
            "changed-signature",
            changed(der, &der[der.len() - 4..]),
        ),
    ] {
        let files = [("list.crl", &*bytes), ("issuer.pem", issuer.as_bytes())];
        folder.case(expected, "crl", name, &files, holds(&bytes));
    }
}

fn expired(pki: &Pki) -> Certificate {
    let key = MemoryKey::generate().unwrap();
    let issuer = Some(&pki.issuing.certificate);
    let public = key.public_key_der();
    let template = CertificateTemplate {
        not_after: pki.now.plus_ms(-60_000),
        ..template(
            pki.now,
            Profile::Event,
            "Expired",
            &[0x88; 16],
            public,
            issuer,
        )
    };
    sign_certificate(&template.to_be_signed().unwrap(), &pki.issuing.key).unwrap()
}

fn requests_for_certificates(world: &World) {
    for algorithm in [
        SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::EcdsaP256Sha256,
    ] {
        let key = MemoryKey::generate_for(algorithm).unwrap();
        let der = make_csr(&key, &Subject::new("Party")).unwrap();
        let name = format!("{algorithm:?}").to_lowercase();
        for (expected, name, bytes) in [
            (Accept, name.clone(), der.clone()),
            (Refuse, format!("{name}-renamed"), changed(&der, b"Party")),
        ] {
            let ours = Csr::from_der(&bytes);
            let files: [(&str, &[u8]); 1] = [("request.p10", &bytes)];
            world.folder.case(expected, "csr", &name, &files, ours);
        }
    }
}

fn tokens(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let data = b"what is time-stamped";
    for algorithm in HashAlgorithm::ALL {
        let name = format!("{algorithm:?}").to_lowercase();
        let der = pki.token(algorithm, data);
        let case = |expected, name: &str, der: &[u8], data: &[u8]| {
            let ours = world.token_holds(der, data);
            folder.case(
                expected,
                "token",
                name,
                &[("token.der", der), ("data", data)],
                ours,
            );
        };
        case(Accept, &name, &der, data);
        case(Refuse, &format!("{name}-other-data"), &der, b"what is not");
        let imprint = algorithm.digest(data);
        case(
            Refuse,
            &format!("{name}-changed-imprint"),
            &changed(&der, &imprint),
            data,
        );
        let last = &der[der.len() - 4..];
        case(
            Refuse,
            &format!("{name}-changed-signature"),
            &changed(&der, last),
            data,
        );
    }
    let impostor = Pki::new();
    let der = impostor.token(HashAlgorithm::Sha256, data);
    let files: [(&str, &[u8]); 2] = [("token.der", &der), ("data", data)];
    let ours = world.token_holds(&der, data);
    folder.case(Refuse, "token", "of-an-impostor", &files, ours);
}

/// Request and response, as they go over HTTP.
fn exchanges(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let request = |nonce: &[u8]| {
        let imprint = Imprint::of(HashAlgorithm::Sha512, CONTENT);
        TimeStampReq::make(imprint, Some(nonce), true, None).unwrap()
    };
    let (asked, other) = (request(&[0xfe; 8]), request(&[0x7e; 8]));
    let response = pki
        .authority()
        .respond(&asked, &pki.tsa.key, pki.now, &[0xff; 16])
        .unwrap();
    for (expected, name, request) in [
        (Accept, "answered", &asked),
        (Refuse, "answer-to-another-nonce", &other),
    ] {
        let files = [
            ("request.tsq", &*request.to_der().unwrap()),
            ("response.tsr", &response),
            ("data", CONTENT),
        ];
        let parsed = TimeStampResp::from_der(&response).unwrap();
        folder.case(
            expected,
            "exchange",
            name,
            &files,
            parsed.token_for(request),
        );
    }
}

fn signatures(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let case = |expected, name: &str, der: &[u8], content: &[u8]| {
        let ours = world.signature_holds(der, content);
        let files = [("signature.p7s", der), ("content", content)];
        folder.case(expected, "signature", name, &files, ours);
    };
    let baseline = pki.sign(CONTENT);
    let signed = SignedData::from_der(&baseline).unwrap();
    let value = signed.signature_value();
    let stamped = |token: Vec<u8>| add_signature_time_stamp(&baseline, &token).unwrap();
    case(Accept, "cades-b", &baseline, CONTENT);
    for algorithm in [HashAlgorithm::Sha3_256, HashAlgorithm::Sha512] {
        let name = format!("cades-t-{algorithm:?}").to_lowercase();
        case(
            Accept,
            &name,
            &stamped(pki.token(algorithm, value)),
            CONTENT,
        );
    }
    case(Refuse, "other-content", &baseline, b"<ASiCManifest/>");
    case(
        Refuse,
        "changed-signature",
        &changed(&baseline, value),
        CONTENT,
    );
    case(
        Refuse,
        "changed-instruction",
        &changed(&baseline, &[7; 32]),
        CONTENT,
    );
    let revoked = pki.sign_as(&world.revoked, CONTENT);
    case(Refuse, "revoked-signer", &revoked, CONTENT);
    case(Refuse, "of-an-impostor", &Pki::new().sign(CONTENT), CONTENT);
}

fn certificate_status(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let responder = Responder {
        certificate: pki.ocsp.certificate.clone(),
        issuer: pki.issuing.certificate.clone(),
    };
    let times = ResponseTimes {
        produced_at: pki.now,
        this_update: pki.now,
        next_update: pki.now.plus_ms(HOUR_MS),
    };
    let at = pki.now.plus_ms(-HOUR_MS / 2);
    let revoked = world.revoked.certificate.serial();
    let status = |serial: &[u8]| match serial == revoked {
        true => CertStatus::Revoked {
            at,
            reason: Some(RevocationReason::KeyCompromise),
        },
        false => CertStatus::Good,
    };
    let nonce = [9; 16];
    let issuer = &pki.issuing.certificate;
    let case = |expected, name, certificate: &Certificate, change: fn(&[u8]) -> Vec<u8>| {
        let request = make_request(issuer, certificate.serial(), Some(&nonce)).unwrap();
        let asked = OcspRequest::from_der(&request).unwrap();
        let response = responder
            .respond(&asked, &pki.ocsp.key, times, &status)
            .unwrap();
        let response = change(&response);
        let ours = OcspResponse::from_der(&response)
            .and_then(|r| r.verify(issuer, certificate.serial(), Some(&nonce), pki.now));
        let ours = match ours {
            Ok(CertStatus::Good) => Ok(()),
            other => Err(other),
        };
        let (pem, issuer) = (certificate.to_pem().unwrap(), issuer.to_pem().unwrap());
        let files: [(&str, &[u8]); 4] = [
            ("request.der", &request),
            ("response.der", &response),
            ("certificate.pem", pem.as_bytes()),
            ("issuer.pem", issuer.as_bytes()),
        ];
        folder.case(expected, "ocsp", name, &files, ours);
    };
    case(Accept, "good", &pki.event.certificate, <[u8]>::to_vec);
    case(
        Refuse,
        "revoked",
        &world.revoked.certificate,
        <[u8]>::to_vec,
    );
    case(Refuse, "changed-nonce", &pki.event.certificate, |der| {
        changed(der, &[9; 16])
    });
}

fn envelopes(world: &World) {
    let (folder, pki) = (&world.folder, &world.pki);
    let profile = Profile::CourtEncryption;
    let [court, other] = [9, 10].map(|n| issue(pki.now, profile, "Court", n, Some(&pki.issuing)));
    let random = || {
        let mut random = [0; EnvelopeRandom::BYTES];
        getrandom::fill(&mut random).unwrap();
        EnvelopeRandom::from_bytes(&random)
    };
    let sealed = encrypt(&court.certificate, CONTENT, &random()).unwrap();
    let mut parts: Vec<_> = CONTENT
        .chunks(10)
        .map(|piece| encrypt(&court.certificate, piece, &random()).unwrap())
        .collect();
    let in_parts = parts.concat();
    let short = parts[..parts.len() - 1].concat();
    let doubled = [&parts[0], &in_parts[..]].concat();
    parts.swap(0, 1);
    let swapped = parts.concat();
    let (last, middle) = (
        &sealed[sealed.len() - 4..],
        &sealed[sealed.len() - 30..][..4],
    );
    for (expected, name, envelope, holder) in [
        (Accept, "to-the-court", sealed.clone(), &court),
        (Refuse, "to-another", sealed.clone(), &other),
        (Refuse, "changed-tag", changed(&sealed, last), &court),
        (Refuse, "changed-content", changed(&sealed, middle), &court),
        (Accept, "in-parts", in_parts, &court),
        (Refuse, "in-parts-swapped", swapped, &court),
        (Refuse, "in-parts-without-the-last", short, &court),
        (Refuse, "in-parts-with-one-twice", doubled, &court),
    ] {
        let key = holder.key.to_pkcs8_der().unwrap();
        let mut opened = Vec::new();
        // What is in another order opens, to something else.
        let ours = match decrypt(&mut &*envelope, &key, &mut opened) {
            Ok(_) if opened == CONTENT => Ok(()),
            other => Err(other),
        };
        let certificate = holder.certificate.to_pem().unwrap();
        let files = [
            ("envelope.p7m", &*envelope),
            ("recipient.pem", certificate.as_bytes()),
            ("recipient.key.der", &key),
            ("content", CONTENT),
        ];
        folder.case(expected, "envelope", name, &files, ours);
    }
}

fn checkpoints(world: &World) {
    let [key, other] = [5, 6].map(|seed| LogKey::generate("log.example/1", &[seed; 32]).unwrap());
    let checkpoint = Checkpoint {
        origin: key.name().to_owned(),
        size: 272,
        root: Hash([3; 32]),
    };
    let note = checkpoint.sign(&key).unwrap();
    for (expected, name, note, key) in [
        (Accept, "signed", note.clone(), &key),
        (Refuse, "by-another-key", note.clone(), &other),
        (Refuse, "changed-size", changed(&note, b"\n272"), &key),
    ] {
        let pinned = [LogVerifier::parse(key.verifier_key()).unwrap()];
        let ours = Checkpoint::verify(&note, &pinned);
        let files = [
            ("checkpoint.txt", &*note),
            ("log.vkey", key.verifier_key().as_bytes()),
        ];
        world
            .folder
            .case(expected, "checkpoint", name, &files, ours);
    }
}

fn containers(world: &World) {
    let mut many = ContainerWriter::new(Vec::new(), world.pki.now).unwrap();
    for i in 0..66_000 {
        many.add_bytes(&i.to_string(), b"").unwrap();
    }
    let mut kinds = ContainerWriter::new(Vec::new(), world.pki.now).unwrap();
    kinds.add_bytes("stored", CONTENT).unwrap();
    for (name, size_bytes, packing) in [
        ("截图.png", Some(CONTENT.len() as u64), Packing::Plain),
        ("of unknown size", None, Packing::Plain),
        ("deflated", None, Packing::Deflated),
    ] {
        kinds
            .add_reader(name, size_bytes, packing, &mut &*CONTENT)
            .unwrap();
    }
    let kinds = kinds.finish().unwrap();
    for (expected, name, bytes) in [
        (Accept, "every-kind", kinds.clone()),
        (Accept, "many-members", many.finish().unwrap()),
        (Refuse, "changed-member", changed(&kinds, CONTENT)),
    ] {
        let ours = read_all(&bytes);
        let files = [("container.zip", &*bytes)];
        world.folder.case(expected, "zip", name, &files, ours);
    }
}

fn read_all(bytes: &[u8]) -> probity_pki::Result<()> {
    let limits = Limits {
        members_max: 100_000,
        ..Limits::default()
    };
    let mut container = ContainerReader::open(Cursor::new(bytes), limits)?;
    let names: Vec<String> = container.members().iter().map(|m| m.name.clone()).collect();
    names
        .iter()
        .try_for_each(|name| container.read(name).map(drop))
}
