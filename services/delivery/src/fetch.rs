//! A recipient fetches its package: the store alone is needed, every read is recorded with its legal basis (R7), and
//! when the last byte has been taken, and every other was asked for, is the time of receipt.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_domain::{DeliveryId, DeliveryState, RecipientId};
use probity_pki::envelope::check_recipient;
use probity_platform::access::Caller;
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};
use probity_proto::ledger::{ByteRange, CustodyEvent, ReadEvent};

use crate::acknowledge::Way;
use crate::checked::{Wrong, checked};
use crate::courier::{Courier, unknown};
use crate::delivery::{Delivery, Package};
use crate::recipient;

const LEGAL_BASIS_BYTES_MAX: usize = 512;
/// Reads looked through for what came before the end: four for each MiB that a package may have.
const READS_MAX: usize = 65_536;
const READS_PAGE: usize = 1_000;

impl Courier {
    /// A delivery of this recipient's; others' do not exist for it.
    ///
    /// # Errors
    /// `NotFound`; those of the ledger.
    pub async fn delivery_to(&self, recipient: &RecipientId, id: DeliveryId) -> Result<Delivery> {
        let delivery = self.delivery(id).await?;
        if delivery.recipient == *recipient {
            Ok(delivery)
        } else {
            Err(unknown(id))
        }
    }

    /// Whether this caller may read the package now. Nothing is given out yet, and nothing noted.
    ///
    /// # Errors
    /// `Malformed` without a legal basis; `NotFound`, also when the delivery was suspended before there was a package;
    /// `Unavailable` while it is being made.
    pub async fn fetch(
        &self,
        caller: &Caller,
        id: DeliveryId,
        legal_basis: Option<&str>,
    ) -> Result<Fetch> {
        let recipient = caller.require_court()?;
        let delivery = self.delivery_to(recipient, id).await?;
        let legal_basis = parse_legal_basis(legal_basis)?;
        let package = match (delivery.package(), &delivery.state) {
            (Some(package), _) => package.clone(),
            (None, DeliveryState::Suspended { reason }) => return Err(none_is_made(id, reason)),
            (None, _) => return Err(waiting(id)),
        };
        Ok(Fetch {
            caller: caller.clone(),
            delivery,
            package,
            legal_basis,
        })
    }

    /// The encrypted package's bytes, or some of them. The read is on record before the first of them.
    ///
    /// # Errors
    /// `Malformed` for a range beyond its end; `Unavailable` while the package is being made, again where it is gone;
    /// `NotFound` when it is gone and may not be made again; those of the store and the ledger.
    pub async fn give(
        self: &Arc<Self>,
        fetch: Fetch,
        range: Option<ByteRange>,
    ) -> Result<ByteStream> {
        let Fetch {
            caller,
            delivery,
            package,
            legal_basis,
        } = fetch;
        let whole = ByteRange {
            first: 0,
            last: package.size_bytes.saturating_sub(1),
        };
        let bytes = range.unwrap_or(whole);
        if bytes.first > bytes.last || bytes.last > whole.last {
            return Err(Error::malformed(format!(
                "bytes {} to {} of {}",
                bytes.first, bytes.last, package.size_bytes
            )));
        }
        let work = &self.buckets.work;
        let found = work
            .get_range(&package.object, bytes.first..bytes.last + 1)
            .await?;
        let Some((_, body)) = found.filter(|(size_bytes, _)| *size_bytes == package.size_bytes)
        else {
            return Err(self.missing(&delivery).await);
        };
        let part = Some(bytes).filter(|bytes| *bytes != whole);
        self.note_read(&caller, delivery.id, &package, legal_basis, part)
            .await?;
        let (body, wrong) = match part {
            None => checked(&package, body),
            // Of a part there is no digest.
            Some(_) => (body, Wrong::default()),
        };
        let transfer = Transfer {
            delivery,
            package,
            actor: caller.actor(),
            range: bytes,
            whole,
        };
        let given = Given {
            courier: self.clone(),
            transfer,
            left: bytes.last - bytes.first + 1,
            body,
            wrong,
        };
        Ok(Box::pin(stream::unfold(given, Given::next)))
    }

    /// Whoever may clear bucket `work` did, or what lies there has another length. The package is made again, wherever
    /// the delivery stands, unless it may not be: then the answer says so.
    async fn missing(&self, delivery: &Delivery) -> Error {
        if let Err(e) = self.may_be_made_again(delivery).await {
            return e;
        }
        self.tell_due(delivery).await;
        waiting(delivery.id)
    }

    async fn may_be_made_again(&self, delivery: &Delivery) -> Result<()> {
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        if let Some(reason) = &recipient.suspended {
            let reason = format!("the recipient is suspended: {reason}");
            return Err(none_is_made(delivery.id, &reason));
        }
        check_recipient(&recipient.profile.encryption, self.clock.now())
            .map_err(|e| none_is_made(delivery.id, &e.to_string()))?;
        let evidence = delivery.evidence.to_string();
        let custody = self.ledger.read::<CustodyEvent>(&evidence).await?;
        if CustodyEvent::deleted(custody.facts()).is_some() {
            let reason = "its evidence was deleted by order";
            return Err(none_is_made(delivery.id, reason));
        }
        Ok(())
    }

