//! The clock log: tokens bound to it, and what it says of them afterwards.

use std::sync::Arc;

use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::MemoryKey;
use probity_pki::oid;
use probity_pki::tsp::{
    ClockEvidence, GenTime, Imprint, TimeStampAuthority, TimeStampReq, TimeStampResp,
    TimeStampToken,
};
use probity_pki::x509::Profile;
use probity_platform::objects::{Fault, MemoryObjects, Objects, Verb};
use probity_platform::{ErrorKind, SystemRandom};
use probity_proto::clock::{ClockRecordDocument, read_clock_record};
use probity_timestamping::clock::audit::{Standing, TokenAudit, audit_hour, audit_token};
use probity_timestamping::clock::{ClockLog, Heard, unit_name};
use probity_timestamping::{ClockLease, ClockReader as _};

use crate::fixture::{Moved, NOON, RULES, Unit, issue};

/// A unit with three sources whose log is written by hand.
struct Logged {
    unit: Unit,
    log: ClockLog,
}

fn log_of(unit: &Unit) -> ClockLog {
    ClockLog::new(unit.truth.clone(), RULES, &unit.certificate, &SystemRandom)
}

impl Logged {
    async fn start() -> Self {
        let clocks = Moved::at(NOON);
        let names = ["a", "b", "c"].map(str::to_owned);
        let lease = ClockLease::new(Box::new(clocks.clone()), RULES, &names);
        let unit = Unit::with(clocks, Arc::new(lease));
        let mut log = log_of(&unit);
        log.continue_from_newest(NOON).await.unwrap();
        let mut logged = Self { unit, log };
        logged.poll();
        logged.write().await;
        logged
    }

    fn lease(&self) -> &ClockLease {
        &self.unit.lease
    }

    fn poll(&self) {
        for source in 0..3 {
            let sample = self.unit.clocks.sample(0, 1_000);
            let valid_for = std::time::Duration::from_secs(512);
            self.lease().hear(source, Heard::Sample(sample), valid_for);
        }
        self.lease().renew();
    }

    async fn write(&mut self) {
        let period = self.lease().take_period();
        let written = self.log.record(period.clone());
        let evidence = self.log.store(&written).await.unwrap();
        self.lease().recorded(&period, evidence);
    }

    /// Lives on; with all well, writes a record.
    async fn minute(&mut self) {
        self.unit.clocks.advance_ms(60_000);
        self.poll();
        self.write().await;
    }

    fn token(&self) -> TimeStampToken {
        let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
        let request = TimeStampReq::make(imprint, None, true, None).unwrap();
        let response = self.unit.stamper.respond(&request.to_der().unwrap());
        match TimeStampResp::from_der(&response.unwrap()).unwrap() {
            TimeStampResp::Granted(token) => *token,
            refused => panic!("{refused:?}"),
        }
    }

    async fn audit(&self, token: &TimeStampToken) -> TokenAudit {
        let unit = &self.unit.certificate;
        audit_token(&*self.unit.truth, token, unit).await.unwrap()
    }

    async fn records(&self) -> Vec<ClockRecordDocument> {
        let mut records = Vec::new();
        for listed in self.unit.truth.list("clock/", None, 1_000).await.unwrap() {
            let object = self.unit.truth.get(&listed.key, 1 << 20).await.unwrap();
            records.push(read_clock_record(&object.unwrap().bytes).unwrap());
        }
        records
    }
}

#[tokio::test]
async fn a_token_in_good_times_is_sound_once_its_period_is_written() {
    let mut logged = Logged::start().await;
    let token = logged.token();
    let open = logged.audit(&token).await;
    assert_eq!(open.standing, Standing::Open);
    logged.minute().await;
    let sound = logged.audit(&token).await;
    assert_eq!(sound.standing, Standing::Sound, "{sound:?}");
    assert!(sound.record.unwrap().starts_with(&format!(
        "clock/{}/2026112212/000000000000-",
        unit_name(&logged.unit.certificate)
    )));
    let records = logged.records().await;
    let second = &records[1];
    assert_eq!((second.times_given, second.elapsed_ms), (1, 60_000));
    assert_eq!(
        (second.doubt.as_deref(), second.bound_us_max),
        (None, 1_001)
    );
    assert!(second.sources.iter().all(|s| s.agrees && s.answers == 1));
}

#[tokio::test]
async fn tokens_between_the_last_trust_and_the_stop_are_found() {
    // Back over the hour as well.
    for turned_us in [600_000_000, -600_000_000] {
        turned(turned_us).await;
    }
}

