//! Certificates, signatures and tokens that no honest program makes: each with the check that refuses it
//! and the reason it gives.

use probity_pki::cms::{
    CommitmentType, SignRequest, SignedData, add_signature_time_stamp, sign_detached,
};
use probity_pki::crl::{RevocationReason, RevokedEntry, build_crl};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::MemoryKey;
use probity_pki::package::{EVENT_MANIFEST, EVENT_SIGNATURE};
use probity_pki::x509::{Certificate, Profile, Subject};
use probity_verify::{CheckName, CheckResult, Overall, Policy, Verdict, verify_package};

use crate::asn1::{self, CONTEXT_0, INTEGER, Node, OCTET_STRING, SEQUENCE, SET};
use crate::fixture::{
    EVENT_SERIAL, HOUR_MS, Holder, NAME, NOW, Scenario, World, certified, change, check, container,
    failed, result,
};

const EXTENSIONS: u8 = 0xa3;
const OID: u8 = 0x06;
const BOOLEAN: u8 = 0x01;
const NAME_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x1e];
const UNKNOWN: [u8; 3] = [0x55, 0x1d, 0x7f];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const TIME_STAMPING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 8];
const EMAIL_PROTECTION: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 4];

/// Neither log nor its requirement, so that nothing but the signature can be what fails.
fn scenario(world: &World) -> (Scenario, Policy) {
    let mut scenario = world.scenario();
    (scenario.sealed, scenario.logged) = (false, false);
    let mut policy = world.policy();
    policy.required.always.remove(&CheckName::LogInclusion);
    (scenario, policy)
}

/// The package with this event signature, honestly sealed.
fn judged(world: &World, make: impl FnOnce(&Scenario, &[u8]) -> Vec<u8>) -> Verdict {
    let (scenario, policy) = scenario(world);
    let mut members = world.members(&scenario);
    let manifest = members.iter().find(|(name, _)| name == EVENT_MANIFEST);
    let signature = make(&scenario, &manifest.unwrap().1);
    change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = signature);
    world.seal(&scenario, &mut members);
    verify_package(std::io::Cursor::new(container(&members)), &policy)
}

#[track_caller]
fn refused(verdict: &Verdict, expected: &[CheckName], said: &str) {
    assert_ne!(verdict.overall, Overall::Valid, "{said}");
    assert_eq!(failed(verdict), expected, "{said}");
    let reason = &check(verdict, expected[0]).reason.en;
    assert!(reason.contains(said), "{said}: {reason}");
}

fn event(world: &World) -> Holder {
    let subject = Subject {
        organization: Some(NAME.to_owned()),
        organization_identifier: Some("NTRCN-91110000600037341L".to_owned()),
        ..Subject::new(NAME)
    };
    let (issuing, submission) = (Some(&world.issuing), world.submission.to_string());
    certified(
        Profile::Event,
        subject,
        &EVENT_SERIAL,
        issuing,
        Some(submission),
    )
}

/// CAdES-T by this holder, with these certificates beside.
fn signed_by(
    world: &World,
    scenario: &Scenario,
    manifest: &[u8],
    holder: &Holder,
    beside: &[Certificate],
) -> Vec<u8> {
    let request = SignRequest {
        content: manifest,
        signer: &holder.certificate,
        extra_certificates: beside,
        crls: &world.crls(scenario),
        signing_time: NOW,
        commitment: CommitmentType::ProofOfApproval,
        instruction_digest: Some([4; 32]),
    };
    let cms = sign_detached(&request, &holder.key).unwrap();
    let value = SignedData::from_der(&cms).unwrap();
    let token = world.token(value.signature_value(), NOW.plus_ms(1_000));
    add_signature_time_stamp(&cms, &token).unwrap()
}

/// Signs a certificate again after its to-be-signed part was changed.
pub fn recertified(
    certificate: &Certificate,
    issuer: &MemoryKey,
    edit: impl FnOnce(&mut Node),
) -> Certificate {
    let mut whole = Node::parse(certificate.der());
    let algorithm = whole.at(&[1]).clone();
    let to_be_signed = whole.at(&[0]);
    edit(to_be_signed);
    Certificate::from_der(&asn1::signed(to_be_signed, &algorithm, issuer)).unwrap()
}