    /// Whether reads of this package on record, this one among them, asked for all that comes before what is given now.
    async fn had_before(&self, given: &Transfer) -> Result<bool> {
        let sha256 = given.package.sha256.to_hex();
        let (mut bytes, mut apart, mut after) = (0, Vec::new(), None);
        let mut left = READS_MAX;
        while bytes < given.range.first && left > 0 {
            let page = READS_PAGE.min(left);
            let reads = self.reads(given.delivery.id, after, page).await?;
            let Some(last) = reads.last() else {
                return Ok(false);
            };
            after = Some(last.id);
            left = left.saturating_sub(reads.len());
            apart.extend(reads.into_iter().filter_map(|read| match read.event {
                ReadEvent::Fetched {
                    package_sha256,
                    range,
                    ..
                } => (package_sha256 == sha256).then_some(range.unwrap_or(given.whole)),
            }));
            bytes = follow_on(bytes, &mut apart);
        }
        Ok(bytes >= given.range.first)
    }

    /// The last byte was taken, and those that were asked for with it.
    async fn end_given(&self, given: &Transfer) -> Result<()> {
        let delivery = &given.delivery;
        if delivery.has_arrived() || !self.had_before(given).await? {
            return Ok(());
        }
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        self.enter(delivery, &recipient, Way::Fetched, &given.actor)
            .await?;
        self.no_longer_due(delivery.id);
        Ok(())
    }
}

/// A package somebody may read.
pub struct Fetch {
    caller: Caller,
    delivery: Delivery,
    package: Package,
    legal_basis: String,
}

impl Fetch {
    #[must_use]
    pub const fn package(&self) -> &Package {
        &self.package
    }
}

/// What is given to whom.
struct Transfer {
    delivery: Delivery,
    package: Package,
    actor: String,
    range: ByteRange,
    /// All the package has.
    whole: ByteRange,
}

/// Bytes on their way to the recipient.
struct Given {
    courier: Arc<Courier>,
    transfer: Transfer,
    /// Bytes still to give.
    left: u64,
    body: ByteStream,
    /// The whole that was asked for is not what was made.
    wrong: Wrong,
}

impl Given {
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        if self.left == 0 {
            return None;
        }
        let Transfer {
            delivery,
            package,
            range,
            whole,
            ..
        } = &self.transfer;
        let piece = match self.body.next().await? {
            Ok(piece) => piece,
            Err(e) => {
                self.left = 0;
                if self.wrong.is_found() {
                    self.courier.discard(delivery, package).await;
                    self.courier.tell_due(delivery).await;
                }
                return Some((Err(e), self));
            }
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        // With the last byte, not after it: a client that has all it was promised reads no further.
        if self.left == 0
            && range.last == whole.last
            && let Err(e) = self.courier.end_given(&self.transfer).await
        {
            tracing::warn!(delivery = %delivery.id, error = %e, "complete fetch was not recorded");
        }
        Some((Ok(piece), self))
    }
}

/// How many bytes from the first one on are in some range, when the first `bytes` are already. Ranges that lie apart
/// from them stay.
fn follow_on(mut bytes: u64, apart: &mut Vec<ByteRange>) -> u64 {
    apart.sort_unstable_by_key(|range| range.first);
    apart.retain(|range| {
        let joins = range.first <= bytes;
        if joins {
            bytes = bytes.max(range.last.saturating_add(1));
        }
        !joins
    });
    bytes
}

fn waiting(id: DeliveryId) -> Error {
    Error::unavailable(format!("the package of {id} is being prepared"))
}

fn none_is_made(id: DeliveryId, reason: &str) -> Error {
    Error::not_found(format!("there is no package of {id} any more: {reason}"))
}

/// What a court gives as its reason to read, percent-decoded.
fn parse_legal_basis(text: Option<&str>) -> Result<String> {
    let missing =
        || Error::malformed("probity-legal-basis: say why this is read, in 1 to 512 bytes");
    let mut bytes = Vec::new();
    let mut rest = text.ok_or_else(missing)?.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(missing());
        };
        // Two hexadecimal digits always fit a byte.
        bytes.push((high * 16 + low) as u8);
    }
    let basis = String::from_utf8(bytes).map_err(|_| missing())?;
    let basis = basis.trim();
    if basis.is_empty()
        || basis.len() > LEGAL_BASIS_BYTES_MAX
        || basis.chars().any(char::is_control)
    {
        return Err(missing());
    }
    Ok(basis.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_not_read() {
        let of = |ranges: &[(u64, u64)]| {
            let range = |(first, last): &(u64, u64)| ByteRange {
                first: *first,
                last: *last,
            };
            follow_on(0, &mut ranges.iter().map(range).collect())
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(1, 9)]), 0);
        assert_eq!(of(&[(5, 9), (0, 4), (0, 2)]), 10);
        assert_eq!(of(&[(0, 4), (6, 9)]), 5);
        assert_eq!(of(&[(0, u64::MAX)]), u64::MAX);
        let (first, last) = (6, 9);
        let mut apart = vec![ByteRange { first, last }];
        assert_eq!(follow_on(5, &mut apart), 5);
        apart.push(ByteRange { first: 2, last: 5 });
        assert_eq!((follow_on(5, &mut apart), apart), (10, vec![]));
    }

    #[test]
    fn a_read_needs_a_reason() {
        assert_eq!(parse_legal_basis(Some(" case 1 ")).unwrap(), "case 1");
        assert_eq!(
            parse_legal_basis(Some("%E6%B3%95 100%25")).unwrap(),
            "法 100%"
        );
        for bad in [
            None,
            Some(""),
            Some("  "),
            Some("%0A"),
            Some("%zz"),
            Some("%"),
            Some("%ff"),
            Some("a%00"),
        ] {
            assert!(parse_legal_basis(bad).is_err(), "{bad:?}");
        }
        assert!(parse_legal_basis(Some(&"x".repeat(513))).is_err());
    }
}
