//! A recipient fetches its package: the store alone is needed, every read is recorded with its legal basis (R7), and
//! when the last byte has been taken, and every other was asked for, is the time of receipt.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use probity_domain::{DeliveryId, RecipientId};
use probity_platform::access::Caller;
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};
use probity_proto::ledger::{ByteRange, ReadEvent};

use crate::acknowledge::Way;
use crate::courier::{Courier, unknown};
use crate::delivery::{Delivery, Package};
use crate::recipient;

const LEGAL_BASIS_BYTES_MAX: usize = 512;
/// Reads looked through for what came before the end: four for each part that a package may have.
const READS_MAX: usize = 256;

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
    /// `Malformed` without a legal basis; `NotFound`; `Unavailable` while the package is being made.
    pub async fn fetch(
        &self,
        caller: &Caller,
        id: DeliveryId,
        legal_basis: Option<&str>,
    ) -> Result<Fetch> {
        let recipient = caller.require_court()?;
        let delivery = self.delivery_to(recipient, id).await?;
        let legal_basis = parse_legal_basis(legal_basis)?;
        let package = delivery.package().cloned().ok_or_else(|| waiting(id))?;
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
    /// `Malformed` for a range beyond its end; `Unavailable` while the package is being made; those of the store
    /// and the ledger.
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
        let Some((size_bytes, body)) = found else {
            // Whoever may clear bucket `work` did; it is made again.
            self.tell_due(&delivery).await;
            return Err(waiting(delivery.id));
        };
        if size_bytes != package.size_bytes {
            return Err(Error::internal(format!(
                "{}: {size_bytes} bytes",
                package.object
            )));
        }
        let part = Some(bytes).filter(|bytes| *bytes != whole);
        self.note_read(&caller, delivery.id, &package, legal_basis, part)
            .await?;
        let given = Given {
            courier: self.clone(),
            delivery,
            actor: caller.actor(),
            left: bytes.last - bytes.first + 1,
            range: bytes,
            whole,
            body,
        };
        Ok(Box::pin(stream::unfold(given, Given::next)))
    }

    /// Whether reads on record, this one among them, asked for all that comes before what was given now.
    async fn had_before(&self, delivery: DeliveryId, first: u64, whole: ByteRange) -> Result<bool> {
        if first == 0 {
            return Ok(true);
        }
        let reads = self.reads(delivery, None, READS_MAX).await?;
        let asked = reads.into_iter().map(|read| match read.event {
            ReadEvent::Fetched { range, .. } => range.unwrap_or(whole),
        });
        Ok(follow_on(asked.collect()) >= first)
    }

    /// The last byte was taken, and those from `first` on before it.
    async fn end_given(
        &self,
        delivery: &Delivery,
        first: u64,
        whole: ByteRange,
        actor: &str,
    ) -> Result<()> {
        if !self.had_before(delivery.id, first, whole).await? {
            return Ok(());
        }
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        self.enter(delivery, &recipient, Way::Fetched, actor)
            .await?;
        self.agenda().forget(delivery.id);
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

/// Bytes on their way to the recipient.
struct Given {
    courier: Arc<Courier>,
    delivery: Delivery,
    actor: String,
    /// Bytes still to give.
    left: u64,
    range: ByteRange,
    /// All the package has.
    whole: ByteRange,
    body: ByteStream,
}

impl Given {
    async fn next(mut self) -> Option<(Result<Bytes>, Self)> {
        if self.left == 0 {
            return None;
        }
        let piece = match self.body.next().await? {
            Ok(piece) => piece,
            Err(e) => {
                self.left = 0;
                return Some((Err(e), self));
            }
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        // With the last byte, not after it: a client that has all it was promised reads no further.
        if self.left == 0
            && self.range.last == self.whole.last
            && let Err(e) = self
                .courier
                .end_given(&self.delivery, self.range.first, self.whole, &self.actor)
                .await
        {
            tracing::warn!(delivery = %self.delivery.id, error = %e, "complete fetch was not recorded");
        }
        Some((Ok(piece), self))
    }
}

/// How many bytes from the first one on are in some range.
fn follow_on(mut ranges: Vec<ByteRange>) -> u64 {
    ranges.sort_unstable_by_key(|range| range.first);
    ranges.iter().fold(0, |bytes, range| match range.first {
        first if first <= bytes => bytes.max(range.last.saturating_add(1)),
        _ => bytes,
    })
}

fn waiting(id: DeliveryId) -> Error {
    Error::unavailable(format!("the package of {id} is being prepared"))
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
            follow_on(ranges.iter().map(range).collect())
        };
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[(1, 9)]), 0);
        assert_eq!(of(&[(5, 9), (0, 4), (0, 2)]), 10);
        assert_eq!(of(&[(0, 4), (6, 9)]), 5);
        assert_eq!(of(&[(0, u64::MAX)]), u64::MAX);
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
