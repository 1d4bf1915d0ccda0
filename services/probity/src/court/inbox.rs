//! What happens to a package that came, by push or pull: opened, verified, acknowledged; the same again, the same
//! receipt.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _};
use std::path::Path;

use probity_domain::{ReceiptScope, Sha3_256, Sha256};
use probity_pki::asic::{ContainerReader, Limits};
use probity_pki::envelope::decrypt;
use probity_pki::package::STATEMENT;
use probity_pki::statement::Statement;
use probity_proto::http::SignedReceiptDocument;
use probity_verify::Overall;
use sha3::Digest as _;

use super::folder::Folder;
use super::receipt::{Received, package_digest, sign};
use super::trust::Trust;
use crate::failure::Failure;
use crate::files::{self, Readable};
use crate::now::now;

/// A court's folder and whom the court trusts.
#[derive(Debug, Clone)]
pub struct Inbox {
    pub folder: Folder,
    pub trust: Trust,
}

/// What became of a package.
#[derive(Debug, Clone)]
pub struct Handled {
    pub receipt: SignedReceiptDocument,
    /// `None` when no roots were given to verify with.
    pub overall: Option<Overall>,
    /// It was handled before.
    pub repeated: bool,
}

impl Inbox {
    /// The receipt given before for the very same bytes.
    pub fn known(&self, delivery: &str, sha256: &Sha256) -> Option<SignedReceiptDocument> {
        let bytes = std::fs::read(self.folder.receipt(delivery)).ok()?;
        let receipt: SignedReceiptDocument = serde_json::from_slice(&bytes).ok()?;
        (package_digest(&receipt)? == *sha256).then_some(receipt)
    }

    /// Handles the package that lies in the inbox. The receipt's scope is what was really done: the digest is
    /// confirmed once it was opened, technical conformity only by a verdict of `valid`.
    pub fn handle(&self, delivery: &str, sha256: Sha256) -> Result<Handled, Failure> {
        if let Some(receipt) = self.known(delivery, &sha256) {
            return Ok(Handled {
                receipt,
                overall: None,
                repeated: true,
            });
        }
        let opened = self.folder.opened(delivery);
        let content_sha3_256 = open(&self.folder, &self.folder.package(delivery), &opened)?;
        let statement = statement(&opened)?;
        let overall = self.verify(delivery, &opened)?;
        let scope = match overall {
            Some(Overall::Valid) => ReceiptScope::TechnicalConformityConfirmed,
            _ => ReceiptScope::ContentDigestConfirmed,
        };
        let received = Received {
            delivery: delivery.to_owned(),
            evidence: statement.evidence_number.to_string(),
            sha256,
            content_sha3_256,
            scope,
            at: now(),
        };
        let receipt = sign(&self.folder, &received)?;
        files::write(
            &self.folder.receipt(delivery),
            &serde_json::to_vec_pretty(&receipt)?,
            Readable::ByAll,
        )?;
        Ok(Handled {
            receipt,
            overall,
            repeated: false,
        })
    }

    fn verify(&self, delivery: &str, opened: &Path) -> Result<Option<Overall>, Failure> {
        if self.trust.roots.is_empty() {
            return Ok(None);
        }
        let verdict = self.trust.verify(opened, now())?;
        files::write(
            &self.folder.verdict(delivery),
            verdict.to_json().as_bytes(),
            Readable::ByAll,
        )?;
        Ok(Some(verdict.overall))
    }
}

/// Decrypts a package, of one envelope or several, to `to`, which comes to stand there whole or not at all; answers
/// the content's digest.
pub fn open(folder: &Folder, package: &Path, to: &Path) -> Result<Sha3_256, Failure> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| Failure::new(format!("{path}: {e}"))
    };
    let key = folder.key_der("encryption")?;
    let mut from = BufReader::new(File::open(package).map_err(failed(package))?);
    let part = to.with_extension("part");
    let mut out = BufWriter::new(File::create(&part).map_err(failed(&part))?);
    // Nothing of it is used before every tag held and the whole is a container: else the part goes.
    let opened = decrypt(&mut from, &key, &mut out).map_err(|e| e.to_string());
    let opened = opened.and_then(|_| is_whole(&part));
    if let Err(e) = opened {
        drop(out);
        let _ = std::fs::remove_file(&part);
        return Err(Failure::new(format!("{}: {e}", package.display())));
    }
    out.get_ref().sync_all().map_err(failed(&part))?;
    std::fs::rename(&part, to).map_err(failed(to))?;
    digest(to)
}

