//! Identifiers and their written forms.

use core::fmt;

use uuid::Uuid;

use crate::{Malformed, Timestamp};

/// Names an instruction of a vendor: one submission of one to ten thousand items. A UUIDv7, so its hour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmissionId(Uuid);

impl SubmissionId {
    /// Builds a UUIDv7 (RFC 9562 section 5.7) from a time and ten random bytes.
    #[must_use]
    pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
        let ms = u64::try_from(at.unix_ms()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// From sixteen bytes that are a UUIDv7.
    ///
    /// # Errors
    /// [`Malformed`] for any other version or variant of UUID.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, Malformed> {
        let id = Uuid::from_bytes(bytes);
        if id.get_version_num() != 7 || id.get_variant() != uuid::Variant::RFC4122 {
            return Err(Malformed::new("submission id", "not a UUIDv7"));
        }
        Ok(Self(id))
    }

    /// Parses the hyphenated UUID form.
    ///
    /// # Errors
    /// [`Malformed`] when it is not a UUIDv7.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let id =
            Uuid::try_parse(text).map_err(|e| Malformed::new("submission id", e.to_string()))?;
        // The library also reads URNs, braces and bare digits.
        if !id.to_string().eq_ignore_ascii_case(text) {
            return Err(Malformed::new("submission id", "not the hyphenated form"));
        }
        Self::from_bytes(id.into_bytes())
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The millisecond the id was made at.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        let ms = self
            .as_bytes()
            .iter()
            .take(6)
            .fold(0i64, |ms, byte| (ms << 8) | i64::from(*byte));
        Timestamp::from_unix_ms(ms)
    }

    /// The two hexadecimal digits that spread one hour's submissions over 256 key prefixes.
    #[must_use]
    pub fn shard(&self) -> String {
        format!("{:02x}", self.as_bytes().last().copied().unwrap_or(0))
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The number of one piece of evidence: its submission and its place in it, counted from zero.
///
/// Written `PB1-<26 characters>-<place>`: `PB1` names the log, the middle is the submission's UUID in Crockford's
/// base 32, so it can be read out loud and typed from paper. Case does not matter, nor I/L for 1 and O for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceId {
    pub submission: SubmissionId,
    pub item: u32,
}

const LOG_TAG: &str = "PB1";
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl EvidenceId {
    /// Parses the written form.
    ///
    /// # Errors
    /// [`Malformed`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bad = |reason: &str| Malformed::new("evidence number", reason);
        let mut parts = text.trim().split('-');
        let (Some(tag), Some(middle), Some(place), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("expected PB1-<26 characters>-<place>"));
        };
        if !tag.eq_ignore_ascii_case(LOG_TAG) {
            return Err(bad("unknown log name, expected PB1"));
        }
        if place.len() < 5 || place.len() > 10 || !place.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("the place is five or more digits"));
        }
        let item = place.parse().map_err(|_| bad("the place is too large"))?;
        let value =
            base32_value(middle).ok_or_else(|| bad("the middle is not 26 base-32 characters"))?;
        let id = Self {
            submission: SubmissionId::from_bytes(value.to_be_bytes())?,
            item,
        };
        Ok(id)
    }

    /// Twenty bytes for index tiles: the submission's sixteen, then the place in big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 20] {
        let mut out = [0u8; 20];
        let (id, place) = out.split_at_mut(16);
        id.copy_from_slice(self.submission.as_bytes());
        place.copy_from_slice(&self.item.to_be_bytes());
        out
    }

    /// The inverse of [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`Malformed`] when the first sixteen bytes are not a UUIDv7.
    pub fn from_bytes(bytes: [u8; 20]) -> Result<Self, Malformed> {
        let mut id = [0u8; 16];
        let mut place = [0u8; 4];
        id.copy_from_slice(bytes.get(..16).unwrap_or(&[0; 16]));
        place.copy_from_slice(bytes.get(16..).unwrap_or(&[0; 4]));
        Ok(Self {
            submission: SubmissionId::from_bytes(id)?,
            item: u32::from_be_bytes(place),
        })
    }
}

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = u128::from_be_bytes(*self.submission.as_bytes());
        let mut text = [b'0'; 26];
        for slot in text.iter_mut().rev() {
            // The mask keeps the index below 32.
            *slot = BASE32.get((value & 31) as usize).copied().unwrap_or(b'0');
            value >>= 5;
        }
        write!(
            f,
            "{LOG_TAG}-{}-{:05}",
            core::str::from_utf8(&text).unwrap_or(""),
            self.item
        )
    }
}

