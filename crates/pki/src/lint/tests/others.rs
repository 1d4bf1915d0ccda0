//! Revocation lists, requests, OCSP responses, tokens, signed attributes, manifests.

use const_oid::ObjectIdentifier;
use der::asn1::{GeneralizedTime, Int, Null, OctetString, SetOfVec};
use der::{Any, Decode, Encode, Tag};
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::CrlReason;

use super::{HOUR_MS, NOW, Table, World};
use crate::asic::{DataObjectReference, Manifest};
use crate::asn1_time::to_generalized;
use crate::cms::structures::{EssCertIdV2, SigningCertificateV2};
use crate::cms::{CommitmentType, Parsed, SignRequest, sign_detached};
use crate::crl::{RevocationReason, RevokedEntry, build_crl};
use crate::digest::HashAlgorithm;
use crate::keys::Signer as _;
use crate::lint::{
    Artifact, AttributesContext, OcspContext, Rule, SignedAs, TokenContext, crl, rules, token,
};
use crate::ocsp::structures::{CertStatusChoice, ResponderId, ResponseData};
use crate::ocsp::{CertStatus, OcspRequest, Responder, ResponseTimes, make_request};
use crate::oid;
use crate::signed::Signed;
use crate::tsp::{Imprint, TimeStampAuthority, TimeStampReq};
use crate::x509::{CertificationRequestInfo, Subject, extension, make_csr};

const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");

fn to_be_signed(der: &[u8]) -> Vec<u8> {
    let signed = Signed::from_der("test", der, der.len()).unwrap();
    signed.to_be_signed_der("test").unwrap()
}

pub(super) fn crls(world: &World, table: &mut Table) {
    let issuer = &world.issuing.certificate;
    let revoked = |serial, reason| RevokedEntry {
        serial: vec![serial; 20],
        at: NOW.plus_ms(-HOUR_MS),
        reason: Some(reason),
        invalid_since: None,
    };
    let entries = [
        revoked(0x41, RevocationReason::KeyCompromise),
        revoked(0x42, RevocationReason::Unspecified),
    ];
    let next = NOW.plus_ms(HOUR_MS);
    let der = build_crl(issuer, &world.issuing.key, 7, NOW, next, &entries).unwrap();
    let bytes = to_be_signed(&der);
    table.row(&bytes, &Artifact::Crl(issuer), &[]);
    let good = crl::Tbs::from_der(&bytes).unwrap();
    let mut row = |expected: &[&'static Rule], change: &dyn Fn(&mut crl::Tbs)| {
        let mut broken = good.clone();
        change(&mut broken);
        table.row(&broken.to_der().unwrap(), &Artifact::Crl(issuer), expected);
    };
    fn first(tbs: &mut crl::Tbs) -> &mut crl::Revoked {
        &mut tbs.revoked_certificates.as_mut().unwrap()[0]
    }
    let utc = |text: &str| Any::new(Tag::UtcTime, text.as_bytes()).unwrap();
    row(&[&rules::CRL_VERSION], &|tbs| tbs.version = 0);
    row(&[&rules::SIGNATURE_ALGORITHM], &|tbs| {
        tbs.signature.parameters = Some(Any::null())
    });
    row(&[&rules::ISSUER_NAME], &|tbs| {
        tbs.issuer = Any::new(Tag::Sequence, []).unwrap()
    });
    row(&[&rules::CRL_UPDATE_ORDER], &|tbs| {
        tbs.next_update = tbs.this_update.clone()
    });
    row(&[&rules::TIME_ENCODING], &|tbs| {
        tbs.next_update = utc("2701150900Z")
    });
    row(&[&rules::AUTHORITY_KEY_ID], &|tbs| {
        tbs.extensions.retain(|e| e.extn_id == oid::CRL_NUMBER)
    });
    row(&[&rules::CRL_NUMBER], &|tbs| {
        tbs.extensions.retain(|e| e.extn_id != oid::CRL_NUMBER)
    });
    row(&[&rules::CRL_NUMBER], &|tbs| {
        let number = Int::new(&[0x80]).unwrap();
        tbs.extensions[1] = extension(oid::CRL_NUMBER, false, &number).unwrap();
    });
    row(&[&rules::EXTENSION_CRITICALITY], &|tbs| {
        tbs.extensions[1].critical = true
    });
    row(&[&rules::EXTENSION_UNKNOWN_CRITICAL], &|tbs| {
        tbs.extensions
            .push(extension(UNKNOWN, true, &Null).unwrap());
    });
    row(&[&rules::CRL_EMPTY], &|tbs| {
        tbs.revoked_certificates = Some(vec![])
    });
    row(&[], &|tbs| tbs.revoked_certificates = None);
    row(&[&rules::CRL_ENTRY_SERIAL], &|tbs| {
        first(tbs).serial_number = Int::new(&[0]).unwrap()
    });
    row(&[&rules::CRL_ENTRY_DUPLICATE], &|tbs| {
        first(tbs).serial_number = Int::new(&[0x42; 20]).unwrap();
    });
    row(&[&rules::CRL_ENTRY_DATE], &|tbs| {
        first(tbs).revocation_date = utc("270115080001Z")
    });
    let entry = |oid, value: &dyn Fn() -> Extension| {
        let extension = value();
        assert_eq!(extension.extn_id, oid);
        move |tbs: &mut crl::Tbs| first(tbs).extensions = Some(vec![extension.clone()])
    };
    for reason in [CrlReason::Unspecified, CrlReason::RemoveFromCRL] {
        let reason = || extension(oid::CRL_REASON, false, &reason).unwrap();
        row(&[&rules::CRL_REASON], &entry(oid::CRL_REASON, &reason));
    }
    // 7 is not used.
    let seven = Any::new(Tag::Enumerated, [7]).unwrap();
    let seven = || extension(oid::CRL_REASON, false, &seven).unwrap();
    row(&[&rules::CRL_REASON], &entry(oid::CRL_REASON, &seven));
    let date = |value: &dyn Fn() -> Any| extension(oid::INVALIDITY_DATE, false, &value()).unwrap();
    let good_date = || date(&|| Any::new(Tag::GeneralizedTime, *b"20270115070000Z").unwrap());
    row(&[], &entry(oid::INVALIDITY_DATE, &good_date));
    let bad_date = || date(&|| utc("270115070000Z"));
    row(
        &[&rules::CRL_INVALIDITY_DATE],
        &entry(oid::INVALIDITY_DATE, &bad_date),
    );
    let others = Artifact::Crl(&world.event.certificate);
    let broken = [
        &rules::CRL_ISSUER_MAY_SIGN,
        &rules::ISSUER_NAME,
        &rules::AUTHORITY_KEY_ID,
    ];
    table.row(&bytes, &others, &broken);
}

