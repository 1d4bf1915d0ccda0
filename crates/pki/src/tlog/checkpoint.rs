//! Checkpoints: the signed size and root of the log (C2SP tlog-checkpoint, signed-note).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use signed_note::{Note, StandardSigner, StandardVerifier, Verifier as _, VerifierList};
use zeroize::Zeroizing;

use super::{Hash, TREE_SIZE_MAX};
use crate::{Error, Result};

/// Signature type byte of Ed25519 (signed-note, "Signature types").
const ED25519: u8 = 1;
const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;

/// A state of the log: its name, how many entries it has and their root hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

/// The log's signing key: Ed25519, as signed-note asks for.
pub struct LogKey {
    signer: StandardSigner,
    secret: Zeroizing<String>,
    name: String,
    verifier_key: String,
}

/// A pinned public key of a log.
#[derive(Clone)]
pub struct LogVerifier {
    verifier: StandardVerifier,
}

impl LogKey {
    /// A key from 32 secret random bytes. The name is the log's origin.
    ///
    /// # Errors
    /// [`Error::Key`] for a name that is empty or has spaces or pluses.
    pub fn generate(name: &str, seed: &[u8; 32]) -> Result<Self> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|e| Error::Key(e.to_string()))?;
        let public = [&[ED25519], pair.public_key().as_ref()].concat();
        let private = Zeroizing::new([&[ED25519], seed.as_slice()].concat());
        let id = signed_note::key_id(name, &public);
        let private = Zeroizing::new(STANDARD.encode(&private));
        Self::from_secret(&format!("PRIVATE+KEY+{name}+{id:08x}+{}", *private))
    }

    /// Reads the written form that [`to_secret`](Self::to_secret) gives.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not one.
    pub fn from_secret(secret: &str) -> Result<Self> {
        let bad = |reason: &str| Error::Key(format!("log signing key: {reason}"));
        let signer = StandardSigner::new(secret).map_err(|e| bad(&e.to_string()))?;
        let mut parts = secret.splitn(5, '+').skip(2);
        let (Some(name), Some(_id), Some(private)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("not five parts"));
        };
        let seed = Zeroizing::new(STANDARD.decode(private).map_err(|_| bad("not base64"))?);
        let seed = seed.get(1..).unwrap_or_default();
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|e| bad(&e.to_string()))?;
        let public = [&[ED25519], pair.public_key().as_ref()].concat();
        let id = signed_note::key_id(name, &public);
        let verifier_key = format!("{name}+{id:08x}+{}", STANDARD.encode(public));
        let secret = Zeroizing::new(secret.to_owned());
        Ok(Self {
            signer,
            secret,
            name: name.to_owned(),
            verifier_key,
        })
    }

    /// The secret in writing. Whoever stores it encrypts it.
    #[must_use]
    pub fn to_secret(&self) -> Zeroizing<String> {
        self.secret.clone()
    }

    /// The log's name: first line of every checkpoint.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half, to be pinned by verifiers: `name+id+key`.
    #[must_use]
    pub fn verifier_key(&self) -> &str {
        &self.verifier_key
    }

    /// Signs a text as a note. Each kind of text begins with a line of its own, so that none is taken for another.
    pub(crate) fn sign_note(&self, text: &str) -> Result<Vec<u8>> {
        let bad = |e: signed_note::NoteError| Error::malformed("signed note", e);
        let mut note = Note::new(text.as_bytes(), &[]).map_err(bad)?;
        note.add_sigs(&[&self.signer]).map_err(bad)?;
        Ok(note.to_bytes())
    }
}

impl LogVerifier {
    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// [`Error::Key`] when it is not an Ed25519 verifier key.
    pub fn parse(verifier_key: &str) -> Result<Self> {
        let verifier = StandardVerifier::new(verifier_key.trim())
            .map_err(|e| Error::Key(format!("log verifier key: {e}")))?;
        Ok(Self { verifier })
    }

    /// The log it belongs to.
    #[must_use]
    pub fn name(&self) -> &str {
        self.verifier.name()
    }
}

impl Checkpoint {
    /// The checkpoint as a signed note.
    ///
    /// # Errors
    /// [`Error::Key`] when the key is another log's.
    pub fn sign(&self, key: &LogKey) -> Result<Vec<u8>> {
        if self.origin != key.name {
            return Err(Error::Key(format!(
                "key of {} for log {}",
                key.name, self.origin
            )));
        }
        let bad = |e: &dyn ToString| Error::malformed("checkpoint", e.to_string());
        let body = tlog_tiles::Checkpoint::new(&self.origin, self.size, self.root, "")
            .map_err(|e| bad(&e))?;
        let text = String::from_utf8(body.to_bytes()).map_err(|e| bad(&e))?;
        key.sign_note(&text)
    }

