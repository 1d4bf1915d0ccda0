//! signing, timestamping and a court: the roles' own functions, wired as their `serve` wires them, on the simulated bus.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use probity_domain::{EvidenceId, SubmissionId};
use probity_issuance::Issuer;
use probity_pki::cms::SignedData;
use probity_pki::digest::HashAlgorithm;
use probity_pki::tlog::{Checkpoint, Hash, check_inclusion, leaf_hash};
use probity_platform::ledger::Ledger;
use probity_platform::stage::{AHEAD_MS_MAX, Outcome, not_early};
use probity_platform::{Clock as _, Error, Random, Result};
use probity_proto::subjects::{DEPOSITED, SIGNED, STAMPED, SUBMITTED};
use probity_proto::v1::{
    Deposited, EvidenceRecord, Proof, ProveRequest, Signed, Stamped, Submitted,
};
use probity_signing::{Keyring, Session, UncertifiedKey, chunks, load_instruction, sign};
use probity_storage::log::{Entry, Log};
use probity_timestamping::clock::{ClockLog, Heard, Rules};
use probity_timestamping::{ClockLease, TimeStamper};
use tokio::time::sleep;

use crate::bus::Bus;
use crate::chance::Chance;
use crate::clock::{BothClocks, WallClock};
use crate::pki::{Pki, key_from, log_verifier};
use crate::sim::{Mutation, Sim};
use crate::store::Store;

/// A token's time may be this wrong: what the unit claims, and its own margin.
const TOKEN_ERROR_MS: i64 = 1_000;
/// By which the unit's clock is judged: as `ClockLease::for_tests`, with records that age.
const RULES: Rules = Rules {
    quorum: 1,
    accuracy_ms: 1_000,
    margin_ms: 5,
    max_jump_ms: 100,
    drift_ppm: 0,
    evidence_age_ms_max: 120_000,
};
/// What cannot be done now is tried again after this time.
const LOOK: Duration = Duration::from_secs(5);

/// What every process of the platform has.
#[derive(Clone)]
pub struct Role {
    pub who: &'static str,
    pub sim: Arc<Sim>,
    pub store: Store,
    pub bus: Arc<Bus>,
    pub clock: Arc<WallClock>,
    pub random: Arc<Chance>,
    pub pki: Arc<Pki>,
}

impl Role {
    pub async fn signing(self) {
        let keyring = Keyring::new(self.clock.clone(), &probity_signing::Config::default());
        let issuer = self.issuer().await;
        let handler = |hints: Vec<Submitted>| {
            let (role, keyring, issuer) = (&self, &keyring, &issuer);
            async move {
                let work = hints
                    .iter()
                    .map(|hint| async move { done(role.sign_one(keyring, issuer, hint).await) });
                join_all(work).await
            }
        };
        self.bus.work(self.who, &SUBMITTED, 2, handler).await;
    }

    async fn issuer(&self) -> Issuer {
        loop {
            let truth = self.store.reached_by(&self.sim, "issuance").truth;
            let made = self
                .pki
                .issuer(truth, self.clock.clone(), self.random.clone());
            match made.await {
                Ok(issuer) => return issuer,
                Err(e) => self.sim.note(self.who, &format!("no issuance: {e}")),
            }
            sleep(LOOK).await;
        }
    }

    async fn sign_one(
        &self,
        keyring: &Keyring,
        issuer: &Issuer,
        hint: &Submitted,
    ) -> core::result::Result<(), Outcome> {
        let id = SubmissionId::parse(&hint.submission_id).map_err(Error::from)?;
        self.not_early(id)?;
        let opened = keyring.session(id, || self.open(issuer, id)).await?;
        let session = opened
            .get()
            .ok_or_else(|| Error::internal("never opened"))?;
        let accepted = session.instruction.submission.accepted();
        let places: Vec<u32> = accepted
            .map(|(evidence, _)| evidence.item)
            .filter(|item| (hint.first_item..=hint.last_item).contains(item))
            .collect();
        let signed = sign(
            &session.instruction,
            &places,
            &session.key,
            self.clock.now(),
        );
        let signed = signed.into_iter().collect::<Result<Vec<_>>>()?;
        for (message_id, message) in chunks(id, hint.round, signed) {
            self.bus
                .tell(self.who, &SIGNED, &message_id, &message)
                .await?;
        }
        Ok(())
    }