pub(super) fn requests(world: &World, table: &mut Table) {
    let (key, other) = (&world.event.key, world.tsa.key.public_key_der());
    let bytes = to_be_signed(&make_csr(key, &Subject::new("a wish")).unwrap());
    table.row(
        &bytes,
        &Artifact::CertificationRequest(key.public_key_der()),
        &[],
    );
    table.row(
        &bytes,
        &Artifact::CertificationRequest(other),
        &[&rules::REQUEST_KEY],
    );
    let mut broken = CertificationRequestInfo::from_der(&bytes).unwrap();
    broken.version = 1;
    let artifact = Artifact::CertificationRequest(key.public_key_der());
    table.row(
        &broken.to_der().unwrap(),
        &artifact,
        &[&rules::REQUEST_VERSION],
    );
}

pub(super) fn responses(world: &World, table: &mut Table) {
    let issuer = &world.issuing.certificate;
    let asked = |serial: &[u8], nonce: Option<&[u8]>| {
        OcspRequest::from_der(&make_request(issuer, serial, nonce).unwrap()).unwrap()
    };
    let (request, other) = (asked(&[0x41; 20], Some(&[7; 32])), asked(&[0x42; 20], None));
    let responder = Responder {
        certificate: world.ocsp.certificate.clone(),
        issuer: issuer.clone(),
    };
    let times = ResponseTimes {
        produced_at: NOW,
        this_update: NOW,
        next_update: NOW.plus_ms(HOUR_MS),
    };
    let status = |_: &[u8]| CertStatus::Revoked {
        at: NOW.plus_ms(-HOUR_MS),
        reason: Some(RevocationReason::Superseded),
    };
    let der = responder
        .respond(&request, &world.ocsp.key, times, &status)
        .unwrap();
    let bytes = crate::ocsp::OcspResponse::from_der(&der)
        .unwrap()
        .response_data();
    let context = OcspContext {
        request: &request,
        responder: &world.ocsp.certificate,
        issuer,
    };
    table.row(&bytes, &Artifact::OcspResponse(context), &[]);
    let elsewhere = OcspContext {
        request: &other,
        ..context
    };
    let broken = [&rules::OCSP_CERT_ID, &rules::OCSP_NONCE];
    table.row(&bytes, &Artifact::OcspResponse(elsewhere), &broken);
    let party = OcspContext {
        responder: &world.event.certificate,
        ..context
    };
    let broken = [&rules::OCSP_RESPONDER, &rules::OCSP_RESPONDER_ID];
    table.row(&bytes, &Artifact::OcspResponse(party), &broken);
    let good = ResponseData::from_der(&bytes).unwrap();
    let mut row = |expected: &[&'static Rule], change: &dyn Fn(&mut ResponseData)| {
        let mut broken = good.clone();
        change(&mut broken);
        let bytes = broken.to_der().unwrap();
        table.row(&bytes, &Artifact::OcspResponse(context), expected);
    };
    let later: GeneralizedTime = to_generalized(NOW.plus_ms(2 * HOUR_MS)).unwrap();
    row(&[&rules::OCSP_VERSION], &|data| data.version = 1);
    row(&[&rules::OCSP_RESPONDER_ID], &|data| {
        data.responder_id = ResponderId::ByKey(OctetString::new([0; 20]).unwrap());
    });
    row(&[&rules::OCSP_TIMES], &|data| {
        data.responses[0].this_update = later
    });
    row(&[&rules::OCSP_TIMES], &|data| {
        data.responses[0].next_update = None
    });
    row(&[&rules::OCSP_TIMES], &|data| data.produced_at = later);
    row(&[&rules::OCSP_CERT_ID], &|data| data.responses.clear());
    let revoked = |data: &mut ResponseData,
                   change: &dyn Fn(&mut crate::ocsp::structures::RevokedInfo)| {
        match &mut data.responses[0].cert_status {
            CertStatusChoice::Revoked(info) => change(info),
            other => panic!("{other:?}"),
        }
    };
    row(&[&rules::OCSP_REVOCATION_TIME], &|data| {
        revoked(data, &|info| info.revocation_time = later)
    });
    row(&[&rules::OCSP_REASON], &|data| {
        revoked(data, &|info| {
            info.revocation_reason = Some(CrlReason::Unspecified)
        });
    });
    row(&[&rules::OCSP_NONCE], &|data| {
        data.response_extensions = None
    });
    row(&[&rules::OCSP_EXTENSION], &|data| {
        let added = extension(UNKNOWN, false, &Null).unwrap();
        data.response_extensions.as_mut().unwrap().push(added);
    });
    row(&[&rules::OCSP_EXTENSION], &|data| {
        data.responses[0].single_extensions = Some(vec![extension(UNKNOWN, false, &Null).unwrap()]);
    });
}

