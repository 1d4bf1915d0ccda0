//! After the faults: does everybody who was given a number still have evidence, once?
//!
//! Three views that do not trust each other: what the vendor's edge lists, what `probityd audit` proves from the store alone,
//! and which keys have a second version, asked of the store by a program that is not ours (curl).

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use probity_client::{EvidenceQuery, Vendor};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Failure;

use super::stack::{Build, Stack, text};

const BUCKET: &str = "probity-truth";
const PAGES_MAX: usize = 10_000;
const FINDINGS_MAX: usize = 100;

/// What one vendor was given.
pub struct Given {
    pub vendor: Arc<Vendor>,
    /// Its evidence is listed under this case, and no other vendor's is.
    pub case: String,
    /// Every number with the time it was given.
    pub receipts: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    /// Numbers that the vendor was given.
    pub given: u64,
    /// Of them in the log, each at a place of its own.
    pub deposited: u64,
    pub lost: u64,
    /// Entries of the log beyond one for each number.
    pub doubled: u64,
    /// Keys of the truth with more than one version, or with a deletion.
    pub second_versions: Vec<String>,
    /// Exit code of `probityd audit`: 0 is clean, 1 has findings. Of several builds the first that is not clean.
    pub store_audit: Option<i32>,
    /// Builds that audited, one after the other.
    pub store_audits: usize,
    /// The first hundred things it found.
    pub store_findings: Vec<String>,
    /// Where each deposited number lies in the log.
    #[serde(skip)]
    pub places: BTreeMap<String, u64>,
}

impl Audit {
    /// One sentence for each promise that does not hold. Keys that were replaced on purpose must be what the audit names.
    pub fn broken(&self, replaced: &[String]) -> Vec<String> {
        let mut broken = Vec::new();
        if self.given == 0 {
            broken.push("nothing was accepted".to_owned());
        }
        if self.lost > 0 {
            broken.push(format!("{} accepted and not deposited", self.lost));
        }
        if self.doubled > 0 {
            broken.push(format!("{} entries too many in the log", self.doubled));
        }
        let second = self.second_versions.iter();
        let unexpected = second.filter(|key| !replaced.contains(key)).count();
        if unexpected > 0 {
            broken.push(format!("{unexpected} keys with a second version"));
        }
        match self.store_audit {
            Some(0) if replaced.is_empty() => {}
            Some(1) if !replaced.is_empty() => {
                let unnamed = replaced.iter().filter(|key| !self.names(key)).count();
                if unnamed > 0 {
                    broken.push(format!(
                        "the audit does not name {unnamed} replaced objects"
                    ));
                }
            }
            Some(0) => broken.push("the audit did not find what was replaced".to_owned()),
            other => broken.push(format!("the audit of the store ended with {other:?}")),
        }
        broken
    }

    fn names(&self, key: &str) -> bool {
        self.store_findings.iter().any(|line| line.contains(key))
    }

    pub fn store_audit_word(&self) -> String {
        match self.store_audit {
            Some(0) => "clean".to_owned(),
            Some(1) => format!("{} findings", self.store_findings.len()),
            _ => "not done".to_owned(),
        }
    }
}

/// Runs all three.
pub async fn audit(stack: &Stack, given: &[Given], log_size: u64) -> Result<Audit, Failure> {
    let (mut all, mut places) = (BTreeSet::new(), BTreeMap::new());
    for one in given {
        all.extend(numbers(&one.receipts)?);
        places.extend(listed(&one.vendor, &one.case).await?);
    }
    let deposited = all.iter().filter(|number| places.contains_key(*number));
    let deposited = deposited.count();
    let distinct: BTreeSet<u64> = places.values().copied().collect();
    let (mut store_audit, mut store_findings, mut store_audits) = (Some(0), Vec::new(), 0);
    for build in stack.builds() {
        if store_audit == Some(0) {
            (store_audit, store_findings) = audit_as(stack, build, given).await?;
            store_audits += 1;
        }
    }
    Ok(Audit {
        given: all.len() as u64,
        deposited: deposited as u64,
        lost: (all.len() - deposited) as u64,
        doubled: log_size.saturating_sub(distinct.len() as u64),
        second_versions: second_versions(stack).await?,
        store_audit,
        store_audits,
        store_findings,
        places,
    })
}

/// Numbers in the file of receipts.
fn numbers(receipts: &Path) -> Result<BTreeSet<String>, Failure> {
    let file = std::fs::File::open(receipts).map_err(Failure::new)?;
    let mut numbers = BTreeSet::new();
    for line in std::io::BufReader::new(file).lines() {
        let line: serde_json::Value =
            serde_json::from_str(&line.map_err(Failure::new)?).map_err(Failure::new)?;
        let number = line.get("evidence").and_then(|number| number.as_str());
        numbers.insert(number.unwrap_or_default().to_owned());
    }
    Ok(numbers)
}

/// Where each deposited number of the case lies in the log.
async fn listed(vendor: &Vendor, case: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let mut query = EvidenceQuery {
        case: Some(case.to_owned()),
        state: Some("deposited".to_owned()),
        ..EvidenceQuery::default()
    };
    let mut places = BTreeMap::new();
    loop {
        let page = vendor.list(&query).await.map_err(Failure::new)?;
        let listed = page.evidence.into_iter();
        places.extend(listed.filter_map(|one| Some((one.evidence, one.leaf_index?))));
        if page.next_page.is_none() {
            return Ok(places);
        }
        query.page = page.next_page;
    }
}

