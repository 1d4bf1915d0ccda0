//! Registries as event streams: `ledger/<kind>/<id>/<seq>`, create-only, folded into state.
//!
//! Reading asks for the events by number, a few at a time in parallel, until one is missing. Streams are mostly one
//! to five events long, so that is one round trip; it needs no listing, which costs as much as a write, is slow on
//! many stores, and on some lags behind what was written.
//!
//! There are no snapshots, because no stream is long enough to need one. Parties, agreements, credentials,
//! certificates, recipients and quarantines are changed by people, an intent has at most a handful of attempts, an
//! instruction one reservation for each time that it lapsed, a delivery ten attempts at most; a read by a court is a
//! stream of its own. A hundred events are read in five round trips, a thousand in twenty; a snapshot would cost one,
//! and a second place that could be wrong.

use std::sync::Arc;

use bytes::Bytes;
use futures::future;
use probity_domain::Timestamp;
use probity_proto::format;
use probity_proto::ledger::{EVENT_FORMAT, Envelope, LedgerEvent};

use crate::objects::{Created, Objects};
use crate::{Clock, Error, Random, Result};

/// No stream grows longer.
pub const EVENTS_PER_STREAM_MAX: usize = 10_000;
/// No event is larger as JSON.
pub const EVENT_BYTES_MAX: u64 = 1024 * 1024;

/// Events asked for at once: first this many, then twice as many each time up to the second number.
const WINDOW_FIRST: usize = 4;
const WINDOW_MAX: usize = 64;
/// How often [`Ledger::update`] decides again after having lost.
const UPDATE_TRIES_MAX: usize = 64;
const LIST_PAGE: u16 = 1000;

/// Appends to and reads event streams in bucket `truth`. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    truth: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The events of one stream so far; its length is the sequence number the next event gets.
#[derive(Debug, Clone, PartialEq)]
pub struct History<E> {
    pub id: String,
    pub events: Vec<Envelope<E>>,
}

impl<E> History<E> {
    /// Nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What happened, oldest first, without who, when and why.
    pub fn facts(&self) -> impl DoubleEndedIterator<Item = &E> {
        self.events.iter().map(|e| &e.event)
    }
}

/// When an event happened.
///
/// # Errors
/// `Internal` when the stored text is not a time.
pub fn event_time<E>(envelope: &Envelope<E>) -> Result<Timestamp> {
    Timestamp::parse_rfc3339(&envelope.at).map_err(Error::internal)
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    Appended,
    /// Another writer was first: read again and decide again.
    Lost,
}

