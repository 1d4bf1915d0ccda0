//! How intake, which relies on bytes being there, and an order that removes them keep out of each other's way.
//!
//! An order tells first what it will remove ([`RemovalEvent::Begun`]), then waits [`REMOVAL_WAIT_MS`], then looks who
//! needs the bytes, and only then removes them. Intake reads what was told, at most [`NOTICED_WITHIN_MS`] late, before it
//! relies on bytes; what is told of is relied on by nobody. So at the end of the wait whatever relied on the bytes
//! without knowing is written and is found, and what intake remembers from before is older than it believes.

use std::collections::{BTreeMap, BTreeSet};

use probity_domain::{TenantId, Timestamp};

use crate::ledger::RemovalEvent;
use crate::stored::WRITE_WITHIN_MS;

/// Intake knows of a removal at most this long after it was told: milliseconds.
pub const NOTICED_WITHIN_MS: i64 = 60_000;
/// How long intake believes that bytes it saw are there, without asking the store: milliseconds.
pub const BELIEVED_MS: i64 = 10 * 60_000;
/// Writing a submission ends at most this long after it began: as long as storage's reconciler leaves it for that.
const WRITE_ENDS_MS: i64 = 5 * 60_000;
/// From telling of a removal to looking who needs the bytes: until every intake knows, what they saw before is no longer
/// believed, and a submission that relied on it is written. 21 minutes in milliseconds.
pub const REMOVAL_WAIT_MS: i64 = NOTICED_WITHIN_MS + BELIEVED_MS + WRITE_WITHIN_MS + WRITE_ENDS_MS;
/// A removal that is not done this long after it was told is told again: intake looks a day back.
pub const REMOVAL_WITHIN_MS: i64 = 12 * HOUR_MS;

const HOUR_MS: i64 = 3_600_000;

/// The stream in which a removal at this time is told: one for each tenant and UTC day, so that none grows long.
#[must_use]
pub fn stream_id(tenant: &TenantId, at: Timestamp) -> String {
    let hour = at.hour_key();
    format!("{tenant}.{}", hour.get(..8).unwrap_or(&hour))
}

/// The streams in which removals may be told that are under way now, oldest first: a day back, and as far ahead as
/// clocks may differ.
#[must_use]
pub fn stream_ids(tenant: &TenantId, now: Timestamp) -> BTreeSet<String> {
    let days = [-24 * HOUR_MS, 0, HOUR_MS].map(|ms| stream_id(tenant, now.plus_ms(ms)));
    days.into()
}

/// A removal that was told of and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay<'e> {
    pub removal: &'e str,
    pub order: &'e str,
    pub keys: &'e [String],
}

/// The removals under way by the events of these streams one after the other.
pub fn under_way<'e>(events: impl Iterator<Item = &'e RemovalEvent>) -> Vec<UnderWay<'e>> {
    let mut open = BTreeMap::new();
    for event in events {
        match event {
            RemovalEvent::Begun {
                removal,
                order,
                keys,
            } => {
                let begun = UnderWay {
                    removal,
                    order,
                    keys,
                };
                open.insert(removal, begun);
            }
            RemovalEvent::Ended { removal, .. } => drop(open.remove(removal)),
        }
    }
    open.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_meet_where_clocks_differ() {
        let tenant = TenantId::parse("acme").unwrap();
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let ids = |text: &str| Vec::from_iter(stream_ids(&tenant, at(text)));
        assert_eq!(
            ids("2026-11-27T12:00:00Z"),
            ["acme.20261126", "acme.20261127"]
        );
        assert_eq!(
            ids("2026-12-31T23:30:00Z"),
            ["acme.20261230", "acme.20261231", "acme.20270101"]
        );
        // Half of it is left to whoever goes on with what was told.
        const { assert!(REMOVAL_WITHIN_MS > 4 * REMOVAL_WAIT_MS) };
    }

    #[test]
    fn what_is_told_stands_until_the_same_try_ends() {
        let begun = |removal: &str, key: &str| RemovalEvent::Begun {
            removal: removal.into(),
            order: format!("D-{removal}"),
            keys: vec![key.into()],
        };
        let events = [
            begun("1", "a"),
            begun("2", "b"),
            RemovalEvent::Ended {
                removal: "1".into(),
                removed: true,
            },
            begun("3", "b"),
            RemovalEvent::Ended {
                removal: "3".into(),
                removed: false,
            },
        ];
        let open = under_way(events.iter());
        let [open] = open.as_slice() else {
            panic!("{open:?}")
        };
        assert_eq!(
            (open.removal, open.order, open.keys),
            ("2", "D-2", &["b".to_owned()][..])
        );
        assert_eq!(under_way([].iter()), []);
    }
}
