//! Checking what a ceremony left behind: by itself at a role, or whole in the safe.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use probity_domain::Timestamp;
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::crl::Crl;
use probity_pki::keys::{MemoryKey, Signer};
use probity_pki::path::{Purpose, Revocation, validate_path};
use probity_pki::tlog::{LogKey, LogVerifier};
use probity_pki::x509::Certificate;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::folder::{self, read_text};
use crate::layout::{self, Place};
use crate::record::{self, Record};
use crate::settings::{self, Verify};

/// Runs every check, prints one line each and says whether all held.
pub(crate) fn check(settings: &Verify, now: Timestamp, out: &mut dyn Write) -> Result<bool> {
    let ceremony = Ceremony::read(settings)?;
    let mut failed = 0_usize;
    let mut line = |what: String, result: Result<()>| -> Result<()> {
        match result {
            Ok(()) => writeln!(out, "ok      {what}")?,
            Err(reason) => {
                failed += 1;
                writeln!(out, "FAILED  {what}: {reason}")?;
            }
        }
        Ok(())
    };
    line(
        "record is signed by the ceremony's own key".to_owned(),
        ceremony.record_signature(now),
    )?;
    for entry in &ceremony.record.certificates {
        line(
            format!("{} is the one recorded, or renewed since", entry.file),
            ceremony.is_recorded(&entry.file),
        )?;
    }
    line("root signed itself".to_owned(), ceremony.root_signature())?;
    for (place, purpose) in CHAINS {
        let what = format!("{} chains to the root", place.public());
        line(what, ceremony.chain(place, purpose, now))?;
    }
    line(
        "root revocation list is current and revokes nothing here".to_owned(),
        ceremony.crl(now),
    )?;
    line(
        "log's verifier key is the one recorded".to_owned(),
        ceremony.log_verifier(),
    )?;
    for role in layout::ROLES
        .iter()
        .filter(|role| ceremony.path(role).is_dir())
    {
        line(
            format!("{role}/ holds its own files, for its owner alone"),
            ceremony.role(role),
        )?;
    }
    for place in PLACES
        .iter()
        .filter(|place| ceremony.path(&place.key()).is_file())
    {
        if let Some(passphrase) = ceremony.passphrase_of(place.role) {
            let what = format!("{} is the key of its certificate", place.key());
            line(what, ceremony.key(*place, passphrase))?;
        }
    }
    if let (Some(passphrase), true) = (
        ceremony.passphrase_of("storage"),
        ceremony.path(layout::LOG_KEY).is_file(),
    ) {
        let what = format!("{} is the log's recorded key", layout::LOG_KEY);
        line(what, ceremony.log_key(passphrase))?;
    }
    Ok(failed == 0)
}

const PLACES: [Place; 5] = [
    layout::ROOT,
    layout::ISSUING,
    layout::OCSP,
    layout::TSA,
    layout::SEAL,
];

const CHAINS: [(Place, Option<Purpose>); 4] = [
    (layout::ISSUING, None),
    (layout::TSA, Some(Purpose::TimeStamping)),
    (layout::OCSP, Some(Purpose::OcspSigning)),
    (layout::SEAL, Some(Purpose::Seal)),
];

struct Ceremony {
    dir: PathBuf,
    record_bytes: Vec<u8>,
    record: Record,
    root: Certificate,
    passphrase: Option<Zeroizing<Vec<u8>>>,
    root_passphrase: Option<Zeroizing<Vec<u8>>>,
}

