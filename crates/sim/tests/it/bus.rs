//! The bus, as bad as it may be: hints get lost after they were acknowledged, come twice, late, out of order, again after
//! the work was done; a stream may vanish, and a stage's function may panic. What becomes of a message is decided by the
//! rules of [`probity_platform::stage`] itself; only what moves messages about is imitated.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use probity_platform::stage::{About, Call, End, Fate, HOLD, Outcome, Single, StageConfig, Turn};
use probity_platform::{Error, Result};
use probity_proto::subjects::Hint;
use prost::Message;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::sim::{Sim, locked, short_digest, step};

/// In which a message id that was seen before is swallowed.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const HOUR_S: u64 = 3_600;

pub struct Bus {
    sim: Arc<Sim>,
    config: StageConfig,
    streams: Mutex<BTreeMap<&'static str, Stream>>,
    news: Notify,
}

#[derive(Default)]
struct Stream {
    waiting: Vec<Waiting>,
    /// Message ids, and when each was taken.
    known: BTreeMap<String, Instant>,
    done: Vec<Bytes>,
    told: u64,
}

struct Waiting {
    number: u64,
    bytes: Bytes,
    ready_at: Instant,
    deliveries: i64,
}

/// A message in somebody's hands.
struct Delivery {
    number: u64,
    bytes: Bytes,
    deliveries: i64,
}

/// Who works, and on what.
struct Stage<'w> {
    who: &'w str,
    hint: &'w Hint,
}

