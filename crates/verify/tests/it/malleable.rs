//! What CMS leaves unsigned (RFC 5652 5.3, 5.4) and what ECDSA leaves open: each such change is refused, or
//! proven to say the same. Once logged and sealed, none of it goes unnoticed anyway (`matrix`).

use probity_pki::package::{EVENT_SIGNATURE, SEAL_SIGNATURE};
use probity_verify::{CheckName, Overall};

use crate::decoders::{Known, facts};
use crate::fixture::{change, failed};
use crate::matrix::{first_not_passed, honestly_around};
use crate::tlv::{Content, Element};

/// Order of secp384r1 (SEC 2 2.5.1).
const ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

const SIGNED_DATA: [usize; 2] = [1, 0];

fn element(tag: u8, content: Vec<Element>) -> Element {
    Element {
        tag: vec![tag],
        content: Content::Elements(content),
    }
}

fn bytes(tag: u8, content: &[u8]) -> Element {
    Element {
        tag: vec![tag],
        content: Content::Bytes(content.to_vec()),
    }
}

/// An attribute of an unknown kind.
fn attribute() -> Element {
    let oid = bytes(0x06, &[0x2a, 0x03, 0x04]);
    element(0x30, vec![oid, element(0x31, vec![bytes(0x05, &[])])])
}

fn at<'t>(tree: &'t mut Element, path: &[usize]) -> &'t mut Element {
    path.iter()
        .fold(tree, |element, step| match &mut element.content {
            Content::Elements(elements) => &mut elements[*step],
            Content::Wrapped(_, inner) => inner,
            Content::Bytes(_) => panic!("no element at {path:?}"),
        })
}

fn elements<'t>(tree: &'t mut Element, path: &[usize]) -> &'t mut Vec<Element> {
    match &mut at(tree, path).content {
        Content::Elements(elements) => elements,
        other => panic!("{other:?}"),
    }
}

/// The signer: the one element of the last field.
fn signer(tree: &mut Element) -> &mut Element {
    let fields = elements(tree, &SIGNED_DATA);
    at(fields.last_mut().unwrap(), &[0])
}

fn field(tree: &mut Element, tag: u8) -> &mut Element {
    let fields = elements(tree, &[]);
    fields
        .iter_mut()
        .find(|element| element.tag == [tag])
        .unwrap()
}

/// The token of a CAdES-T signature.
fn token(tree: &mut Element) -> &mut Element {
    at(field(signer(tree), 0xa1), &[0, 1, 0])
}

/// `(r, s)` becomes `(r, n - s)`, which verifies as well.
fn other_signature(value: &mut Element) {
    let s = at(value, &[0, 1]);
    let Content::Bytes(old) = &s.content else {
        panic!("no integer");
    };
    let mut padded = [0; 49];
    padded[49 - old.len()..].copy_from_slice(old);
    let (mut new, mut borrow) = (vec![0; 48], 0);
    for digit in (0..48).rev() {
        let difference = i16::from(ORDER[digit]) - i16::from(padded[digit + 1]) - borrow;
        borrow = i16::from(difference < 0);
        new[digit] = difference.rem_euclid(256) as u8;
    }
    let zeros = new.iter().take_while(|byte| **byte == 0).count();
    new.drain(..zeros);
    if new[0] >= 0x80 {
        new.insert(0, 0);
    }
    *s = bytes(0x02, &new);
}

/// A set in order again.
fn sorted(set: &mut [Element]) {
    set.sort_by_key(Element::encode);
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Refused(CheckName),
    /// Valid, and the verdict says what it said.
    Same,
}
use CheckName::{SealTimeStamp, Signature, SigningCertificate, TimeStamp};
use Outcome::{Refused, Same};

