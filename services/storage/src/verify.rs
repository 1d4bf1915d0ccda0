//! What a stranger would check before believing a record, and that it is about what was submitted. Pure.

use probity_domain::{EvidenceId, Item, Record, Submission, Timestamp};
use probity_pki::cms::{SignedData, verify_detached_content};
use probity_pki::digest::HashAlgorithm;
use probity_pki::keys::KnownSignatures;
use probity_pki::package::event_manifest;
use probity_pki::path::{Purpose, Revocation, validate_path_unless_known};
use probity_pki::statement::{StatedArtifact, Statement};
use probity_pki::tsp::TimeStampToken;
use probity_pki::x509::Certificate;
use probity_platform::{Error, Result};

/// How far apart the clocks of the parts may be.
const SKEW_MS: i64 = 5 * 60_000;
/// Signatures of one record: of certificates, lists and responses.
const KNOWN_OF_RECORD: usize = 64;

/// Checks a record against its submission and the pinned roots. CPU work: some eight signature verifications.
///
/// # Errors
/// `Malformed`, naming the check that failed.
pub fn verify(
    record: &Record,
    submission: &Submission,
    roots: &[Certificate],
    now: Timestamp,
) -> Result<()> {
    let read = read_submitted(record, submission, roots, now)?;
    read.check_paths(roots, &KnownSignatures::new(KNOWN_OF_RECORD))
}

/// That records hold by their own bytes: all that a stranger can check who has no submission. Each answers for itself, in
/// order. Two signature verifications for each record; those of the certificates, lists and responses that records have
/// in common are computed once for all who share `known`.
pub(crate) fn by_themselves<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    roots: &[Certificate],
    now: Timestamp,
    known: &KnownSignatures,
) -> Vec<Result<()>> {
    let records = records.into_iter();
    let verified = records.map(|record| {
        let read = read(record, &statement(record)?, roots, now)?;
        read.check_paths(roots, known)
    });
    verified.collect()
}

/// [`verify`] for the records of one message; each answers for itself, in order. Two signature verifications for each
/// record, and of their certificates, lists and responses those that are not among the `known`.
pub(crate) fn verify_all<'a>(
    work: impl IntoIterator<Item = (&'a Record, &'a Submission)>,
    roots: &[Certificate],
    now: Timestamp,
    known: &KnownSignatures,
) -> Vec<Result<()>> {
    work.into_iter()
        .map(|(record, submission)| {
            read_submitted(record, submission, roots, now)?.check_paths(roots, known)
        })
        .collect()
}

/// That the statement is about an accepted item of the submission, and says what was submitted.
pub(crate) fn as_submitted(record: &Record, submission: &Submission) -> Result<()> {
    states(&statement(record)?, record, submission)
}

fn statement(record: &Record) -> Result<Statement> {
    Statement::parse(&record.statement).map_err(|e| unfit(record.evidence, &e))
}

fn states(statement: &Statement, record: &Record, submission: &Submission) -> Result<()> {
    let bad = |what: &dyn std::fmt::Display| unfit(record.evidence, what);
    let item = submission
        .item(record.evidence.item)
        .filter(|_| submission.id == record.evidence.submission);
    let item = item.ok_or_else(|| bad(&"no accepted item has this number"))?;
    match differing(statement, submission, item) {
        Some(field) => Err(bad(&format_args!(
            "the statement's {field} is not what was submitted"
        ))),
        None => Ok(()),
    }
}

/// A record of which all holds but the paths.
struct Read {
    number: EvidenceId,
    signed: SignedData,
    signer: Certificate,
    token: TimeStampToken,
    unit: Certificate,
    /// genTime.
    at: Timestamp,
}

/// All of [`verify`] but the paths.
fn read_submitted(
    record: &Record,
    submission: &Submission,
    roots: &[Certificate],
    now: Timestamp,
) -> Result<Read> {
    let statement = statement(record)?;
    states(&statement, record, submission)?;
    read(record, &statement, roots, now)
}

