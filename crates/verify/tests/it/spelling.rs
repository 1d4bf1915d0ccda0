//! The documents of a package written otherwise: refused, or proven to say the same.
//!
//! The parties whose keys it takes sign, log and seal each spelling as if it were their own, so that
//! the reader of the document has to answer and not a digest.

use probity_pki::package::{
    self, CHECKPOINT, EVENT_MANIFEST, EVENT_SIGNATURE, INCLUSION, STATEMENT,
};
use probity_verify::{CheckName, Overall, Verdict};

use crate::decoders::{Known, facts};
use crate::fixture::{change, failed};
use crate::matrix::{honestly_deposited, seal};

use Outcome::{Refused, Same};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// Valid, and the verdict says what it says of the usual spelling.
    Same,
}

/// Name, what is replaced (its first occurrence), by what, and what becomes of it.
type Spelling = (&'static str, &'static str, &'static str, Outcome);

fn respelled(text: &str, (name, from, to, _): Spelling) -> Vec<u8> {
    let respelled = text.replacen(from, to, 1);
    assert_ne!(respelled, text, "{name}");
    respelled.into_bytes()
}

fn judge(known: &Known, verdict: &Verdict, check: CheckName, spelling: Spelling) {
    let (name, _, _, outcome) = spelling;
    match outcome {
        Refused => assert!(
            failed(verdict).contains(&check),
            "{name}: {:?}",
            failed(verdict)
        ),
        Same => {
            assert_eq!(
                verdict.overall,
                Overall::Valid,
                "{name}: {:?}",
                failed(verdict)
            );
            let log = known.valid.log.clone();
            let same = Verdict {
                log,
                ..facts(verdict)
            };
            assert_eq!(same, facts(&known.valid), "{name}");
        }
    }
}

const MANIFEST: [Spelling; 27] = [
    (
        "declaration",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "",
        Same,
    ),
    (
        "quotes",
        "URI=\"statement.json\"",
        "URI='statement.json'",
        Same,
    ),
    (
        "space in a tag",
        "<asic:DataObjectReference ",
        "<asic:DataObjectReference\n\t",
        Same,
    ),
    (
        "space between elements",
        "</asic:ASiCManifest>",
        " \n</asic:ASiCManifest>",
        Same,
    ),
    (
        "space after the end",
        "</asic:ASiCManifest>",
        "</asic:ASiCManifest>\n\n",
        Same,
    ),
    (
        "empty element written out",
        "#sha3-256\"/>",
        "#sha3-256\"></ds:DigestMethod>",
        Same,
    ),
    (
        "needless percent encoding",
        "URI=\"statement.json\"",
        "URI=\"%73tatement.json\"",
        Same,
    ),
    (
        "another prefix",
        "xmlns:ds=",
        "xmlns:unused=\"urn:x\" xmlns:ds=",
        Same,
    ),
    (
        "attribute order",
        "URI=\"statement.json\" MimeType=\"application/json\"",
        "MimeType=\"application/json\" URI=\"statement.json\"",
        Same,
    ),
    ("no media type", " MimeType=\"application/json\"", "", Same),
    (
        "comment",
        "<asic:SigReference",
        "<!-- --><asic:SigReference",
        Refused,
    ),
    (
        "comment in a digest",
        "<ds:DigestValue>",
        "<ds:DigestValue><!-- -->",
        Refused,
    ),
    (
        "processing instruction",
        "<asic:SigReference",
        "<?x y?><asic:SigReference",
        Refused,
    ),
    (
        "CDATA",
        "<ds:DigestValue>",
        "<ds:DigestValue><![CDATA[]]>",
        Refused,
    ),
    (
        "document type",
        "<asic:ASiCManifest",
        "<!DOCTYPE x><asic:ASiCManifest",
        Refused,
    ),
    (
        "entity",
        "<asic:ASiCManifest",
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><asic:ASiCManifest",
        Refused,
    ),
    (
        "character reference",
        "URI=\"statement.json\"",
        "URI=\"&#115;tatement.json\"",
        Refused,
    ),
    (
        "known entity",
        "URI=\"statement.json\"",
        "URI=\"statement&amp;json\"",
        Refused,
    ),
    (
        "unknown attribute",
        "<ds:DigestValue>",
        "<ds:DigestValue x=\"y\">",
        Refused,
    ),
    (
        "attribute twice",
        "URI=\"statement.json\"",
        "URI=\"statement.json\" URI=\"x\"",
        Refused,
    ),
    (
        "unknown element",
        "</asic:ASiCManifest>",
        "<asic:X/></asic:ASiCManifest>",
        Refused,
    ),
    (
        "another namespace",
        "http://uri.etsi.org/02918/v1.2.1#",
        "http://uri.etsi.org/#",
        Refused,
    ),
    ("another algorithm", "#sha3-256", "#sha3-224", Refused),
    (
        "text between elements",
        "</asic:ASiCManifest>",
        "x</asic:ASiCManifest>",
        Refused,
    ),
    (
        "second root",
        "</asic:ASiCManifest>",
        "</asic:ASiCManifest><x/>",
        Refused,
    ),
    ("byte order mark", "<?xml", "\u{feff}<?xml", Same),
    (
        "another signature",
        "signature001.p7s",
        "signature002.p7s",
        Refused,
    ),
];

/// `META-INF/ASiCManifest001.xml`, signed anew by the submitter's key in each spelling.
#[test]
fn manifests() {
    let known = Known::fresh();
    let text = String::from_utf8(known.member(EVENT_MANIFEST)).unwrap();
    for spelling in MANIFEST {
        let xml = respelled(&text, spelling);
        let mut tampered = known.members.clone();
        change(&mut tampered, EVENT_MANIFEST, |bytes| {
            bytes.clone_from(&xml)
        });
        let verdict = known.world.verify(&tampered);
        assert!(
            failed(&verdict).contains(&CheckName::Signature),
            "{}",
            spelling.0
        );

        let signature = known.world.event_signature(&known.scenario, &xml);
        change(&mut tampered, EVENT_SIGNATURE, |bytes| *bytes = signature);
        let verdict = known.world.verify(&honestly_deposited(&known, tampered));
        judge(&known, &verdict, CheckName::MembersMatchManifest, spelling);
    }
}

#[test]
fn a_reference_twice_is_refused() {
    let known = Known::fresh();
    let text = String::from_utf8(known.member(EVENT_MANIFEST)).unwrap();
    let start = text.find("<asic:DataObjectReference").unwrap();
    let (front, rest) = text.split_at(start);
    let reference = &rest[..rest.find('\n').unwrap()];
    for second in [
        reference.to_owned(),
        reference.replace("statement.json", "%73tatement.json"),
    ] {
        let xml = format!("{front}{second}{rest}").into_bytes();
        let signature = known.world.event_signature(&known.scenario, &xml);
        let mut members = known.members.clone();
        change(&mut members, EVENT_MANIFEST, |bytes| *bytes = xml);
        change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = signature);
        let verdict = known.world.verify(&honestly_deposited(&known, members));
        assert!(failed(&verdict).contains(&CheckName::MembersMatchManifest));
    }
}

