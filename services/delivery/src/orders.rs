//! Orders: which deliveries were asked for together. Two small objects for each request, whatever its size, from
//! which a recipient's and a case's deliveries are listed with nothing but the store at hand.
//!
//! ```text
//! deliveries/by-recipient/<recipient>/<order>
//! deliveries/by-case/<tenant>/<digest of the case>/<order>
//! deliveries/late/<recipient>/<delivery>
//! ```
//!
//! An order's id is a UUIDv7, so keys sort by time. A delivery belongs to the one order that its `Requested` event
//! names as its cause: one that stands in two orders, after a crash, is listed once. A late one is one that was due
//! long after its order ([`crate::rescan`]): an order of this delivery alone.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{CaseId, DeliveryId, EvidenceId, RecipientId, TenantId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Error, ErrorKind, Result};
use probity_proto::format;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::courier::Courier;
use crate::delivery::Delivery;
use crate::rescan::Trouble;

const FORMAT: &str = "probity.delivery_order/1";
const ORDER_BYTES_MAX: u64 = 1024 * 1024;
/// Orders listed at once.
const ORDERS_PAGE: u16 = 50;
/// Deliveries looked at for one page of a listing: what bounds a request for a rare state.
const LOOKED_AT_MAX: usize = 500;
/// And after so long a page is given as it is: a call is answered within half a minute or not at all.
const PAGE_MS_MAX: i64 = 10_000;
/// Histories read at once.
const READS_AT_ONCE: usize = 16;
const ORDERS_AT_ONCE: usize = 4;

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderDocument {
    pub format: String,
    pub order: String,
    pub recipient: String,
    pub tenant: String,
    pub case: String,
    pub requested_at: String,
    pub deliveries: Vec<OrderedDelivery>,
}

/// One delivery of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedDelivery {
    pub delivery: String,
    pub evidence: String,
}

/// Which orders to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shelf {
    Recipient(RecipientId),
    Case(TenantId, CaseId),
}

impl Shelf {
    fn prefix(&self) -> String {
        match self {
            Self::Recipient(recipient) => format!("deliveries/by-recipient/{recipient}/"),
            Self::Case(tenant, case) => {
                // Cases are free text, keys are not.
                let digest = hex::encode(sha2::Sha256::digest(case.as_str()));
                format!("deliveries/by-case/{tenant}/{digest}/")
            }
        }
    }
}

impl OrderDocument {
    /// An order for these deliveries.
    #[must_use]
    pub fn new(
        order: DeliveryId,
        recipient: &RecipientId,
        tenant: &TenantId,
        case: &CaseId,
        deliveries: &[(DeliveryId, EvidenceId)],
    ) -> Self {
        let line = |(delivery, evidence): &(DeliveryId, EvidenceId)| OrderedDelivery {
            delivery: delivery.to_string(),
            evidence: evidence.to_string(),
        };
        Self {
            format: FORMAT.to_owned(),
            order: order.to_string(),
            recipient: recipient.to_string(),
            tenant: tenant.to_string(),
            case: case.to_string(),
            requested_at: order.at().to_rfc3339(),
            deliveries: deliveries.iter().map(line).collect(),
        }
    }

    /// Puts it on both shelves.
    ///
    /// # Errors
    /// Those of [`Objects::create`].
    pub async fn write(&self, truth: &dyn Objects) -> Result<()> {
        let bytes = Bytes::from(serde_json::to_vec(self).map_err(Error::internal)?);
        let case = Shelf::Case(TenantId::parse(&self.tenant)?, CaseId::parse(&self.case)?);
        for shelf in [Shelf::Recipient(RecipientId::parse(&self.recipient)?), case] {
            truth
                .create(&format!("{}{}", shelf.prefix(), self.order), bytes.clone())
                .await?;
        }
        Ok(())
    }

    /// Puts an order of one delivery on the shelf of late ones; again, it changes nothing.
    ///
    /// # Errors
    /// Those of [`Objects::create`].
    pub(crate) async fn shelve_late(&self, truth: &dyn Objects) -> Result<()> {
        let bytes = Bytes::from(serde_json::to_vec(self).map_err(Error::internal)?);
        let prefix = late_prefix(&RecipientId::parse(&self.recipient)?);
        for line in &self.deliveries {
            let key = format!("{prefix}{}", line.delivery);
            truth.create(&key, bytes.clone()).await?;
        }
        Ok(())
    }

    /// All of it, or what the cursor leaves of it.
    fn lines_from(self, from: Option<&Cursor>) -> Result<Vec<Line>> {
        let id = DeliveryId::parse(&self.order).map_err(Error::internal)?;
        let done = from.filter(|cursor| cursor.order == id);
        let lines = self
            .deliveries
            .into_iter()
            .enumerate()
            .map(|(place, line)| {
                let at = Cursor { order: id, place };
                Line {
                    at,
                    order: self.order.clone(),
                    delivery: line.delivery,
                }
            });
        Ok(lines.skip(done.map_or(0, |cursor| cursor.place)).collect())
    }
}

