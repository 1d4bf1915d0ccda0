//! The packages that were made for a delivery, as the ledger has them.

use probity_domain::{Malformed, Sha3_256, Sha256};
use probity_proto::ledger::DeliveryEvent;

/// An encrypted package that was made for the delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Key in bucket `work`.
    pub object: String,
    pub size_bytes: u64,
    /// Of the encrypted bytes.
    pub sha256: Sha256,
    /// Of the container inside.
    pub content_sha3_256: Sha3_256,
    /// Length of each envelope, in their order; at least one, together `size_bytes`.
    pub part_bytes: Vec<u64>,
}

impl Package {
    /// As it is recorded: of a single envelope the length says nothing more.
    #[must_use]
    pub fn prepared(&self) -> DeliveryEvent {
        let part_bytes = match self.part_bytes.as_slice() {
            [_] => Vec::new(),
            several => several.to_vec(),
        };
        DeliveryEvent::Prepared {
            object: self.object.clone(),
            size_bytes: self.size_bytes,
            package_sha256: self.sha256.to_hex(),
            content_sha3_256: self.content_sha3_256.to_hex(),
            part_bytes,
        }
    }

    /// What [`prepared`](Self::prepared) recorded; `None` for other events.
    ///
    /// # Errors
    /// [`Malformed`] for digests that are none, and lengths that are not the package's together.
    pub fn of(event: &DeliveryEvent) -> core::result::Result<Option<Self>, Malformed> {
        let DeliveryEvent::Prepared {
            object,
            size_bytes,
            package_sha256,
            content_sha3_256,
            part_bytes,
        } = event
        else {
            return Ok(None);
        };
        let part_bytes = match part_bytes.is_empty() {
            true => vec![*size_bytes],
            false => part_bytes.clone(),
        };
        let together = part_bytes
            .iter()
            .fold(0u64, |sum, n| sum.saturating_add(*n));
        if together != *size_bytes {
            let reason = format!("{together} bytes together, not {size_bytes}");
            return Err(Malformed::new("part_bytes", reason));
        }
        Ok(Some(Self {
            object: object.clone(),
            size_bytes: *size_bytes,
            sha256: Sha256::parse_hex(package_sha256)?,
            content_sha3_256: Sha3_256::parse_hex(content_sha3_256)?,
            part_bytes,
        }))
    }
}

/// Lengths of parts as headers give them.
#[must_use]
pub fn listed(part_bytes: &[u64]) -> String {
    let lengths: Vec<_> = part_bytes.iter().map(u64::to_string).collect();
    lengths.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(part_bytes: &[u64]) -> Package {
        Package {
            object: "packages/court-1/1".into(),
            size_bytes: 10,
            sha256: Sha256([1; 32]),
            content_sha3_256: Sha3_256([2; 32]),
            part_bytes: part_bytes.to_vec(),
        }
    }

    #[test]
    fn lengths_of_parts_are_recorded_where_there_are_several() {
        for (part_bytes, recorded_bytes) in [(vec![10], vec![]), (vec![7, 3], vec![7, 3])] {
            let made = package(&part_bytes);
            let event = made.prepared();
            let DeliveryEvent::Prepared { part_bytes, .. } = &event else {
                unreachable!()
            };
            assert_eq!(*part_bytes, recorded_bytes);
            assert_eq!(Package::of(&event).unwrap(), Some(made));
        }
        for wrong in [vec![7, 4], vec![1, 2, 3], vec![u64::MAX, 11]] {
            let refused = Package::of(&package(&wrong).prepared());
            assert!(refused.is_err(), "{wrong:?}");
        }
        let other = DeliveryEvent::Suspended { reason: "r".into() };
        assert_eq!(Package::of(&other).unwrap(), None);
        assert_eq!(listed(&[7, 3]), "7,3");
    }
}
