//! TBSCertificates.

use const_oid::ObjectIdentifier;
use der::asn1::{BitString, Int, Null, OctetString, SetOfVec};
use der::flagset::FlagSet;
use der::{Any, Encode, Tag};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::{Holder, Table, World, template};
use crate::keys::Signer as _;
use crate::lint::certificate::Tbs;
use crate::lint::{Artifact, CertificateContext, Rule, rules};
use crate::oid;
use crate::x509::{Addresses, Certificate, CertificateTemplate, Profile};

fn good<'w>(
    profile: Profile,
    holder: &'w Holder,
    issuer: Option<&'w Certificate>,
) -> CertificateTemplate<'w> {
    template(profile, holder.key.public_key_der(), issuer)
}

/// A good certificate of a profile, to be broken in one place.
struct Bench<'a> {
    table: &'a mut Table,
    good: Tbs,
    context: CertificateContext<'a>,
}

impl<'a> Bench<'a> {
    fn new(table: &'a mut Table, template: &'a CertificateTemplate<'_>) -> Self {
        let bytes = template.to_be_signed().unwrap();
        let context = template.context();
        table.row(bytes.as_bytes(), &Artifact::Certificate(context), &[]);
        let good = der::Decode::from_der(bytes.as_bytes()).unwrap();
        Self {
            table,
            good,
            context,
        }
    }

