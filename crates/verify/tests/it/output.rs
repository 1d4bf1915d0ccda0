//! The verdict as others read it.

use std::io::Cursor;

use probity_domain::{ArtifactRole, Purpose};
use probity_verify::{
    CheckName, CheckResult, Diagnostic, Lang, Limits, Overall, Source, VERDICT_FORMAT, examine,
    judge, render, verify_package,
};
use serde_json::Value;

use crate::fixture::{World, container};
use crate::schema::Published;

/// The schema is a promise: fields and words stay.
#[test]
fn json_keeps_its_schema() {
    let world = World::new();
    let verdict = world.verify_scenario(&world.scenario());
    let json: serde_json::Value = serde_json::from_str(&verdict.to_json()).unwrap();
    assert_eq!(json["format"], "probity.verdict/1");
    assert_eq!(json["overall"], "valid");
    assert_eq!(json["purpose"], "infringement");
    assert_eq!(
        json["evidence_number"],
        verdict.evidence_number.unwrap().to_string()
    );
    assert_eq!(json["who"]["kind"], "organization");
    assert_eq!(json["what"][2]["role"], "process_log");
    assert_eq!(json["log"]["leaf_index"], 271);
    let names: Vec<_> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    let expected = [
        "container",
        "members_match_manifest",
        "signature",
        "signing_certificate",
        "certificate_status",
        "key_usage",
        "time_stamp",
        "time_stamp_authority",
        "time_stamp_status",
        "statement",
        "log_inclusion",
        "delivery_seal",
        "seal_time_stamp",
        "algorithms",
        "identity",
        "agreement",
        "intent",
        "process_log",
        "submitter_signature",
        "clock_evidence",
        "storage_attestation",
        "receipt",
    ];
    assert_eq!(names, expected);
    assert!(
        json["not_proved"][0]["zh"]
            .as_str()
            .unwrap()
            .contains("时间戳")
    );
}

const SCHEMA: &str = include_str!("../../schema/verdict.schema.json");

/// The published schema, judged by a validator that is not ours, on good, bad and hopeless packages.
#[test]
fn every_verdict_is_of_the_published_schema() {
    let world = World::new();
    let schema = Published::new(SCHEMA);
    let good = world.scenario();
    let mut verdicts = vec![
        world.verify_scenario(&good),
        verify_package(Cursor::new(b"no package"), &world.policy()),
        world.verify(&[]),
    ];
    let mut bare = world.scenario();
    (bare.sealed, bare.logged, bare.gen_time) = (false, false, None);
    bare.statement.intent = None;
    bare.statement.submitter.identifier = None;
    verdicts.push(world.verify_scenario(&bare));
    let measured = examine(
        Cursor::new(container(&world.members(&good))),
        Limits::default(),
    );
    let kept = Diagnostic::parse(measured.to_json().as_bytes()).unwrap();
    verdicts.push(judge(&kept, &world.policy()));
    for verdict in verdicts {
        let json: Value = serde_json::from_str(&verdict.to_json()).unwrap();
        assert_eq!(schema.objection(&json), None, "{json:#}");
        let mut other = json.clone();
        other["overall"] = "probably".into();
        assert!(schema.objection(&other).is_some());
        let mut more = json;
        more["more"] = 1.into();
        assert!(schema.objection(&more).is_some());
    }
}

