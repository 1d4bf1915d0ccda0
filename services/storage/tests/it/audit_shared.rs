//! What many records have in common is computed once, and judged in each of them all the same.

use probity_domain::Record;
use probity_pki::cms::SignedData;
use probity_storage::FindingKind;
use probity_storage::log::Entry;

use crate::audit::{Audited, write_log};

/// Where in a record's signature something stands that other records have as well, or its own.
fn part(record: &Record, what: &str) -> Vec<u8> {
    let signed = SignedData::from_der(&record.signature).unwrap();
    let token = signed.time_stamp_token().unwrap().unwrap();
    let ca = |c: &&probity_pki::x509::Certificate| c.is_ca() && !c.is_self_issued();
    let of = match what {
        "the event certificate" => signed.signer_certificate().unwrap().der(),
        "the authority's certificate" => signed.certificates().iter().find(ca).unwrap().der(),
        "the root's list" => signed.crls().first().unwrap().der(),
        "the response" => signed.ocsp_responses().first().unwrap().der(),
        "the token" => token.der(),
        "the unit's certificate" => token.certificates().first().unwrap().der(),
        "the signature" => signed.signature_value(),
        _ => unreachable!(),
    };
    of.to_vec()
}

/// Changes the last byte of it: that is in a signature value, so that all still reads.
fn damaged(entry: &Entry, what: &str) -> Entry {
    let mut record = Record::decode(&entry.bytes).unwrap();
    let part = part(&record, what);
    let mut places = record.signature.windows(part.len());
    let at = places.position(|window| window == part).unwrap();
    let last = at + part.len() - 1;
    *record.signature.get_mut(last).unwrap() ^= 1;
    Entry::of(&record).unwrap()
}

#[tokio::test]
async fn damage_is_named_in_each_record_that_has_it_and_in_no_other() {
    // Two instructions of four and six records; the authorities are everybody's.
    let audited = Audited::of(&[5, 7]).await;
    let entries = audited.entries().await;
    let count = entries.len();
    let store = audited.copy().await;
    for what in [
        "the event certificate",
        "the authority's certificate",
        "the root's list",
        "the response",
        "the token",
        "the unit's certificate",
        "the signature",
    ] {
        // The first, before the sound ones were seen; the last, after them; and all.
        for bad in [vec![0], vec![count - 1], (0..count).collect()] {
            let mut changed = entries.clone();
            for leaf in &bad {
                changed[*leaf] = damaged(&entries[*leaf], what);
            }
            write_log(&store, &changed).await;
            let report = audited.audit(&store).await;
            let named: Vec<usize> = report
                .findings
                .iter()
                .inspect(|finding| assert_eq!(finding.kind, FindingKind::Record, "{what}"))
                .map(|finding| {
                    let leaf = finding.reason.strip_prefix("leaf ").unwrap();
                    leaf.split(':').next().unwrap().parse().unwrap()
                })
                .collect();
            assert_eq!(named, bad, "{what}: {}", report.to_text());
        }
    }
    write_log(&store, &entries).await;
    assert!(audited.audit(&store).await.clean);
}