    fn row(&mut self, expected: &[&'static Rule], change: impl FnOnce(&mut Tbs)) {
        self.within(self.context, expected, change);
    }

    fn within(
        &mut self,
        context: CertificateContext<'_>,
        expected: &[&'static Rule],
        change: impl FnOnce(&mut Tbs),
    ) {
        let mut broken = self.good.clone();
        change(&mut broken);
        let bytes = broken.to_der().unwrap();
        self.table
            .row(&bytes, &Artifact::Certificate(context), expected);
    }
}

impl Tbs {
    fn list(&mut self) -> &mut Vec<Extension> {
        self.extensions.as_mut().unwrap()
    }

    fn get(&mut self, oid: ObjectIdentifier) -> &mut Extension {
        self.list().iter_mut().find(|e| e.extn_id == oid).unwrap()
    }

    fn set(&mut self, oid: ObjectIdentifier, value: &impl Encode) {
        self.get(oid).extn_value = OctetString::new(value.to_der().unwrap()).unwrap();
    }

    fn remove(&mut self, oid: ObjectIdentifier) {
        self.list().retain(|e| e.extn_id != oid);
    }

    fn add(&mut self, oid: ObjectIdentifier, critical: bool, value: &impl Encode) {
        let added = crate::x509::extension(oid, critical, value).unwrap();
        self.list().push(added);
    }

    fn replace(&mut self, oid: ObjectIdentifier, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let hex = hex::encode(self.get(oid).extn_value.as_bytes());
        let changed = hex.replace(&hex::encode(from), &hex::encode(to));
        assert_ne!(hex, changed);
        let changed = hex::decode(changed).unwrap();
        self.get(oid).extn_value = OctetString::new(changed).unwrap();
    }
}

pub(super) fn rows(world: &World, table: &mut Table) {
    let issuing = &world.issuing.certificate;
    let template = good(Profile::Event, &world.event, Some(issuing));
    let mut event = Bench::new(table, &template);
    encoding(&mut event);
    basics(&mut event, world);
    names(&mut event);
    event_extensions(&mut event);
    let root = &world.root.certificate;
    let template = good(Profile::IssuingCa, &world.issuing, Some(root));
    let mut ca = Bench::new(table, &template);
    authorities(&mut ca);
    let template = good(Profile::Tsa, &world.tsa, Some(root));
    let mut tsa = Bench::new(table, &template);
    tsa.row(&[&rules::EXTENSION_CRITICALITY], |tbs| {
        tbs.get(oid::EXTENDED_KEY_USAGE).critical = false;
    });
    tsa.row(&[&rules::EXTENDED_KEY_USAGE], |tbs| {
        let two = vec![oid::KP_TIME_STAMPING, oid::KP_EMAIL_PROTECTION];
        tbs.set(oid::EXTENDED_KEY_USAGE, &two);
    });
    let template = good(Profile::OcspResponder, &world.ocsp, Some(issuing));
    let mut ocsp = Bench::new(table, &template);
    ocsp.row(&[&rules::OCSP_NO_CHECK], |tbs| {
        tbs.remove(oid::OCSP_NO_CHECK)
    });
    ocsp.row(&[&rules::EXTENDED_KEY_USAGE], |tbs| {
        tbs.remove(oid::EXTENDED_KEY_USAGE)
    });
    let template = good(Profile::RootCa, &world.root, None);
    let mut own = Bench::new(table, &template);
    own.row(&[&rules::ISSUER_NAME], |tbs| {
        tbs.issuer = Any::new(Tag::Sequence, []).unwrap()
    });
}

fn encoding(event: &mut Bench<'_>) {
    let good = event.good.to_der().unwrap();
    let artifact = Artifact::Certificate(event.context);
    event
        .table
        .row(&[good.as_slice(), &[0]].concat(), &artifact, &[&rules::DER]);
    event.table.row(&[0x30, 0], &artifact, &[&rules::STRUCTURE]);
    // critical FALSE, spelled out: right after the object identifier of the last extension.
    let oid = oid::INSTRUCTION.to_der().unwrap();
    let at = good.windows(oid.len()).position(|w| w == oid).unwrap();
    let mut spelled = good.clone();
    spelled.splice(at + oid.len()..at + oid.len(), [0x01, 0x01, 0x00]);
    spelled[at - 1] += 3;
    // The three lengths around it: the whole, the tagged list, the list.
    let grow = |bytes: &mut Vec<u8>, at: usize| {
        let length = u16::from_be_bytes([bytes[at], bytes[at + 1]]) + 3;
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    };
    let is_list = |w: &[u8]| w[..2] == [0xa3, 0x82] && w[4..] == [0x30, 0x82];
    let tagged = spelled.windows(6).position(is_list).unwrap();
    for place in [2, tagged + 2, tagged + 6] {
        grow(&mut spelled, place);
    }
    event.table.row(&spelled, &artifact, &[&rules::DER]);
}

fn basics(event: &mut Bench<'_>, world: &World) {
    event.row(&[&rules::CERTIFICATE_VERSION], |tbs| tbs.version = 1);
    event.row(&[&rules::SERIAL_POSITIVE], |tbs| {
        tbs.serial_number = Int::new(&[0xc1; 16]).unwrap();
    });
    event.row(&[&rules::SERIAL_POSITIVE, &rules::SERIAL_ENTROPY], |tbs| {
        tbs.serial_number = Int::new(&[0]).unwrap();
    });
    event.row(&[&rules::SERIAL_LENGTH], |tbs| {
        tbs.serial_number = Int::new(&[0x41; 21]).unwrap();
    });
    event.row(&[&rules::SERIAL_ENTROPY], |tbs| {
        tbs.serial_number = Int::new(&[0x41; 7]).unwrap();
    });
    event.row(&[&rules::SIGNATURE_ALGORITHM], |tbs| {
        tbs.signature.oid = oid::ECDSA_WITH_SHA256;
    });
    event.row(&[&rules::SIGNATURE_ALGORITHM], |tbs| {
        tbs.signature.parameters = Some(Any::null());
    });
    event.row(&[&rules::ISSUER_NAME], |tbs| {
        tbs.issuer = tbs.subject.clone()
    });
    event.row(&[&rules::UNIQUE_IDENTIFIERS], |tbs| {
        tbs.subject_unique_id = Some(BitString::from_bytes(&[1]).unwrap());
    });
    let utc = |text: &str| Any::new(Tag::UtcTime, text.as_bytes()).unwrap();
    event.row(&[&rules::TIME_ENCODING], |tbs| {
        tbs.validity.not_after = utc("2701150800Z")
    });
    event.row(&[&rules::TIME_ENCODING], |tbs| {
        let text = b"20270115080000Z";
        tbs.validity.not_before = Any::new(Tag::GeneralizedTime, *text).unwrap();
    });
    event.row(&[&rules::VALIDITY_ORDER], |tbs| {
        tbs.validity.not_after = tbs.validity.not_before.clone();
    });
    event.row(&[&rules::VALIDITY_WITHIN_ISSUER], |tbs| {
        tbs.validity.not_after = utc("350101000000Z");
    });
    let by_party = CertificateContext {
        issuer: Some(&world.event.certificate),
        ..event.context
    };
    let broken = [
        &rules::ISSUER_MAY_SIGN,
        &rules::ISSUER_NAME,
        &rules::AUTHORITY_KEY_ID,
    ];
    event.within(by_party, &broken, |_| {});
    let by_itself = CertificateContext {
        issuer: None,
        ..event.context
    };
    event.within(by_itself, &broken, |_| {});
    event.row(&[&rules::KEY_ALGORITHM], |tbs| {
        // secp521r1: named, but none of ours.
        let curve = ObjectIdentifier::new_unwrap("1.3.132.0.35");
        tbs.subject_public_key_info.algorithm.parameters = Some((&curve).into());
    });
    event.row(&[&rules::KEY_ALGORITHM], |tbs| {
        // Explicit parameters.
        let parameters = Any::new(Tag::Sequence, []).unwrap();
        tbs.subject_public_key_info.algorithm.parameters = Some(parameters);
    });
    event.row(&[&rules::KEY_POINT], |tbs| {
        let mut point = tbs
            .subject_public_key_info
            .subject_public_key
            .raw_bytes()
            .to_vec();
        point[96] ^= 1;
        tbs.subject_public_key_info.subject_public_key = BitString::from_bytes(&point).unwrap();
    });
}

fn name(parts: &[(ObjectIdentifier, Tag, &str)]) -> Any {
    let rdns: Vec<_> = parts
        .iter()
        .map(|(oid, tag, text)| {
            let value = Any::new(*tag, text.as_bytes()).unwrap();
            SetOfVec::try_from(vec![AttributeTypeAndValue { oid: *oid, value }]).unwrap()
        })
        .collect();
    Any::encode_from(&rdns).unwrap()
}

fn names(event: &mut Bench<'_>) {
    use Tag::{PrintableString as Printable, TeletexString, Utf8String as Utf8};
    let country = (oid::COUNTRY_NAME, Printable, "CN");
    let organization = (oid::ORGANIZATION_NAME, Utf8, "公司");
    let register = (oid::ORGANIZATION_IDENTIFIER, Utf8, "NTRCN-1");
    let common = (oid::COMMON_NAME, Utf8, "公司");
    let long = "x".repeat(65);
    let legal = |last| [country, organization, register, last];
    let number = (oid::SERIAL_NUMBER, Printable, "1");
    let person = (oid::PSEUDONYM, Utf8, "某");
    let rows: Vec<(Vec<_>, &'static Rule)> = vec![
        (
            legal((oid::COMMON_NAME, TeletexString, "x")).into(),
            &rules::NAME_STRING_TYPE,
        ),
        (
            legal((oid::COMMON_NAME, Utf8, &long)).into(),
            &rules::NAME_LENGTH,
        ),
        (
            legal((oid::COMMON_NAME, Utf8, "")).into(),
            &rules::NAME_LENGTH,
        ),
        (
            legal((oid::COMMON_NAME, Utf8, "a\u{7}b")).into(),
            &rules::NAME_CHARACTERS,
        ),
        (
            legal((oid::SURNAME, Utf8, "x")).into(),
            &rules::NAME_COMMON_NAME,
        ),
        (
            vec![country, organization, register, common, common],
            &rules::NAME_DUPLICATE,
        ),
        (
            vec![
                (oid::COUNTRY_NAME, Printable, "cn"),
                organization,
                register,
                common,
            ],
            &rules::NAME_COUNTRY,
        ),
        (
            vec![
                (oid::COUNTRY_NAME, Utf8, "CN"),
                organization,
                register,
                common,
            ],
            &rules::NAME_STRING_TYPE,
        ),
        (
            vec![organization, register, common],
            &rules::NAME_LEGAL_PERSON,
        ),
        (vec![country, number, common], &rules::NAME_NATURAL_PERSON),
        (vec![], &rules::SUBJECT_EMPTY),
    ];
    for (parts, rule) in rows {
        event.row(&[rule], |tbs| tbs.subject = name(&parts));
    }
    event.row(&[], |tbs| {
        tbs.subject = name(&[country, number, person, common])
    });
}

fn event_extensions(event: &mut Bench<'_>) {
    let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
    event.row(&[&rules::EXTENSION_UNKNOWN], |tbs| {
        tbs.add(unknown, false, &Null)
    });
    event.row(&[&rules::EXTENSION_UNKNOWN_CRITICAL], |tbs| {
        tbs.add(unknown, true, &Null)
    });
    event.row(&[&rules::EXTENSION_DUPLICATE], |tbs| {
        let again = tbs.get(oid::KEY_USAGE).clone();
        tbs.list().push(again);
    });
    event.row(&[&rules::EXTENSION_CRITICALITY], |tbs| {
        tbs.get(oid::AUTHORITY_KEY_IDENTIFIER).critical = true;
    });
    event.row(&[&rules::EXTENSION_VALUE, &rules::INSTRUCTION], |tbs| {
        tbs.set(oid::INSTRUCTION, &Null);
    });
    event.row(&[&rules::BASIC_CONSTRAINTS], |tbs| {
        let ca = BasicConstraints {
            ca: true,
            path_len_constraint: None,
        };
        tbs.set(oid::BASIC_CONSTRAINTS, &ca);
    });
    event.row(&[], |tbs| tbs.remove(oid::BASIC_CONSTRAINTS));
    event.row(&[&rules::KEY_USAGE], |tbs| {
        let usage: FlagSet<_> = KeyUsages::DigitalSignature | KeyUsages::KeyCertSign;
        tbs.set(oid::KEY_USAGE, &KeyUsage(usage));
    });
    event.row(&[&rules::EXTENSION_VALUE], |tbs| {
        // A named bit list with a trailing zero bit.
        let spelled = BitString::new(5, [0b1100_0000]).unwrap();
        tbs.set(oid::KEY_USAGE, &spelled);
    });
    event.row(&[&rules::SUBJECT_KEY_ID], |tbs| {
        tbs.remove(oid::SUBJECT_KEY_IDENTIFIER)
    });
    event.row(&[&rules::AUTHORITY_KEY_ID], |tbs| {
        tbs.remove(oid::AUTHORITY_KEY_IDENTIFIER)
    });
    event.row(&[&rules::AUTHORITY_KEY_ID], |tbs| {
        let other = crate::x509::authority_key_identifier(&[1; 20]).unwrap();
        tbs.set(oid::AUTHORITY_KEY_IDENTIFIER, &other);
    });
    event.row(&[&rules::CRL_DISTRIBUTION_POINTS], |tbs| {
        tbs.remove(oid::CRL_DISTRIBUTION_POINTS)
    });
    event.row(&[&rules::CRL_DISTRIBUTION_POINTS], |tbs| {
        tbs.replace(oid::CRL_DISTRIBUTION_POINTS, "http://", "ftp:///");
    });
    event.row(&[&rules::AUTHORITY_INFO_ACCESS], |tbs| {
        tbs.replace(oid::AUTHORITY_INFO_ACCESS, "ocsp.example", "xxxx.example");
    });
    event.row(&[&rules::CERTIFICATE_POLICIES], |tbs| {
        tbs.remove(oid::CERTIFICATE_POLICIES)
    });
    event.row(&[&rules::CERTIFICATE_POLICIES], |tbs| {
        tbs.replace(oid::CERTIFICATE_POLICIES, "/cps", "/csp");
    });
    event.row(&[&rules::OCSP_NO_CHECK], |tbs| {
        tbs.add(oid::OCSP_NO_CHECK, false, &Null)
    });
    event.row(&[&rules::SUBJECT_ALT_NAME], |tbs| {
        tbs.replace(oid::SUBJECT_ALT_NAME, "urn:uuid:", "urn:isbn:");
    });
    event.row(&[&rules::INSTRUCTION], |tbs| tbs.remove(oid::INSTRUCTION));
    event.row(&[&rules::AUTHORITY_INFO_ACCESS], |tbs| {
        tbs.replace(oid::AUTHORITY_INFO_ACCESS, "ca.cer", "xx.cer");
    });
    let addresses = Addresses {
        cps: event.context.addresses.cps.clone(),
        ..Addresses::default()
    };
    let nowhere = CertificateContext {
        addresses: &addresses,
        ..event.context
    };
    let missing = [
        &rules::CRL_DISTRIBUTION_POINTS_MISSING,
        &rules::AUTHORITY_INFO_ACCESS_MISSING,
    ];
    event.within(nowhere, &missing, |tbs| {
        tbs.remove(oid::CRL_DISTRIBUTION_POINTS);
        tbs.remove(oid::AUTHORITY_INFO_ACCESS);
    });
}

fn authorities(ca: &mut Bench<'_>) {
    ca.row(&[&rules::BASIC_CONSTRAINTS], |tbs| {
        tbs.remove(oid::BASIC_CONSTRAINTS)
    });
    ca.row(&[&rules::EXTENSION_CRITICALITY], |tbs| {
        tbs.get(oid::BASIC_CONSTRAINTS).critical = false;
    });
    ca.row(&[&rules::KEY_USAGE], |tbs| tbs.remove(oid::KEY_USAGE));
    ca.row(&[&rules::EXTENDED_KEY_USAGE], |tbs| {
        let any = vec![oid::KP_OCSP_SIGNING];
        tbs.add(oid::EXTENDED_KEY_USAGE, false, &any);
    });
}
