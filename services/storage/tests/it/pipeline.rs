//! sign → stamp → deposit with the roles' own functions and no bus: each is called, some of them twice.

use std::sync::Arc;
use std::time::Duration;

use probity_domain::Submission;
use probity_pki::statement::Statement;
use probity_platform::ErrorKind;
use probity_platform::clock::ManualClock;
use probity_platform::objects::Objects as _;
use probity_platform::startup::Shutdown;
use probity_proto::v1::{EventCertificate, EvidenceRecord, Stamped};
use probity_signing::{
    EventKey, Instruction, Keyring, Session, UncertifiedKey, chunks, load_instruction, sign,
};
use probity_storage::log::{AppendLimits, appender};
use probity_storage::{Deposit, Deposited, Reconciler, Submissions};

use crate::log::Store;
use crate::pki::{NOW, Pki};
use crate::world::{World, number};

pub struct Pipeline {
    pub world: World,
    pub store: Store,
    pub pki: Pki,
    pub deposit: Deposit,
    stop: Shutdown,
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop.request();
    }
}

impl Pipeline {
    pub async fn new() -> Self {
        let world = World::new().await;
        let store = Store {
            truth: world.truth.clone(),
            ..Store::new()
        };
        let pki = Pki::new(
            world.truth.clone(),
            world.ledger.clone(),
            world.clock.clone(),
        )
        .await;
        let limits = AppendLimits {
            entries_max: 1_000,
            age: Duration::from_millis(5),
        };
        let (appender, mut appends) = appender(limits);
        let (mut writer, log) = store.writer_and_log();
        let stop = Shutdown::new();
        let until = stop.clone();
        tokio::spawn(async move {
            appends
                .commit_all(&mut writer, limits, &until, |_| async {})
                .await;
        });
        let deposit = Deposit::new(
            log,
            appender,
            Submissions::new(world.truth.clone()),
            vec![pki.root.certificate.clone()].into(),
            world.clock.clone(),
        );
        Self {
            world,
            store,
            pki,
            deposit,
            stop,
        }
    }

    /// As another process has it, which appends nothing.
    pub fn deposit_again(&self) -> Deposit {
        let limits = AppendLimits {
            entries_max: 1,
            age: Duration::ZERO,
        };
        Deposit::new(
            self.store.log(),
            appender(limits).0,
            Submissions::new(self.world.truth.clone()),
            self.deposit.roots.clone(),
            self.world.clock.clone(),
        )
    }

    async fn key(&self, submission: &Submission) -> (Instruction, EventKey) {
        let instruction = load_instruction(&*self.world.truth, &self.world.ledger, submission.id);
        let (key, request) = UncertifiedKey::generate(submission).unwrap();
        let issued = self
            .pki
            .issuer
            .issue_event_certificate(&request)
            .await
            .unwrap();
        (instruction.await.unwrap(), key.certified(&issued).unwrap())
    }

    pub async fn sign(&self, submission: &Submission) -> Vec<EvidenceRecord> {
        let (instruction, key) = self.key(submission).await;
        let places: Vec<u32> = (0..submission.items.len() as u32).collect();
        sign(&instruction, &places, &key, NOW)
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    pub fn stamp(&self, records: &[EvidenceRecord]) -> Vec<EvidenceRecord> {
        records
            .iter()
            .map(|record| self.pki.stamper.stamp(record).unwrap())
            .collect()
    }

    pub async fn deposit(&self, records: Vec<EvidenceRecord>) -> Vec<Deposited> {
        self.deposit
            .deposit(&Stamped {
                submission_id: String::new(),
                records,
                round: 0,
            })
            .await
    }
}

fn leaves(deposited: &[Deposited]) -> Vec<u64> {
    deposited
        .iter()
        .map(|d| *d.leaf.as_ref().unwrap())
        .collect()
}

#[tokio::test]
async fn a_batch_becomes_deposited_and_stays_so() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 4).await;
    let signed = p.sign(&submission).await;
    assert_eq!(signed.len(), 3, "the refused line has no record");
    let stated = Statement::parse(&signed[1].statement).unwrap();
    assert_eq!(stated.evidence_number, number(&submission, 2));
    assert_eq!(stated.submitter.name, "Acme 有限公司");
    assert_eq!(stated.agreement.unwrap().id, "terms");
    assert_eq!(
        stated.intent.unwrap().instruction_sha256,
        submission.instruction_sha256
    );
    let stamped = p.stamp(&signed);
    let first = p.deposit(stamped.clone()).await;
    assert_eq!(leaves(&first), [0, 1, 2]);
    // Delivered again, and made again from the start: the first record of a number stays.
    assert_eq!(leaves(&p.deposit(stamped).await), [0, 1, 2]);
    let again = p.stamp(&p.sign(&submission).await);
    assert_eq!(leaves(&p.deposit(again).await), [0, 1, 2]);
    assert_eq!(p.store.audit().await.len(), 3);
}

