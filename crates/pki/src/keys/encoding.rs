//! The two encodings of an ECDSA signature.

use der::asn1::UintRef;
use der::{Encode, Sequence};

use super::SignatureAlgorithm;
use crate::{Error, Result};

/// RFC 3279 2.2.3.
#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// DER of a signature that came as r‖s, both of the curve's length, as tokens give it (PKCS#11 v3.0 2.3.1).
///
/// # Errors
/// [`Error::Malformed`] for another length.
pub fn ecdsa_sig_value(algorithm: SignatureAlgorithm, r_and_s: &[u8]) -> Result<Vec<u8>> {
    const WHAT: &str = "ECDSA signature";
    let half = algorithm.coordinate_bytes();
    let (r, s) = match r_and_s.split_at_checked(half) {
        Some((r, s)) if s.len() == half => (r, s),
        _ => {
            let reason = format!("{} bytes, not twice {half}", r_and_s.len());
            return Err(Error::malformed(WHAT, reason));
        }
    };
    let encode = || {
        EcdsaSigValue {
            r: UintRef::new(r)?,
            s: UintRef::new(s)?,
        }
        .to_der()
    };
    encode().map_err(|e: der::Error| Error::malformed(WHAT, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_positive() {
        let p256 = SignatureAlgorithm::EcdsaP256Sha256;
        let mut raw = [0_u8; 64];
        raw[31] = 1;
        raw[32] = 0x80;
        let der = ecdsa_sig_value(p256, &raw).unwrap();
        let mut expected = vec![0x30, 0x26, 0x02, 0x01, 0x01, 0x02, 0x21, 0x00, 0x80];
        expected.extend([0; 31]);
        assert_eq!(der, expected);
        for length in [0, 63, 65, 96] {
            assert!(ecdsa_sig_value(p256, &vec![1; length]).is_err(), "{length}");
        }
    }
}
