//! One-time codes: eight digits, of which only a keyed digest is kept.

use hmac::{Hmac, KeyInit as _, Mac as _};
use probity_domain::IntentId;
use probity_platform::config::SecretFile;
use probity_platform::{Error, Random, Result};
use sha2::Sha256;

const DIGITS: usize = 8;
const CODES: u64 = 100_000_000;
const KEY_BYTES_MIN: usize = 32;

/// Makes and checks codes under the role's key.
#[derive(Clone)]
pub struct Codes(Hmac<Sha256>);

/// A code in clear: exists between its making and its sending, and never prints itself.
pub struct Code(String);

impl Code {
    /// The digits, for the channel.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Codes {
    /// With the key in a file.
    ///
    /// # Errors
    /// `Malformed` when it does not read or has fewer than 32 bytes.
    pub fn from_file(file: &SecretFile) -> Result<Self> {
        Self::new(file.read()?.expose().as_bytes())
    }

    /// With this key.
    ///
    /// # Errors
    /// `Malformed` when it has fewer than 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self> {
        if key.len() < KEY_BYTES_MIN {
            return Err(Error::malformed(format!(
                "code key: fewer than {KEY_BYTES_MIN} bytes"
            )));
        }
        // HMAC takes keys of any length: this cannot fail.
        Hmac::new_from_slice(key).map(Self).map_err(Error::internal)
    }

    /// A fresh code, each as likely as any other.
    #[must_use]
    pub fn make(&self, random: &dyn Random) -> Code {
        // The part of the range that does not divide evenly is drawn again.
        let even = u64::MAX - u64::MAX % CODES;
        loop {
            let drawn = u64::from_be_bytes(random.bytes());
            if drawn < even {
                return Code(format!("{:0DIGITS$}", drawn % CODES));
            }
        }
    }

    /// What is kept: HMAC-SHA-256 over intent and code, in hexadecimal. Without the key, eight digits could be tried.
    #[must_use]
    pub fn keep(&self, intent: IntentId, code: &str) -> String {
        hex::encode(self.mac(intent, code).finalize().into_bytes())
    }

    /// Whether the code entered is the one kept; takes as long whatever was entered.
    #[must_use]
    pub fn matches(&self, intent: IntentId, entered: &str, kept: &str) -> bool {
        // What cannot be decoded equals no code, and is compared all the same.
        let kept = hex::decode(kept).unwrap_or_default();
        self.mac(intent, entered).verify_slice(&kept).is_ok()
    }

    fn mac(&self, intent: IntentId, code: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(b"probity.intent/1\0");
        mac.update(intent.to_string().as_bytes());
        mac.update(b"\0");
        mac.update(code.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_domain::Timestamp;
    use probity_platform::SystemRandom;

    #[test]
    fn eight_digits_that_match_one_intent() {
        let codes = Codes::new(&[7; 32]).unwrap();
        let [one, two] = [[1; 10], [2; 10]].map(|r| IntentId::new(Timestamp::from_unix_ms(1), r));
        for _ in 0..100 {
            let code = codes.make(&SystemRandom);
            assert!(code.expose().len() == 8 && code.expose().bytes().all(|b| b.is_ascii_digit()));
            let kept = codes.keep(one, code.expose());
            assert!(codes.matches(one, code.expose(), &kept));
            assert!(!codes.matches(two, code.expose(), &kept));
            assert!(!codes.matches(one, "", &kept) && !codes.matches(one, code.expose(), "zz"));
            assert!(
                !Codes::new(&[8; 32])
                    .unwrap()
                    .matches(one, code.expose(), &kept)
            );
        }
        assert!(Codes::new(&[7; 31]).is_err());
    }
}
