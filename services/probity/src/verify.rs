//! `probity verify` and `probity policy`: offline, check by check.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use probity_domain::Timestamp;
use probity_pki::crl::Crl;
use probity_pki::ocsp::OcspResponse;
use probity_pki::x509::Certificate;
use probity_proto::http::SignedReceiptDocument;
use probity_verify::{
    Diagnostic, Lang, Policy, SignedReceipt, Verdict, examine, judge, measure_file,
};

use crate::failure::{Failure, at};
use crate::files;
use crate::now::now;

/// Diagnostic data, policies and receipts are read whole; no honest one is longer.
const INPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Verify a package offline
///
/// Nothing is asked of any server. Signatures are judged at the time their time-stamp proves, by the
/// certificates and revocation data inside the package, from the roots you trust.
///
/// Exit codes: 0 valid, 1 invalid, 2 indeterminate (nothing is wrong, but something necessary is
/// missing; the verdict says what), 3 wrong use or unreadable input. With --json there is a document on
/// standard output in every case: probity.verdict/1, or probity.error/1 with exit code 3.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Verify {
    /// The package (.asice)
    #[arg(
        required_unless_present = "from_diagnostic",
        conflicts_with = "from_diagnostic"
    )]
    file: Option<PathBuf>,
    /// Judges again what --diagnostic wrote, without the package; the verdict says so
    #[arg(long, value_name = "FILE")]
    from_diagnostic: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyFlags,
    /// Verifies as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The court's receipt for this package (JSON): with its signature in it, as courts hand it out, or beside it
    #[arg(long, value_name = "FILE", requires = "file")]
    receipt: Option<PathBuf>,
    /// The detached signature on the receipt (DER)
    #[arg(long, value_name = "FILE", requires = "receipt")]
    receipt_signature: Option<PathBuf>,
    /// A revocation list, PEM or DER, newer than those inside; may be repeated. It can only add revocations
    #[arg(long = "crl", value_name = "FILE")]
    crls: Vec<PathBuf>,
    /// An OCSP response, DER, newer than those inside; may be repeated. It can only add revocations
    #[arg(long, value_name = "FILE")]
    ocsp: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Whom to trust and what to ask for. Flags add to the policy's lists.
#[derive(Args)]
pub struct PolicyFlags {
    /// A policy (probity.policy/1) instead of the default one
    #[arg(long, env = "PROBITY_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
    /// PEM file with root certificates that are trusted
    #[arg(
        long,
        env = "PROBITY_ROOTS",
        value_name = "FILE",
        required_unless_present = "policy"
    )]
    roots: Option<PathBuf>,
    /// PEM file with root certificates that are trusted for time-stamps (without: those of --roots)
    #[arg(long, value_name = "FILE")]
    tsa_roots: Option<PathBuf>,
    /// File with a log's public key (`name+id+key`); may be repeated
    #[arg(long = "log-key", env = "PROBITY_LOG_KEY", value_name = "FILE")]
    log_keys: Vec<PathBuf>,
    /// PEM file with roots of submitters' own certificates
    #[arg(long, value_name = "FILE")]
    submitter_roots: Option<PathBuf>,
    /// PEM file with roots of the courts' certificates, for receipts
    #[arg(long, value_name = "FILE")]
    recipient_roots: Option<PathBuf>,
    /// A court's identifier in receipts, and a PEM file with its signing certificates; may be repeated
    #[arg(long = "recipient", value_name = "ID=FILE")]
    recipients: Vec<String>,
}

#[derive(Args)]
#[group(multiple = false)]
struct Output {
    /// The verdict as JSON (probity.verdict/1)
    #[arg(long)]
    json: bool,
    /// One page in this language
    #[arg(long, value_enum)]
    summary: Option<Language>,
    /// Check by check, in this language (without any of these flags: in English)
    #[arg(long, value_enum)]
    details: Option<Language>,
    /// Everything that was measured (probity.diagnostic/1), to be judged again; the exit code is the verdict's
    #[arg(long, conflicts_with = "from_diagnostic")]
    diagnostic: bool,
}

/// Print the policy that `verify` goes by: the default one, unless flags say otherwise
#[derive(Args)]
pub struct PrintPolicy {
    /// A policy to read, check and print
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// PEM file with root certificates to put into it
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// PEM file with root certificates for time-stamps alone to put into it
    #[arg(long, value_name = "FILE")]
    tsa_roots: Option<PathBuf>,
    /// File with a log's public key to put into it; may be repeated
    #[arg(long = "log-key", value_name = "FILE")]
    log_keys: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    En,
    Zh,
}

impl From<Language> for Lang {
    fn from(language: Language) -> Self {
        match language {
            Language::En => Self::English,
            Language::Zh => Self::Chinese,
        }
    }
}