#[tokio::test]
async fn what_a_stranger_would_not_believe_is_not_deposited() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 1).await;
    let other = p.world.submit(6, 1).await;
    let signed = p.sign(&submission).await.remove(0);
    let stamped = p.stamp(std::slice::from_ref(&signed)).remove(0);
    let foreign = p.stamp(&p.sign(&other).await).remove(0);
    let changed = |field: &str| {
        let mut record = stamped.clone();
        match field {
            "no time-stamp" => record.signature = signed.signature.clone(),
            "other signature" => record.signature = foreign.signature.clone(),
            "other statement" => record.statement = foreign.statement.clone(),
            "other manifest" => record.manifest = foreign.manifest.clone(),
            "other number" => record.evidence_number = foreign.evidence_number.clone(),
            "no number" => record.evidence_number = "PB1-X".into(),
            "unknown submission" => {
                let unknown = probity_domain::SubmissionId::new(NOW, [99; 10]);
                let number = probity_domain::EvidenceId {
                    submission: unknown,
                    item: 0,
                };
                record.evidence_number = number.to_string();
            }
            "retitled" => {
                let text = String::from_utf8(record.statement.to_vec()).unwrap();
                record.statement = text.replace("Shop page 0", "Shop page 9").into();
            }
            _ => unreachable!(),
        }
        record
    };
    let fields = [
        "no time-stamp",
        "other signature",
        "other statement",
        "other manifest",
        "other number",
        "no number",
        "unknown submission",
        "retitled",
    ];
    let records = fields
        .iter()
        .map(|field| changed(field))
        .chain([stamped.clone()])
        .collect();
    let answers = p.deposit(records).await;
    for (field, answer) in fields.iter().zip(&answers) {
        let error = answer.leaf.as_ref().unwrap_err();
        assert!(!error.kind.is_transient(), "{field}: {error}");
    }
    // Its neighbours do not keep the good one out.
    assert_eq!(*answers[8].leaf.as_ref().unwrap(), 0);
    assert_eq!(p.store.audit().await.len(), 1);
}

#[tokio::test]
async fn another_root_another_submission_or_a_later_clock_is_refused() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 1).await;
    let stamped = p.stamp(&p.sign(&submission).await);
    let stranger = Pipeline::new().await;
    stranger.world.submit(5, 1).await;
    let refused = stranger.deposit(stamped.clone()).await.remove(0);
    assert_eq!(
        refused.leaf.unwrap_err().kind,
        ErrorKind::Malformed,
        "a root nobody pinned"
    );
    p.world.clock.advance_ms(-3_600_000);
    let refused = p.deposit(stamped.clone()).await.remove(0);
    assert!(refused.leaf.unwrap_err().detail.contains("future"));
    p.world.clock.advance_ms(3_600_000);
    assert_eq!(leaves(&p.deposit(stamped).await), [0]);
}

/// Paths that are alike are validated together; a record stamped when its path no longer held falls alone.
#[tokio::test]
async fn a_path_that_ended_meanwhile_fails_its_own_record_only() {
    let p = Pipeline::new().await;
    let signed = p.sign(&p.world.submit(9, 6).await).await;
    let (late, timely) = signed.split_last().unwrap();
    let mut records = p.stamp(timely);
    assert!(records.len() > 3, "{}", records.len());
    p.world.clock.advance_ms(25 * 3_600_000);
    p.pki.lease.renew();
    records.insert(1, p.stamp(std::slice::from_ref(late)).remove(0));
    let deposited = p.deposit(records).await;
    let refused = deposited[1].leaf.as_ref().unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Malformed);
    assert!(refused.detail.contains("has expired"), "{refused}");
    let others = deposited.iter().filter(|d| d.leaf.is_ok()).count();
    assert_eq!(others, deposited.len() - 1);
}