/// Envelopes are each for themselves. That none is missing, doubled or in another's place the container says: one row
/// of members that ends where its directory does, each with its length and checksum.
fn is_whole(container: &Path) -> Result<(), String> {
    let broken = |e: &dyn std::fmt::Display| {
        format!("what was in it is no whole container, as if a part were missing or misplaced: {e}")
    };
    let file = BufReader::new(File::open(container).map_err(|e| e.to_string())?);
    let mut container = ContainerReader::open(file, Limits::default()).map_err(|e| broken(&e))?;
    let names: Vec<_> = container.members().iter().map(|m| m.name.clone()).collect();
    for name in names {
        let mut member = container.stream(&name).map_err(|e| broken(&e))?;
        std::io::copy(&mut member, &mut std::io::sink()).map_err(|e| broken(&e))?;
    }
    Ok(())
}

fn digest(path: &Path) -> Result<Sha3_256, Failure> {
    let mut file = BufReader::new(File::open(path)?);
    let mut digest = sha3::Sha3_256::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Sha3_256(digest.finalize().into())),
            read => digest.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// What the package says it is.
pub fn statement(package: &Path) -> Result<Statement, Failure> {
    let file = BufReader::new(File::open(package)?);
    let bytes = ContainerReader::open(file, Limits::default())?.read(STATEMENT)?;
    Ok(Statement::parse(&bytes)?)
}

#[cfg(test)]
mod tests {
    use probity_pki::envelope::{EnvelopeRandom, PartsEncryptor, encrypt};
    use probity_pki::keys::Signer as _;

    use super::*;
    use crate::fixture;
    use crate::now::random;

    /// A package of the fixture's, encrypted to the court, in its inbox; answers its digest.
    fn arrived(folder: &Folder, delivery: &str, package: &[u8]) -> Sha256 {
        let certificate = folder.certificate("encryption").unwrap();
        let random = EnvelopeRandom::from_bytes(&random().unwrap());
        let envelope = encrypt(&certificate, package, &random).unwrap();
        let mut digest = sha2::Sha256::default();
        sha2::Digest::update(&mut digest, &envelope);
        std::fs::write(folder.package(delivery), envelope).unwrap();
        Sha256(sha2::Digest::finalize(digest).into())
    }

    fn scope(handled: &Handled) -> String {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(&handled.receipt.receipt)
            .unwrap();
        let receipt: probity_proto::http::ReceiptDocument = serde_json::from_slice(&bytes).unwrap();
        receipt.scope
    }

