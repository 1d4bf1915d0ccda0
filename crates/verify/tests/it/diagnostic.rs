//! Diagnostic data: the same verdict without the package, another under another policy, none if altered.

use std::io::Cursor;

use probity_verify::{
    CheckName, CheckResult, Diagnostic, Lang, Limits, Overall, Policy, Source, examine, judge,
    verify_package,
};
use serde_json::Value;

use crate::fixture::{NOW, World, change, container, failed, result};

fn measured(bytes: &[u8]) -> Diagnostic {
    examine(Cursor::new(bytes), Limits::default())
}

fn valid(world: &World) -> String {
    measured(&container(&world.members(&world.scenario()))).to_json()
}

/// Good and bad packages, and no package at all.
#[test]
fn judged_again_the_verdict_is_the_same() {
    let world = World::new();
    let good = world.members(&world.scenario());
    let mut packages = vec![container(&good), b"no package".to_vec()];
    for (name, _) in &good {
        let mut bad = good.clone();
        change(&mut bad, name, |bytes| bytes[0] ^= 1);
        packages.push(container(&bad));
    }
    let mut flipped = container(&good);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    packages.push(flipped);
    for bytes in packages {
        let first = verify_package(Cursor::new(&bytes), &world.policy());
        let kept = Diagnostic::parse(measured(&bytes).to_json().as_bytes()).unwrap();
        let again = judge(&kept, &world.policy());
        assert_eq!(
            (first.source, again.source),
            (Source::Package, Source::Diagnostic)
        );
        assert_eq!(again.checks, first.checks);
        assert_eq!(again.missing, first.missing);
        assert_eq!(again.overall, first.overall);
        assert_eq!((again.who, again.what), (first.who, first.what));
    }
}

#[test]
fn another_policy_makes_another_verdict() {
    let world = World::new();
    let kept = Diagnostic::parse(valid(&world).as_bytes()).unwrap();
    assert_eq!(judge(&kept, &world.policy()).overall, Overall::Valid);
    let stranger = World::new();
    let verdict = judge(&kept, &stranger.policy());
    assert!(failed(&verdict).contains(&CheckName::SigningCertificate));
    let policy = Policy {
        roots: Vec::new(),
        ..world.policy()
    };
    assert_eq!(judge(&kept, &policy).overall, Overall::Indeterminate);
    let policy = Policy {
        at: NOW.plus_ms(-7_200_000),
        ..world.policy()
    };
    assert_eq!(
        result(&judge(&kept, &policy), CheckName::TimeStamp),
        CheckResult::Failed
    );
}

/// Nobody may take such a verdict for one about the package.
#[test]
fn it_says_that_the_package_was_not_read() {
    let world = World::new();
    let kept = Diagnostic::parse(valid(&world).as_bytes()).unwrap();
    let verdict = judge(&kept, &world.policy());
    let said = "the package itself was not read";
    for text in [
        verdict.summary_text(Lang::English),
        verdict.details_text(Lang::English),
        verdict.to_json(),
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert!(
        verdict
            .summary_text(Lang::Chinese)
            .contains("未读取证据包本身")
    );
}

/// Certificates, times, digests and results are there for other programs.
#[test]
fn everything_measured_is_in_it() {
    let world = World::new();
    let json: Value = serde_json::from_str(&valid(&world)).unwrap();
    let signature = &json["parsed"]["event_signature"];
    assert_eq!(signature["arithmetic"], "holds");
    let token = &signature["time_stamp"];
    assert_eq!(token["gen_time"], NOW.plus_ms(1_000).to_rfc3339());
    assert_eq!(token["accuracy_us"], 1_000_000);
    let certificates = signature["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 2);
    assert!(
        certificates
            .iter()
            .all(|c| c["key"] == "P-384" && c["der"].is_string())
    );
    assert_eq!(signature["revocation_lists"].as_array().unwrap().len(), 2);
    assert_eq!(json["parsed"]["inclusion"]["leaf_index"], 271);
    assert_eq!(json["parsed"]["statement"]["format"], "probity.statement/1");
    let members = json["members"].as_array().unwrap();
    assert!(members.iter().all(|m| m["digests"]["SHA3-256"].is_string()));
}

/// Diagnostic data come from strangers too.
#[test]
fn altered_data_are_refused_or_lose() {
    let world = World::new();
    let text = valid(&world);
    let json: Value = serde_json::from_str(&text).unwrap();
    let refused = |alter: &dyn Fn(&mut Value), said: &str| {
        let mut altered = json.clone();
        alter(&mut altered);
        assert_ne!(altered, json, "{said}");
        let error = Diagnostic::parse(altered.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    };
    refused(
        &|j| j["format"] = "probity.diagnostic/2".into(),
        "diagnostic/2",
    );
    refused(&|j| j["extra"] = 1.into(), "extra");
    refused(&|j| j["container"]["result"] = "refused".into(), "reason");
    refused(&|j| j["members"][1] = j["members"][2].clone(), "twice");
    refused(
        &|j| j["members"][1]["size_bytes"] = 1.into(),
        "are not the member's",
    );
    refused(
        &|j| j["documents"][0]["base64"] = "AAAA".into(),
        "are not the member's",
    );
    refused(&|j| j["documents"][0]["base64"] = "?".into(), "malformed");
    refused(
        &|j| j["documents"][0] = j["documents"][1].clone(),
        "are not the member's",
    );
    // A member, and its very bytes, but none that judgement reads: such data could grow without end.
    refused(
        &|j| {
            let base64 = "PGh0bWw+Y2VydGlmaWNhdGU8L2h0bWw+";
            let page = serde_json::json!({ "name": "certificate.html", "base64": base64 });
            j["documents"].as_array_mut().unwrap().push(page);
        },
        "is none of the documents",
    );
    refused(
        &|j| j["members"][1]["digests"]["SHA-256"] = "00".into(),
        "is no SHA-256",
    );
    refused(&|j| j["members"][1]["digests"]["MD5"] = "00".into(), "MD5");
    refused(
        &|j| j["parsed"]["event_signature"]["time_stamp"]["gen_time"] = "2020".into(),
        "parsed section",
    );
    for cut in (0..text.len()).step_by(997) {
        assert!(Diagnostic::parse(&text.as_bytes()[..cut]).is_err());
    }
    // A false digest of an artifact contradicts what was signed.
    let mut altered = json.clone();
    let members = altered["members"].as_array_mut().unwrap();
    let artifact = members
        .iter_mut()
        .find(|m| m["name"] == "artifacts/page.html");
    artifact.unwrap()["digests"]["SHA3-256"] = "00".repeat(32).into();
    let kept = Diagnostic::parse(altered.to_string().as_bytes()).unwrap();
    let verdict = judge(&kept, &world.policy());
    let expected = [CheckName::MembersMatchManifest, CheckName::Statement];
    assert_eq!(failed(&verdict), expected);
}
