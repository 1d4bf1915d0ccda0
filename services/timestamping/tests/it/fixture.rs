//! A time-stamping unit whose clocks the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use probity_domain::Timestamp;
use probity_pki::keys::{MemoryKey, Signer as _};
use probity_pki::oid;
use probity_pki::tsp::{ClockEvidence, TimeStampAuthority};
use probity_pki::x509::{
    Addresses, Certificate, CertificateTemplate, Profile, Subject, sign_certificate,
};
use probity_platform::clock::{Clock as _, SystemClock};
use probity_platform::objects::MemoryObjects;
use probity_platform::{ErrorKind, SystemRandom};
use probity_timestamping::clock::{Heard, LeapIndicator, Rules, Sample};
use probity_timestamping::{ClockLease, ClockReader, Reading, TimeStamper};

pub const DAY_MS: i64 = 24 * 3_600_000;

/// Both clocks. True time goes with the monotonic one.
pub struct Moved {
    start: Timestamp,
    wall_us: AtomicI64,
    monotonic_us: AtomicI64,
}

impl Moved {
    pub fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            start,
            wall_us: AtomicI64::new(0),
            monotonic_us: AtomicI64::new(0),
        })
    }

    /// Time passes.
    pub fn advance_ms(&self, ms: i64) {
        self.wall_us.fetch_add(ms * 1_000, Ordering::SeqCst);
        self.monotonic_us.fetch_add(ms * 1_000, Ordering::SeqCst);
    }

    /// Somebody turns the wall clock.
    pub fn turn_us(&self, us: i64) {
        self.wall_us.fetch_add(us, Ordering::SeqCst);
    }

    pub fn true_us(&self) -> i64 {
        self.start.unix_ms() * 1_000 + self.monotonic_us.load(Ordering::SeqCst)
    }

    /// What a source would say now that is off by `off_us` and owns up to `error_us`.
    pub fn sample(&self, off_us: i64, error_us: i64) -> Sample {
        Sample {
            monotonic_us: self.monotonic_us.load(Ordering::SeqCst),
            utc_us: self.true_us() + off_us,
            error_us,
            delay_us: error_us,
            stratum: 2,
            leap: LeapIndicator::None,
            measurement: None,
        }
    }
}

impl ClockReader for Moved {
    fn read(&self) -> Reading {
        let wall_us = self.start.unix_ms() * 1_000 + self.wall_us.load(Ordering::SeqCst);
        Reading {
            wall: Timestamp::from_unix_ms(wall_us.div_euclid(1_000)),
            monotonic_us: self.monotonic_us.load(Ordering::SeqCst),
            gap_us: 0,
        }
    }
}

pub const NOON: Timestamp = Timestamp::from_unix_ms(1_795_348_800_000);

pub const RULES: Rules = Rules {
    quorum: 2,
    accuracy_ms: 1_000,
    margin_ms: 5,
    max_jump_ms: 100,
    drift_ppm: 15,
    evidence_age_ms_max: 120_000,
};

/// A lease with three sources, and its clocks.
pub struct Watched {
    pub clocks: Arc<Moved>,
    pub lease: ClockLease,
}

impl Watched {
    pub fn new(rules: Rules) -> Self {
        let clocks = Moved::at(NOON);
        let names = ["a", "b", "c"].map(str::to_owned);
        let lease = ClockLease::new(Box::new(clocks.clone()), rules, &names);
        Self { clocks, lease }
    }

    /// Trusted, by three good sources and a durable record.
    pub fn trusted() -> Self {
        let watched = Self::new(RULES);
        watched.poll([(0, 10_000), (2_000, 10_000), (-2_000, 10_000)]);
        watched.renew_and_record();
        watched
    }

    pub fn hear(&self, source: usize, heard: Heard) {
        self.lease.hear(source, heard, Duration::from_secs(512));
    }

    /// Each source's error and what it owns up to.
    pub fn poll(&self, said: [(i64, i64); 3]) {
        for (source, (off_us, error_us)) in said.into_iter().enumerate() {
            self.hear(source, Heard::Sample(self.clocks.sample(off_us, error_us)));
        }
    }

    pub fn renew_and_record(&self) {
        self.lease.renew();
        self.record();
    }

    pub fn record(&self) {
        let record = ClockEvidence {
            record: "clock/0123456789abcdef/2026112212/000000000000-00000000".to_owned(),
            digest: [1; 32],
        };
        self.lease.recorded(&self.lease.take_period(), record);
    }

    /// Why there is no time.
    #[track_caller]
    pub fn refusal(&self) -> String {
        let e = self.lease.now().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Unavailable);
        e.detail
    }
}

pub fn issue(
    profile: Profile,
    key: &MemoryKey,
    issuer: Option<(&Certificate, &MemoryKey)>,
    now: Timestamp,
) -> Certificate {
    let template = CertificateTemplate {
        profile,
        serial: &[0x41; 16],
        subject: Subject::new(format!("{profile:?}")),
        spki_der: key.public_key_der(),
        not_before: now.plus_ms(-DAY_MS),
        not_after: now.plus_ms(DAY_MS),
        issuer: issuer.map(|(certificate, _)| certificate),
        addresses: Addresses::default(),
        reliance_limit: None,
        instruction: None,
    };
    sign_certificate(
        &template.to_be_signed().unwrap(),
        issuer.map_or(key, |(_, key)| key),
    )
    .unwrap()
}

pub struct Unit {
    pub root: Certificate,
    pub certificate: Certificate,
    pub clocks: Arc<Moved>,
    pub lease: Arc<ClockLease>,
    pub stamper: Arc<TimeStamper>,
    pub truth: Arc<MemoryObjects>,
}

impl Unit {
    pub fn new() -> Self {
        // OpenSSL judges by the machine's clock.
        let clocks = Moved::at(SystemClock.now());
        let lease = ClockLease::for_tests(Box::new(clocks.clone()));
        Self::with(clocks, Arc::new(lease))
    }

    pub fn with(clocks: Arc<Moved>, lease: Arc<ClockLease>) -> Self {
        let now = clocks.read().wall;
        let (root_key, key) = (
            MemoryKey::generate().unwrap(),
            MemoryKey::generate().unwrap(),
        );
        let root = issue(Profile::RootCa, &root_key, None, now);
        let certificate = issue(Profile::Tsa, &key, Some((&root, &root_key)), now);
        let authority = TimeStampAuthority {
            certificate: certificate.clone(),
            chain: vec![],
            policy: oid::POLICY_TIME_STAMP,
            accuracy_ms: 1_000,
        };
        let random = Arc::new(SystemRandom);
        let stamper = TimeStamper::new(authority, Box::new(key), lease.clone(), random);
        Self {
            root,
            certificate,
            clocks,
            lease,
            stamper: Arc::new(stamper.unwrap()),
            truth: Arc::new(MemoryObjects::new()),
        }
    }
}
