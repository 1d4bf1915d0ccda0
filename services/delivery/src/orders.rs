//! Orders: which deliveries were asked for together. Two small objects for each request, whatever its size, from
//! which a recipient's and a case's deliveries are listed with nothing but the store at hand.
//!
//! ```text
//! deliveries/by-recipient/<recipient>/<order>
//! deliveries/by-case/<tenant>/<digest of the case>/<order>
//! ```
//!
//! An order's id is a UUIDv7, so keys sort by time. A delivery belongs to the one order that its `Requested` event
//! names as its cause: one that stands in two orders, after a crash, is listed once.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use probity_domain::{CaseId, DeliveryId, EvidenceId, RecipientId, TenantId, Timestamp};
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::format;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::courier::Courier;
use crate::delivery::Delivery;

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
        let prefix = shelf.prefix();
        let mut cursor = page.map(Cursor::parse).transpose()?;
        let mut found = Vec::new();
        let mut looked_at = 0;
        let until = self.clock.now().plus_ms(PAGE_MS_MAX);
        loop {
            let orders = self.orders_from(&prefix, cursor.as_ref()).await?;
            let Some(order) = orders else {
                return Ok(Page {
                    deliveries: found,
                    next_page: None,
                });
            };
            let id = DeliveryId::parse(&order.order).map_err(Error::internal)?;
            let mut place = cursor
                .take()
                .map_or(0, |c| if c.order == id { c.place } else { 0 });
            while place < order.deliveries.len() {
                let is_late = || looked_at > 0 && self.clock.now() > until;
                if found.len() >= limit || looked_at >= LOOKED_AT_MAX || is_late() {
                    let next_page = Some(Cursor { order: id, place }.to_string());
                    return Ok(Page {
                        deliveries: found,
                        next_page,
                    });
                }
                let chunk = READS_AT_ONCE.min(limit - found.len());
                let lines: Vec<_> = order.deliveries.iter().skip(place).take(chunk).collect();
                place += lines.len();
                looked_at += lines.len();
                found.extend(
                    self.of_order(&order, &lines)
                        .await?
                        .into_iter()
                        .filter(&wanted),
                );
            }
            cursor = Some(Cursor {
                order: id,
                place: order.deliveries.len(),
            });
        }
    }

    /// The first order with something left from the cursor on.
    async fn orders_from(
        &self,
        prefix: &str,
        cursor: Option<&Cursor>,
    ) -> Result<Option<OrderDocument>> {
        let truth = &self.buckets.truth;
        if let Some(cursor) = cursor
            && let Some(order) = read(&**truth, &format!("{prefix}{}", cursor.order)).await?
            && cursor.place < order.deliveries.len()
        {
            return Ok(Some(order));
        }
        let after = cursor.map(|c| format!("{prefix}{}", c.order));
        let Some(next) = truth
            .list(prefix, after.as_deref(), 1)
            .await?
            .into_iter()
            .next()
        else {
            return Ok(None);
        };
        read(&**truth, &next.key).await
    }

    async fn of_order(
        &self,
        order: &OrderDocument,
        lines: &[&OrderedDelivery],
    ) -> Result<Vec<Delivery>> {
        let ids: Vec<_> = lines.iter().map(|line| line.delivery.clone()).collect();
        let read = ids
            .into_iter()
            .map(|id| async move { self.ledger.read(&id).await });
        let histories: Vec<_> = stream::iter(read)
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let deliveries: Vec<_> = histories
            .iter()
            .map(Delivery::fold)
            .collect::<Result<_>>()?;
        Ok(deliveries
            .into_iter()
            .flatten()
            .filter(|d| d.order == order.order)
            .collect())
    }

    /// Ids of all deliveries a recipient's orders since `since` name.
    pub(crate) async fn ordered_since(
        &self,
        recipient: &RecipientId,
        since: Timestamp,
    ) -> Result<Vec<DeliveryId>> {
        let truth = &self.buckets.truth;
        let prefix = Shelf::Recipient(recipient.clone()).prefix();
        let mut after = format!("{prefix}{}", DeliveryId::new(since, [0; 10]));
        let mut ids = Vec::new();
        loop {
            let page = truth.list(&prefix, Some(&after), ORDERS_PAGE).await?;
            for listed in &page {
                let order = read(&**truth, &listed.key).await?;
                let lines = order.map(|o| o.deliveries).unwrap_or_default();
                ids.extend(
                    lines
                        .iter()
                        .filter_map(|line| DeliveryId::parse(&line.delivery).ok()),
                );
            }
            match page.last() {
                Some(last) if page.len() == usize::from(ORDERS_PAGE) => after.clone_from(&last.key),
                _ => return Ok(ids),
            }
        }
    }
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