    async fn open(&self, issuer: &Issuer, id: SubmissionId) -> Result<Session> {
        let truth = self.store.reached_by(&self.sim, self.who).truth;
        let random: Arc<dyn Random> = self.random.clone();
        let ledger = Ledger::new(truth.clone(), self.clock.clone(), random);
        let instruction = load_instruction(&*truth, &ledger, id).await?;
        let key = Box::new(key_from(&*self.random));
        let (key, request) = UncertifiedKey::with_key(key, &instruction.submission)?;
        let issued = issuer.issue_event_certificate(&request).await?;
        Ok(Session {
            instruction,
            key: key.certified(&issued)?,
        })
    }

    pub async fn timestamping(self) {
        let blind = self.sim.has(Mutation::BlindToClockJumps);
        let clocks = Arc::new(BothClocks {
            wall: self.clock.clone(),
            blind,
        });
        let lease = ClockLease::new(Box::new(clocks.clone()), RULES, &["source".to_owned()]);
        let lease = Arc::new(lease);
        let stamper = self.pki.stamper(lease.clone(), self.random.clone());
        let truth = self.store.reached_by(&self.sim, self.who).truth;
        let log = ClockLog::new(truth, *lease.rules(), stamper.certificate(), &*self.random);
        let handler = |messages: Vec<Signed>| {
            let (role, stamper) = (&self, &stamper);
            renew(&lease, &clocks);
            async move {
                let work = messages
                    .into_iter()
                    .map(|message| async move { done(role.stamp_one(stamper, message).await) });
                join_all(work).await
            }
        };
        let worked = self.bus.work(self.who, &SIGNED, 2, handler);
        tokio::select! {
            biased;
            () = worked => {}
            () = self.keep_clock_log(&lease, &clocks, log) => {}
        }
    }

    /// What `clock::watch` does, at a slower pace.
    async fn keep_clock_log(&self, lease: &ClockLease, clocks: &BothClocks, mut log: ClockLog) {
        while log.continue_from_newest(self.clock.now()).await.is_err() {
            sleep(LOOK).await;
        }
        loop {
            renew(lease, clocks);
            let period = lease.take_period();
            let written = log.record(period.clone());
            loop {
                match log.store(&written).await {
                    Ok(evidence) => break lease.recorded(&period, evidence),
                    Err(e) if e.kind.is_transient() => sleep(LOOK).await,
                    Err(e) => return self.sim.violate(format!("the clock log: {e}")),
                }
            }
            tokio::select! {
                biased;
                () = lease.changed() => {}
                () = sleep(Duration::from_secs(60)) => {}
            }
        }
    }

    /// By the process's own clock, which may be wrong.
    fn not_early(&self, id: SubmissionId) -> core::result::Result<(), Outcome> {
        match self.sim.has(Mutation::NothingEarly) {
            true => Ok(()),
            false => not_early(id.at(), self.clock.now()),
        }
    }

    async fn stamp_one(
        &self,
        stamper: &TimeStamper,
        message: Signed,
    ) -> core::result::Result<(), Outcome> {
        if let Ok(id) = SubmissionId::parse(&message.submission_id) {
            self.not_early(id)?;
        }
        let digest = message.records.first();
        let digest = digest.map(|r| HashAlgorithm::Sha256.digest(&r.signature));
        let name = hex::encode(digest.unwrap_or_default());
        let mut records = Vec::new();
        for record in &message.records {
            records.push(stamper.stamp(record)?);
        }
        for record in &records {
            self.check_time(record)?;
        }
        let Some(first) = records.first() else {
            return Ok(());
        };
        let id = format!("stamped.{}.{}.{name}", first.evidence_number, records.len());
        let stamped = Stamped {
            submission_id: message.submission_id,
            records,
            round: message.round,
        };
        self.bus.tell(self.who, &STAMPED, &id, &stamped).await?;
        Ok(())
    }