async fn audit_as(
    stack: &Stack,
    build: Build,
    given: &[Given],
) -> Result<(Option<i32>, Vec<String>), Failure> {
    let config = text(&stack.config("storage"));
    let report = text(&stack.path("audit.json"));
    let receipts = given.iter().map(|one| text(&one.receipts));
    let receipts = receipts.flat_map(|file| ["--receipts".to_owned(), file]);
    let mut arguments = ["audit", "--config", &config, "--report", &report]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(receipts);
    let output = stack.ended(&stack.probityd(build)?, &arguments).await?;
    let said = [output.stdout, output.stderr].concat();
    std::fs::write(stack.path("log/audit.log"), &said).map_err(Failure::new)?;
    let findings = match output.status.code() {
        Some(0) => Vec::new(),
        // With findings: they are in the report.
        Some(1) => read_findings(&stack.path("audit.json"))?,
        _ => String::from_utf8_lossy(&said)
            .lines()
            .take(FINDINGS_MAX)
            .map(str::to_owned)
            .collect(),
    };
    Ok((output.status.code(), findings))
}

/// Kind, key and reason of each finding.
fn read_findings(report: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read(report).map_err(Failure::new)?;
    let report: serde_json::Value = serde_json::from_slice(&text).map_err(Failure::new)?;
    let listed = report.get("findings").and_then(|list| list.as_array());
    let word = |finding: &serde_json::Value, name: &str| {
        let word = finding.get(name).and_then(|word| word.as_str());
        word.unwrap_or_default().to_owned()
    };
    let lines = listed.into_iter().flatten().map(|finding| {
        let words = ["kind", "key", "reason"].map(|name| word(finding, name));
        words.join(" ")
    });
    Ok(lines.take(FINDINGS_MAX).collect())
}

/// Keys of the truth that are there more than once, or were deleted.
async fn second_versions(stack: &Stack) -> Result<Vec<String>, Failure> {
    let mut seen = BTreeMap::<String, u32>::new();
    let (mut key_marker, mut version_marker) = (String::new(), String::new());
    for _ in 0..PAGES_MAX {
        // Sorted, as the signature over them wants it.
        let mut query = format!("key-marker={key_marker}&max-keys=1000");
        if !version_marker.is_empty() {
            query += &format!("&version-id-marker={version_marker}");
        }
        query += "&versions=";
        let page = curl(stack, &["-X", "GET"], &format!("{BUCKET}?{query}")).await?;
        for key in elements(&page, "Key") {
            *seen.entry(key).or_default() += 1;
        }
        if elements(&page, "IsTruncated").first().map(String::as_str) != Some("true") {
            let twice = seen.into_iter().filter(|(_, versions)| *versions > 1);
            return Ok(twice.map(|(key, _)| key).collect());
        }
        let marker = |name| elements(&page, name).pop().unwrap_or_default();
        key_marker = percent_encoded(&marker("NextKeyMarker"));
        version_marker = percent_encoded(&marker("NextVersionIdMarker"));
    }
    Err(Failure::new("the list of versions does not end"))
}

/// Asks the store with curl, which signs by itself; the path begins with the bucket.
pub async fn curl(stack: &Stack, arguments: &[&str], path: &str) -> Result<String, Failure> {
    let secret =
        |name: &str| std::fs::read_to_string(stack.path("secret").join(name)).map_err(Failure::new);
    let user = format!(
        "user = \"{}:{}\"\n",
        secret("s3-access-key")?.trim(),
        secret("s3-secret-key")?.trim()
    );
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body"])
        .args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--config", "-"])
        .args(arguments)
        .arg(format!("{}/{path}", stack.minio_url()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::new)?;
    if let Some(mut stdin) = child.stdin.take() {
        // On standard input: a command line is everybody's to read.
        stdin
            .write_all(user.as_bytes())
            .await
            .map_err(Failure::new)?;
    }
    let output = child.wait_with_output().await.map_err(Failure::new)?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("curl {path}: {said}{answer}")))
}

/// As the signature wants a query to be written: all but RFC 3986's unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}

/// Texts of the elements of this name, in order.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut pieces = xml.split(&open);
    pieces.next();
    pieces
        .filter_map(|piece| piece.split(&close).next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read() {
        let xml = "<L><IsTruncated>false</IsTruncated><Version><Key>a/b</Key></Version><DeleteMarker><Key>c</Key></DeleteMarker></L>";
        assert_eq!(elements(xml, "Key"), ["a/b", "c"]);
        assert_eq!(elements(xml, "IsTruncated"), ["false"]);
        assert!(elements(xml, "NextKeyMarker").is_empty());
        assert_eq!(percent_encoded("a/b[c]~"), "a%2Fb%5Bc%5D~");
    }

    #[test]
    fn one_wrong_thing_is_broken() {
        let clean = Audit {
            given: 1,
            deposited: 1,
            store_audit: Some(0),
            ..Audit::default()
        };
        assert!(clean.broken(&[]).is_empty());
        let breaks: [fn(&mut Audit); 6] = [
            |audit| audit.given = 0,
            |audit| audit.lost = 1,
            |audit| audit.doubled = 1,
            |audit| audit.second_versions.push("blobs/x".to_owned()),
            |audit| audit.store_audit = Some(1),
            |audit| audit.store_audit = None,
        ];
        for breaks in breaks {
            let mut audit = clean.clone();
            breaks(&mut audit);
            assert_eq!(audit.broken(&[]).len(), 1);
        }
    }

    #[test]
    fn what_was_replaced_must_be_named() {
        let replaced = ["blobs/x".to_owned()];
        let mut audit = Audit {
            given: 1,
            second_versions: replaced.to_vec(),
            store_audit: Some(0),
            ..Audit::default()
        };
        assert_eq!(audit.broken(&replaced).len(), 1);
        audit.store_audit = Some(1);
        assert_eq!(audit.broken(&replaced).len(), 1);
        audit.store_findings = vec!["blobs/x: other bytes".to_owned()];
        assert!(audit.broken(&replaced).is_empty());
    }
}
