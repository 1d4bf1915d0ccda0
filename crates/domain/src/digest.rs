//! Digests of evidence: SHA3-256 first, SHA-256 beside it for interoperability.

use crate::Malformed;

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Parses 64 hexadecimal digits, upper or lower case.
            ///
            /// # Errors
            /// [`Malformed`] on any other length or character.
            pub fn parse_hex(text: &str) -> Result<Self, Malformed> {
                parse_hex_32(text).map(Self).ok_or_else(|| Malformed::new($what, "not 64 hexadecimal digits"))
            }

            /// 64 lower-case hexadecimal digits.
            #[must_use]
            pub fn to_hex(&self) -> String {
                to_hex(&self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!($what, ":{}"), self.to_hex())
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

digest_type!(
    /// A SHA3-256 digest (FIPS 202), the primary digest of evidence.
    Sha3_256,
    "sha3-256"
);
digest_type!(
    /// A SHA-256 digest (FIPS 180-4), kept alongside.
    Sha256,
    "sha-256"
);

/// Both digests of the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digests {
    pub sha3_256: Sha3_256,
    pub sha256: Sha256,
}

fn parse_hex_32(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = core::str::from_utf8(pair).ok()?;
        if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(out)
}

fn to_hex(bytes: &[u8; 32]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_strict() {
        let d = Sha3_256([0xab; 32]);
        assert_eq!(Sha3_256::parse_hex(&d.to_hex()).unwrap(), d);
        for bad in [
            "",
            "ab",
            &"g".repeat(64),
            &"a".repeat(63),
            &"+a".repeat(32),
            &"é".repeat(32),
        ] {
            assert!(Sha3_256::parse_hex(bad).is_err(), "{bad}");
        }
    }
}
