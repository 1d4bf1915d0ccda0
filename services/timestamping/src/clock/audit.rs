//! Whether the clock could be believed when a token was made, from the token and the clock log alone.
//!
//! A token names the newest record that was durable when it was made; the record after that one tells how the clock
//! fared at the token's own time. So a token is *sound* when both say that the clock was trusted throughout. When trust
//! was lost in between, it is *doubtful*: tokens between the last moment of trust and the stop are the ones of which RFC
//! 3628 7.4.8 has relying parties told.

use probity_domain::Timestamp;
use probity_pki::tsp::TimeStampToken;
use probity_pki::x509::Certificate;
use probity_platform::objects::Objects;
use probity_platform::{Error, Result};
use probity_proto::clock::{CLOCK_LOG_PREFIX, ClockRecordDocument, read_clock_record};
use serde::Serialize;

use super::log::{RECORD_BYTES_MAX, sha256, unit_name};

/// Records of other runs that may stand between two of one.
const PAGE: u16 = 200;
/// Records of one answer about an hour. A quiet hour has sixty; while a clock flaps there is one a second, for each
/// process of the unit.
const HOUR_PAGE: u16 = 500;
/// Records after the token's until its own time is covered: more than one only when the store was slow.
const STEPS_MAX: usize = 10;
/// The wall clock may be adjusted by less than a jump between a record and a token.
const ADJUSTED_MS: i64 = 1_000;

/// What the clock log says about one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The clock was trusted before and after.
    Sound,
    /// Trust was lost in the token's period, or its records do not belong together.
    Doubtful,
    /// The record of the token's own time is not written yet, or its process died before it was.
    Open,
    /// The token names no record, or none that is there unchanged.
    Unsupported,
}

/// The answer about one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenAudit {
    pub standing: Standing,
    pub reason: String,
    pub gen_time: String,
    pub record: Option<String>,
}

/// The answer about one record: tokens of its unit whose genTime lies in its period are doubtful when it names doubts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordAudit {
    pub record: String,
    /// SHA-256, hexadecimal, as tokens and the next record name it.
    pub digest: String,
    pub previous: Option<String>,
    pub from: String,
    pub to: String,
    pub times_given: u64,
    pub doubts: Vec<String>,
}

/// Audits one token, whose signature is `unit`'s: the caller has verified it.
///
/// # Errors
/// The store's.
pub async fn audit_token(
    truth: &dyn Objects,
    token: &TimeStampToken,
    unit: &Certificate,
) -> Result<TokenAudit> {
    let info = token.tst_info();
    let mut audit = TokenAudit {
        standing: Standing::Unsupported,
        reason: String::new(),
        gen_time: info.gen_time.to_rfc3339(),
        record: None,
    };
    let Some(evidence) = &info.clock_evidence else {
        "the token names no clock record".clone_into(&mut audit.reason);
        return Ok(audit);
    };
    audit.record = Some(evidence.record.clone());
    let Some(kept) = Kept::read(truth, &evidence.record).await? else {
        "the clock record is not there".clone_into(&mut audit.reason);
        return Ok(audit);
    };
    if kept.digest != evidence.digest {
        "the clock record is not the one the token names".clone_into(&mut audit.reason);
        return Ok(audit);
    }
    if kept.document.unit != unit_name(unit) {
        "the clock record is another unit's".clone_into(&mut audit.reason);
        return Ok(audit);
    }
    (audit.standing, audit.reason) = judge(truth, kept, info.gen_time).await?;
    Ok(audit)
}

/// Some records of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourAudit {
    pub records: Vec<RecordAudit>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