pub fn extensions(to_be_signed: &mut Node) -> &mut Vec<Node> {
    let last = to_be_signed.inside().last_mut().unwrap();
    assert!(matches!(last, Node::Constructed(EXTENSIONS, _)));
    last.at(&[0]).inside()
}

pub fn extension(oid: &[u8], critical: bool, value: &Node) -> Node {
    let mut parts = vec![Node::Primitive(OID, oid.to_vec())];
    if critical {
        parts.push(Node::Primitive(BOOLEAN, vec![0xff]));
    }
    parts.push(Node::Primitive(OCTET_STRING, value.der()));
    Node::Constructed(SEQUENCE, parts)
}

fn usages(purposes: &[[u8; 8]]) -> Node {
    let purposes = purposes.iter().map(|p| Node::Primitive(OID, p.to_vec()));
    Node::Constructed(SEQUENCE, purposes.collect())
}

pub fn is_extension(node: &Node, oid: &[u8]) -> bool {
    matches!(node, Node::Constructed(_, parts)
        if matches!(&parts[0], Node::Primitive(_, found) if found == oid))
}

#[test]
fn the_scenario_without_tricks_is_valid() {
    let world = World::new();
    let verdict = judged(&world, |scenario, manifest| {
        let beside = std::slice::from_ref(&world.issuing.certificate);
        signed_by(&world, scenario, manifest, &event(&world), beside)
    });
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
}

#[test]
fn an_unknown_critical_extension_is_not_overlooked() {
    let world = World::new();
    let null = Node::Primitive(0x05, Vec::new());
    let mut holder = event(&world);
    holder.certificate = recertified(&holder.certificate, &world.issuing.key, |tbs| {
        extensions(tbs).push(extension(&UNKNOWN, true, &null));
    });
    let beside = std::slice::from_ref(&world.issuing.certificate);
    let verdict = judged(&world, |s, m| signed_by(&world, s, m, &holder, beside));
    refused(
        &verdict,
        &[CheckName::SigningCertificate],
        "UnsupportedCriticalExtension",
    );
}

#[test]
fn name_constraints_hold() {
    let world = World::new();
    // Permitted: names below O=Somebody else.
    let organization = [&[0x55, 0x04, 0x0a][..]].concat();
    let name = Node::Constructed(
        SEQUENCE,
        vec![Node::Constructed(
            SET,
            vec![Node::Constructed(
                SEQUENCE,
                vec![
                    Node::Primitive(OID, organization),
                    Node::Primitive(0x0c, b"Somebody else".to_vec()),
                ],
            )],
        )],
    );
    let directory_name = Node::Constructed(0xa4, vec![name]);
    let subtree = Node::Constructed(SEQUENCE, vec![directory_name]);
    let constraints =
        Node::Constructed(SEQUENCE, vec![Node::Constructed(CONTEXT_0, vec![subtree])]);
    let issuing = recertified(&world.issuing.certificate, &world.root.key, |tbs| {
        extensions(tbs).push(extension(&NAME_CONSTRAINTS, true, &constraints));
    });
    let holder = event(&world);
    let beside = [issuing];
    let verdict = judged(&world, |s, m| signed_by(&world, s, m, &holder, &beside));
    refused(
        &verdict,
        &[CheckName::SigningCertificate],
        "NameConstraintViolation",
    );
}