/// Where a listing goes on: an order and a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    order: DeliveryId,
    place: usize,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self> {
        let bad = || Error::malformed("page: not one that was handed out");
        let (order, place) = text.split_once('.').ok_or_else(bad)?;
        Ok(Self {
            order: DeliveryId::parse(order).map_err(|_| bad())?,
            place: place.parse().map_err(|_| bad())?,
        })
    }
}

impl core::fmt::Display for Cursor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.order, self.place)
    }
}

/// One delivery of an order, and where it stands.
struct Line {
    at: Cursor,
    order: String,
    delivery: String,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub deliveries: Vec<Delivery>,
    pub next_page: Option<String>,
}

impl Courier {
    /// The shelf's deliveries that `wanted` takes, oldest order first. A page may be short, even empty, and still
    /// have a next one.
    ///
    /// # Errors
    /// `Malformed` for a page that was not handed out; those of the store.
    pub async fn list<F>(
        &self,
        shelf: &Shelf,
        page: Option<&str>,
        limit: usize,
        wanted: F,
    ) -> Result<Page>
    where
        F: Fn(&Delivery) -> bool + Send + Sync,
    {
        let from = page.map(Cursor::parse).transpose()?;
        let orders = orders(self.buckets.truth.clone(), shelf, from);
        let lines = orders
            .and_then(|lines| ready(lines.or_else(passed_over)))
            .map_ok(|lines| stream::iter(lines.into_iter().map(Ok)))
            .try_flatten();
        let read = followed(lines)
            .map_ok(|(line, next)| async move { Ok((self.ordered(line).await?, next)) });
        let mut read = pin!(read.try_buffered(READS_AT_ONCE));
        let mut deliveries = Vec::new();
        let mut looked_at = 0;
        let until = self.clock.now().plus_ms(PAGE_MS_MAX);
        while let Some((delivery, next)) = read.try_next().await? {
            looked_at += 1;
            deliveries.extend(delivery.filter(&wanted));
            let is_late = self.clock.now() > until;
            let is_full = deliveries.len() >= limit || looked_at >= LOOKED_AT_MAX || is_late;
            if let Some(next) = next.filter(|_| is_full) {
                return Ok(Page {
                    deliveries,
                    next_page: Some(next.to_string()),
                });
            }
        }
        Ok(Page {
            deliveries,
            next_page: None,
        })
    }

    /// The delivery of a line; none where another order has it, or where it does not read.
    async fn ordered(&self, line: Line) -> Result<Option<Delivery>> {
        let history = self.ledger.read(&line.delivery).await;
        match history.and_then(|history| Delivery::fold(&history)) {
            Ok(delivery) => Ok(delivery.filter(|d| d.order == line.order)),
            Err(e) => passed_over(e),
        }
    }

    /// All deliveries that a recipient's orders since `since` name.
    pub(crate) async fn ordered_since(
        &self,
        recipient: &RecipientId,
        since: Timestamp,
        trouble: &mut Trouble,
    ) -> Vec<Ordered> {
        let from = Cursor {
            order: DeliveryId::new(since, [0; 10]),
            place: 0,
        };
        let shelf = Shelf::Recipient(recipient.clone());
        let mut orders = pin!(orders(self.buckets.truth.clone(), &shelf, Some(from)));
        let mut ordered = Vec::new();
        while let Some(lines) = orders.next().await {
            match lines.flatten() {
                Ok(lines) => ordered.extend(lines.into_iter().filter_map(|line| {
                    let parsed = DeliveryId::parse(&line.delivery);
                    let delivery = parsed
                        .map_err(|e| trouble.note(&line.order, e.into()))
                        .ok()?;
                    let at = line.at.order.at();
                    Some(Ordered { delivery, at })
                })),
                Err(e) => trouble.note(format_args!("an order for {recipient}"), e),
            }
        }
        ordered
    }

    /// The recipient's late deliveries.
    pub(crate) async fn late_ones(
        &self,
        recipient: &RecipientId,
        trouble: &mut Trouble,
    ) -> Vec<DeliveryId> {
        let prefix = late_prefix(recipient);
        let mut keys = pin!(keys(self.buckets.truth.clone(), prefix.clone(), None));
        let mut late = Vec::new();
        while let Some(key) = keys.next().await {
            let id = key.and_then(|key| {
                let id = key.strip_prefix(&prefix).unwrap_or_default();
                Ok(DeliveryId::parse(id)?)
            });
            match id {
                Ok(id) => late.push(id),
                Err(e) => trouble.note(format_args!("late deliveries to {recipient}"), e),
            }
        }
        late
    }
}