type Attack = (&'static str, fn(&Known, &mut Element), Outcome);

const ON_THE_EVENT: [Attack; 17] = [
    (
        "signature value (r, n-s): the token covers it",
        |_, tree| other_signature(field(signer(tree), 0x04)),
        Refused(TimeStamp),
    ),
    (
        "token's signature value (r, n-s)",
        |_, tree| other_signature(field(signer(token(tree)), 0x04)),
        Same,
    ),
    (
        "certificate's signature value (r, n-s): its digest is signed",
        |known, tree| {
            let serial = known.valid.who.clone().unwrap().certificate_serial.unwrap();
            let list = elements(field(at(tree, &SIGNED_DATA), 0xa0), &[]);
            let event = list
                .iter_mut()
                .find(|one| hex(&one.encode()).contains(&serial))
                .unwrap();
            other_signature(at(event, &[2]));
        },
        Refused(Signature),
    ),
    (
        "unknown unsigned attribute",
        |_, tree| {
            let attributes = elements(field(signer(tree), 0xa1), &[]);
            attributes.push(attribute());
            sorted(attributes);
        },
        Same,
    ),
    (
        "unsigned attributes out of order",
        |_, tree| {
            let attributes = elements(field(signer(tree), 0xa1), &[]);
            attributes.push(attribute());
            sorted(attributes);
            attributes.reverse();
        },
        Refused(Signature),
    ),
    (
        "two tokens in one attribute",
        |_, tree| {
            let values = elements(field(signer(tree), 0xa1), &[0, 1]);
            values.push(values[0].clone());
        },
        Refused(Signature),
    ),
    (
        "two attributes with a token",
        |_, tree| {
            let attributes = elements(field(signer(tree), 0xa1), &[]);
            attributes.push(attributes[0].clone());
        },
        Refused(Signature),
    ),
    (
        "no token",
        |_, tree| {
            elements(signer(tree), &[]).retain(|field| field.tag != [0xa1]);
        },
        Refused(TimeStamp),
    ),
    (
        "no unsigned attribute at all, but their field",
        |_, tree| {
            elements(field(signer(tree), 0xa1), &[]).clear();
        },
        Refused(TimeStamp),
    ),
    (
        "another certificate put in",
        |known, tree| {
            let list = elements(field(at(tree, &SIGNED_DATA), 0xa0), &[]);
            list.push(Element::parse(known.court.certificate.der(), true).unwrap());
            sorted(list);
        },
        Same,
    ),
    (
        "the root's certificate put in",
        |known, tree| {
            let list = elements(field(at(tree, &SIGNED_DATA), 0xa0), &[]);
            list.push(Element::parse(known.world.root.certificate.der(), true).unwrap());
            sorted(list);
        },
        Same,
    ),
    (
        "no issuing certificate",
        |known, tree| {
            let issuing = known.world.issuing.certificate.der().to_vec();
            elements(field(at(tree, &SIGNED_DATA), 0xa0), &[])
                .retain(|one| one.encode() != issuing);
        },
        Refused(SigningCertificate),
    ),
    (
        "an attribute certificate put in",
        |_, tree| {
            elements(field(at(tree, &SIGNED_DATA), 0xa0), &[]).push(element(0xa2, vec![]));
        },
        Refused(Signature),
    ),
    (
        "the signer twice",
        |_, tree| {
            let signers = elements(tree, &SIGNED_DATA).last_mut().unwrap();
            let list = elements(signers, &[]);
            list.push(list[0].clone());
        },
        Refused(Signature),
    ),
    (
        "NULL behind the digest algorithm",
        |_, tree| {
            elements(at(signer(tree), &[2]), &[]).push(bytes(0x05, &[]));
        },
        Refused(Signature),
    ),
    (
        "NULL behind the signature algorithm",
        |_, tree| {
            elements(at(signer(tree), &[4]), &[]).push(bytes(0x05, &[]));
        },
        Refused(Signature),
    ),
    (
        "unknown unsigned attribute of the token",
        |_, tree| {
            elements(signer(token(tree)), &[]).push(element(0xa1, vec![attribute()]));
        },
        Same,
    ),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_nobody_signed_on_the_event() {
    let known = Known::fresh();
    let signature = known.member(EVENT_SIGNATURE);
    let honest = known.world.verify(&honestly_around(&known, &signature));
    for (name, attack, outcome) in ON_THE_EVENT {
        let mut tree = Element::parse(&signature, true).unwrap();
        attack(&known, &mut tree);
        let attacked = tree.encode();
        assert_ne!(attacked, signature, "{name}");
        let verdict = known.world.verify(&honestly_around(&known, &attacked));
        match outcome {
            Refused(check) => {
                assert_ne!(verdict.overall, Overall::Valid, "{name}");
                assert_eq!(first_not_passed(&verdict), Some(check), "{name}");
            }
            Same => {
                let why = probity_verify::render(&verdict);
                assert_eq!(verdict.overall, Overall::Valid, "{name}: {why}");
                assert_eq!(facts(&verdict), facts(&honest), "{name}");
            }
        }
    }
}

const ON_THE_SEAL: [Attack; 3] = [
    (
        "signature value (r, n-s)",
        |_, tree| other_signature(field(signer(tree), 0x04)),
        Refused(SealTimeStamp),
    ),
    (
        "unknown unsigned attribute",
        |_, tree| {
            let attributes = elements(field(signer(tree), 0xa1), &[]);
            attributes.push(attribute());
            sorted(attributes);
        },
        Same,
    ),
    (
        "another certificate put in",
        |known, tree| {
            let list = elements(field(at(tree, &SIGNED_DATA), 0xa0), &[]);
            list.push(Element::parse(known.court.certificate.der(), true).unwrap());
            sorted(list);
        },
        Same,
    ),
];

/// Nothing covers the seal itself: it can be dressed, not bent.
#[test]
fn what_nobody_signed_on_the_seal() {
    let known = Known::fresh();
    for (name, attack, outcome) in ON_THE_SEAL {
        let mut tree = Element::parse(&known.member(SEAL_SIGNATURE), true).unwrap();
        attack(&known, &mut tree);
        let mut members = known.members.clone();
        change(&mut members, SEAL_SIGNATURE, |old| *old = tree.encode());
        assert_ne!(members, known.members, "{name}");
        let verdict = known.world.verify(&members);
        match outcome {
            Refused(check) => assert_eq!(failed(&verdict), [check], "{name}"),
            Same => {
                assert_eq!(verdict.overall, Overall::Valid, "{name}");
                assert_eq!(facts(&verdict), facts(&known.valid), "{name}");
            }
        }
    }
}