pub(super) fn tokens(world: &World, table: &mut Table) {
    let authority = TimeStampAuthority {
        certificate: world.tsa.certificate.clone(),
        chain: vec![],
        policy: oid::POLICY_TIME_STAMP,
        accuracy_ms: 1_500,
    };
    let imprint = Imprint::of(HashAlgorithm::Sha3_256, b"x");
    let request = TimeStampReq::make(imprint.clone(), Some(&[7; 8]), true, None).unwrap();
    let at = NOW.plus_ms(120);
    let der = authority
        .token(&request, &world.tsa.key, at, &[0x41; 20])
        .unwrap();
    let parsed = Parsed::from_der("test", &der, der.len(), crate::cms::Encoding::Strict).unwrap();
    let bytes = parsed.content().unwrap().to_vec();
    let context = TokenContext {
        unit: &world.tsa.certificate,
        policy: oid::POLICY_TIME_STAMP,
        imprint: &imprint,
        nonce: request.nonce.as_deref(),
        gen_time: at,
    };
    table.row(&bytes, &Artifact::TstInfo(context), &[]);
    let party = TokenContext {
        unit: &world.event.certificate,
        ..context
    };
    table.row(&bytes, &Artifact::TstInfo(party), &[&rules::TOKEN_UNIT]);
    let good = token::TstInfo::from_der(&bytes).unwrap();
    let mut row = |expected: &[&'static Rule], change: &dyn Fn(&mut token::TstInfo)| {
        let mut broken = good.clone();
        change(&mut broken);
        table.row(
            &broken.to_der().unwrap(),
            &Artifact::TstInfo(context),
            expected,
        );
    };
    row(&[&rules::TOKEN_VERSION], &|info| info.version = 2);
    row(&[&rules::TOKEN_POLICY], &|info| info.policy = UNKNOWN);
    row(&[&rules::TOKEN_IMPRINT], &|info| {
        info.message_imprint.hashed_message = OctetString::new([0; 32]).unwrap();
    });
    row(&[&rules::TOKEN_SERIAL], &|info| {
        info.serial_number = Int::new(&[0x41; 21]).unwrap()
    });
    for text in [
        "20270115080000.13Z",
        "20270115080000.120Z",
        "20270115080000.12",
    ] {
        let time = Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap();
        row(&[&rules::TOKEN_TIME], &|info| info.gen_time = time.clone());
    }
    row(&[&rules::TOKEN_ACCURACY], &|info| {
        info.accuracy.as_mut().unwrap().millis = Some(1_000)
    });
    row(&[&rules::TOKEN_ACCURACY_MISSING], &|info| {
        info.accuracy = None
    });
    row(&[&rules::TOKEN_ORDERING], &|info| info.ordering = true);
    row(&[&rules::TOKEN_NONCE], &|info| info.nonce = None);
    row(&[&rules::TOKEN_EXTENSION], &|info| {
        info.extensions = Some(vec![extension(UNKNOWN, true, &Null).unwrap()]);
    });
    row(&[], &|info| {
        info.extensions = Some(vec![extension(UNKNOWN, false, &Null).unwrap()]);
    });
}

