//! What fuzzing found once, so that it stays mended.

use probity_domain::SubmissionId;
use probity_pki::digest::HashAlgorithm;
use probity_pki::tsp::{Imprint, PkiFailureInfo, TimeStampReq};
use probity_pki::x509::Certificate;

use crate::decoders::Known;
use crate::tlv::{Content, Element};

fn certificate() -> Element {
    Element::parse(Known::fresh().world.tsa.certificate.der(), true).unwrap()
}

fn children(element: &mut Element) -> &mut Vec<Element> {
    match &mut element.content {
        Content::Elements(elements) => elements,
        other => panic!("{other:?}"),
    }
}

/// The certificate was encoded again for its PEM, which left out what is the default anyway: the
/// block then held other bytes than the issuer signed.
#[test]
fn a_certificate_in_pem_is_the_one_that_was_read() {
    let mut tree = certificate();
    let extensions = children(&mut children(&mut tree)[0]).last_mut().unwrap();
    let first = children(children(extensions).first_mut().unwrap());
    let not_critical = first
        .iter_mut()
        .find(|extension| extension.children().len() == 2)
        .unwrap();
    let written_out = Element {
        tag: vec![0x01],
        content: Content::Bytes(vec![0]),
    };
    children(not_critical).insert(1, written_out);
    let der = tree.encode();
    let read = Certificate::from_der(&der).unwrap();
    let again = Certificate::from_pem(&read.to_pem().unwrap()).unwrap();
    assert_eq!(again.der(), der);
}

/// Values of attributes were taken as they came, DER or not.
#[test]
fn what_is_not_decoded_must_be_der_too() {
    let inside = |value: &[u8]| {
        let mut tree = certificate();
        let subject = &mut children(&mut children(&mut tree)[0])[5];
        let attribute = &mut children(&mut children(subject)[0])[0];
        children(attribute)[1] = Element {
            tag: vec![0x30],
            content: Content::Bytes(value.to_vec()),
        };
        Certificate::from_der(&tree.encode())
    };
    assert!(inside(&[0x02, 0x01, 0x01]).is_ok());
    for value in [
        &[0x02, 0x02, 0x00, 0x01][..],
        &[0x02, 0x81, 0x01, 0x01],
        &[0x01, 0x01, 0x01],
    ] {
        let refused = inside(value).unwrap_err().to_string();
        assert!(refused.contains("not DER"), "{refused}");
    }
}

/// `certReq FALSE` and an empty list of extensions could be written out or left out.
#[test]
fn a_time_stamp_request_has_one_encoding() {
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, None, false, None)
        .unwrap()
        .to_der()
        .unwrap();
    assert!(TimeStampReq::from_der(&request).is_ok());
    for written_out in [&[0x01, 0x01, 0x00][..], &[0xa0, 0x00]] {
        let mut tree = Element::parse(&request, false).unwrap();
        children(&mut tree).push(Element::parse(written_out, false).unwrap());
        let refused = TimeStampReq::from_der(&tree.encode()).unwrap_err();
        assert_eq!(PkiFailureInfo::of(&refused), PkiFailureInfo::BadDataFormat);
    }
}

/// URNs, braces and bare digits passed as identifiers of a submission.
#[test]
fn a_submission_has_one_name() {
    let name = Known::fresh().scenario.statement.submission.to_string();
    assert!(SubmissionId::parse(&name).is_ok());
    let bare = name.replace('-', "");
    for other in [format!("urn:uuid:{name}"), format!("{{{name}}}"), bare] {
        assert!(SubmissionId::parse(&other).is_err(), "{other}");
    }
}
