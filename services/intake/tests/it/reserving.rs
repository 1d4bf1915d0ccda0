//! Places that a key was given at another time than now: by a process that died, or by a clock that was wrong.

use bytes::Bytes;
use probity_domain::{Submission, SubmissionDraft, SubmissionId};
use probity_platform::objects::{Created, Fault, Objects, Verb};
use probity_proto::stored::{read_submission, submission_key, write_submission};
use serde_json::Value;

use crate::world::{World, instruction, item};

const MINUTE_MS: i64 = 60_000;

/// A place reserved, and nothing written into it.
struct Reserved {
    world: World,
    instruction: Vec<u8>,
    intent: String,
}

impl Reserved {
    async fn new(fault: Fault) -> Self {
        let world = World::start().await;
        let instruction = instruction("c", vec![item(vec![world.upload(b"one").await])]);
        let intent = world.intent(&instruction).await;
        world.truth.set_faults(move |verb, key| {
            (verb == Verb::Create && key.starts_with("submissions/")).then_some(fault)
        });
        let reserved = Self {
            world,
            instruction,
            intent,
        };
        assert_eq!(reserved.submit().await.0, 503);
        reserved.world.truth.clear_faults();
        reserved
    }

    async fn submit(&self) -> (u16, Value) {
        let intent = Some(self.intent.as_str());
        let submitted = self.world.submit(&self.instruction, "key-1", intent);
        let (status, answer) = submitted.await;
        (status.as_u16(), answer)
    }

    /// Accepted at once, under a number of now, and under no other; always the same.
    async fn accepted_now(&self) -> Submission {
        let (status, submitted) = self.submit().await;
        assert_eq!(status, 200, "{submitted}");
        assert_eq!(self.submit().await, (200, submitted.clone()));
        let id = SubmissionId::parse(submitted["submission"].as_str().unwrap()).unwrap();
        let now = probity_platform::Clock::now(&*self.world.clock);
        assert!(now.ms_since(id.at()).abs() < MINUTE_MS, "{submitted}");
        let stored = self.stored().await;
        let mut accepted: Vec<_> = stored.into_iter().filter(|s| !s.is_void()).collect();
        assert_eq!(accepted.len(), 1);
        let accepted = accepted.remove(0);
        assert_eq!((accepted.id, accepted.received_at), (id, id.at()));
        accepted
    }

    async fn stored(&self) -> Vec<Submission> {
        let mut all = Vec::new();
        for listed in self
            .world
            .truth
            .list("submissions/", None, 9)
            .await
            .unwrap()
        {
            let object = self.world.truth.get(&listed.key, 1 << 20).await.unwrap();
            all.push(read_submission(&object.unwrap().bytes).unwrap());
        }
        all
    }

    /// Who reserved the first place goes on after all that time, and writes.
    async fn the_first_goes_on(&self, accepted: &Submission) {
        let voids = self.stored().await.into_iter().filter(Submission::is_void);
        let [void] = voids.collect::<Vec<_>>().try_into().unwrap();
        let late = Submission::new(SubmissionDraft {
            id: void.id,
            received_at: void.received_at,
            ..SubmissionDraft::clone(accepted)
        });
        let bytes = Bytes::from(write_submission(&late.unwrap()));
        let key = submission_key(void.id);
        let created = self.world.truth.create(&key, bytes).await.unwrap();
        assert!(matches!(created, Created::Exists(_)));
    }
}

#[tokio::test]
async fn a_place_whose_time_is_over_is_closed_and_another_given() {
    for minutes in [5, 12, 24 * 60] {
        let reserved = Reserved::new(Fault::Refuse).await;
        reserved.world.clock.advance_ms(minutes * MINUTE_MS);
        let accepted = reserved.accepted_now().await;
        reserved.the_first_goes_on(&accepted).await;
    }
}

#[tokio::test]
async fn a_place_that_a_clock_ahead_reserved_is_closed_and_another_given() {
    let reserved = Reserved::new(Fault::Refuse).await;
    reserved.world.clock.advance_ms(-10 * MINUTE_MS);
    let accepted = reserved.accepted_now().await;
    reserved.the_first_goes_on(&accepted).await;
}

/// The clock behind is the wrong one: what it gives out is closed again, and nothing is there twice.
#[tokio::test]
async fn clocks_that_contradict_each_other_give_one_submission() {
    let reserved = Reserved::new(Fault::Refuse).await;
    for minutes in [-10, 10, -10, 10] {
        reserved.world.clock.advance_ms(minutes * MINUTE_MS);
        reserved.world.truth.set_faults(|verb, key| {
            let reserves = verb == Verb::Create && key.starts_with("ledger/instruction/");
            reserves.then_some(Fault::Refuse)
        });
        assert_eq!(reserved.submit().await.0, 503);
        reserved.world.truth.clear_faults();
    }
    reserved.accepted_now().await;
}

#[tokio::test]
async fn what_was_written_is_the_answer_whatever_the_clock_says() {
    for minutes in [-10, 12] {
        let reserved = Reserved::new(Fault::DropResponse).await;
        let [written] = reserved.stored().await.try_into().unwrap();
        reserved.world.clock.advance_ms(minutes * MINUTE_MS);
        let (status, submitted) = reserved.submit().await;
        assert_eq!(status, 200, "{submitted}");
        assert_eq!(submitted["submission"], written.id.to_string());
        assert_eq!(reserved.stored().await.len(), 1);
    }
}