impl Ledger {
    /// On bucket `truth`.
    #[must_use]
    pub fn new(truth: Arc<dyn Objects>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            truth,
            clock,
            random,
        }
    }

    /// Reads a stream; empty when nothing was ever written. At most [`EVENTS_PER_STREAM_MAX`] events.
    ///
    /// # Errors
    /// `Malformed` for an id that is no key segment, `Internal` for a stored event that does not read, and those of
    /// [`Objects::get`].
    pub async fn read<E: LedgerEvent>(&self, id: &str) -> Result<History<E>> {
        let mut history = History {
            id: id.to_owned(),
            events: Vec::new(),
        };
        self.catch_up(&mut history).await?;
        Ok(history)
    }

    /// Reads what was appended after what `history` saw.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn catch_up<E: LedgerEvent>(&self, history: &mut History<E>) -> Result<()> {
        let mut window = WINDOW_FIRST;
        loop {
            let start = history.events.len();
            let keys = (start..start + window)
                .map(|seq| event_key(E::KIND, &history.id, seq))
                .collect::<Result<Vec<_>>>()?;
            let got = future::try_join_all(keys.iter().map(|k| self.truth.get(k, EVENT_BYTES_MAX)));
            for (key, object) in keys.iter().zip(got.await?) {
                // Numbers are given one after the other, so nothing can stand behind a gap that was there when this
                // read began; what appeared during it is left to the next read.
                let Some(object) = object else { return Ok(()) };
                let envelope = decode(key, &object.bytes, &history.id, history.events.len())?;
                history.events.push(envelope);
            }
            if history.events.len() > EVENTS_PER_STREAM_MAX {
                return Err(Error::internal(format!(
                    "stream {}/{} is too long",
                    E::KIND,
                    history.id
                )));
            }
            window = (window * 2).min(WINDOW_MAX);
        }
    }

    /// Appends one event at the end of what `history` saw, create-only. Adds it to `history` when appended.
    ///
    /// # Errors
    /// `Malformed` for an unusable id, an event over [`EVENT_BYTES_MAX`] or one without actor or cause, `TooMany` when the stream is full, and
    /// those of [`Objects::create`]: after `UnknownOutcome` the event may stand there, so read again and look for it.
    pub async fn append<E: LedgerEvent>(
        &self,
        history: &mut History<E>,
        actor: &str,
        cause: &str,
        event: E,
    ) -> Result<Appended> {
        let seq = history.events.len();
        let key = event_key(E::KIND, &history.id, seq)?;
        if actor.is_empty() || cause.is_empty() {
            return Err(Error::malformed(format!(
                "event for {key} does not say who acted and why"
            )));
        }
        if seq >= EVENTS_PER_STREAM_MAX {
            return Err(Error::too_many(format!(
                "stream {}/{} is full",
                E::KIND,
                history.id
            )));
        }
        let envelope = Envelope {
            format: EVENT_FORMAT.to_owned(),
            kind: E::KIND.to_owned(),
            id: history.id.clone(),
            seq: seq as u64,
            at: self.clock.now().to_rfc3339(),
            actor: actor.to_owned(),
            cause: cause.to_owned(),
            // A create of the same bytes counts as created, so two writers' equal events must not be equal bytes.
            write_id: hex::encode(self.random.bytes::<16>()),
            event,
        };
        let json = serde_json::to_vec(&envelope).map_err(Error::internal)?;
        if json.len() as u64 > EVENT_BYTES_MAX {
            return Err(Error::malformed(format!(
                "event for {key} is {} bytes long",
                json.len()
            )));
        }
        match self.truth.create(&key, Bytes::from(json)).await? {
            Created::Created => {
                history.events.push(envelope);
                Ok(Appended::Appended)
            }
            Created::Exists(_) => Ok(Appended::Lost),
        }
    }

    /// Reads, decides, appends, and does so again when another writer was first (bounded): `decide` sees the history
    /// and answers the event to append, or `None` for nothing to do. Answers the history as it stands afterwards.
    ///
    /// # Errors
    /// Those of `decide`, [`Self::read`] and [`Self::append`]; `Unavailable` when the stream is fought over too hard.
    pub async fn update<E, F>(
        &self,
        id: &str,
        actor: &str,
        cause: &str,
        decide: F,
    ) -> Result<History<E>>
    where
        E: LedgerEvent,
        F: Fn(&History<E>) -> Result<Option<E>> + Send + Sync,
    {
        self.update_from(self.read::<E>(id).await?, actor, cause, decide)
            .await
    }

    /// As [`Self::update`], beginning with what was read before: the store is read again only when another writer
    /// was first. For decisions that what others append can make needless, never wrong.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn update_from<E, F>(
        &self,
        mut history: History<E>,
        actor: &str,
        cause: &str,
        decide: F,
    ) -> Result<History<E>>
    where
        E: LedgerEvent,
        F: Fn(&History<E>) -> Result<Option<E>> + Send + Sync,
    {
        for _ in 0..UPDATE_TRIES_MAX {
            let Some(event) = decide(&history)? else {
                return Ok(history);
            };
            match self.append(&mut history, actor, cause, event).await? {
                Appended::Appended => return Ok(history),
                Appended::Lost => self.catch_up(&mut history).await?,
            }
        }
        Err(Error::unavailable(format!(
            "stream {}/{} is written by too many at once",
            E::KIND,
            history.id
        )))
    }

    /// Ids of a kind after `after`, at most `limit`, in the order of the store's keys (which, for ids of which one
    /// begins with the other, is not the order of the ids; going on from the last one misses none).
    ///
    /// # Errors
    /// `Malformed` when `after` is no key segment, and those of [`Objects::list`].
    pub async fn ids<E: LedgerEvent>(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let prefix = format!("ledger/{}/", segment(E::KIND)?);
        let mut ids: Vec<String> = Vec::new();
        let mut from = after.map(|id| last_key(&prefix, id)).transpose()?;
        while ids.len() < limit {
            let page = self.truth.list(&prefix, from.as_deref(), LIST_PAGE).await?;
            for listed in &page {
                let Some((id, _)) = listed
                    .key
                    .strip_prefix(&prefix)
                    .and_then(|rest| rest.split_once('/'))
                else {
                    continue;
                };
                // What no writer could have put there is no stream.
                if segment(id).is_err() {
                    continue;
                }
                if ids.last().is_none_or(|last| last != id) {
                    ids.push(id.to_owned());
                }
            }
            if page.len() < usize::from(LIST_PAGE) {
                break;
            }
            // Steps over the rest of the last stream's events.
            let last_id = ids.last().map(|id| last_key(&prefix, id)).transpose()?;
            from = last_id.max(page.into_iter().last().map(|listed| listed.key));
        }
        ids.truncate(limit);
        Ok(ids)
    }
}

