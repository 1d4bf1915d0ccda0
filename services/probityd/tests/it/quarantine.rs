//! An accepted item that no role can make evidence of: held, seen by everybody it concerns, and let go on.

use std::fs;
use std::time::Duration;

use probity_testkit::wait_until;

use crate::config::probityd;
use crate::platform::Platform;

/// Submits one capture.
fn submit(platform: &Platform, name: &str, more: &[&str]) {
    let folder = platform.dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("capture.txt"), name).unwrap();
    let numbers = platform.path("numbers.jsonl");
    let folder = folder.to_str().unwrap();
    let submit = ["submit", folder, "--case", "q", "--out", &numbers];
    platform.probity_ok(&[&submit, more].concat());
}

/// The officer's decision on the vendor's identity: the latest one counts.
async fn decide(platform: &Platform, verified: bool) {
    let officer = fs::read_to_string(platform.path("secret/officer-key")).unwrap();
    let decision = serde_json::json!({
        "verified": verified, "method": "officer", "document_sha3_256": [], "note": "looked at again"
    });
    let answer = reqwest::Client::new()
        .post(format!(
            "{}/v1/parties/acme/decision",
            platform.url("IDENTITY")
        ))
        .bearer_auth(officer.trim())
        .header("content-type", "application/json")
        .body(decision.to_string())
        .send();
    let answer = answer.await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
}

fn quarantine(platform: &Platform, arguments: &[&str]) -> String {
    let config = platform.config("storage");
    let file = ["--config", config.to_str().unwrap()];
    let answer = probityd(&[&["quarantine"], arguments, &file].concat());
    assert!(answer.status.success(), "{answer:?}");
    String::from_utf8(answer.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_become_evidence_is_held_and_the_others_go_on() {
    let mut platform = Platform::start().await;
    platform.enroll();
    // A reconciler in a hurry.
    platform.kill("storage");
    let config = fs::read_to_string(platform.config("storage")).unwrap();
    let hurried = config
        .replace("reconcile_after_s = 15", "reconcile_after_s = 1")
        .replace("reconcile_period_s = 5", "reconcile_period_s = 1");
    assert_ne!(hurried, config);
    fs::write(platform.config("storage"), hurried).unwrap();
    platform.start_role("storage");
    platform.ready("storage").await;
    let numbers = platform.path("numbers.jsonl");
    submit(&platform, "sound", &["--wait"]);
    // Between acceptance and signature the vendor's identity turns out to be wrong: no certificate names it.
    platform.terminate("signing").await;
    submit(&platform, "doubtful", &[]);
    decide(&platform, false).await;
    platform.start_role("signing");
    let listed = |state: &str| {
        let rows = platform.probity_ok(&["list", "--case", "q", "--state", state, "--json"]);
        let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        rows.lines().map(row).collect::<Vec<_>>()
    };
    // The vendor is told of it once the submission is a minute old.
    wait_until("held", Duration::from_secs(600), || async {
        listed("quarantined").len() == 1 && listed("deposited").len() == 1
    })
    .await;
    assert_eq!(listed("accepted").len(), 0);
    let number = listed("quarantined")[0]["evidence"]
        .as_str()
        .unwrap()
        .to_owned();
    let held = quarantine(&platform, &["list"]);
    assert!(
        held.starts_with(&number) && held.contains("not verified"),
        "{held}"
    );
    let config = platform.config("storage");
    let audit = [
        "audit",
        "--config",
        config.to_str().unwrap(),
        "--receipts",
        &numbers,
    ];
    let audited = probityd(&audit);
    let text = String::from_utf8(audited.stdout).unwrap();
    assert_eq!(audited.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("in quarantine") && l.ends_with(" 1")),
        "{text}"
    );
    decide(&platform, true).await;
    assert!(quarantine(&platform, &["retry", &number]).contains("1 released"));
    assert!(quarantine(&platform, &["retry", &number]).contains("not in quarantine"));
    wait_until("deposited", Duration::from_secs(600), || async {
        listed("deposited").len() == 2
    })
    .await;
    platform.assert_alive();
}