const STATEMENTS: [Spelling; 17] = [
    ("space", "{\"format\":", "{ \"format\" :\n", Same),
    (
        "escaped letter",
        "\"title\":\"Shop",
        "\"title\":\"\\u0053hop",
        Same,
    ),
    ("escaped name", "\"title\":", "\"\\u0074itle\":", Same),
    (
        "key twice",
        "\"title\":",
        "\"title\":\"Shop page\",\"title\":",
        Refused,
    ),
    (
        "unknown key",
        "\"title\":",
        "\"x\":null,\"title\":",
        Refused,
    ),
    ("key of another case", "\"title\":", "\"Title\":", Refused),
    (
        "number with a point",
        "\"size_bytes\":64",
        "\"size_bytes\":64.0",
        Refused,
    ),
    (
        "number with an exponent",
        "\"size_bytes\":64",
        "\"size_bytes\":64e0",
        Refused,
    ),
    (
        "number with a sign",
        "\"size_bytes\":64",
        "\"size_bytes\":+64",
        Refused,
    ),
    (
        "number with a zero",
        "\"size_bytes\":64",
        "\"size_bytes\":064",
        Refused,
    ),
    (
        "number as text",
        "\"size_bytes\":64",
        "\"size_bytes\":\"64\"",
        Refused,
    ),
    (
        "number too large",
        "\"size_bytes\":64",
        "\"size_bytes\":18446744073709551680",
        Refused,
    ),
    ("comment", "{\"format\":", "{/**/\"format\":", Refused),
    (
        "lone surrogate",
        "\"title\":\"Shop",
        "\"title\":\"\\ud800Shop",
        Refused,
    ),
    ("evidence number in lower case", "PB1-", "pb1-", Refused),
    ("time zone", "Z\"", "+00:00\"", Refused),
    (
        "byte order mark",
        "{\"format\":",
        "\u{feff}{\"format\":",
        Refused,
    ),
];

/// `statement.json`, listed and signed anew in each spelling.
#[test]
fn statements() {
    let known = Known::fresh();
    let text = String::from_utf8(known.member(STATEMENT)).unwrap();
    for spelling in STATEMENTS {
        let json = respelled(&text, spelling);
        let xml = package::event_manifest(&known.scenario.statement, &json).unwrap();
        let signature = known.world.event_signature(&known.scenario, &xml);
        let mut members = known.members.clone();
        change(&mut members, STATEMENT, |bytes| *bytes = json);
        let verdict = known.world.verify(&members);
        assert!(
            failed(&verdict).contains(&CheckName::MembersMatchManifest),
            "{}",
            spelling.0
        );
        change(&mut members, EVENT_MANIFEST, |bytes| *bytes = xml);
        change(&mut members, EVENT_SIGNATURE, |bytes| *bytes = signature);
        let verdict = known.world.verify(&honestly_deposited(&known, members));
        judge(&known, &verdict, CheckName::Statement, spelling);
    }
}