/// Two authorities that vouch for each other lead nowhere.
#[test]
fn a_cycle_of_certificates_ends() {
    let (world, other) = (World::new(), World::new());
    let named = |name: &str, serial, issuer: &Holder| {
        certified(
            Profile::IssuingCa,
            Subject::new(name),
            &[serial; 16],
            Some(issuer),
            None,
        )
    };
    let a = named("A", 0x61, &other.root);
    let b = named("B", 0x62, &other.root);
    let by = |subject: &Holder, issuer: &Holder| {
        let name = Node::parse(issuer.certificate.der()).at(&[0, 5]).clone();
        let authority = issuer.certificate.subject_key_id().unwrap().to_vec();
        let old = subject.certificate.authority_key_id().unwrap().to_vec();
        recertified(&subject.certificate, &issuer.key, |tbs| {
            *tbs.at(&[3]) = name;
            for extension in extensions(tbs) {
                if let Node::Primitive(_, value) = extension.inside().last_mut().unwrap() {
                    // Without a limit to the length of paths.
                    if *value == [0x30, 6, 1, 1, 0xff, 2, 1, 0] {
                        *value = vec![0x30, 3, 1, 1, 0xff];
                    }
                    let at = value.windows(old.len()).position(|window| window == old);
                    if let Some(at) = at {
                        value[at..at + old.len()].copy_from_slice(&authority);
                    }
                }
            }
        })
    };
    let (a_by_b, b_by_a) = (by(&a, &b), by(&b, &a));
    let instruction = Some(world.submission.to_string());
    let leaf = certified(
        Profile::Event,
        Subject::new(NAME),
        &EVENT_SERIAL,
        Some(&a),
        instruction,
    );
    let beside = [a_by_b, b_by_a];
    let verdict = judged(&world, |s, m| signed_by(&world, s, m, &leaf, &beside));
    assert_eq!(
        result(&verdict, CheckName::SigningCertificate),
        CheckResult::Failed
    );
    let reason = &check(&verdict, CheckName::SigningCertificate).reason.en;
    let ended = ["no path", "Maximum", "maximum", "limit"];
    assert!(ended.iter().any(|said| reason.contains(said)), "{reason}");
}

#[test]
fn a_party_is_no_authority() {
    let world = World::new();
    let holder = event(&world);
    let mut grandchild = event(&world);
    let name = Node::parse(holder.certificate.der()).at(&[0, 5]).clone();
    grandchild.certificate = recertified(&grandchild.certificate, &holder.key, |tbs| {
        *tbs.at(&[3]) = name;
    });
    let beside = [
        holder.certificate.clone(),
        world.issuing.certificate.clone(),
    ];
    let verdict = judged(&world, |s, m| signed_by(&world, s, m, &grandchild, &beside));
    refused(&verdict, &[CheckName::SigningCertificate], "");
}

/// L9: a key is good for the one thing its certificate says.
#[test]
fn a_certificate_for_another_purpose_signs_no_evidence() {
    let world = World::new();
    for (profile, said) in [
        (Profile::Tsa, "documentSigning"),
        (Profile::OcspResponder, "documentSigning"),
        (Profile::Seal, "policy"),
        (Profile::CourtSigning, "policy"),
        (Profile::Ceremony, "policy"),
    ] {
        let (subject, issuing) = (Subject::new(NAME), Some(&world.issuing));
        let holder = certified(profile, subject, &EVENT_SERIAL, issuing, None);
        let beside = std::slice::from_ref(&world.issuing.certificate);
        let verdict = judged(&world, |s, m| signed_by(&world, s, m, &holder, beside));
        refused(&verdict, &[CheckName::KeyUsage, CheckName::Statement], said);
    }
}

/// RFC 5280 6.1.3 d: an authority certifies under the policies that it was given.
#[test]
fn an_authority_without_the_policy_certifies_no_evidence() {
    const POLICIES: [u8; 3] = [0x55, 0x1d, 0x20];
    let world = World::new();
    let issuing = |policy: &[u8]| {
        recertified(&world.issuing.certificate, &world.root.key, |tbs| {
            let one = Node::Constructed(SEQUENCE, vec![Node::Primitive(OID, policy.to_vec())]);
            let list = extensions(tbs);
            list.retain(|node| !is_extension(node, &POLICIES));
            list.push(extension(
                &POLICIES,
                false,
                &Node::Constructed(SEQUENCE, vec![one]),
            ));
        })
    };
    let judged_under = |policy: &[u8]| {
        let (holder, beside) = (event(&world), [issuing(policy)]);
        judged(&world, |s, m| signed_by(&world, s, m, &holder, &beside))
    };
    // 1.3.6.1.4.1.32473.20.3.1, the policy of event certificates.
    let own = [0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 20, 3, 1];
    let good = judged_under(&own);
    assert_eq!(good.overall, Overall::Valid, "{:?}", failed(&good));
    for other in [
        &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 20, 3, 2][..],
        &[0x2a, 3],
    ] {
        let verdict = judged_under(other);
        let said = "the authority may not certify under this policy";
        refused(&verdict, &[CheckName::KeyUsage], said);
    }
}