    /// No token with a time that is not the time, nor of a time at which nothing was submitted (F13).
    fn check_time(&self, record: &EvidenceRecord) -> Result<()> {
        let signed = SignedData::from_der(&record.signature).map_err(Error::internal)?;
        let token = signed.time_stamp_token().map_err(Error::internal)?;
        let at = token.map(|token| token.tst_info().gen_time);
        let at = at.ok_or_else(|| Error::internal("no token was added"))?;
        let error_ms = at.ms_since(self.clock.true_time());
        if error_ms.abs() > TOKEN_ERROR_MS {
            self.sim.violate(format!(
                "{}: a token is wrong by {error_ms} ms",
                record.evidence_number
            ));
        }
        let ahead_ms = EvidenceId::parse(&record.evidence_number)?
            .submission
            .at()
            .ms_since(at);
        if ahead_ms > AHEAD_MS_MAX + TOKEN_ERROR_MS {
            self.sim.violate(format!(
                "{}: stamped {ahead_ms} ms before it was submitted",
                record.evidence_number
            ));
        }
        Ok(())
    }

    /// A court: what is told to be deposited can be proved at once to whoever asks.
    pub async fn court(self) {
        let buckets = self.store.reached_by(&self.sim, self.who);
        let log = Log::new(&buckets, log_verifier());
        let handler = |messages: Vec<Deposited>| {
            let (role, log) = (&self, &log);
            async move {
                let work = messages.iter().map(|message| async move {
                    Outcome::from(role.check_all(log, message).await)
                });
                join_all(work).await
            }
        };
        self.bus.work(self.who, &DEPOSITED, 2, handler).await;
    }

    async fn check_all(&self, log: &Log, message: &Deposited) -> Result<()> {
        for told in &message.evidence {
            let evidence_number = told.evidence_number.clone();
            let number = EvidenceId::parse(&evidence_number)?;
            let proof = prove_again(log, evidence_number).await?;
            if let Err(e) = check_proof(&proof, number, told.leaf_index) {
                self.sim
                    .violate(format!("{number} was told and is not proved: {e}"));
            }
        }
        Ok(())
    }
}

fn done(worked: core::result::Result<(), Outcome>) -> Outcome {
    worked.map_or_else(|outcome| outcome, |()| Outcome::Done)
}

/// Asks the source and judges the clock by it. The role does so all the time, which would only make runs longer.
fn renew(lease: &ClockLease, clocks: &BothClocks) {
    lease.hear(0, Heard::Sample(clocks.sample()), Duration::MAX);
    lease.renew();
}

/// A hint may be faster than what a process knows of the log: then it comes again.
async fn prove_again(log: &Log, evidence_number: String) -> Result<Proof> {
    let request = ProveRequest { evidence_number };
    let proof = probity_storage::prove(log, &request).await;
    proof.map_err(|e| match e.kind {
        probity_platform::ErrorKind::NotFound => Error::unavailable(e),
        _ => e,
    })
}

fn check_proof(proof: &Proof, number: EvidenceId, leaf: u64) -> Result<()> {
    let pinned = [log_verifier()];
    let checkpoint = Checkpoint::verify(&proof.checkpoint, &pinned).map_err(Error::internal)?;
    let hash = |bytes: &bytes::Bytes| bytes.as_ref().try_into().map(Hash);
    let path: core::result::Result<Vec<_>, _> = proof.hashes.iter().map(hash).collect();
    let path = path.map_err(Error::internal)?;
    let (size, root) = (checkpoint.size, checkpoint.root);
    check_inclusion(&path, size, root, leaf, leaf_hash(&proof.record)).map_err(Error::internal)?;
    match Entry::read(&proof.record)?.evidence == number && proof.leaf_index == leaf {
        true => Ok(()),
        false => Err(Error::internal("it stands elsewhere")),
    }
}