#[tokio::test]
async fn nothing_is_stamped_when_the_clock_has_jumped() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 1).await;
    let signed = p.sign(&submission).await.remove(0);
    p.world.clock.advance_ms(5_000);
    let stale = p.pki.stamper.stamp(&signed).unwrap_err();
    assert_eq!(stale.kind, ErrorKind::Unavailable);
    p.pki.lease.renew();
    p.pki.stamper.stamp(&signed).unwrap();
}

#[tokio::test]
async fn messages_stay_below_their_bound() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 400).await;
    let signed = p.sign(&submission).await;
    let count = signed.len();
    let messages = chunks(submission.id, 3, signed);
    assert!(messages.len() > 1);
    let mut ids: Vec<_> = messages.iter().map(|(id, _)| id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), messages.len());
    assert!(ids[0].ends_with(".3"));
    let total: usize = messages.iter().map(|(_, m)| m.records.len()).sum();
    assert_eq!(total, count);
    for (_, message) in messages {
        assert!(prost::Message::encoded_len(&message) <= 512 * 1024);
    }
}

#[tokio::test]
async fn the_reconciler_hints_what_is_missing_and_rests_when_all_is_there() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 6).await;
    let signed = p.sign(&submission).await;
    let clock: Arc<ManualClock> = p.world.clock.clone();
    let reconciler = || {
        let (truth, work) = (p.store.truth.clone(), p.store.work.clone());
        let (ledger, log) = (p.world.ledger.clone(), p.deposit.log.clone());
        Reconciler::new(truth, work, ledger, log, clock.clone(), 30)
    };
    let mut first = reconciler();
    assert_eq!(first.round().await.unwrap(), [], "too young");
    clock.advance_ms(31_000);
    let hints = first.round().await.unwrap();
    let ranges: Vec<_> = hints
        .iter()
        .map(|h| (h.hint.first_item, h.hint.last_item))
        .collect();
    assert_eq!(
        ranges,
        [(0, 0), (2, 5)],
        "place 1 was refused and is not missing"
    );
    assert_eq!(hints[0].hint.round, 1);
    assert_eq!(first.round().await.unwrap(), [], "it backs off");
    clock.advance_ms(60_000);
    p.pki.lease.renew();
    let some = p.stamp(&signed[..3]);
    p.deposit(some).await;
    let hints = first.round().await.unwrap();
    let ranges: Vec<_> = hints
        .iter()
        .map(|h| (h.hint.first_item, h.hint.last_item))
        .collect();
    assert_eq!(ranges, [(4, 5)]);
    assert!(
        hints[0].message_id.ends_with(".2"),
        "the round is in the message id"
    );
    let rest = p.stamp(&signed[3..]);
    p.deposit(rest).await;
    clock.advance_ms(3 * 3_600_000);
    assert_eq!(first.round().await.unwrap(), []);
    // The hour is over and complete: the mark has moved past it, and another process begins there.
    let mark = p
        .store
        .work
        .get("log/low-water", 1 << 20)
        .await
        .unwrap()
        .unwrap();
    assert!(!String::from_utf8_lossy(&mark.bytes).contains(&NOW.hour_key()));
    assert_eq!(reconciler().round().await.unwrap(), []);
    p.store.work.remove("log/low-water").await.unwrap();
    assert_eq!(reconciler().round().await.unwrap(), [], "computed again");
}

#[tokio::test]
async fn a_hopeless_submission_does_not_hold_up_its_hour() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(5, 1).await;
    let (truth, work) = (p.store.truth.clone(), p.store.work.clone());
    let mut reconciler = Reconciler::new(
        truth,
        work,
        p.world.ledger.clone(),
        p.deposit.log.clone(),
        p.world.clock.clone(),
        30,
    );
    let mut hinted = 0;
    for _ in 0..30 {
        p.world.clock.advance_ms(3_600_001);
        hinted += reconciler.round().await.unwrap().len();
    }
    assert!(hinted >= 20, "{hinted}: it is hinted on, hourly");
    let mark = p
        .store
        .work
        .get("log/low-water", 1 << 20)
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&mark.bytes).contains(&submission.id.to_string()));
}

