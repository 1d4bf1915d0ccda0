//! Who read a package, when and on what legal basis (R7).
//!
//! Each read is a stream of its own: a court's program may ask a thousand times an hour for years, and neither the
//! delivery gets slower by it nor does anything fill up. Nothing follows from a read, so nothing has to fold them.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{DeliveryId, ReadId, Timestamp};
use probity_platform::access::Caller;
use probity_platform::ledger::{Appended, History, event_time};
use probity_platform::{Error, Result};
use probity_proto::ledger::{ByteRange, ReadEvent};

use crate::courier::Courier;
use crate::delivery::Package;

/// Reads read at once.
const AT_ONCE: usize = 16;

/// A read as it is on record. Those of an earlier version are events of the delivery itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub id: ReadId,
    pub at: Timestamp,
    pub actor: String,
    pub event: ReadEvent,
}

impl Courier {
    /// Puts a read on record, before the first byte is given out.
    ///
    /// # Errors
    /// Those of the ledger: without the record there is no read.
    pub(crate) async fn note_read(
        &self,
        caller: &Caller,
        delivery: DeliveryId,
        package: &Package,
        legal_basis: String,
        range: Option<ByteRange>,
    ) -> Result<()> {
        let read = ReadId::new(self.clock.now(), self.random.bytes());
        let mut history = History {
            id: format!("{delivery}_{read}"),
            events: Vec::new(),
        };
        let event = ReadEvent::Fetched {
            credential: caller.credential.to_string(),
            legal_basis,
            package_sha256: package.sha256.to_hex(),
            range,
        };
        let actor = caller.actor();
        let appended = self.ledger.append(&mut history, &actor, "fetch", event);
        match appended.await? {
            Appended::Appended => Ok(()),
            Appended::Lost => Err(Error::unavailable(format!("read {read} is another's"))),
        }
    }

    /// Reads of a delivery after `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Internal` when one that is stored does not read; those of the ledger.
    pub async fn reads(
        &self,
        delivery: DeliveryId,
        after: Option<ReadId>,
        limit: usize,
    ) -> Result<Vec<Read>> {
        let own = format!("{delivery}_");
        // In the order of keys what begins with the delivery's id comes after the id alone.
        let after = after.map_or_else(|| delivery.to_string(), |read| format!("{own}{read}"));
        let ids = self.ledger.ids::<ReadEvent>(Some(&after), limit).await?;
        let own = |id: String| {
            let read = id.strip_prefix(&own)?.to_owned();
            Some((id, read))
        };
        let ids: Vec<_> = ids.into_iter().map_while(own).collect();
        let read = ids.into_iter().map(|(id, read)| async move {
            let read = ReadId::parse(&read).map_err(Error::internal)?;
            self.one_read(read, &id).await
        });
        let reads: Vec<Vec<_>> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        Ok(reads.into_iter().flatten().collect())
    }

    async fn one_read(&self, read: ReadId, id: &str) -> Result<Vec<Read>> {
        let mut reads = Vec::new();
        for envelope in self.ledger.read::<ReadEvent>(id).await?.events {
            reads.push(Read {
                id: read,
                at: event_time(&envelope)?,
                actor: envelope.actor,
                event: envelope.event,
            });
        }
        Ok(reads)
    }
}