    /// Reads a signed note and checks that one of the pinned keys, named as its origin, signed it.
    /// Signatures by others (witnesses) are let pass.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::NotVerified`].
    pub fn verify(note: &[u8], pinned: &[LogVerifier]) -> Result<Self> {
        let (checkpoint, note) = Self::read(note)?;
        check_note("checkpoint", &note, &checkpoint.origin, pinned)?;
        Ok(checkpoint)
    }

    /// Reads a signed note without checking who signed it.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn parse_unverified(note: &[u8]) -> Result<Self> {
        Self::read(note).map(|(checkpoint, _)| checkpoint)
    }

    fn read(note: &[u8]) -> Result<(Self, Note)> {
        let bad = |e: &dyn ToString| Error::malformed("checkpoint", e.to_string());
        let note = read_note("checkpoint", note, CHECKPOINT_BYTES_MAX)?;
        let body = tlog_tiles::Checkpoint::from_bytes(note.text()).map_err(|e| bad(&e))?;
        if body.size() > TREE_SIZE_MAX {
            return Err(Error::TooLarge {
                what: "log",
                limit: TREE_SIZE_MAX,
            });
        }
        let checkpoint = Self {
            origin: body.origin().to_owned(),
            size: body.size(),
            root: *body.hash(),
        };
        Ok((checkpoint, note))
    }
}

/// Reads a signed note, whoever signed it.
pub(crate) fn read_note(what: &'static str, bytes: &[u8], bytes_max: usize) -> Result<Note> {
    if bytes.len() > bytes_max {
        let limit = bytes_max as u64;
        return Err(Error::TooLarge { what, limit });
    }
    Note::from_bytes(bytes).map_err(|e| Error::malformed(what, e))
}

/// That one of the pinned keys of log `origin` signed the note. Signatures by others are let pass.
pub(crate) fn check_note(
    what: &'static str,
    note: &Note,
    origin: &str,
    pinned: &[LogVerifier],
) -> Result<()> {
    let mut known: Vec<Box<dyn signed_note::Verifier>> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for pin in pinned {
        // The same key pinned twice would be refused as ambiguous.
        if pin.name() == origin && ids.insert(pin.verifier.key_id()) {
            known.push(Box::new(pin.verifier.clone()));
        }
    }
    if known.is_empty() {
        let reason = format!("no key of log {origin:?} is pinned");
        return Err(Error::not_verified(what, reason));
    }
    note.verify(&VerifierList::new(known))
        .map(drop)
        .map_err(|e| Error::not_verified(what, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LogKey {
        LogKey::generate(name, &[7; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "log.example".to_owned(),
            size: 42,
            root: Hash([3; 32]),
        }
    }

    #[test]
    fn signed_and_verified() {
        let key = key("log.example");
        let note = checkpoint().sign(&key).unwrap();
        let pin = LogVerifier::parse(key.verifier_key()).unwrap();
        assert_eq!(
            Checkpoint::verify(&note, &[pin.clone(), pin]).unwrap(),
            checkpoint()
        );
        let again = LogKey::from_secret(&key.to_secret()).unwrap();
        assert_eq!(again.verifier_key(), key.verifier_key());
    }

    #[test]
    fn any_changed_byte_and_any_other_key_fails() {
        let note = checkpoint().sign(&key("log.example")).unwrap();
        let pin = LogVerifier::parse(key("log.example").verifier_key()).unwrap();
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(
                Checkpoint::verify(&changed, std::slice::from_ref(&pin)).is_err(),
                "{at}"
            );
        }
        let other = LogKey::generate("log.example", &[8; 32]).unwrap();
        let other = LogVerifier::parse(other.verifier_key()).unwrap();
        let elsewhere = LogVerifier::parse(key("elsewhere").verifier_key()).unwrap();
        for pins in [vec![], vec![other], vec![elsewhere]] {
            assert!(Checkpoint::verify(&note, &pins).is_err());
        }
        assert!(checkpoint().sign(&key("elsewhere")).is_err());
    }

    #[test]
    fn names_and_keys_are_checked() {
        for name in ["", "a b", "a+b"] {
            assert!(LogKey::generate(name, &[1; 32]).is_err(), "{name:?}");
        }
        for bad in ["", "x", "a+00000000+AAAA", "PRIVATE+KEY+a+00000000+AQ=="] {
            assert!(LogVerifier::parse(bad).is_err());
            assert!(LogKey::from_secret(bad).is_err());
        }
    }
}