/// All of [`by_themselves`] but the paths.
fn read(
    record: &Record,
    statement: &Statement,
    roots: &[Certificate],
    now: Timestamp,
) -> Result<Read> {
    let bad = |what: &dyn std::fmt::Display| unfit(record.evidence, what);
    if statement.evidence_number != record.evidence {
        return Err(bad(&"the statement is about another number"));
    }
    // The manifest is the one such a statement has.
    let manifest = event_manifest(statement, &record.statement).map_err(|e| bad(&e))?;
    if manifest != record.manifest {
        return Err(bad(&"the manifest is not the statement's"));
    }
    // The signature is over this manifest, by a key certified for this instruction.
    let signed = SignedData::from_der(&record.signature).map_err(|e| bad(&e))?;
    let signer = verify_detached_content(&signed, &record.manifest).map_err(|e| bad(&e))?;
    if signer.certificate.instruction() != Some(statement.submission.to_string().as_str()) {
        return Err(bad(&"the certificate is for another instruction"));
    }
    if signer.instruction_digest != Some(statement.instruction_sha256.0) {
        return Err(bad(&"the signature is for another instruction"));
    }
    // The time-stamp is over this signature, and its time is possible.
    let token = signed.time_stamp_token().map_err(|e| bad(&e))?;
    let token = token.ok_or_else(|| bad(&"no signature time-stamp"))?;
    let algorithm: HashAlgorithm = token.tst_info().imprint.algorithm;
    let unit = token.verify(algorithm, &algorithm.digest(signed.signature_value()));
    let unit = unit.map_err(|e| bad(&e))?;
    let at = token.tst_info().gen_time;
    if at > now.plus_ms(SKEW_MS) || at < statement.received_at.plus_ms(-SKEW_MS) {
        return Err(bad(
            &"the time-stamp is from before the submission or from the future",
        ));
    }
    if !roots
        .iter()
        .any(|root| signed.certificates().contains(root))
    {
        return Err(bad(&"the signature does not keep its root"));
    }
    Ok(Read {
        number: record.evidence,
        signer: signer.certificate,
        signed,
        token,
        unit,
        at,
    })
}

impl Read {
    /// Both certificates chained to a pinned root at genTime, unrevoked by what is kept with the signature: it will be
    /// judged by its own bytes (CAdES-LT).
    fn check_paths(&self, roots: &[Certificate], known: &KnownSignatures) -> Result<()> {
        let kept = Revocation::Kept {
            crls: self.signed.crls(),
            ocsp: self.signed.ocsp_responses(),
            tolerance_ms: SKEW_MS.unsigned_abs(),
        };
        let path = |leaf, chain, purpose| {
            validate_path_unless_known(leaf, chain, roots, kept, self.at, purpose, Some(known))
                .map_err(|e| unfit(self.number, &e))
        };
        let (certificates, units) = (self.signed.certificates(), self.token.certificates());
        path(&self.signer, certificates, Purpose::EventSigning)?;
        path(&self.unit, units, Purpose::TimeStamping)?;
        Ok(())
    }
}

fn unfit(number: EvidenceId, what: &dyn std::fmt::Display) -> Error {
    Error::malformed(format!("{number}: {what}"))
}

/// The first field that is not the submission's.
fn differing(statement: &Statement, submission: &Submission, item: &Item) -> Option<&'static str> {
    let stated = |artifact| StatedArtifact::from(artifact);
    let fields = [
        ("tenant", statement.tenant == submission.tenant),
        ("party", statement.submitter.party == submission.party),
        (
            "instruction",
            statement.instruction_sha256 == submission.instruction_sha256,
        ),
        (
            "credential",
            statement.acting_as.credential == submission.credential,
        ),
        (
            "automation",
            statement.acting_as.automated == submission.automated,
        ),
        (
            "mandate",
            statement.acting_as.on_behalf_of == submission.on_behalf_of,
        ),
        ("case", statement.case == submission.case),
        (
            "intent",
            statement
                .intent
                .as_ref()
                .is_none_or(|i| Some(i.id) == submission.intent),
        ),
        (
            "submitter's signature",
            statement.submitter_signature
                == submission.submitter_signature.as_ref().map(Into::into),
        ),
        ("title", statement.title == item.title()),
        ("purpose", statement.purpose == item.purpose()),
        (
            "source",
            statement.source_url.as_deref() == item.source_url(),
        ),
        (
            "time of capture",
            statement.declared_captured_at == item.declared_captured_at(),
        ),
        (
            "time of receipt",
            statement.received_at == submission.received_at,
        ),
        (
            "artifacts",
            statement
                .artifacts
                .iter()
                .cloned()
                .eq(item.artifacts().iter().map(stated)),
        ),
    ];
    fields
        .into_iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| field)
}
