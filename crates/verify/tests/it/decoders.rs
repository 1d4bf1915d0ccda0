//! One entry for each decoder of strangers' bytes: what must hold whatever the bytes are, and good
//! bytes to start from. Shared by the tests here and by the fuzzer (docs/fuzzing.md).

use std::io::{Cursor, Read};

use probity_pki::asic::{ContainerReader, Limits};
use probity_pki::envelope::{EnvelopeRandom, encrypt};
use probity_pki::keys::MemoryKey;
use probity_pki::x509::{Profile, Subject};
use probity_verify::{Diagnostic, Overall, Policy, Verdict, examine, judge, verify_package};

use crate::fixture::{Holder, Members, NOW, Scenario, World, container, issue, stated};
use crate::formats;

/// A decoder by name.
pub struct Decoder {
    pub name: &'static str,
    /// Fails by panicking.
    pub check: fn(&Known, &[u8]),
    pub seeds: fn(&Known) -> Vec<Vec<u8>>,
}

/// The parties that good bytes come from, and one good package of theirs.
pub struct Known {
    pub world: World,
    pub scenario: Scenario,
    pub members: Members,
    pub court: Holder,
    pub valid: Verdict,
}

pub const SECRET: &[u8] = b"what only the court may read";

/// The decoders of this file; those of single formats are in [`formats::DECODERS`].
const PACKAGES: [Decoder; 6] = [
    Decoder {
        name: "envelope",
        check: envelope,
        seeds: |known| vec![known.envelope(SECRET), known.envelope(b"")],
    },
    Decoder {
        name: "container",
        check: open_container,
        seeds: |known| {
            let one = [("a".to_owned(), b"aaaaaaaaaaaaaaaa".to_vec())];
            vec![container(&known.members), container(&one), container(&[])]
        },
    },
    Decoder {
        name: "package",
        check: package,
        seeds: |known| vec![container(&known.members)],
    },
    Decoder {
        name: "diagnostic",
        check: diagnostic,
        seeds: |known| {
            let measured = examine(Cursor::new(container(&known.members)), Limits::default());
            vec![measured.to_json().into_bytes()]
        },
    },
    Decoder {
        name: "policy",
        check: policy,
        seeds: |known| vec![known.world.policy().to_json().into_bytes()],
    },
    Decoder {
        name: "member",
        check: member,
        seeds: |known| {
            let of = |at: usize| known.members.get(at).map(|(_, bytes)| bytes.as_slice());
            (0..known.members.len() as u8)
                .flat_map(|at| [at, at | RESEALED])
                .map(|first| [&[first], of(usize::from(first & !RESEALED)).unwrap()].concat())
                .collect()
        },
    },
];

/// Every decoder.
pub fn all() -> impl Iterator<Item = &'static Decoder> {
    formats::DECODERS.iter().chain(&PACKAGES)
}

impl Known {
    /// With keys of its own.
    pub fn fresh() -> Self {
        Self::new(&mut || MemoryKey::generate().unwrap())
    }

    pub fn new(next: &mut dyn FnMut() -> MemoryKey) -> Self {
        let world = World::with_keys(next);
        let court = issue(
            next(),
            Profile::CourtEncryption,
            Subject::new("Court"),
            &[0x46; 16],
            Some(&world.root),
            None,
        );
        let mut scenario = world.scenario();
        for (artifact, (name, bytes)) in scenario.artifacts.iter_mut().enumerate() {
            bytes.truncate(64);
            scenario.statement.artifacts[artifact] = stated(name, bytes);
        }
        let members = world.members(&scenario);
        let valid = world.verify(&members);
        assert_eq!(valid.overall, Overall::Valid);
        Self {
            world,
            scenario,
            members,
            court,
            valid,
        }
    }

    pub fn member(&self, name: &str) -> Vec<u8> {
        let found = self.members.iter().find(|(member, _)| member == name);
        found.unwrap().1.clone()
    }

    fn envelope(&self, content: &[u8]) -> Vec<u8> {
        let mut random = [0x35; EnvelopeRandom::BYTES];
        // Below the order of the curve, and another key for each content.
        random[..2].copy_from_slice(&[1, content.len() as u8]);
        let random = EnvelopeRandom::from_bytes(&random);
        encrypt(&self.court.certificate, content, &random).unwrap()
    }

    /// Whatever passes as valid says what the honest package says, and no report steers a terminal.
    pub fn assert_harmless(&self, verdict: &Verdict, what: &str) {
        if verdict.overall == Overall::Valid {
            assert_eq!(facts(verdict), facts(&self.valid), "{what}");
        }
        let report = probity_verify::render(verdict);
        assert!(
            !report.contains(|c: char| c.is_control() && c != '\n'),
            "{what}"
        );
    }
}