async fn turned(turned_us: i64) {
    let mut logged = Logged::start().await;
    let before = logged.token();
    logged.minute().await;
    let affected = logged.token();
    logged.unit.clocks.advance_ms(30_000);
    logged.unit.clocks.turn_us(turned_us);
    assert!(logged.lease().now().is_err());
    logged.unit.clocks.advance_ms(1_000);
    logged.write().await;
    assert!(logged.lease().now().is_err());
    // Put right, and trusted again after a minute.
    logged.unit.clocks.turn_us(-turned_us);
    logged.minute().await;
    assert!(logged.lease().now().is_err());
    logged.minute().await;
    let after = logged.token();
    logged.minute().await;
    assert_eq!(logged.audit(&before).await.standing, Standing::Sound);
    let doubtful = logged.audit(&affected).await;
    assert_eq!(doubtful.standing, Standing::Doubtful);
    assert!(doubtful.reason.contains("jumped"), "{doubtful:?}");
    assert_eq!(logged.audit(&after).await.standing, Standing::Sound);

    let unit = unit_name(&logged.unit.certificate);
    let hour = audit_hour(&*logged.unit.truth, &unit, "2026112212", None).await;
    let hour = hour.unwrap().records;
    let doubted: Vec<bool> = hour.iter().map(|r| !r.doubts.is_empty()).collect();
    assert_eq!(doubted, [false, false, true, true, false, false]);
    for pair in hour.windows(2) {
        assert_eq!(pair[1].previous.as_ref(), Some(&pair[0].digest));
    }
    let refused: u64 = logged.records().await[2]
        .refusals
        .iter()
        .map(|r| r.count)
        .sum();
    assert_eq!(refused, 1);
    for (unit, hour, after) in [
        ("../../log", "2026112212", None),
        (unit.as_str(), "2026", None),
        (
            unit.as_str(),
            "2026112212",
            Some("../000000000000-00000000"),
        ),
    ] {
        let refused = audit_hour(&*logged.unit.truth, unit, hour, after).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Malformed);
    }
}