    #[test]
    fn a_receipt_says_what_was_done_and_is_given_once() {
        let (_dir, folder) = crate::court::init::tests::made();
        let world = fixture::World::new();
        let package = fixture::container(&world.members(&world.scenario()));
        let trust = Trust {
            roots: vec![world.root.certificate.clone()],
            log_keys: vec![world.log.verifier_key().to_owned()],
        };
        // Without roots nothing is verified: only the digest is confirmed.
        let blind = Inbox {
            folder: folder.clone(),
            trust: Trust::default(),
        };
        let sha256 = arrived(&folder, "blind", &package);
        let handled = blind.handle("blind", sha256).unwrap();
        assert_eq!(
            (scope(&handled).as_str(), handled.overall),
            ("content_digest_confirmed", None)
        );

        let seeing = Inbox {
            folder: folder.clone(),
            trust,
        };
        let sha256 = arrived(&folder, "seen", &package);
        let handled = seeing.handle("seen", sha256).unwrap();
        let confirmed = match handled.overall {
            // The fixture is of a fixed day; a machine whose clock stands before it finds it in the future.
            Some(Overall::Valid) => "technical_conformity_confirmed",
            _ => "content_digest_confirmed",
        };
        assert_eq!(scope(&handled), confirmed);
        assert_eq!(std::fs::read(folder.opened("seen")).unwrap(), package);
        let again = seeing.handle("seen", sha256).unwrap();
        assert!(again.repeated);
        assert_eq!(again.receipt, handled.receipt);

        // The receipt is the court's, over these very bytes.
        use base64::Engine as _;
        let decode = |text: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap()
        };
        let cms =
            probity_pki::cms::SignedData::from_der(&decode(&handled.receipt.signature)).unwrap();
        let signer =
            probity_pki::cms::verify_detached_content(&cms, &decode(&handled.receipt.receipt))
                .unwrap();
        assert_eq!(
            signer.certificate.spki_der(),
            folder.signing_key().unwrap().public_key_der()
        );
    }

    #[test]
    fn a_package_of_several_parts_opens_as_a_whole_or_not_at_all() {
        let (_dir, folder) = crate::court::init::tests::made();
        let world = fixture::World::new();
        let package = fixture::container(&world.members(&world.scenario()));
        let certificate = folder.certificate("encryption").unwrap();
        let mut fresh = || EnvelopeRandom::from_bytes(&random().unwrap());
        let (size, piece, mut whole) = (package.len() as u64, 4_000, Vec::new());
        let mut encryptor =
            PartsEncryptor::new(&certificate, size, piece, &mut fresh, &mut whole).unwrap();
        let part_bytes = encryptor.part_bytes().to_vec();
        encryptor.write(&package, &mut whole).unwrap();
        encryptor.finish(&mut whole).unwrap();
        let mut rest = &whole[..];
        let parts: Vec<&[u8]> = part_bytes
            .iter()
            .map(|length| rest.split_off(..usize::try_from(*length).unwrap()).unwrap())
            .collect();
        assert!(parts.len() > 2, "{part_bytes:?}");

        let (from, to) = (folder.package("d"), folder.opened("d"));
        let open = |parts: &[&[u8]]| {
            std::fs::write(&from, parts.concat()).unwrap();
            super::open(&folder, &from, &to)
        };
        open(&parts).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), package);
        std::fs::remove_file(&to).unwrap();
        let (mut swapped, mut doubled) = (parts.clone(), parts.clone());
        swapped.swap(0, 1);
        doubled.insert(1, parts[1]);
        for (what, wrong) in [
            ("without its last part", &parts[..parts.len() - 1]),
            ("without its first part", &parts[1..]),
            ("swapped", &swapped),
            ("doubled", &doubled),
        ] {
            let refused = open(wrong).unwrap_err().sentence;
            assert!(refused.contains("no whole container"), "{what}: {refused}");
        }
        std::fs::write(&from, &whole[..whole.len() - 1]).unwrap();
        let refused = super::open(&folder, &from, &to).unwrap_err().sentence;
        assert!(refused.contains("cut short"), "{refused}");
        let left = std::fs::read_dir(to.parent().unwrap()).unwrap().count();
        assert_eq!(left, 0, "no plaintext stays");
    }

    #[test]
    fn a_damaged_package_leaves_neither_plaintext_nor_receipt() {
        let (_dir, folder) = crate::court::init::tests::made();
        let world = fixture::World::new();
        let inbox = Inbox {
            folder: folder.clone(),
            trust: Trust::default(),
        };
        let package = fixture::container(&world.members(&world.scenario()));
        let sha256 = arrived(&folder, "d", &package);
        let mut bytes = std::fs::read(folder.package("d")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(folder.package("d"), bytes).unwrap();
        assert!(inbox.handle("d", sha256).is_err());
        let opened = folder.opened("d");
        assert_eq!(
            std::fs::read_dir(opened.parent().unwrap()).unwrap().count(),
            0
        );
        assert!(!folder.receipt("d").exists());
    }
}