/// Words of the schema are the words of the code, neither more nor fewer.
#[test]
fn the_schema_does_not_drift() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let words = |pointer: &str| -> Vec<String> {
        let found = schema.pointer(pointer).unwrap().as_array().unwrap();
        let words = found.iter().filter_map(|word| word.as_str());
        words.map(str::to_owned).collect()
    };
    let overall = Overall::ALL.map(Overall::as_str);
    assert_eq!(words("/properties/overall/enum"), overall);
    let sources = Source::ALL.map(Source::as_str);
    assert_eq!(words("/properties/source/enum"), sources);
    let results = CheckResult::ALL.map(CheckResult::as_str);
    assert_eq!(
        words("/properties/checks/items/properties/result/enum"),
        results
    );
    let names = CheckName::ALL.map(CheckName::as_str);
    assert_eq!(words("/$defs/check/enum"), names);
    let count = schema.pointer("/properties/checks/minItems").unwrap();
    assert_eq!(count, CheckName::ALL.len());
    assert_eq!(schema["properties"]["format"]["const"], VERDICT_FORMAT);
    for word in words("/properties/purpose/enum") {
        let purpose = Purpose::parse(&word).unwrap();
        // A new purpose does not compile here before it stands in the schema.
        match purpose {
            Purpose::Ownership | Purpose::Infringement | Purpose::Defence | Purpose::Neutral => {}
        }
    }
    for word in words("/properties/what/items/properties/role/enum") {
        let role = ArtifactRole::parse(&word).unwrap();
        match role {
            ArtifactRole::Content
            | ArtifactRole::ProcessLog
            | ArtifactRole::Recording
            | ArtifactRole::CleanCheck
            | ArtifactRole::Other => {}
        }
    }
    assert_eq!(words("/properties/purpose/enum").len(), 4);
    assert_eq!(
        words("/properties/what/items/properties/role/enum").len(),
        5
    );
}

/// The page for people lists every check.
#[test]
fn the_documentation_names_every_check() {
    let page = include_str!("../../../../docs/verdict.md");
    for name in CheckName::ALL {
        assert!(
            page.contains(&format!("| `{}` |", name.as_str())),
            "{name:?}"
        );
    }
}

/// A11: no term of the trade stands on the page without its line.
#[test]
fn no_term_is_left_unexplained() {
    let world = World::new();
    let mut bare = world.scenario();
    (bare.sealed, bare.logged, bare.gen_time) = (false, false, None);
    bare.crl_next_update = crate::fixture::NOW.plus_ms(-1_800_000);
    bare.statement.intent = None;
    let verdicts = [
        world.verify_scenario(&world.scenario()),
        world.verify_scenario(&bare),
        World::new().verify(&world.members(&world.scenario())),
    ];
    const TERMS_EN: [&str; 7] = [
        "certificate",
        "time-stamp",
        "signature",
        "digest",
        "manifest",
        "revoked",
        "seal",
    ];
    const TERMS_ZH: [&str; 6] = ["证书", "时间戳", "签名", "摘要", "清单", "封签"];
    for verdict in verdicts {
        for (lang, terms, heading, colon) in [
            (Lang::English, &TERMS_EN[..], "Terms used", ": "),
            (Lang::Chinese, &TERMS_ZH[..], "用语说明", "："),
        ] {
            let text = verdict.summary_text(lang);
            let (page, glossary) = text.split_once(heading).unwrap();
            for term in terms
                .iter()
                .filter(|term| page.to_lowercase().contains(**term))
            {
                let line = format!("  {term}{colon}");
                assert!(glossary.contains(&line), "{term} in {text}");
            }
            assert!(text.lines().count() < 70, "{text}");
        }
    }
}

#[test]
fn a_page_in_each_language() {
    let world = World::new();
    let verdict = world.verify_scenario(&world.scenario());
    let (en, zh) = (
        verdict.summary_text(Lang::English),
        verdict.summary_text(Lang::Chinese),
    );
    assert!(
        en.contains("VALID") && en.contains("Acme") && en.contains("does not prove"),
        "{en}"
    );
    assert!(
        zh.contains("有效") && zh.contains("证据编号") && zh.contains("不能证明"),
        "{zh}"
    );
    for page in [&en, &zh] {
        assert!(page.lines().count() < 60, "{page}");
        assert!(page.contains(&verdict.evidence_number.unwrap().to_string()));
    }
    let checks = render(&verdict);
    assert!(
        CheckName::ALL
            .iter()
            .all(|name| checks.contains(name.as_str())),
        "{checks}"
    );
}

/// A failed verification still makes every output.
#[test]
fn nothing_read_is_said_too() {
    let world = World::new();
    let verdict = verify_package(Cursor::new(b"no package"), &world.policy());
    assert!(verdict.summary_text(Lang::English).contains("INVALID"));
    assert!(verdict.summary_text(Lang::Chinese).contains("无效"));
    assert!(verdict.to_json().contains("\"invalid\""));
    assert!(render(&verdict).contains("failed"));
    let _ = container(&[]);
}