/// A clock that flaps for twenty minutes leaves more than a thousand records.
#[tokio::test]
async fn an_hour_of_many_records_is_audited_in_pages() {
    let mut logged = Logged::start().await;
    logged.minute().await;
    let truth = &logged.unit.truth;
    let listed = truth.list("clock/", None, 1).await.unwrap();
    let record = truth.get(&listed[0].key, 1 << 20).await.unwrap().unwrap();
    let unit = unit_name(&logged.unit.certificate);
    let mut expected = Vec::new();
    for seq in 0..1_300 {
        let key = format!("clock/{unit}/2026112213/{seq:012}-0123abcd");
        truth.create(&key, record.bytes.clone()).await.unwrap();
        expected.push(key);
    }
    let (mut found, mut after, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = audit_hour(&**truth, &unit, "2026112213", after.as_deref()).await;
        let page = page.unwrap();
        found.extend(page.records.into_iter().map(|r| r.record));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_changed_record_supports_nothing() {
    let mut logged = Logged::start().await;
    logged.minute().await;
    let token = logged.token();
    logged.minute().await;
    let listed = logged.unit.truth.list("clock/", None, 10).await.unwrap();
    let changed = Arc::new(MemoryObjects::new());
    for (place, expected) in [
        (0, Standing::Sound),
        (1, Standing::Unsupported),
        (2, Standing::Sound),
    ] {
        // The named record and its neighbours, one changed at a time: the last may still be rewritten by whoever holds
        // the store, until a token or a record refers to it.
        for (at, object) in listed.iter().enumerate() {
            let bytes = logged.unit.truth.get(&object.key, 1 << 20).await.unwrap();
            let mut text = String::from_utf8(bytes.unwrap().bytes.to_vec()).unwrap();
            if at == place {
                text = text.replace("\"quorum\":2", "\"quorum\":1");
            }
            changed.put(&object.key, text.into()).await.unwrap();
        }
        let audit = audit_token(&*changed, &token, &logged.unit.certificate)
            .await
            .unwrap();
        assert_eq!(audit.standing, expected, "{place}");
    }
    changed.remove(&listed[1].key).await.unwrap();
    let audit = audit_token(&*changed, &token, &logged.unit.certificate)
        .await
        .unwrap();
    assert_eq!(audit.standing, Standing::Unsupported);
}

#[tokio::test]
async fn without_the_store_time_stamping_goes_on_for_two_minutes_and_stops() {
    let mut logged = Logged::start().await;
    let refuse = |verb, _: &str| (verb == Verb::Create).then_some(Fault::Refuse);
    logged.unit.truth.set_faults(refuse);
    logged.unit.clocks.advance_ms(60_000);
    logged.poll();
    let period = logged.lease().take_period();
    let written = logged.log.record(period.clone());
    assert!(
        logged
            .log
            .store(&written)
            .await
            .unwrap_err()
            .kind
            .is_transient()
    );
    let late = {
        logged.unit.clocks.advance_ms(60_000);
        logged.poll();
        logged.token()
    };
    logged.unit.clocks.advance_ms(1);
    assert!(
        logged
            .lease()
            .now()
            .unwrap_err()
            .detail
            .contains("not durable")
    );
    logged.unit.truth.set_faults(|_, _| None);
    let evidence = logged.log.store(&written).await.unwrap();
    logged.lease().recorded(&period, evidence);
    assert!(logged.lease().now().is_ok());
    // The record that waited does not cover the late token's time; the one after it does.
    assert_eq!(logged.audit(&late).await.standing, Standing::Open);
    logged.write().await;
    assert_eq!(logged.audit(&late).await.standing, Standing::Sound);
}

#[tokio::test]
async fn a_restart_continues_the_chain() {
    let mut logged = Logged::start().await;
    logged.minute().await;
    let records = logged.records().await;
    let mut again = log_of(&logged.unit);
    let now = logged.unit.clocks.read().wall;
    again
        .continue_from_newest(now.plus_ms(7 * 3_600_000))
        .await
        .unwrap();
    logged.log = again;
    logged.minute().await;
    let all = logged.records().await;
    assert_eq!((all.len(), all[2].seq), (3, 2));
    assert_ne!(all[2].run, records[0].run);
    let named = |record: &ClockRecordDocument| {
        let bytes = probity_proto::clock::write_clock_record(record);
        Some(hex::encode(HashAlgorithm::Sha256.digest(&bytes)))
    };
    assert_eq!(all[2].previous, named(&all[1]));
    assert_eq!(all[1].previous, named(&all[0]));
    assert_eq!(all[0].previous, None);
}

#[tokio::test]
async fn a_token_of_others_is_supported_by_nothing() {
    let logged = Logged::start().await;
    let (root_key, key) = (
        MemoryKey::generate().unwrap(),
        MemoryKey::generate().unwrap(),
    );
    let root = issue(Profile::RootCa, &root_key, None, NOON);
    let certificate = issue(Profile::Tsa, &key, Some((&root, &root_key)), NOON);
    let authority = TimeStampAuthority {
        certificate,
        chain: vec![],
        policy: oid::POLICY_TIME_STAMP,
        accuracy_ms: 1_000,
    };
    let imprint = Imprint::of(HashAlgorithm::Sha256, b"x");
    let request = TimeStampReq::make(imprint, None, true, None).unwrap();
    let token = authority.token(&request, &key, NOON, &[1]).unwrap();
    let audit = logged
        .audit(&TimeStampToken::from_der(&token).unwrap())
        .await;
    assert_eq!(audit.standing, Standing::Unsupported);
    // One that names a record of another unit, rightly.
    let record = logged.token().tst_info().clock_evidence.clone();
    let gen_time = GenTime {
        at: NOON,
        accuracy_ms: None,
        evidence: record,
    };
    let token = authority.token(&request, &key, gen_time, &[1]).unwrap();
    let token = TimeStampToken::from_der(&token).unwrap();
    let theirs = &authority.certificate;
    let audit = audit_token(&*logged.unit.truth, &token, theirs).await;
    let audit = audit.unwrap();
    assert_eq!(audit.standing, Standing::Unsupported);
    assert!(audit.reason.contains("another unit"), "{audit:?}");
    // A name that leads out of the clock log is not followed.
    logged
        .unit
        .truth
        .put("ledger/x", "{}".into())
        .await
        .unwrap();
    let gen_time = GenTime {
        at: NOON,
        accuracy_ms: None,
        evidence: Some(ClockEvidence {
            record: "ledger/x".to_owned(),
            digest: [0; 32],
        }),
    };
    let token = authority.token(&request, &key, gen_time, &[1]).unwrap();
    let audit = logged
        .audit(&TimeStampToken::from_der(&token).unwrap())
        .await;
    assert!(audit.reason.contains("not there"), "{audit:?}");
}