/// A delivery that an order names, and when that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub delivery: DeliveryId,
    pub at: Timestamp,
}

fn late_prefix(recipient: &RecipientId) -> String {
    format!("deliveries/late/{recipient}/")
}

/// What is stored and does not read is left out of a listing, which would otherwise end there for ever. A store that
/// does not answer is an error: what it has is there.
fn passed_over<T: Default>(error: Error) -> Result<T> {
    if !matches!(error.kind, ErrorKind::Internal | ErrorKind::Malformed) {
        return Err(error);
    }
    tracing::error!(%error, "does not read; left out of the listing");
    Ok(T::default())
}

/// Each line with the place of the one after it, where there is one: a page that ends with a line need not wait for
/// the next one's delivery to name where it goes on.
fn followed(
    lines: impl Stream<Item = Result<Line>> + Send,
) -> impl Stream<Item = Result<(Line, Option<Cursor>)>> + Send {
    stream::try_unfold(Box::pin(lines.peekable()), |mut lines| async move {
        let Some(line) = lines.try_next().await? else {
            return Ok(None);
        };
        let next = match lines.as_mut().peek().await {
            Some(Ok(next)) => Some(next.at.clone()),
            Some(Err(e)) => return Err(e.clone()),
            None => None,
        };
        Ok(Some(((line, next), lines)))
    })
}

/// The orders on a shelf from the cursor on, a few read ahead: the lines of each, or why they do not come. An error
/// beside these ends it: the shelf is not listed.
fn orders(
    truth: Arc<dyn Objects>,
    shelf: &Shelf,
    from: Option<Cursor>,
) -> impl Stream<Item = Result<Result<Vec<Line>>>> + Send + use<> {
    let prefix = shelf.prefix();
    let first = from
        .as_ref()
        .map(|cursor| format!("{prefix}{}", cursor.order));
    let keys = keys(truth.clone(), prefix, first.clone());
    let keys = stream::iter(first.map(Ok)).chain(keys);
    let orders = keys.map_ok(move |key| {
        let (truth, from) = (truth.clone(), from.clone());
        async move {
            let order = read(&*truth, &key).await;
            let lines = |order: OrderDocument| order.lines_from(from.as_ref());
            Ok(order.and_then(|order| order.map_or_else(|| Ok(Vec::new()), lines)))
        }
    });
    orders.try_buffered(ORDERS_AT_ONCE)
}

/// The keys of a shelf after one of them, or from its beginning, a page at a time.
fn keys(
    truth: Arc<dyn Objects>,
    prefix: String,
    after: Option<String>,
) -> impl Stream<Item = Result<String>> + Send {
    let pages = stream::try_unfold(Some(after), move |after| {
        let (truth, prefix) = (truth.clone(), prefix.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            let page = truth.list(&prefix, after.as_deref(), ORDERS_PAGE).await?;
            let keys: Vec<_> = page.into_iter().map(|listed| listed.key).collect();
            let full = keys.len() == usize::from(ORDERS_PAGE);
            let next = full.then(|| keys.last().cloned());
            Ok::<_, Error>(Some((keys, next)))
        }
    });
    pages
        .map_ok(|keys| stream::iter(keys.into_iter().map(Ok)))
        .try_flatten()
}

async fn read(truth: &dyn Objects, key: &str) -> Result<Option<OrderDocument>> {
    let Some(object) = truth.get(key, ORDER_BYTES_MAX).await? else {
        return Ok(None);
    };
    let unread = |e: probity_domain::Malformed| Error::internal(format!("{key}: {e}"));
    let order: OrderDocument = format::read_json("order", FORMAT, &object.bytes).map_err(unread)?;
    format::expect(FORMAT, &order.format).map_err(unread)?;
    Ok(Some(order))
}

#[cfg(test)]
mod tests {
    use probity_domain::SubmissionId;
    use probity_testkit::Golden;

    use super::*;

    /// An order of yesterday is listed today.
    #[test]
    fn orders_of_yesterday() {
        let at = Timestamp::from_unix_ms(1_795_000_000_000);
        let evidence = EvidenceId {
            submission: SubmissionId::new(at, [5; 10]),
            item: 3,
        };
        let meant = OrderDocument::new(
            DeliveryId::new(at, [1; 10]),
            &RecipientId::parse("beijing").unwrap(),
            &TenantId::parse("acme").unwrap(),
            &CaseId::parse("(2026)京0491民初12345号").unwrap(),
            &[(DeliveryId::new(at, [2; 10]), evidence)],
        );
        let today = serde_json::to_vec(&meant).unwrap();
        let golden = Golden::of(env!("CARGO_MANIFEST_DIR"));
        let bytes = golden.read("order.json", || today.clone());
        let read: OrderDocument = format::read_json("order", FORMAT, &bytes).unwrap();
        assert_eq!(read, meant);
        assert_eq!(today, bytes);
    }
}