pub(super) fn attributes(world: &World, table: &mut Table) {
    let signer = &world.event.certificate;
    let request = SignRequest {
        content: b"manifest",
        signer,
        extra_certificates: &[],
        crls: &[],
        signing_time: NOW,
        commitment: CommitmentType::ProofOfOrigin,
        instruction_digest: Some([7; 32]),
    };
    let der = sign_detached(&request, &world.event.key).unwrap();
    let parsed = Parsed::from_der("test", &der, der.len(), crate::cms::Encoding::Strict).unwrap();
    let good = parsed.signer.signed_attributes.unwrap().into_vec();
    let digest = HashAlgorithm::Sha384.digest(b"manifest");
    let context = AttributesContext {
        signed_as: SignedAs::Cades,
        content_type: oid::DATA,
        content_digest: &digest,
        signer,
    };
    let mut lint = |list: Vec<Attribute>, context, expected: &[&'static Rule]| {
        let bytes = SetOfVec::try_from(list).unwrap().to_der().unwrap();
        table.row(&bytes, &Artifact::SignedAttributes(context), expected);
    };
    lint(good.clone(), context, &[]);
    let by_authority = AttributesContext {
        signer: &world.issuing.certificate,
        ..context
    };
    let broken = [
        &rules::ATTRIBUTE_SIGNING_CERTIFICATE,
        &rules::ATTRIBUTE_SIGNER_KEY_USAGE,
    ];
    lint(good.clone(), by_authority, &broken);
    let as_token = AttributesContext {
        signed_as: SignedAs::TimeStampToken,
        content_type: oid::CT_TST_INFO,
        ..context
    };
    lint(good.clone(), as_token, &[&rules::ATTRIBUTE_CONTENT_TYPE]);
    for (missing, rule) in [
        (oid::CONTENT_TYPE, &rules::ATTRIBUTE_CONTENT_TYPE),
        (oid::MESSAGE_DIGEST, &rules::ATTRIBUTE_MESSAGE_DIGEST),
        (
            oid::AA_SIGNING_CERTIFICATE_V2,
            &rules::ATTRIBUTE_SIGNING_CERTIFICATE,
        ),
        (oid::SIGNING_TIME, &rules::ATTRIBUTE_SIGNING_TIME),
        (oid::AA_COMMITMENT_TYPE, &rules::ATTRIBUTE_COMMITMENT_TYPE),
    ] {
        let rest = good.iter().filter(|attribute| attribute.oid != missing);
        lint(rest.cloned().collect(), context, &[rule]);
    }
    let replace = |oid, values: Vec<Any>| {
        let mut list: Vec<_> = good.iter().filter(|a| a.oid != oid).cloned().collect();
        let values = SetOfVec::try_from(values).unwrap();
        list.push(Attribute { oid, values });
        list
    };
    let two = vec![Any::null(), Any::new(Tag::Boolean, [0xff]).unwrap()];
    lint(
        replace(oid::INSTRUCTION_DIGEST, two),
        context,
        &[&rules::ATTRIBUTE_SINGLE],
    );
    let expired = Any::new(Tag::UtcTime, *b"310101000000Z").unwrap();
    lint(
        replace(oid::SIGNING_TIME, vec![expired]),
        context,
        &[&rules::ATTRIBUTE_SIGNING_TIME],
    );
    let bare = SigningCertificateV2 {
        certificates: vec![EssCertIdV2 {
            hash_algorithm: Some(HashAlgorithm::Sha256.identifier()),
            certificate_hash: OctetString::new(signer.sha256()).unwrap(),
            issuer_serial: None,
        }],
        policies: None,
    };
    let bare = vec![Any::encode_from(&bare).unwrap()];
    let rule = [&rules::ATTRIBUTE_SIGNING_CERTIFICATE];
    lint(
        replace(oid::AA_SIGNING_CERTIFICATE_V2, bare),
        context,
        &rule,
    );
    lint(
        replace(oid::AA_SIGNING_CERTIFICATE, vec![Any::null()]),
        context,
        &rule,
    );
}

