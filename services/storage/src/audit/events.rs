//! The ledger: the events of each stream, one after the other.

use futures::{StreamExt as _, stream};
use probity_domain::Timestamp;
use probity_platform::ledger::EVENT_BYTES_MAX;
use probity_platform::{Error, Result};
use probity_proto::ledger::read_event;

use super::{Audit, FindingKind, PAGE, READS_AT_ONCE};

const LEDGER: &str = "ledger/";

/// Kind, id and number of an event, from its key.
#[derive(Debug, PartialEq, Eq)]
struct Place<'k> {
    kind: &'k str,
    id: &'k str,
    seq: u64,
}

impl<'k> Place<'k> {
    fn of(key: &'k str) -> Option<Self> {
        let (kind, rest) = key.strip_prefix(LEDGER)?.split_once('/')?;
        let (id, seq) = rest.split_once('/')?;
        let numbered = seq.len() == 8 && seq.bytes().all(|b| b.is_ascii_digit());
        let seq = numbered.then(|| seq.parse().ok())??;
        Some(Self { kind, id, seq })
    }
}

impl Audit {
    /// Walks every stream. Keys of one stream lie together, so its next number is all that is remembered.
    pub(super) async fn events(&mut self) -> Result<()> {
        let truth = self.log.truth.clone();
        let truth = &*truth;
        let mut after: Option<String> = None;
        let (mut stream_key, mut next) = (String::new(), 0);
        loop {
            let page = truth.list(LEDGER, after.as_deref(), PAGE).await?;
            let mut read = stream::iter(page.iter().map(|listed| &listed.key))
                .map(|key| async move { (key, truth.get(key, EVENT_BYTES_MAX).await) })
                .buffered(READS_AT_ONCE);
            while let Some((key, read)) = read.next().await {
                self.report.checked.events += 1;
                let Some(place) = Place::of(key) else {
                    let reason = "no event has this key";
                    self.report.find(FindingKind::Event, key, reason);
                    continue;
                };
                let of_stream = format!("{LEDGER}{}/{}/", place.kind, place.id);
                if of_stream != stream_key {
                    (stream_key, next) = (of_stream, 0);
                }
                if place.seq > next {
                    let missing = format!("{stream_key}{next:08}");
                    let reason = format!("missing: {key} follows on it");
                    self.report.find(FindingKind::Event, &missing, reason);
                }
                next = place.seq + 1;
                let Some(object) = self.report.read(FindingKind::Event, key, read)? else {
                    continue;
                };
                let wrong = match object {
                    Some(object) => wrong(&place, &object.bytes),
                    None => Some("listed, and not there when it was read".to_owned()),
                };
                if let Some(reason) = wrong {
                    self.report.find(FindingKind::Event, key, reason);
                }
            }
            match page.last() {
                Some(last) if page.len() == usize::from(PAGE) => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

/// Why these bytes are not the event of this place.
fn wrong(place: &Place<'_>, json: &[u8]) -> Option<String> {
    let event = match read_event(place.kind, json) {
        Ok(event) => event,
        Err(e) => return Some(Error::malformed(e).detail),
    };
    if (event.kind.as_str(), event.id.as_str(), event.seq) != (place.kind, place.id, place.seq) {
        let (kind, id, seq) = (event.kind, event.id, event.seq);
        return Some(format!("it is event {seq} of {kind}/{id}"));
    }
    if event.actor.is_empty() || event.cause.is_empty() {
        return Some("it does not say who acted and why".to_owned());
    }
    let at = Timestamp::parse_rfc3339(&event.at);
    at.err().map(|e| format!("it does not say when: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_from_keys() {
        let place = Place::of("ledger/party/acme-ltd/00000012").unwrap();
        assert_eq!((place.kind, place.id, place.seq), ("party", "acme-ltd", 12));
        for none in [
            "ledger/party/acme-ltd",
            "ledger/party/acme-ltd/12",
            "ledger/party/acme-ltd/0000001x",
            "ledger/party/acme-ltd/00000001/00000002",
            "log/party/acme-ltd/00000001",
        ] {
            assert_eq!(Place::of(none), None, "{none}");
        }
    }
}
