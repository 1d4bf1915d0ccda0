//! Readiness and gauges know when a certificate ends.

use std::sync::Arc;

use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::bus::{Bus, BusConfig};
use probity_platform::cache::Cache;
use probity_platform::clock::ManualClock;
use probity_platform::keys::{Validity, watch_validity};
use probity_platform::objects::{Buckets, MemoryObjects};
use probity_platform::startup::Context;

const FROM: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);
const DAY_MS: i64 = 24 * 3_600_000;

fn certificate() -> Certificate {
    let key = MemoryKey::generate().unwrap();
    let template = CertificateTemplate {
        profile: Profile::RootCa,
        serial: &[0x71; 16],
        subject: Subject::new("Root"),
        spki_der: key.public_key_der(),
        not_before: FROM,
        not_after: FROM.plus_ms(100 * DAY_MS),
        issuer: None,
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    sign_certificate(&template.to_be_signed().unwrap(), &key).unwrap()
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_missing() {
    let memory = || Arc::new(MemoryObjects::new());
    let buckets = Buckets {
        truth: memory(),
        work: memory(),
    };
    let nowhere = BusConfig::plain("nats://127.0.0.1:1");
    let bus = Bus::connect(&nowhere, "test");
    let clock = Arc::new(ManualClock::at(FROM));
    let ctx = Context::for_tests(
        buckets,
        bus.await.unwrap(),
        Cache::disabled(),
        clock.clone(),
    );
    let certificate = certificate();
    for (days, left, good) in [(0, "100", true), (99, "1", true), (2, "-1", false)] {
        clock.advance_ms(days * DAY_MS);
        let watched = vec![Validity::of_certificate("root certificate", &certificate)];
        drop(watch_validity(&ctx, watched));
        let missing = ctx.readiness.missing();
        assert_eq!(missing.is_empty(), good, "{missing:?}");
        assert!(good || missing["root certificate"].contains("not now"));
        let text = ctx.metrics.encode().unwrap();
        let line = format!("probity_validity_days_left{{what=\"root certificate\"}} {left}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
}
