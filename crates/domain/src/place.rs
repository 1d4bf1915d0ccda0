//! Place and time of dispatch and receipt (ETA section 15; Singapore, text of 1998).

use crate::{Malformed, Timestamp};

/// Where a recipient is deemed to receive records: its place of business (s.15(4)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceOfBusiness(String);

impl PlaceOfBusiness {
    /// 1 to 256 bytes without control characters.
    ///
    /// # Errors
    /// [`Malformed`] otherwise.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            return Err(Malformed::new(
                "place of business",
                "1 to 256 bytes without control characters",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which branch of s.15(2) fixed the time of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptRule {
    /// s.15(2)(a)(i): it entered the system the addressee designated.
    EnteredDesignatedSystem,
    /// s.15(2)(a)(ii): sent to another system of the addressee, received when retrieved.
    RetrievedFromOtherSystem,
    /// s.15(2)(b): none designated, received on entry to any system of the addressee.
    EnteredAnySystem,
}

/// When a record was received: `designated` says whether the addressee named a system and, if so, whether the record
/// was sent there; `entered` and `retrieved` are what is known. `None` while it has not been received.
#[must_use]
pub fn receipt_time(
    designated: Option<bool>,
    entered: Option<Timestamp>,
    retrieved: Option<Timestamp>,
) -> Option<(Timestamp, ReceiptRule)> {
    match designated {
        Some(true) => entered.map(|at| (at, ReceiptRule::EnteredDesignatedSystem)),
        Some(false) => retrieved.map(|at| (at, ReceiptRule::RetrievedFromOtherSystem)),
        None => entered.map(|at| (at, ReceiptRule::EnteredAnySystem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_branch_of_section_15_2() {
        let (e, r) = (Timestamp::from_unix_ms(1), Timestamp::from_unix_ms(2));
        let table = [
            (
                Some(true),
                Some(e),
                Some(r),
                Some((e, ReceiptRule::EnteredDesignatedSystem)),
            ),
            (Some(true), None, Some(r), None),
            (
                Some(false),
                Some(e),
                Some(r),
                Some((r, ReceiptRule::RetrievedFromOtherSystem)),
            ),
            (Some(false), Some(e), None, None),
            (
                None,
                Some(e),
                Some(r),
                Some((e, ReceiptRule::EnteredAnySystem)),
            ),
            (None, None, None, None),
        ];
        for (designated, entered, retrieved, expected) in table {
            assert_eq!(receipt_time(designated, entered, retrieved), expected);
        }
    }
}
