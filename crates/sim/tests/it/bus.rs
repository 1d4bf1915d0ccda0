//! The bus, as bad as it may be: hints get lost after they were acknowledged, come twice, late, out of order, again after
//! the work was done; a stream may vanish. What [`probity_platform::stage`] does on the real one is done here: decode,
//! call, settle each as the function said, park what cannot be helped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use probity_platform::stage::{DELIVERIES_MAX, Outcome};
use probity_platform::{Error, Result};
use probity_proto::subjects::Hint;
use prost::Message;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::sim::{Sim, locked, short_digest, step};

/// Silence after which a message is handed to somebody else.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// A batch that takes longer is cut off and tried again.
const BATCH_TIME_MAX: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(2);
/// In which a message id that was seen before is swallowed.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
const HOUR_S: u64 = 3_600;

pub struct Bus {
    sim: Arc<Sim>,
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

impl Bus {
    pub fn new(sim: &Arc<Sim>) -> Arc<Self> {
        Arc::new(Self {
            sim: sim.clone(),
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
        M: Message + Default + Clone,
        F: Fn(Vec<M>) -> Fut,
        Fut: Future<Output = Vec<Outcome>>,
    {
        loop {
            let mut deliveries = self.take(hint, batch_max).await;
            let mut messages = Vec::new();
            deliveries.retain(|delivery| match M::decode(&*delivery.bytes) {
                Ok(message) => {
                    messages.push(message);
                    true
                }
                Err(_) => {
                    self.settle(
                        who,
                        hint,
                        delivery,
                        &Outcome::Park(Error::malformed("bytes")),
                    );
                    false
                }
            });
            let worked = timeout(BATCH_TIME_MAX, handler(messages)).await;
            let late = || Outcome::Retry(Error::timeout("the batch was cut off"));
            let outcomes = worked.unwrap_or_else(|_| deliveries.iter().map(|_| late()).collect());
            assert_eq!(
                outcomes.len(),
                deliveries.len(),
                "one outcome for each message"
            );
            for (delivery, outcome) in deliveries.iter().zip(&outcomes) {
                self.settle(who, hint, delivery, outcome);
            }
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
            waiting.ready_at = now + ACK_WAIT;
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

    fn settle(&self, who: &str, hint: &Hint, delivery: &Delivery, outcome: &Outcome) {
        let (word, again) = match outcome {
            Outcome::Done => ("done".to_owned(), false),
            Outcome::Hold(e) => (format!("hold: {e}"), true),
            Outcome::Early(e) => (format!("early: {e}"), false),
            Outcome::Retry(e) => (format!("retry: {e}"), delivery.deliveries < DELIVERIES_MAX),
            Outcome::Park(e) => (format!("park: {e}"), false),
        };
        let what = format!("{} #{} {word}", hint.subject, delivery.number);
        self.sim.note(who, &what);
        let mut streams = locked(&self.streams);
        let Some(stream) = streams.get_mut(hint.stream) else {
            return;
        };
        let is_it = |waiting: &&mut Waiting| waiting.number == delivery.number;
        match stream.waiting.iter_mut().find(is_it) {
            Some(waiting) if again => waiting.ready_at = Instant::now() + PAUSE,
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