/// Audits the records of one hour (`2026112611`) of a unit, each with its reasons for doubt: the first ones, or those
/// after the one that the page before called its `next`.
///
/// # Errors
/// `Malformed` for another hour or name; the store's.
pub async fn audit_hour(
    truth: &dyn Objects,
    unit: &str,
    hour: &str,
    after: Option<&str>,
) -> Result<HourAudit> {
    let plain = |text: &str, chars| {
        text.len() == chars
            && text
                .bytes()
                .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    };
    if !plain(unit, 16) || !plain(hour, 10) {
        return Err(Error::malformed(
            "a unit has 16 hexadecimal digits, an hour 10 digits",
        ));
    }
    let named = |after: &str| {
        let parts = after.split_once('-');
        parts.is_some_and(|(seq, run)| plain(seq, 12) && plain(run, 8))
    };
    if after.is_some_and(|after| !named(after)) {
        return Err(Error::malformed("after: not the name of a record"));
    }
    let prefix = format!("{CLOCK_LOG_PREFIX}{unit}/{hour}/");
    let after = after.map(|after| format!("{prefix}{after}"));
    let listed = truth.list(&prefix, after.as_deref(), HOUR_PAGE).await?;
    let last = listed
        .last()
        .filter(|_| listed.len() == usize::from(HOUR_PAGE));
    let next = last.and_then(|last| last.key.strip_prefix(&prefix).map(str::to_owned));
    let mut records = Vec::with_capacity(listed.len());
    for object in listed {
        let Some(kept) = Kept::read(truth, &object.key).await? else {
            continue;
        };
        records.push(RecordAudit {
            digest: hex::encode(kept.digest),
            doubts: doubts(&kept.document),
            previous: kept.document.previous,
            from: kept.document.from,
            to: kept.document.to,
            times_given: kept.document.times_given,
            record: kept.key,
        });
    }
    Ok(HourAudit { records, next })
}

/// A record as it stands in the store.
struct Kept {
    key: String,
    digest: [u8; 32],
    document: ClockRecordDocument,
}

impl Kept {
    /// `None` when nothing that reads stands there. Names come from outside: nothing but the clock log is read.
    async fn read(truth: &dyn Objects, key: &str) -> Result<Option<Self>> {
        if !key.starts_with(CLOCK_LOG_PREFIX) {
            return Ok(None);
        }
        let Some(object) = truth.get(key, RECORD_BYTES_MAX).await? else {
            return Ok(None);
        };
        Ok(read_clock_record(&object.bytes).ok().map(|document| Self {
            key: key.to_owned(),
            digest: sha256(&object.bytes),
            document,
        }))
    }

    fn end(&self) -> Result<Timestamp> {
        Ok(Timestamp::parse_rfc3339(&self.document.to)?)
    }

    /// The next record of the same run.
    async fn next(&self, truth: &dyn Objects) -> Result<Option<Self>> {
        let prefix = format!("{CLOCK_LOG_PREFIX}{}/", self.document.unit);
        let ending = format!("/{:012}-{}", self.document.seq + 1, self.document.run);
        let listed = truth.list(&prefix, Some(&self.key), PAGE).await?;
        match listed
            .into_iter()
            .find(|object| object.key.ends_with(&ending))
        {
            Some(object) => Self::read(truth, &object.key).await,
            None => Ok(None),
        }
    }
}

/// Follows the log from the record a token names to the one that covers its time.
async fn judge(
    truth: &dyn Objects,
    named: Kept,
    gen_time: Timestamp,
) -> Result<(Standing, String)> {
    let doubtful = |reason: &str| Ok((Standing::Doubtful, reason.to_owned()));
    if let Some(doubt) = &named.document.doubt {
        return doubtful(&format!("{}: {doubt}", named.document.to));
    }
    if gen_time.plus_ms(ADJUSTED_MS) < named.end()? {
        return doubtful("the token says it is older than the clock record it names");
    }
    let mut last = named;
    for _ in 0..STEPS_MAX {
        let Some(next) = last.next(truth).await? else {
            let reason = "the clock record of the token's own time is not there (yet)";
            return Ok((Standing::Open, reason.to_owned()));
        };
        if next.document.previous.as_deref() != Some(hex::encode(last.digest).as_str()) {
            return doubtful("the clock records do not follow each other");
        }
        if let Some(doubt) = doubts(&next.document).first() {
            return doubtful(doubt);
        }
        if gen_time <= next.end()? {
            let (from, to) = (&next.document.from, &next.document.to);
            return Ok((Standing::Sound, format!("trusted from {from} to {to}")));
        }
        last = next;
    }
    doubtful("the token is not of the time of the clock record it names")
}

fn doubts(document: &ClockRecordDocument) -> Vec<String> {
    let change = |at: &str, doubt: &str| format!("{at}: {doubt}");
    let mut doubts: Vec<String> = document
        .changes
        .iter()
        .filter_map(|c| c.doubt.as_ref().map(|doubt| change(&c.at, doubt)))
        .collect();
    if doubts.is_empty()
        && let Some(doubt) = &document.doubt
    {
        doubts.push(change(&document.to, doubt));
    }
    if document.changes_unlisted > 0 {
        doubts.push(change(&document.to, "further changes"));
    }
    doubts
}
