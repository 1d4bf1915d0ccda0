//! One evidence followed by its spans, as an operator would: from the vendor's request to the court's package.

use std::fs;
use std::time::Duration;

use probity_testkit::{Collector, Span, wait_until};

use crate::end_to_end::court;
use crate::platform::{Platform, ROLES};

const CASE: &str = "traced";

/// Submits one capture without waiting; answers its number.
fn submit(platform: &Platform) -> String {
    let capture = platform.path("capture.txt");
    fs::write(&capture, "followed from end to end").unwrap();
    let said = platform.probity_ok(&[
        "submit",
        &capture,
        "--case",
        CASE,
        "--memory",
        &platform.path("memory"),
        "--out",
        &platform.path("numbers.jsonl"),
    ]);
    let line = fs::read_to_string(platform.path("numbers.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    line["evidence"]
        .as_str()
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned()
}

fn deliver(platform: &Platform, number: &str, more: &[&str]) {
    let args = ["deliver", "--case", CASE, "--to", "pulled", number];
    platform.probity_ok(&[&args[..], more].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_evidence_is_followed_through_every_role() {
    let collector = Collector::start().await;
    let mut platform = Platform::start_traced(Some(&collector)).await;
    platform.enroll();
    court(&platform, "pulled", None);
    // Without time-stamps the delivery has to wait for the deposit, and so is brought about by it.
    platform.terminate("timestamping").await;
    let number = submit(&platform);
    deliver(&platform, &number, &[]);
    wait_until("the delivery waits", Duration::from_secs(180), || async {
        let waits = |s: &Span| s.name == "deliver" && s.attribute("probity.evidence") == number;
        collector.spans().iter().any(waits)
    })
    .await;
    platform.start_role("timestamping");
    platform.ready("timestamping").await;
    deliver(
        &platform,
        &number,
        &["--wait", "prepared", "--patience", "600"],
    );
    for role in ROLES {
        // The last spans leave with the process.
        platform.terminate(role).await;
    }

    let spans = collector.spans();
    let submission = number.rsplit_once('-').unwrap().0;
    let of = |name: &str| {
        spans
            .iter()
            .find(|s| s.name == name && s.attribute("probity.submission") == submission)
            .unwrap_or_else(|| panic!("no span {name} of {submission}"))
    };
    let first = of("submit");
    assert_eq!(first.service, "probity-intake");
    let following = collector.following(first);
    for (service, name) in [
        ("probity-signing", "process evidence.submitted"),
        ("probity-signing", "sign"),
        ("probity-issuance", "issue"),
        ("probity-timestamping", "stamp"),
        ("probity-storage", "deposit"),
        ("probity-storage", "append"),
        ("probity-delivery", "process evidence.deposited"),
        ("probity-delivery", "deliver"),
    ] {
        assert!(
            following
                .iter()
                .any(|s| s.service == service && s.name == name),
            "{name} of {service} does not follow from the submission"
        );
    }
    // By attribute, without following anything: each role that knows the submission names it.
    for name in ["sign", "issue", "stamp", "deposit", "deliver"] {
        of(name);
    }
    // The request that the vendor made is what the submission is a part of.
    let request = spans
        .iter()
        .find(|s| first.causes.contains(&s.key))
        .unwrap();
    assert_eq!(request.name, "POST /v1/submissions");
}