fn base32_value(text: &str) -> Option<u128> {
    if text.len() != 26 {
        return None;
    }
    let mut value: u128 = 0;
    for (place, byte) in text.bytes().enumerate() {
        let digit = match byte.to_ascii_uppercase() {
            b'I' | b'L' => 1,
            b'O' => 0,
            other => BASE32.iter().position(|b| *b == other)?,
        };
        // 26 characters hold 130 bits: the first may use only three of its five.
        if place == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit as u128;
    }
    Some(value)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SubmissionId);

        impl $name {
            /// Builds a UUIDv7 from a time and ten random bytes.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(SubmissionId::new(at, random))
            }

            /// Parses the hyphenated form.
            ///
            /// # Errors
            /// [`Malformed`] when it is not a UUIDv7.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                SubmissionId::parse(text).map(Self).map_err(|e| Malformed::new($what, e.reason))
            }

            /// The millisecond the id was made at.
            #[must_use]
            pub fn at(&self) -> Timestamp {
                self.0.at()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// Names one intent: the request for, and confirmation of, one instruction by one-time code.
    IntentId,
    "intent id"
);
uuid_id!(
    /// Names one delivery: one piece of evidence on its way to one recipient. Stable over every attempt.
    DeliveryId,
    "delivery id"
);
uuid_id!(
    /// Names one read of a delivery's package by its recipient.
    ReadId,
    "read id"
);
uuid_id!(
    /// Names a credential. Not secret: the secret half is never stored.
    CredentialId,
    "credential id"
);

macro_rules! slug_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses 1 to 63 of `a-z`, `0-9` and `-`, not starting or ending with `-`.
            ///
            /// # Errors
            /// [`Malformed`] otherwise.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if text.is_empty() || text.len() > 63 || !inner || text.starts_with('-') || text.ends_with('-') {
                    return Err(Malformed::new($what, "1 to 63 of a-z, 0-9 and inner hyphens"));
                }
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

slug_id!(
    /// A customer: everything it submits is separate from every other's.
    TenantId,
    "tenant"
);
slug_id!(
    /// A verified person or organisation.
    PartyId,
    "party"
);
slug_id!(
    /// A court, arbitration body or other addressee of deliveries.
    RecipientId,
    "recipient"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Parses visible text without control characters, bounded in bytes, without spaces at its ends.
            ///
            /// # Errors
            /// [`Malformed`] otherwise.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                if text.is_empty() || text.len() > $max {
                    return Err(Malformed::new($what, concat!("1 to ", $max, " bytes")));
                }
                if text.trim() != text || text.chars().any(char::is_control) {
                    return Err(Malformed::new($what, "control characters or outer spaces"));
                }
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A court's or vendor's case reference, e.g. `(2026)京0491民初12345号`.
    CaseId,
    "case",
    128
);
text_id!(
    /// What makes a repeated submit the same instruction, chosen by the vendor.
    IdempotencyKey,
    "idempotency key",
    128
);

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> SubmissionId {
        SubmissionId::new(Timestamp::from_unix_ms(1_795_000_000_123), [7; 10])
    }

    #[test]
    fn submission_id_knows_its_hour() {
        let id = submission();
        assert_eq!(id.at().unix_ms(), 1_795_000_000_123);
        assert_eq!(SubmissionId::parse(&id.to_string()).unwrap(), id);
        assert_eq!(id.shard(), "07");
    }

    #[test]
    fn evidence_number_round_trips_and_forgives_handwriting() {
        let id = EvidenceId {
            submission: submission(),
            item: 17,
        };
        let text = id.to_string();
        assert_eq!(EvidenceId::parse(&text).unwrap(), id);
        assert_eq!(
            EvidenceId::parse(
                &text
                    .to_lowercase()
                    .replace('0', "o")
                    .replace("-oo", "-00")
                    .replace("o17", "017")
            )
            .unwrap(),
            id
        );
        assert_eq!(EvidenceId::from_bytes(id.to_bytes()).unwrap(), id);
        assert!(text.ends_with("-00017"));
    }

    #[test]
    fn evidence_number_refuses_what_is_not_one() {
        let good = EvidenceId {
            submission: submission(),
            item: 1,
        }
        .to_string();
        for bad in [
            String::new(),
            good.replace("PB1", "PB2"),
            good.replace("-00001", "-1"),
            good.replace("-00001", ""),
            format!("{good}-0"),
            good.replace("-00001", "-99999999999"),
            "PB1-ZZZZZZZZZZZZZZZZZZZZZZZZZZ-00001".to_owned(),
            "PB1-00000000000000000000000000-00001".to_owned(),
        ] {
            assert!(EvidenceId::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_and_texts_are_bounded() {
        assert!(TenantId::parse("acme-1").is_ok());
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", &"a".repeat(64)] {
            assert!(TenantId::parse(bad).is_err(), "{bad}");
        }
        assert!(CaseId::parse("(2026)京0491民初12345号").is_ok());
        for bad in ["", " a", "a\n", "a\u{0}", &"a".repeat(129)] {
            assert!(CaseId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