#[tokio::test]
async fn one_key_for_all_hints_of_an_instruction_and_not_for_ever() {
    let p = Pipeline::new().await;
    let config = probity_signing::Config {
        certificate_reuse_s: 600,
        instructions_max: 2,
        ..probity_signing::Config::default()
    };
    let keyring = Keyring::new(p.world.clock.clone(), &config);
    let opened = std::sync::atomic::AtomicU32::new(0);
    let session = async |submission: &Submission| {
        let open = || async {
            opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let (instruction, key) = p.key(submission).await;
            Ok(Session { instruction, key })
        };
        keyring.session(submission.id, open).await.unwrap()
    };
    let count = || opened.load(std::sync::atomic::Ordering::SeqCst);
    let first = p.world.submit(1, 3).await;
    futures::future::join_all((0..5).map(|_| session(&first))).await;
    assert_eq!(count(), 1, "five hints at once share one key");
    // Two more push the first out; whoever still signs with it may finish.
    let held = session(&first).await;
    for seed in [2, 3] {
        p.world.clock.advance_ms(1);
        session(&p.world.submit(seed, 1).await).await;
    }
    assert_eq!((count(), keyring.held().await), (3, 2));
    assert!(held.get().is_some());
    session(&first).await;
    assert_eq!(count(), 4);
    p.world.clock.advance_ms(600_000);
    keyring.sweep().await;
    assert_eq!(keyring.held().await, 0, "no key outlives its time");
}

#[tokio::test]
async fn a_failed_opening_is_tried_again() {
    let p = Pipeline::new().await;
    let submission = p.world.submit(1, 1).await;
    let keyring = Keyring::new(p.world.clock.clone(), &probity_signing::Config::default());
    let failing = || async { Err(probity_platform::Error::unavailable("no issuance")) };
    let error = keyring.session(submission.id, failing).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let open = || async {
        let (instruction, key) = p.key(&submission).await;
        Ok(Session { instruction, key })
    };
    assert!(keyring.session(submission.id, open).await.is_ok());
}

/// What cannot be judged by its own bytes decades later is not deposited (CAdES-LT).
#[tokio::test]
async fn a_signature_without_its_path_or_status_is_refused() {
    let pipeline = Pipeline::new().await;
    let submission = pipeline.world.submit(5, 1).await;
    let without = |change: fn(&mut EventCertificate)| {
        let (pipeline, submission) = (&pipeline, &submission);
        async move {
            let (truth, ledger) = (&pipeline.world.truth, &pipeline.world.ledger);
            let instruction = load_instruction(&**truth, ledger, submission.id).await;
            let (key, request) = UncertifiedKey::generate(submission).unwrap();
            let issuer = &pipeline.pki.issuer;
            let mut issued = issuer.issue_event_certificate(&request).await.unwrap();
            change(&mut issued);
            let key = key.certified(&issued).unwrap();
            let signed = sign(&instruction.unwrap(), &[0], &key, NOW);
            let signed: Vec<_> = signed.into_iter().map(Result::unwrap).collect();
            let bytes = signed[0].signature.len();
            let deposited = pipeline.deposit(pipeline.stamp(&signed)).await;
            (
                bytes,
                deposited[0]
                    .leaf
                    .as_ref()
                    .map_err(|e| e.detail.clone())
                    .copied(),
            )
        }
    };
    let (_, refused) = without(|issued| drop(issued.chain.pop())).await;
    assert!(refused.unwrap_err().contains("does not keep its root"));
    let (_, refused) = without(|issued| drop(issued.crls.pop())).await;
    assert!(
        refused.unwrap_err().contains("no revocation list"),
        "the root's list"
    );
    // The certificate's own status suffices: the issuing CA's list may be left out.
    let (bytes, deposited) = without(|issued| drop(issued.crls.remove(0))).await;
    deposited.unwrap();
    assert!(bytes < 5_000, "{bytes}: a log entry stays small");
}