pub(super) fn manifests(table: &mut Table) {
    let good = Manifest {
        signature: "META-INF/signature001.p7s".to_owned(),
        signature_mime_type: Some("application/pkcs7-signature".to_owned()),
        references: vec![DataObjectReference {
            member: "statement.json".to_owned(),
            mime_type: Some("application/json".to_owned()),
            algorithm: HashAlgorithm::Sha3_256,
            digest: vec![7; 32],
        }],
    };
    let xml = good.to_xml().unwrap();
    table.row(&xml, &Artifact::Manifest, &[]);
    let text = String::from_utf8(xml).unwrap();
    let spaced = text.replace("/>\n", "/>\n\n");
    table.row(
        spaced.as_bytes(),
        &Artifact::Manifest,
        &[&rules::MANIFEST_FORM],
    );
    let reference = text
        .lines()
        .find(|line| line.starts_with("<asic:DataObject"))
        .unwrap();
    let twice = text.replace(reference, &format!("{reference}\n{reference}"));
    table.row(
        twice.as_bytes(),
        &Artifact::Manifest,
        &[&rules::MANIFEST_SCHEMA],
    );
    let empty = text.replace(&format!("{reference}\n"), "");
    table.row(
        empty.as_bytes(),
        &Artifact::Manifest,
        &[&rules::MANIFEST_SCHEMA],
    );
    let mut row = |expected: &[&'static Rule], change: &dyn Fn(&mut Manifest)| {
        let mut broken = good.clone();
        change(&mut broken);
        table.row(&broken.to_xml().unwrap(), &Artifact::Manifest, expected);
    };
    row(&[&rules::MANIFEST_SIGNATURE], &|m| {
        m.signature = "META-INF/seal.xml".to_owned()
    });
    row(&[&rules::MANIFEST_REFERENCE], &|m| {
        m.references[0].member = "mimetype".to_owned()
    });
    row(&[&rules::MANIFEST_REFERENCE], &|m| {
        m.references[0].member = "../a".to_owned()
    });
    row(&[&rules::MANIFEST_REFERENCE], &|m| {
        m.references[0].member = m.signature.clone()
    });
    row(&[&rules::MANIFEST_MIME_TYPE], &|m| {
        m.references[0].mime_type = None
    });
    row(&[&rules::MANIFEST_MIME_TYPE], &|m| {
        m.references[0].mime_type = Some("json".to_owned())
    });
    row(&[&rules::MANIFEST_MIME_TYPE], &|m| {
        m.signature_mime_type = None
    });
}