/// Ids and kinds become part of object keys: 1 to 128 of letters, digits, `-`, `_` and inner dots.
fn segment(text: &str) -> Result<&str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.is_empty()
        || text.len() > 128
        || !text.bytes().all(good)
        || text.starts_with('.')
        || text.ends_with('.')
    {
        return Err(Error::malformed(
            "ledger id: 1 to 128 of letters, digits, -, _ and inner dots",
        ));
    }
    Ok(text)
}

fn event_key(kind: &str, id: &str, seq: usize) -> Result<String> {
    Ok(format!(
        "ledger/{}/{}/{seq:08}",
        segment(kind)?,
        segment(id)?
    ))
}

/// A key behind all events of the stream and before every other stream's.
fn last_key(prefix: &str, id: &str) -> Result<String> {
    Ok(format!("{prefix}{}/~", segment(id)?))
}

fn decode<E: LedgerEvent>(key: &str, json: &[u8], id: &str, seq: usize) -> Result<Envelope<E>> {
    let unread = |e: probity_domain::Malformed| Error::internal(format!("{key}: {e}"));
    let envelope: Envelope<E> = format::read_json("event", EVENT_FORMAT, json).map_err(unread)?;
    format::expect(EVENT_FORMAT, &envelope.format).map_err(unread)?;
    let at_home = envelope.kind == E::KIND && envelope.id == id && envelope.seq == seq as u64;
    if !at_home {
        return Err(Error::internal(format!(
            "{key} holds another stream's event"
        )));
    }
    Ok(envelope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::objects::{Fault, MemoryObjects, Verb};
    use crate::{ErrorKind, SystemRandom};
    use probity_proto::ledger::AgreementEvent;

    fn ledger_on(truth: Arc<dyn Objects>) -> Ledger {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_000_000_000)));
        Ledger::new(truth, clock, Arc::new(SystemRandom))
    }

    fn withdrawn(reason: &str) -> AgreementEvent {
        AgreementEvent::Withdrawn {
            reason: reason.to_owned(),
        }
    }

    #[tokio::test]
    async fn appends_reads_and_loses() {
        let ledger = ledger_on(Arc::new(MemoryObjects::new()));
        let mut mine = ledger.read::<AgreementEvent>("terms.1").await.unwrap();
        let mut other = mine.clone();
        assert!(mine.is_empty());
        let appended = ledger
            .append(&mut mine, "role:test", "test", withdrawn("a"))
            .await
            .unwrap();
        assert_eq!(appended, Appended::Appended);
        // The same content at the same millisecond by another writer is still another event.
        let lost = ledger
            .append(&mut other, "role:test", "test", withdrawn("a"))
            .await
            .unwrap();
        assert_eq!(lost, Appended::Lost);
        ledger.catch_up(&mut other).await.unwrap();
        assert_eq!(other.events, mine.events);
        assert_eq!(
            event_time(&mine.events[0]).unwrap().unix_ms(),
            1_795_000_000_000
        );
    }

    #[tokio::test]
    async fn long_streams_read_whole_at_every_length() {
        let ledger = ledger_on(Arc::new(MemoryObjects::new()));
        let mut history = ledger.read::<AgreementEvent>("a").await.unwrap();
        for n in 0..40 {
            let event = withdrawn(&n.to_string());
            ledger
                .append(&mut history, "role:test", "test", event)
                .await
                .unwrap();
            let read = ledger.read::<AgreementEvent>("a").await.unwrap();
            assert_eq!(read.events, history.events);
        }
    }

    #[tokio::test]
    async fn every_event_says_who_and_why() {
        let ledger = ledger_on(Arc::new(MemoryObjects::new()));
        let mut history = ledger.read::<AgreementEvent>("a").await.unwrap();
        for (actor, cause) in [("", "test"), ("role:test", "")] {
            let refused = ledger
                .append(&mut history, actor, cause, withdrawn("a"))
                .await;
            assert_eq!(refused.unwrap_err().kind, ErrorKind::Malformed);
        }
        assert!(ledger.read::<AgreementEvent>("a").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn unsafe_ids_are_refused() {
        let ledger = ledger_on(Arc::new(MemoryObjects::new()));
        for bad in ["", "a/b", "..", ".a", "a.", "a b", "ü", &"a".repeat(129)] {
            let error = ledger.read::<AgreementEvent>(bad).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Malformed, "{bad}");
        }
    }

    #[tokio::test]
    async fn foreign_events_are_not_believed() {
        let truth = Arc::new(MemoryObjects::new());
        let ledger = ledger_on(truth.clone());
        let mut history = ledger.read::<AgreementEvent>("a").await.unwrap();
        ledger
            .append(&mut history, "role:test", "test", withdrawn("a"))
            .await
            .unwrap();
        let stored = truth
            .get("ledger/agreement/a/00000000", 9999)
            .await
            .unwrap()
            .unwrap();
        truth
            .create("ledger/agreement/b/00000000", stored.bytes)
            .await
            .unwrap();
        let error = ledger.read::<AgreementEvent>("b").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        truth
            .create("ledger/agreement/c/00000000", Bytes::from_static(b"{}"))
            .await
            .unwrap();
        assert!(ledger.read::<AgreementEvent>("c").await.is_err());
    }

    #[tokio::test]
    async fn ids_page_without_gaps() {
        let truth = Arc::new(MemoryObjects::new());
        // More than a page of what is no stream.
        for n in 0..1_100 {
            let stray = format!("ledger/agreement/+{n}/00000000");
            truth.create(&stray, Bytes::new()).await.unwrap();
        }
        let ledger = ledger_on(truth);
        let mut all = ["a", "a-b", "a.b", "ab", "b", "b0"];
        for id in all {
            let mut history = ledger.read::<AgreementEvent>(id).await.unwrap();
            for n in 0..3 {
                let event = withdrawn(&n.to_string());
                ledger
                    .append(&mut history, "role:test", "test", event)
                    .await
                    .unwrap();
            }
        }
        let mut paged = Vec::new();
        while let Some(id) = ledger
            .ids::<AgreementEvent>(paged.last().map(String::as_str), 1)
            .await
            .unwrap()
            .pop()
        {
            paged.push(id);
        }
        assert_eq!(
            paged,
            ledger.ids::<AgreementEvent>(None, 100).await.unwrap()
        );
        paged.sort();
        all.sort_unstable();
        assert_eq!(paged, all);
    }

    #[tokio::test]
    async fn a_lost_answer_shows_as_unknown_and_the_event_stands() {
        let truth = Arc::new(MemoryObjects::new());
        let ledger = ledger_on(truth.clone());
        truth.set_faults(|verb, _| (verb == Verb::Create).then_some(Fault::DropResponse));
        let mut history = ledger.read::<AgreementEvent>("a").await.unwrap();
        let error = ledger
            .append(&mut history, "role:test", "test", withdrawn("x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownOutcome);
        ledger.catch_up(&mut history).await.unwrap();
        assert_eq!(history.events.len(), 1);
    }
}
