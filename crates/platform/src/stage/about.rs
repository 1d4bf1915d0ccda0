//! What a message speaks of, as far as the runner has to know: whom to hold when the work on it ends nowhere.

use probity_domain::{EvidenceId, SubmissionId};
use probity_proto::v1::{DeliveryDue, Deposited, EvidenceRecord, Signed, Stamped, Submitted};

/// The one item that a message speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single {
    pub evidence: EvidenceId,
    /// Of the reconciler; 0 for what it has not hinted.
    pub round: u32,
}

/// A message of a stage.
pub trait About {
    /// `None` when it speaks of several items, or of none that could be held.
    fn single(&self) -> Option<Single> {
        None
    }
}

impl About for Submitted {
    fn single(&self) -> Option<Single> {
        let submission = SubmissionId::parse(&self.submission_id).ok()?;
        let (item, round) = (self.first_item, self.round);
        let evidence = EvidenceId { submission, item };
        (self.last_item == item).then_some(Single { evidence, round })
    }
}

impl About for Signed {
    fn single(&self) -> Option<Single> {
        only(&self.records, self.round)
    }
}

impl About for Stamped {
    fn single(&self) -> Option<Single> {
        only(&self.records, self.round)
    }
}

/// Its evidence is in the log: nothing is left to be held.
impl About for Deposited {}

impl About for DeliveryDue {}

fn only(records: &[EvidenceRecord], round: u32) -> Option<Single> {
    let [record] = records else {
        return None;
    };
    let evidence = EvidenceId::parse(&record.evidence_number).ok()?;
    Some(Single { evidence, round })
}

#[cfg(test)]
mod tests {
    use probity_domain::Timestamp;

    use super::*;

    #[test]
    fn one_item_has_a_name_and_several_have_none() {
        let submission = SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_000), [1; 10]);
        let evidence = EvidenceId {
            submission,
            item: 7,
        };
        let single = Some(Single { evidence, round: 5 });
        let hint = |last_item| Submitted {
            submission_id: submission.to_string(),
            first_item: 7,
            last_item,
            round: 5,
            tenant: String::new(),
        };
        assert_eq!((hint(7).single(), hint(8).single()), (single, None));
        assert_eq!(Submitted::default().single(), None, "it names nothing");
        let record = EvidenceRecord {
            evidence_number: evidence.to_string(),
            ..Default::default()
        };
        for (count, about) in [(0, None), (1, single), (2, None)] {
            let (records, submission_id) = (vec![record.clone(); count], String::new());
            let signed = Signed {
                submission_id: submission_id.clone(),
                records: records.clone(),
                round: 5,
            };
            let stamped = Stamped {
                submission_id,
                records,
                round: 5,
            };
            assert_eq!((signed.single(), stamped.single()), (about, about));
        }
    }
}