/// A verdict without how it was reached.
pub fn facts(verdict: &Verdict) -> Verdict {
    Verdict {
        checks: Vec::new(),
        ..verdict.clone()
    }
}

/// Nobody but the court opens an envelope, and what opens is what was put in, as often as it is there.
fn envelope(known: &Known, bytes: &[u8]) {
    let open = |key: &MemoryKey| {
        let key = key.to_pkcs8_der().unwrap();
        let mut out = Vec::new();
        let opened = probity_pki::envelope::decrypt(&mut Cursor::new(bytes), &key, &mut out);
        assert!(out.len() <= bytes.len(), "more comes out than went in");
        opened.map(|length| {
            assert_eq!(length, out.len() as u64);
            out
        })
    };
    if let Ok(content) = open(&known.court.key) {
        assert!(content.chunks(SECRET.len()).all(|one| one == SECRET));
    }
    assert!(open(&known.world.seal.key).is_err());
}

/// Members are bounded by the limits, and a copy of them holds the same.
fn open_container(_: &Known, bytes: &[u8]) {
    let limits = Limits {
        members_max: 64,
        total_bytes_max: 1 << 20,
        ratio_max: 100,
        ratio_free_bytes: 1 << 16,
        in_memory_bytes_max: 1 << 18,
    };
    let Ok(mut opened) = ContainerReader::open(Cursor::new(bytes), limits) else {
        return;
    };
    let read = read_all(&mut opened, &limits);
    if let Some(members) = read {
        let again = container(&members);
        let mut again = ContainerReader::open(Cursor::new(again), Limits::default()).unwrap();
        assert_eq!(read_all(&mut again, &limits), Some(members));
    }
}

/// All members but the media type, unless one of them is damaged.
fn read_all(
    from: &mut ContainerReader<Cursor<impl AsRef<[u8]>>>,
    limits: &Limits,
) -> Option<Members> {
    let listed: Vec<_> = from
        .members()
        .iter()
        .map(|m| (m.name.clone(), m.size_bytes))
        .collect();
    assert!(listed.len() as u64 <= limits.members_max);
    let mut members = Some(Members::new());
    let mut total = 0;
    for (name, size_bytes) in listed {
        let mut bytes = Vec::new();
        let whole = from.stream(&name).unwrap().read_to_end(&mut bytes);
        total += bytes.len() as u64;
        assert!(bytes.len() as u64 <= size_bytes, "{name}");
        if whole.is_ok() {
            assert_eq!(bytes.len() as u64, size_bytes, "{name}");
            members
                .iter_mut()
                .for_each(|members| members.push((name.clone(), bytes.clone())));
        } else {
            members = None;
        }
    }
    assert!(total <= limits.total_bytes_max);
    members.map(|members| members.into_iter().skip(1).collect())
}

fn package(known: &Known, bytes: &[u8]) {
    let verdict = verify_package(Cursor::new(bytes), &known.world.policy());
    known.assert_harmless(&verdict, "package");
}

/// What is read is written again the same, and cannot say more than was signed.
fn diagnostic(known: &Known, bytes: &[u8]) {
    let Ok(kept) = Diagnostic::parse(bytes) else {
        return;
    };
    let again = Diagnostic::parse(kept.to_json().as_bytes()).unwrap();
    assert!(again == kept);
    let verdict = judge(&kept, &known.world.policy());
    if verdict.overall == Overall::Valid {
        assert_eq!(verdict.who, known.valid.who);
        assert_eq!(verdict.what, known.valid.what);
        assert_eq!(verdict.when, known.valid.when);
    }
}

fn policy(_: &Known, bytes: &[u8]) {
    if let Ok(policy) = Policy::parse(bytes, NOW) {
        let again = Policy::parse(policy.to_json().as_bytes(), NOW).unwrap();
        assert_eq!(again.to_json(), policy.to_json());
    }
}

/// The honest delivery service seals what it finds.
const RESEALED: u8 = 0x80;

/// The first byte names a member of the good package, the rest replaces it.
fn member(known: &Known, bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let at = usize::from(first & !RESEALED) % known.members.len();
    let mut members = known.members.clone();
    members[at].1 = bytes.to_vec();
    let seal = members.len() - 2;
    if first & RESEALED != 0 && at < seal {
        members.truncate(seal);
        known.world.seal(&known.scenario, &mut members);
    }
    let verdict = known.world.verify(&members);
    known.assert_harmless(&verdict, &members[at].0);
}
