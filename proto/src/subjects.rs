//! The table of subjects: every subject, its kind, who publishes and who listens. It is also what the bus permits: the
//! users' permissions are made from it (`probity_platform::bus::Permissions`).

/// A JetStream work-queue stream, its one subject and its one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// Subject hints are published to.
    pub subject: &'static str,
    /// Stream that holds them.
    pub stream: &'static str,
    /// Durable consumer: the role that works on them.
    pub consumer: &'static str,
    /// Roles that publish: the first when it has made the work, a second when it drives the work again.
    pub publishers: &'static [&'static str],
}

/// A request/reply subject and the role that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub subject: &'static str,
    pub answered_by: &'static str,
    pub asked_by: &'static str,
}

pub const SUBMITTED: Hint = Hint {
    subject: "evidence.submitted",
    stream: "EVIDENCE_SUBMITTED",
    consumer: "signing",
    publishers: &["intake", "storage"],
};
pub const SIGNED: Hint = Hint {
    subject: "evidence.signed",
    stream: "EVIDENCE_SIGNED",
    consumer: "timestamping",
    publishers: &["signing"],
};
pub const STAMPED: Hint = Hint {
    subject: "evidence.stamped",
    stream: "EVIDENCE_STAMPED",
    consumer: "storage",
    publishers: &["timestamping"],
};
pub const DEPOSITED: Hint = Hint {
    subject: "evidence.deposited",
    stream: "EVIDENCE_DEPOSITED",
    consumer: "delivery",
    publishers: &["storage"],
};
pub const DELIVERY_DUE: Hint = Hint {
    subject: "delivery.due",
    stream: "DELIVERY_DUE",
    consumer: "delivery",
    publishers: &["delivery"],
};

pub const ISSUE_EVENT_CERTIFICATE: Ask = Ask {
    subject: "issuance.event_certificate",
    answered_by: "issuance",
    asked_by: "signing",
};
pub const PROVE: Ask = Ask {
    subject: "storage.prove",
    answered_by: "storage",
    asked_by: "delivery",
};
pub const ATTEST: Ask = Ask {
    subject: "storage.attest",
    answered_by: "storage",
    asked_by: "delivery",
};
pub const STAMP: Ask = Ask {
    subject: "timestamping.stamp",
    answered_by: "timestamping",
    asked_by: "delivery",
};
pub const LOCATE: Ask = Ask {
    subject: "storage.locate",
    answered_by: "storage",
    asked_by: "intake",
};

/// Every hint there is, in the order evidence meets them.
pub const HINTS: [Hint; 5] = [SUBMITTED, SIGNED, STAMPED, DEPOSITED, DELIVERY_DUE];

/// Every question there is.
pub const ASKS: [Ask; 5] = [ISSUE_EVENT_CERTIFICATE, STAMP, PROVE, ATTEST, LOCATE];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_owner_per_subject_and_stream() {
        let subjects: Vec<_> = HINTS
            .iter()
            .map(|h| h.subject)
            .chain(ASKS.iter().map(|a| a.subject))
            .collect();
        assert_eq!(
            subjects.iter().collect::<HashSet<_>>().len(),
            subjects.len()
        );
        assert_eq!(
            HINTS.iter().map(|h| h.stream).collect::<HashSet<_>>().len(),
            HINTS.len()
        );
        assert!(
            ASKS.iter()
                .all(|a| a.subject.starts_with(&format!("{}.", a.answered_by)))
        );
    }
}