impl Ceremony {
    fn read(settings: &Verify) -> Result<Self> {
        let record_bytes = folder::read(&settings.dir.join(layout::RECORD))?;
        let record: Record = serde_json::from_slice(&record_bytes)?;
        if record.format != record::FORMAT {
            return Err(Error::Refused(format!(
                "record of format {:?}",
                record.format
            )));
        }
        let root = read_text(&settings.dir.join(layout::ROOT.public()))?;
        let open = |file: &Option<PathBuf>| file.as_deref().map(settings::passphrase).transpose();
        let passphrase = open(&settings.passphrase_file)?;
        let root_passphrase = open(&settings.root_passphrase_file)?;
        Ok(Self {
            dir: settings.dir.clone(),
            record_bytes,
            record,
            root: Certificate::from_pem(&root)?,
            passphrase,
            root_passphrase,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn certificate(&self, name: &str) -> Result<Certificate> {
        Ok(Certificate::from_pem(&read_text(&self.path(name))?)?)
    }

    fn passphrase_of(&self, role: &str) -> Option<&[u8]> {
        let of_roles = self.passphrase.as_ref();
        let passphrase = if role == layout::ROOT.role {
            self.root_passphrase.as_ref()
        } else {
            of_roles
        };
        passphrase.map(|passphrase| passphrase.as_slice())
    }

    fn record_signature(&self, now: Timestamp) -> Result<()> {
        let witness = self.certificate(layout::WITNESS)?;
        let signed = SignedData::from_der(&folder::read(&self.path(layout::RECORD_SIGNATURE))?)?;
        let signer = verify_detached_content(&signed, &self.record_bytes)?;
        if signer.certificate != witness {
            return Err(refused("signed with another certificate"));
        }
        self.issued(&witness, &self.root, now)
    }

    /// Signature, names and validity; not the purpose.
    fn issued(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: Timestamp,
    ) -> Result<()> {
        certificate.verify_issued_by(issuer)?;
        if certificate.is_valid_at(now) {
            return Ok(());
        }
        let (from, to) = (certificate.not_before(), certificate.not_after());
        Err(refused(format!("valid from {from} to {to} only")))
    }

    fn is_recorded(&self, file: &str) -> Result<()> {
        let digest = hex::encode(self.certificate(file)?.sha256());
        let recorded = self
            .record
            .certificates
            .iter()
            .any(|e| e.file == file && e.sha256 == digest);
        if recorded || file == layout::OCSP.public() && self.is_renewed()? {
            Ok(())
        } else {
            Err(refused("digest differs from the record"))
        }
    }

    /// The OCSP responder's certificate is a later one than that of the record, by the recorded issuing CA. Purpose and
    /// path are checked as for the first one.
    fn is_renewed(&self) -> Result<bool> {
        let file = layout::OCSP.public();
        let certificate = self.certificate(&file)?;
        self.is_recorded(&layout::ISSUING.public())?;
        certificate.verify_issued_by(&self.certificate(&layout::ISSUING.public())?)?;
        let mut entries = self.record.certificates.iter();
        let recorded = entries.find(|entry| entry.file == file);
        // RFC 3339 in UTC, of one length: later is greater.
        Ok(recorded.is_some_and(|first| {
            first.subject == certificate.subject()
                && first.not_before < certificate.not_before().to_rfc3339()
        }))
    }

    fn root_signature(&self) -> Result<()> {
        Ok(self.root.verify_issued_by(&self.root)?)
    }

    fn chain(&self, place: Place, purpose: Option<Purpose>, now: Timestamp) -> Result<()> {
        let certificate = self.certificate(&place.public())?;
        let Some(purpose) = purpose else {
            return self.issued(&certificate, &self.root, now);
        };
        let issuing = self.certificate(&layout::ISSUING.public())?;
        let roots = [self.root.clone()];
        // Lists of the issuing CA are its own affair; the root's is looked at below.
        validate_path(
            &certificate,
            &[issuing],
            &roots,
            Revocation::NotChecked,
            now,
            purpose,
        )?;
        Ok(())
    }

    fn crl(&self, now: Timestamp) -> Result<()> {
        let der = folder::read(&self.path(layout::ROOT_CRL))?;
        let crl = Crl::from_der(&der)?;
        crl.verify(&self.root)?;
        if Crl::from_pem(&read_text(&self.path(layout::ROOT_CRL_PEM))?)?.der() != der {
            return Err(refused("the two files differ"));
        }
        // The record knows the first list only; later ones have higher numbers.
        let first = crl.number() == Some(1);
        if first && record::sha256(&der) != self.record.root_crl.sha256 {
            return Err(refused("digest differs from the record"));
        }
        if now > crl.next_update() {
            return Err(refused(format!(
                "a newer one was due at {}",
                crl.next_update()
            )));
        }
        let revoked = self.record.certificates.iter().find(|entry| {
            hex::decode(&entry.serial).is_ok_and(|serial| crl.find(&serial).is_some())
                && entry.issuer == self.root.subject()
        });
        match revoked {
            Some(entry) => Err(refused(format!("{} is revoked", entry.file))),
            None => Ok(()),
        }
    }

    fn log_verifier(&self) -> Result<()> {
        let verifier_key = read_text(&self.path(layout::LOG_VERIFIER))?;
        let verifier = LogVerifier::parse(&verifier_key)?;
        let log = &self.record.log;
        if verifier_key.trim_end() == log.verifier_key && verifier.name() == log.name {
            return Ok(());
        }
        Err(refused("differs from the record"))
    }

    /// Only the role's own files, all secret, certificates the same as in `public/`.
    fn role(&self, role: &str) -> Result<()> {
        let path = self.path(role);
        let own = own_files(role);
        private(&path)?;
        for entry in fs::read_dir(&path).map_err(|reason| Error::file(&path, reason))? {
            let entry = entry.map_err(|reason| Error::file(&path, reason))?;
            let name = format!("{role}/{}", entry.file_name().to_string_lossy());
            if !own.contains(&name) {
                return Err(refused(format!("{name} does not belong there")));
            }
            if name.ends_with(".key.pem") {
                private(&entry.path())?;
            }
        }
        for place in PLACES.iter().filter(|place| place.role == role) {
            if self.certificate(&place.certificate())? != self.certificate(&place.public())? {
                return Err(refused(format!(
                    "{} differs from public/",
                    place.certificate()
                )));
            }
        }
        Ok(())
    }

    fn key(&self, place: Place, passphrase: &[u8]) -> Result<()> {
        let key = MemoryKey::from_encrypted_pem(&read_text(&self.path(&place.key()))?, passphrase)?;
        if key.public_key_der() == self.certificate(&place.public())?.spki_der() {
            return Ok(());
        }
        Err(refused("belongs to another certificate"))
    }

    fn log_key(&self, passphrase: &[u8]) -> Result<()> {
        let pem = read_text(&self.path(layout::LOG_KEY))?;
        let key = LogKey::from_encrypted_pem(&self.record.log.name, &pem, passphrase)?;
        if key.verifier_key() == self.record.log.verifier_key {
            return Ok(());
        }
        Err(refused("differs from the record"))
    }
}

fn own_files(role: &str) -> BTreeSet<String> {
    let mut own = BTreeSet::new();
    for place in PLACES.iter().filter(|place| place.role == role) {
        own.extend([place.key(), place.certificate()]);
    }
    if layout::LOG_KEY.split('/').next() == Some(role) {
        own.insert(layout::LOG_KEY.to_owned());
    }
    own
}

fn private(path: &std::path::Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|reason| Error::file(path, reason))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(refused(format!(
        "{} has mode {mode:o}: others may read it",
        path.display()
    )))
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Refused(reason.into())
}