/// An honest event signature whose bytes are then changed.
fn altered(world: &World, alter: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Verdict {
    judged(world, |scenario, manifest| {
        alter(world.event_signature(scenario, manifest))
    })
}

type Alter<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

#[test]
fn one_signature_has_one_encoding() {
    let world = World::new();
    let unreadable = [CheckName::Signature, CheckName::Statement];
    let rows: [(&str, Alter<'_>); 6] = [
        ("malformed", &|der| [der.clone(), der].concat()),
        ("malformed", &|der| [der, vec![0]].concat()),
        ("malformed", &|der| {
            // BER: indefinite length.
            assert_eq!(der[..2], [0x30, 0x82]);
            [&[0x30, 0x80], &der[4..], &[0, 0]].concat()
        }),
        ("malformed", &|der| {
            // BER: a length in one byte more than needed.
            [&[0x30, 0x83, 0], &der[2..]].concat()
        }),
        ("malformed", &|der| {
            let mut node = Node::parse(&der);
            let certificates = node.at(&[1, 0, 3]).inside();
            certificates.push(certificates[0].clone());
            node.der()
        }),
        ("malformed", &|der| {
            // A version of ten thousand digits.
            let mut node = Node::parse(&der);
            *node.at(&[1, 0, 0]) = Node::Primitive(INTEGER, vec![0x7f; 10_000]);
            node.der()
        }),
    ];
    for (said, alter) in rows {
        refused(&altered(&world, alter), &unreadable, said);
    }
    // Numbers of the signature itself, far beyond the curve.
    let verdict = altered(&world, |der| {
        let value = SignedData::from_der(&der)
            .unwrap()
            .signature_value()
            .to_vec();
        let number = Node::Primitive(INTEGER, vec![0x7f; 5_000]);
        let huge = Node::Constructed(SEQUENCE, vec![number.clone(), number]).der();
        let mut node = Node::parse(&der);
        assert_eq!(node.replace(&value, &huge), 1);
        node.der()
    });
    refused(
        &verdict,
        &[CheckName::Signature, CheckName::TimeStamp],
        "does not verify",
    );
}

/// More certificates than any path needs.
#[test]
fn many_certificates_are_too_many() {
    let world = World::new();
    let verdict = altered(&world, |der| {
        let mut node = Node::parse(&der);
        let certificates = node.at(&[1, 0, 3]).inside();
        let one = certificates[0].clone();
        certificates.extend(std::iter::repeat_n(one, 10_000));
        node.der()
    });
    let reason = &check(&verdict, CheckName::Signature).reason.en;
    assert!(reason.contains("exceeds its limit"), "{reason}");
    assert_eq!(verdict.overall, Overall::Invalid);
    let verdict = altered(&world, |der| {
        let mut node = Node::parse(&der);
        let certificates = node.at(&[1, 0, 3]).inside();
        for serial in 1..=40 {
            let one = certified(
                Profile::Tsa,
                Subject::new("X"),
                &[serial; 16],
                Some(&world.root),
                None,
            );
            certificates.push(Node::parse(one.certificate.der()));
        }
        certificates.sort_by_key(Node::der);
        node.der()
    });
    let expected = [CheckName::Signature, CheckName::Statement];
    refused(&verdict, &expected, "exceeds its limit of 32");
}

/// Where an event signature holds its token.
const TOKEN: [usize; 8] = [1, 0, 5, 0, 6, 0, 1, 0];

/// An honest event signature with another token in it.
fn with_token(world: &World, alter: impl FnOnce(&mut Node)) -> Verdict {
    altered(world, |der| {
        let mut node = Node::parse(&der);
        alter(node.at(&TOKEN));
        node.der()
    })
}

/// Signs a token anew: under another certificate of the same key, with another TSTInfo.
fn reissue(
    world: &World,
    token: &mut Node,
    certificate: &Certificate,
    edit: impl FnOnce(&mut Node),
) {
    let Node::Primitive(_, old) = token.at(&[1, 0, 2, 1, 0]).clone() else {
        unreachable!()
    };
    let mut info = Node::parse(&old);
    edit(&mut info);
    let new = info.der();
    *token.at(&[1, 0, 2, 1, 0]) = Node::Primitive(OCTET_STRING, new.clone());
    *token.at(&[1, 0, 3]).inside() = vec![Node::parse(certificate.der())];
    let signer = token.at(&[1, 0, 4, 0]);
    let attributes = signer.at(&[3]);
    for hash in HashAlgorithm::ALL {
        attributes.replace(&hash.digest(&old), &hash.digest(&new));
        let honest = hash.digest(world.tsa.certificate.der());
        attributes.replace(&honest, &hash.digest(certificate.der()));
    }
    let to_sign = Node::Constructed(SET, attributes.inside().clone()).der();
    #[expect(clippy::disallowed_methods, reason = "forgers do not lint")]
    let signature = probity_pki::keys::Signer::sign(&world.tsa.key, &to_sign).unwrap();
    *signer.at(&[5]) = Node::Primitive(OCTET_STRING, signature);
}

#[test]
fn a_time_stamping_unit_is_for_time_stamps_alone() {
    let world = World::new();
    let with_usages = |critical: bool, purposes: Option<&[[u8; 8]]>| {
        recertified(&world.tsa.certificate, &world.root.key, |tbs| {
            let list = extensions(tbs);
            list.retain(|node| !is_extension(node, &EXTENDED_KEY_USAGE));
            let purposes = purposes.map(usages);
            list.extend(purposes.map(|p| extension(&EXTENDED_KEY_USAGE, critical, &p)));
        })
    };
    let judged_with = |certificate: &Certificate| {
        with_token(&world, |token| reissue(&world, token, certificate, |_| {}))
    };
    // The way of making them is right: with the right usages it is as valid as before.
    let good = judged_with(&with_usages(true, Some(&[TIME_STAMPING])));
    assert_eq!(good.overall, Overall::Valid, "{:?}", failed(&good));
    for (critical, purposes) in [
        (false, Some(&[TIME_STAMPING][..])),
        (true, Some(&[TIME_STAMPING, EMAIL_PROTECTION][..])),
        (true, Some(&[EMAIL_PROTECTION][..])),
        (true, None),
    ] {
        let verdict = judged_with(&with_usages(critical, purposes));
        refused(&verdict, &[CheckName::TimeStamp], "no time-stamping unit");
    }
}

#[test]
fn certificates_injected_into_a_token_change_nothing() {
    let (world, other) = (World::new(), World::new());
    let inject = |token: &mut Node, certificates: &[&Certificate]| {
        let inside = token.at(&[1, 0, 3]).inside();
        inside.extend(certificates.iter().map(|c| Node::parse(c.der())));
    };
    let verdict = with_token(&world, |token| {
        inject(token, &[&other.tsa.certificate, &other.root.certificate]);
    });
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    assert_eq!(verdict.when, Some(NOW.plus_ms(1_000)));
    // One of the same name and number, but of another key, in the place of the right one.
    let verdict = with_token(&world, |token| {
        token.at(&[1, 0, 3]).inside().clear();
        inject(token, &[&other.tsa.certificate]);
    });
    refused(
        &verdict,
        &[CheckName::TimeStamp],
        "certificate is not there",
    );
    let verdict = with_token(&world, |token| {
        let one = token.at(&[1, 0, 3, 0]).clone();
        token
            .at(&[1, 0, 3])
            .inside()
            .extend(std::iter::repeat_n(one, 200));
    });
    refused(&verdict, &[CheckName::Signature, CheckName::Statement], "");
}

#[test]
fn numbers_without_end_in_a_token() {
    let world = World::new();
    // TSTInfo: version, policy, imprint, serialNumber, genTime.
    let verdict = with_token(&world, |token| {
        reissue(&world, token, &world.tsa.certificate, |info| {
            *info.at(&[3]) = Node::Primitive(INTEGER, vec![0x7f; 300_000]);
        });
    });
    refused(
        &verdict,
        &[CheckName::Signature, CheckName::Statement],
        "exceeds",
    );
    let verdict = with_token(&world, |token| {
        reissue(&world, token, &world.tsa.certificate, |info| {
            *info.at(&[0]) = Node::Primitive(INTEGER, vec![0x7f; 9]);
        });
    });
    refused(
        &verdict,
        &[CheckName::Signature, CheckName::Statement],
        "malformed",
    );
    // Another time under the unit's own signature would count: it is the unit that must be trusted.
    let verdict = with_token(&world, |token| {
        reissue(&world, token, &world.tsa.certificate, |info| {
            *info.at(&[4]) = Node::Primitive(0x18, b"20991231235959Z".to_vec());
        });
    });
    refused(&verdict, &[CheckName::TimeStamp], "valid at genTime");
}

/// T5: the unit's own certificate, revoked before it issued the token.
#[test]
fn a_revoked_time_stamping_unit_does_not_count() {
    let world = World::new();
    let entry = RevokedEntry {
        serial: world.tsa.certificate.serial().to_vec(),
        at: NOW.plus_ms(-60_000),
        reason: Some(RevocationReason::KeyCompromise),
        invalid_since: None,
    };
    let (this, next) = (NOW.plus_ms(-30_000), NOW.plus_ms(HOUR_MS));
    let root = &world.root;
    let list = build_crl(&root.certificate, &root.key, 4, this, next, &[entry]).unwrap();
    let verdict = with_token(&world, |token| {
        // Lists that travel with the token count as well.
        let lists = Node::Constructed(0xa1, vec![Node::parse(&list)]);
        token.at(&[1, 0]).inside().insert(4, lists);
    });
    // The seal's token is of the same unit.
    let expected = [CheckName::TimeStampStatus, CheckName::SealTimeStamp];
    refused(&verdict, &expected, "was revoked at");
}

/// T2: what the token says about its clock is shown.
#[test]
fn clock_evidence_is_shown() {
    const CLOCK_EVIDENCE: [u8; 10] = [0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 20, 5];
    let world = World::new();
    let with_evidence = |value: Node| {
        with_token(&world, |token| {
            reissue(&world, token, &world.tsa.certificate, |info| {
                let one = extension(&CLOCK_EVIDENCE, false, &value);
                info.inside().push(Node::Constructed(0xa1, vec![one]));
            });
        })
    };
    let (record, digest) = (b"clock/unit-1/7".to_vec(), vec![0xab; 32]);
    let evidence = |digest| {
        let record = Node::Primitive(0x0c, record.clone());
        Node::Constructed(
            SEQUENCE,
            vec![record, Node::Primitive(OCTET_STRING, digest)],
        )
    };
    let verdict = with_evidence(evidence(digest));
    assert_eq!(verdict.overall, Overall::Valid, "{:?}", failed(&verdict));
    let found = check(&verdict, CheckName::ClockEvidence);
    assert_eq!(found.result, CheckResult::Passed);
    assert!(found.reason.en.contains("clock/unit-1/7"), "{found:?}");
    assert!(found.reason.en.contains(&"ab".repeat(32)), "{found:?}");
    let verdict = with_evidence(evidence(vec![0xab; 31]));
    refused(
        &verdict,
        &[CheckName::Signature, CheckName::Statement],
        "clock evidence",
    );
}
