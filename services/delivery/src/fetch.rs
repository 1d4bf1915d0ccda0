//! A recipient fetches its package: the store alone is needed, every read is recorded with its legal basis (R7), and
//! the first complete one is the time of receipt.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use probity_domain::{DeliveryId, RecipientId};
use probity_platform::access::Caller;
use probity_platform::objects::ByteStream;
use probity_platform::{Error, Result};

use crate::acknowledge::Way;
use crate::courier::{Courier, unknown};
use crate::delivery::{Delivery, Package};
use crate::recipient;

const LEGAL_BASIS_BYTES_MAX: usize = 512;

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

    /// The encrypted package's bytes.
    ///
    /// # Errors
    /// `Malformed` without a legal basis; `NotFound`; `Unavailable` while the package is being made.
    pub async fn fetch(
        self: &Arc<Self>,
        caller: &Caller,
        id: DeliveryId,
        legal_basis: Option<&str>,
    ) -> Result<(Package, ByteStream)> {
        let recipient = caller.require_court()?;
        let delivery = self.delivery_to(recipient, id).await?;
        let legal_basis = parse_legal_basis(legal_basis)?;
        let waiting = || Error::unavailable(format!("the package of {id} is being prepared"));
        let Some(package) = delivery.package().cloned() else {
            return Err(waiting());
        };
        let Some((size_bytes, body)) = self.buckets.work.get_streamed(&package.object, 0).await?
        else {
            // Whoever may clear bucket `work` did; it is made again.
            self.tell_due(&delivery).await;
            return Err(waiting());
        };
        if size_bytes != package.size_bytes {
            return Err(Error::internal(format!(
                "{}: {size_bytes} bytes",
                package.object
            )));
        }
        self.note_read(caller, id, &package, legal_basis).await?;
        let body = self.noting_its_end(delivery, size_bytes, caller.actor(), body);
        Ok((package, body))
    }

    /// Records entry when the last byte has been taken.
    fn noting_its_end(
        self: &Arc<Self>,
        delivery: Delivery,
        size_bytes: u64,
        actor: String,
        body: ByteStream,
    ) -> ByteStream {
        let courier = self.clone();
        let noted = futures::stream::unfold((body, 0, false), move |(mut body, sent, ended)| {
            let (courier, delivery, actor) = (courier.clone(), delivery.clone(), actor.clone());
            async move {
                if ended {
                    return None;
                }
                let piece: Option<Result<Bytes>> = body.next().await;
                let sent = sent
                    + piece
                        .as_ref()
                        .and_then(|p| p.as_ref().ok())
                        .map_or(0, |p| p.len() as u64);
                // With the last byte, not after it: a client that has all it was promised reads no further.
                let complete = sent == size_bytes && piece.is_some();
                if complete && let Err(e) = courier.fetched(&delivery, &actor).await {
                    tracing::warn!(delivery = %delivery.id, error = %e, "complete fetch was not recorded");
                }
                piece.map(|piece| (piece, (body, sent, complete)))
            }
        });
        Box::pin(noted)
    }

    async fn fetched(&self, delivery: &Delivery, actor: &str) -> Result<()> {
        let recipient = recipient::read(&self.ledger, &delivery.recipient).await?;
        self.enter(delivery, &recipient, Way::Fetched, actor)
            .await?;
        self.agenda().forget(delivery.id);
        Ok(())
    }
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