impl Bus {
    pub fn new(sim: &Arc<Sim>) -> Arc<Self> {
        Arc::new(Self {
            sim: sim.clone(),
            config: StageConfig::default(),
            streams: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Tells a hint, as `Bus::tell` of the platform.
    pub async fn tell(
        &self,
        who: &str,
        hint: &Hint,
        message_id: &str,
        message: &impl Message,
    ) -> Result<()> {
        self.tell_bytes(who, hint, message_id, message.encode_to_vec().into())
            .await
    }

    pub async fn tell_bytes(
        &self,
        who: &str,
        hint: &Hint,
        message_id: &str,
        bytes: Bytes,
    ) -> Result<()> {
        step().await;
        let (doses, chance) = (self.sim.doses(), &self.sim.chance);
        let refused = chance.per_mille(doses.tell_refused);
        // Refused, it may be there all the same.
        let arrives = !refused || chance.per_mille(500);
        let lost = chance.per_mille(doses.tell_lost);
        let copies = 1 + u64::from(chance.per_mille(doses.doubled));
        let digest = short_digest(&bytes);
        let fate = format!("refused={refused} arrives={arrives} lost={lost} copies={copies}");
        let what = format!("tell {} {message_id} {digest} {fate}", hint.subject);
        self.sim.note(who, &what);
        if arrives {
            let mut streams = locked(&self.streams);
            let stream = streams.entry(hint.stream).or_default();
            if stream.is_new(message_id) && !lost {
                for _ in 0..copies {
                    let late_s = match chance.per_mille(doses.delayed) {
                        true => chance.between(1, HOUR_S),
                        false => 0,
                    };
                    stream.put(bytes.clone(), late_s);
                }
            }
        }
        self.news.notify_waiters();
        step().await;
        match refused {
            true => Err(Error::unavailable("the bus did not acknowledge")),
            false => Ok(()),
        }
    }

    /// Every stream is gone, with all that was in it.
    pub fn wipe(&self) {
        locked(&self.streams).clear();
    }

    pub fn is_empty(&self) -> bool {
        let streams = locked(&self.streams);
        streams.values().all(|stream| stream.waiting.is_empty())
    }

    /// Works as a stage for ever: `handler` answers one outcome for each message, in order.
    pub async fn work<M, F, Fut>(&self, who: &str, hint: &Hint, batch_max: usize, handler: F)
    where
        M: Message + About + Default + Clone,
        F: Fn(Vec<M>) -> Fut,
        Fut: Future<Output = Vec<Outcome>>,
    {
        let stage = Stage { who, hint };
        loop {
            let mut together = Vec::new();
            let mut alone = Vec::new();
            for delivery in self.take(hint, batch_max).await {
                let Ok(message) = M::decode(&*delivery.bytes) else {
                    let garbage = Outcome::Park(Error::malformed("bytes"));
                    self.settle(&stage, &delivery, None, End::Said(garbage));
                    continue;
                };
                match Turn::of(delivery.deliveries) {
                    Turn::Together => together.push((delivery, message)),
                    Turn::Alone => alone.push((delivery, message)),
                    Turn::Never => {
                        self.settle(&stage, &delivery, message.single(), End::Never);
                    }
                }
            }
            let batches = std::iter::once(together).chain(alone.into_iter().map(|job| vec![job]));
            for batch in batches.filter(|batch| !batch.is_empty()) {
                let ends = self.ends(&stage, &handler, &batch).await;
                for ((delivery, message), end) in batch.iter().zip(ends) {
                    self.settle(&stage, delivery, message.single(), end);
                }
            }
        }
    }

    /// How the work on each of these ended.
    async fn ends<M, F, Fut>(
        &self,
        stage: &Stage<'_>,
        handler: &F,
        batch: &[(Delivery, M)],
    ) -> Vec<End>
    where
        M: Clone,
        F: Fn(Vec<M>) -> Fut,
        Fut: Future<Output = Vec<Outcome>>,
    {
        let messages: Vec<M> = batch.iter().map(|(_, message)| message.clone()).collect();
        let together = self.call(stage, handler, messages.clone()).await;
        if let Some(ends) = together.ends(batch.len()) {
            return ends;
        }
        let mut ends = Vec::new();
        for message in messages {
            let alone = self.call(stage, handler, vec![message]).await;
            ends.extend(alone.ends(1).unwrap());
        }
        ends
    }

    /// One call, which may panic anywhere: what is under way is dropped, as unwinding drops it.
    async fn call<M, F, Fut>(&self, stage: &Stage<'_>, handler: &F, messages: Vec<M>) -> Call
    where
        F: Fn(Vec<M>) -> Fut,
        Fut: Future<Output = Vec<Outcome>>,
    {
        let (doses, chance) = (self.sim.doses(), &self.sim.chance);
        let steps = chance.per_mille(doses.panics).then(|| chance.below(30));
        let panic = async {
            match steps {
                Some(steps) => {
                    for _ in 0..steps {
                        step().await;
                    }
                }
                None => pending().await,
            }
        };
        let (count, limit) = (messages.len(), self.config.batch_time_max);
        let call = timeout(limit, handler(messages));
        tokio::select! {
            biased;
            () = panic => {
                let what = format!("{} panics over {count}", stage.hint.subject);
                self.sim.note(stage.who, &what);
                Call::Panicked
            }
            answered = call => match answered {
                Ok(outcomes) => {
                    assert_eq!(outcomes.len(), count, "one outcome for each message");
                    Call::Answered(outcomes)
                }
                Err(_) => Call::CutOff(limit),
            },
        }
    }

    async fn take(&self, hint: &Hint, batch_max: usize) -> Vec<Delivery> {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            let taken = self.ready(hint, batch_max);
            if !taken.is_empty() {
                step().await;
                return taken;
            }
            match self.next_ready(hint) {
                Some(at) => tokio::select! {
                    biased;
                    () = &mut news => {}
                    () = sleep_until(at) => {}
                },
                None => news.await,
            }
        }
    }

    /// What is ready, in any order; and now and then something that was done long ago.
    fn ready(&self, hint: &Hint, batch_max: usize) -> Vec<Delivery> {
        let (doses, chance, now) = (self.sim.doses(), &self.sim.chance, Instant::now());
        let mut streams = locked(&self.streams);
        let Some(stream) = streams.get_mut(hint.stream) else {
            return Vec::new();
        };
        let places = stream.waiting.iter().enumerate();
        let mut ready: Vec<usize> = places
            .filter(|(_, waiting)| waiting.ready_at <= now)
            .map(|(place, _)| place)
            .collect();
        let mut taken = Vec::new();
        while taken.len() < batch_max && !ready.is_empty() {
            let place = ready.swap_remove(chance.below(ready.len() as u64) as usize);
            let waiting = &mut stream.waiting[place];
            waiting.deliveries += 1;
            waiting.ready_at = now + self.config.ack_wait;
            taken.push(Delivery {
                number: waiting.number,
                bytes: waiting.bytes.clone(),
                deliveries: waiting.deliveries,
            });
        }
        if !taken.is_empty() && !stream.done.is_empty() && chance.per_mille(doses.again) {
            let bytes = chance.one_of(&stream.done).clone();
            stream.put(bytes, chance.between(0, HOUR_S));
        }
        taken
    }

    fn next_ready(&self, hint: &Hint) -> Option<Instant> {
        let streams = locked(&self.streams);
        let waiting = streams.get(hint.stream)?.waiting.iter();
        waiting.map(|waiting| waiting.ready_at).min()
    }

    fn settle(&self, stage: &Stage<'_>, delivery: &Delivery, single: Option<Single>, end: End) {
        // No stage of a run crashes by the same item for ever.
        if let Some((evidence, reason)) = end.poison(delivery.deliveries, single) {
            let what = format!("{evidence} would be held, and it is sound: {reason}");
            self.sim.violate(what);
        }
        let fate = end.fate(delivery.deliveries, self.config.pause);
        let held = matches!(fate, Fate::Hold(_));
        let (word, again) = match fate {
            Fate::Done => ("done".to_owned(), None),
            Fate::Hold(e) => (format!("hold: {e}"), Some(HOLD)),
            Fate::Early(e) => (format!("early: {e}"), None),
            Fate::Again(e, pause) => (format!("again: {e}"), Some(pause)),
            Fate::Park(e) => (format!("park: {e}"), None),
        };
        let what = format!("{} #{} {word}", stage.hint.subject, delivery.number);
        self.sim.note(stage.who, &what);
        let mut streams = locked(&self.streams);
        let Some(stream) = streams.get_mut(stage.hint.stream) else {
            return;
        };
        let is_it = |waiting: &&mut Waiting| waiting.number == delivery.number;
        match (stream.waiting.iter_mut().find(is_it), again) {
            (Some(waiting), Some(pause)) => {
                waiting.ready_at = Instant::now() + pause;
                // Held work stays with whoever has it.
                waiting.deliveries -= i64::from(held);
            }
            _ => {
                stream
                    .waiting
                    .retain(|waiting| waiting.number != delivery.number);
                stream.done.push(delivery.bytes.clone());
            }
        }
    }
}

impl Stream {
    fn is_new(&mut self, message_id: &str) -> bool {
        let now = Instant::now();
        self.known
            .retain(|_, taken_at| now.duration_since(*taken_at) < DUPLICATE_WINDOW);
        let is_new = !self.known.contains_key(message_id);
        if is_new {
            self.known.insert(message_id.to_owned(), now);
        }
        is_new
    }

    fn put(&mut self, bytes: Bytes, late_s: u64) {
        self.told += 1;
        self.waiting.push(Waiting {
            number: self.told,
            bytes,
            ready_at: Instant::now() + Duration::from_secs(late_s),
            deliveries: 0,
        });
    }
}