impl Verify {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let when = match &self.at {
            Some(text) => Timestamp::parse_rfc3339(text).map_err(Failure::usage)?,
            None => now(),
        };
        let policy = self.policy.read(when)?;
        let mut diagnostic = self.measure(&policy)?;
        for path in &self.crls {
            diagnostic.handed_in.crls.push(crl(path)?);
        }
        for path in &self.ocsp {
            let response = OcspResponse::from_der(&read(path)?);
            let response = response.map_err(|e| unreadable(path, e))?;
            diagnostic.handed_in.ocsp.push(response);
        }
        let verdict = judge(&diagnostic, &policy);
        println!("{}", self.output.text(&diagnostic, &verdict));
        Ok(ExitCode::from(verdict.exit_code()))
    }

    fn measure(&self, policy: &Policy) -> Result<Diagnostic, Failure> {
        let Some(path) = &self.file else {
            let path = self.from_diagnostic.as_deref().unwrap_or(Path::new(""));
            return Diagnostic::parse(&read(path)?).map_err(|e| unreadable(path, e));
        };
        let open = || File::open(path).map(BufReader::new).map_err(at(path));
        let mut diagnostic = examine(open()?, policy.limits);
        if self.output.diagnostic || self.receipt.is_some() {
            let measured = measure_file(open()?).map_err(|e| unreadable(path, e))?;
            diagnostic.file = Some(measured);
        }
        diagnostic.receipt = match (&self.receipt, &self.receipt_signature) {
            (Some(receipt), Some(signature)) => Some(SignedReceipt {
                document: read(receipt)?,
                signature: read(signature)?,
            }),
            (Some(receipt), None) => Some(signed_receipt(receipt)?),
            _ => None,
        };
        Ok(diagnostic)
    }
}

impl Output {
    fn text(&self, diagnostic: &Diagnostic, verdict: &Verdict) -> String {
        if self.json {
            verdict.to_json()
        } else if self.diagnostic {
            diagnostic.to_json()
        } else if let Some(language) = self.summary {
            verdict.summary_text(language.into())
        } else {
            verdict.details_text(self.details.unwrap_or(Language::En).into())
        }
    }
}

impl PolicyFlags {
    fn read(&self, when: Timestamp) -> Result<Policy, Failure> {
        let mut policy = base(self.policy.as_deref(), when)?;
        add_pins(&mut policy, self.roots.as_deref(), &self.log_keys)?;
        let certificates = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(Vec::new()), chain);
        policy
            .submitter_roots
            .extend(certificates(&self.submitter_roots)?);
        policy
            .recipient_roots
            .extend(certificates(&self.recipient_roots)?);
        policy.tsa_roots.extend(certificates(&self.tsa_roots)?);
        for pin in &self.recipients {
            let Some((recipient, path)) = pin.split_once('=') else {
                return Err(Failure::usage(format!("{pin}: not ID=FILE")));
            };
            let own = policy.recipients.entry(recipient.to_owned()).or_default();
            own.extend(chain(Path::new(path))?);
        }
        Ok(policy)
    }
}

impl PrintPolicy {
    pub fn run(self) -> Result<(), Failure> {
        let mut policy = base(self.policy.as_deref(), now())?;
        add_pins(&mut policy, self.roots.as_deref(), &self.log_keys)?;
        if let Some(roots) = &self.tsa_roots {
            policy.tsa_roots.extend(chain(roots)?);
        }
        println!("{}", policy.to_json());
        Ok(())
    }
}

fn base(path: Option<&Path>, when: Timestamp) -> Result<Policy, Failure> {
    match path {
        Some(path) => Policy::parse(&read(path)?, when).map_err(|e| unreadable(path, e)),
        None => Ok(Policy::new(Vec::new(), Vec::new(), when)),
    }
}

fn add_pins(
    policy: &mut Policy,
    roots: Option<&Path>,
    log_keys: &[PathBuf],
) -> Result<(), Failure> {
    if let Some(roots) = roots {
        policy.roots.extend(chain(roots)?);
    }
    for path in log_keys {
        let key = files::read_text(path)?.trim().to_owned();
        policy.log_verifier_keys.push(key);
    }
    Ok(())
}

fn chain(path: &Path) -> Result<Vec<Certificate>, Failure> {
    Certificate::chain_from_pem(&files::read_text(path)?).map_err(|e| unreadable(path, e))
}

fn crl(path: &Path) -> Result<Crl, Failure> {
    let bytes = read(path)?;
    let parsed = match str::from_utf8(&bytes) {
        Ok(pem) if pem.starts_with("-----BEGIN") => Crl::from_pem(pem),
        _ => Crl::from_der(&bytes),
    };
    parsed.map_err(|e| unreadable(path, e))
}

fn signed_receipt(path: &Path) -> Result<SignedReceipt, Failure> {
    let signed = serde_json::from_slice::<SignedReceiptDocument>(&read(path)?);
    let signed = signed.map_err(|e| unreadable(path, format!("no signed receipt: {e}")))?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|e| unreadable(path, e));
    Ok(SignedReceipt {
        document: decode(&signed.receipt)?,
        signature: decode(&signed.signature)?,
    })
}

/// A small file, whole.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(at(path))?;
    let mut bytes = Vec::new();
    file.take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(at(path))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(unreadable(path, "longer than 64 MiB"));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, reason: impl core::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {reason}", path.display()))
}
