//! The seal's time: stamped when timestamping answers rightly, and no seal at all when it does not.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use probity_delivery::ports::Stamp;
use probity_delivery::seal::Seal;
use probity_domain::Timestamp;
use probity_pki::cms::SignedData;
use probity_pki::keys::MemoryKey;

use probity_pki::oid;
use probity_pki::package::{STATEMENT, SealedMember, seal_manifest};
use probity_pki::tsp::{PkiFailureInfo, TimeStampAuthority, TimeStampReq, refusal};
use probity_platform::clock::ManualClock;
use probity_platform::keys::StallingKey;
use probity_platform::objects::MemoryObjects;
use probity_platform::{Clock as _, ErrorKind, Result};

use crate::fixture::{Holder, NOW, World};
use crate::schedule::until;

enum Answers {
    Rightly,
    No,
    /// With what was right for another signature.
    With(Vec<u8>),
}

struct Unit {
    authority: TimeStampAuthority,
    key: MemoryKey,
    answers: Mutex<Answers>,
    last: Mutex<Vec<u8>>,
}

/// Stamps at any time, by a clock.
pub struct Stamps {
    authority: TimeStampAuthority,
    key: MemoryKey,
    clock: Arc<ManualClock>,
}

impl Stamps {
    pub fn new(unit: &Holder, clock: Arc<ManualClock>) -> Self {
        Self {
            authority: authority(unit),
            key: copy(&unit.key),
            clock,
        }
    }
}

#[async_trait]
impl Stamp for Stamps {
    async fn stamp(&self, request: Vec<u8>) -> Result<Vec<u8>> {
        let request = TimeStampReq::from_der(&request).unwrap();
        let now = self.clock.now();
        Ok(self
            .authority
            .respond(&request, &self.key, now, &[8])
            .unwrap())
    }
}

fn authority(unit: &Holder) -> TimeStampAuthority {
    TimeStampAuthority {
        certificate: unit.certificate.clone(),
        chain: vec![],
        policy: oid::POLICY_TIME_STAMP,
        accuracy_ms: 1_000,
    }
}

const GEN_TIME: Timestamp = NOW.plus_ms(600_123);

#[async_trait]
impl Stamp for Unit {
    async fn stamp(&self, request: Vec<u8>) -> Result<Vec<u8>> {
        let request = TimeStampReq::from_der(&request).unwrap();
        let right = self.authority.respond(&request, &self.key, GEN_TIME, &[7]);
        let answer = match &*self.answers.lock().unwrap() {
            Answers::Rightly => right.unwrap(),
            Answers::No => refusal(PkiFailureInfo::TimeNotAvailable, "no lease").unwrap(),
            Answers::With(answer) => answer.clone(),
        };
        self.last.lock().unwrap().clone_from(&answer);
        Ok(answer)
    }
}

fn copy(key: &MemoryKey) -> MemoryKey {
    MemoryKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap()
}

#[tokio::test]
async fn is_stamped_or_not_made() {
    let world = World::new();
    let unit = Arc::new(Unit {
        authority: authority(&world.tsa),
        key: copy(&world.tsa.key),
        answers: Mutex::new(Answers::Rightly),
        last: Mutex::default(),
    });
    let chain = vec![world.issuing.certificate.clone()];
    let (key, certificate) = (copy(&world.seal.key), world.seal.certificate.clone());
    let truth = Arc::new(MemoryObjects::new());
    let seal = Seal::new(Box::new(key), certificate, chain, vec![], truth).stamped_by(unit.clone());
    let at = NOW.plus_ms(600_000);

    let members = [SealedMember::of(STATEMENT, "application/json", b"{}")];
    let manifest = seal_manifest(&members).unwrap();
    let signed = SignedData::from_der(&seal.sign(&manifest, at).await.unwrap()).unwrap();
    assert!(signed.binds_status());
    let token = signed.time_stamp_token().unwrap().unwrap();
    assert_eq!(token.tst_info().gen_time, GEN_TIME);

    let answer = unit.last.lock().unwrap().clone();

    *unit.answers.lock().unwrap() = Answers::No;
    let refused = seal.sign(&manifest, at).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unavailable);
    assert!(refused.detail.contains("no lease"));

    // The same seal signed again is another signature.
    *unit.answers.lock().unwrap() = Answers::With(answer);
    let wrong = seal.sign(&manifest, at).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Internal);
}

/// On one thread: were it blocked, nobody would ever let the key go.
#[tokio::test]
async fn a_key_that_stands_still_holds_up_nobody_else() {
    let world = World::new();
    let key = Arc::new(StallingKey::new(copy(&world.seal.key)));
    let certificate = world.seal.certificate.clone();
    let truth = Arc::new(MemoryObjects::new());
    let seal = Seal::new(Box::new(key.clone()), certificate, vec![], vec![], truth);
    let members = [SealedMember::of(STATEMENT, "application/json", b"{}")];
    let manifest = seal_manifest(&members).unwrap();
    key.stall(true);
    let at = NOW.plus_ms(600_000);
    let sealing = tokio::spawn(async move { seal.sign(&manifest, at).await });
    until("the key is asked", async || key.waiting() == 1).await;
    key.stall(false);
    sealing.await.unwrap().unwrap();
}