const INCLUSIONS: [Spelling; 15] = [
    ("space", "{\"format\":", "{ \"format\" :\n", Same),
    (
        "key twice",
        "\"leaf_index\":",
        "\"leaf_index\":271,\"leaf_index\":",
        Refused,
    ),
    (
        "unknown key",
        "\"leaf_index\":",
        "\"x\":null,\"leaf_index\":",
        Refused,
    ),
    (
        "number with a point",
        "\"leaf_index\":271",
        "\"leaf_index\":271.0",
        Refused,
    ),
    (
        "number as text",
        "\"leaf_index\":271",
        "\"leaf_index\":\"271\"",
        Refused,
    ),
    (
        "number with a zero",
        "\"leaf_index\":271",
        "\"leaf_index\":0271",
        Refused,
    ),
    (
        "neighbour",
        "\"leaf_index\":271",
        "\"leaf_index\":270",
        Refused,
    ),
    (
        "beyond the tree",
        "\"leaf_index\":271",
        "\"leaf_index\":300",
        Refused,
    ),
    (
        "smaller tree",
        "\"tree_size\":300",
        "\"tree_size\":299",
        Refused,
    ),
    (
        "larger tree",
        "\"tree_size\":300",
        "\"tree_size\":301",
        Refused,
    ),
    (
        "absurd tree",
        "\"tree_size\":300",
        "\"tree_size\":18446744073709551615",
        Refused,
    ),
    ("hash without padding", "=\"", "\"", Refused),
    (
        "hash of no bytes",
        "\"hashes\":[",
        "\"hashes\":[\"\",",
        Refused,
    ),
    (
        "hash too many",
        "\"hashes\":[",
        "\"hashes\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",",
        Refused,
    ),
    (
        "no hashes",
        "\"hashes\":[",
        "\"hashes\":[],\"_\":[",
        Refused,
    ),
];

const CHECKPOINTS: [Spelling; 14] = [
    ("another log", "log.example/1\n", "log.example/2\n", Refused),
    ("size with a zero", "\n300\n", "\n0300\n", Refused),
    ("size with a sign", "\n300\n", "\n+300\n", Refused),
    ("smaller", "\n300\n", "\n299\n", Refused),
    (
        "line feed of another system",
        "\n300\n",
        "\r\n300\r\n",
        Refused,
    ),
    ("extension line", "\n\n—", "\nextension\n\n—", Refused),
    ("empty line", "\n300\n", "\n\n300\n", Refused),
    ("no empty line", "\n\n—", "\n—", Refused),
    ("hyphen for a dash", "\n\n—", "\n\n-", Refused),
    (
        "signer of another name",
        "— log.example/1",
        "— log.example/2",
        Refused,
    ),
    ("signature without padding", "=\n", "\n", Refused),
    (
        "no signature",
        "— log.example/1 ",
        "— other.example ",
        Refused,
    ),
    ("no last line feed", "=\n", "=\n ", Refused),
    (
        "signature of a witness",
        "\n\n—",
        "\n\n— witness.example AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n—",
        Same,
    ),
];

/// The log's two members, sealed by delivery in each spelling.
#[test]
fn log_proofs() {
    let known = Known::fresh();
    let inclusions = INCLUSIONS.iter().map(|spelling| (INCLUSION, *spelling));
    let checkpoints = CHECKPOINTS.iter().map(|spelling| (CHECKPOINT, *spelling));
    for (member, spelling) in inclusions.chain(checkpoints) {
        let text = String::from_utf8(known.member(member)).unwrap();
        let mut members = known.members.clone();
        change(&mut members, member, |bytes| {
            *bytes = respelled(&text, spelling)
        });
        let verdict = known.world.verify(&members);
        assert!(
            failed(&verdict).contains(&CheckName::MembersMatchManifest),
            "{}",
            spelling.0
        );
        seal(&known, &known.world, &mut members);
        judge(
            &known,
            &known.world.verify(&members),
            CheckName::LogInclusion,
            spelling,
        );
    }
}

/// A third of the bytes meets every hash of the audit path and every field of the checkpoint.
#[test]
fn the_bytes_of_the_log_proof_count() {
    let known = Known::fresh();
    for member in [CHECKPOINT, INCLUSION] {
        for at in (0..known.member(member).len()).step_by(3) {
            let mut members = known.members.clone();
            change(&mut members, member, |bytes| bytes[at] ^= 1);
            seal(&known, &known.world, &mut members);
            let found = failed(&known.world.verify(&members));
            assert_eq!(found, [CheckName::LogInclusion], "{member} at {at}");
        }
    }
}
