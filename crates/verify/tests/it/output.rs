//! The verdict as others read it.

use std::io::Cursor;

use probity_verify::{CheckName, Lang, render, verify_package};

use crate::fixture::{World, container};

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
        "statement",
        "log_inclusion",
        "delivery_seal",
        "identity",
        "agreement",
        "intent",
        "process_log",
    ];
    assert_eq!(names, expected);
    assert!(
        json["not_proved"][0]["zh"]
            .as_str()
            .unwrap()
            .contains("时间戳")
    );
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
