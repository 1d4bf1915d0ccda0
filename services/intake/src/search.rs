//! `search`: pages through a tenant's evidence by case, time and state, oldest first.
//!
//! Answered from the submissions themselves, hour by hour: there is no second list that could be lost or lag behind.
//! One call reads a bounded number of submissions; a page may therefore be short and still have a next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::{StreamExt as _, stream};
use probity_domain::{CaseId, EvidenceId, Submission, SubmissionId, TenantId, Timestamp};
use probity_platform::{Error, Result};
use probity_proto::http::{EvidencePageDocument, EvidenceStatusDocument};

use crate::Intake;
use crate::hours;
use crate::status::{evidence_document, own_submission, read_stored, whereabouts};

const DAY_MS: i64 = 24 * 3_600_000;
const SPAN_MS_MAX: i64 = 31 * DAY_MS;
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 1_000;
/// Submissions read for one page.
const READS_MAX: usize = 500;
const READS_AT_ONCE: usize = 16;
/// Submissions of one hour that are put in order in memory; of an hour with more, a part at a time.
const HOUR_MAX: usize = 10_000;

/// What is looked for, as the caller wrote it.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub case: Option<String>,
    /// RFC 3339, inclusive; a day before `until` when absent.
    pub from: Option<String>,
    /// RFC 3339, exclusive; now when absent.
    pub until: Option<String>,
    /// `accepted`, `deposited` or `quarantined`.
    pub state: Option<String>,
    /// One submission, whenever it came.
    pub submission: Option<String>,
    pub page: Option<String>,
    pub page_size: Option<usize>,
}

/// What is looked for, parsed.
struct Search<'a> {
    tenant: &'a TenantId,
    case: Option<CaseId>,
    state: Option<String>,
    from: Timestamp,
    until: Timestamp,
    page_size: usize,
}

/// The page as it fills.
struct Page {
    evidence: Vec<EvidenceStatusDocument>,
    /// Where the next page begins.
    next: Option<EvidenceId>,
    degraded: bool,
}

/// Answers one page, and whether its states may be old.
///
/// # Errors
/// `Malformed` for a query that cannot be read or spans more than 31 days; those of the store.
pub async fn search(
    intake: &Intake,
    tenant: &TenantId,
    query: &Query,
) -> Result<(EvidencePageDocument, bool)> {
    let search = parse(tenant, query, intake.clock.now())?;
    let begin = query.page.as_deref().map(read_token).transpose()?;
    let mut page = Page {
        evidence: Vec::new(),
        next: None,
        degraded: false,
    };
    if let Some(id) = &query.submission {
        let submission = own_submission(intake, tenant, SubmissionId::parse(id)?).await?;
        let first = begin
            .filter(|b| b.submission == submission.id)
            .map_or(0, |b| b.item);
        add(intake, &search, &submission, first, &mut page).await;
    } else {
        scan(intake, &search, begin, &mut page).await?;
    }
    let next_page = page.next.map(|id| URL_SAFE_NO_PAD.encode(id.to_bytes()));
    Ok((
        EvidencePageDocument {
            evidence: page.evidence,
            next_page,
        },
        page.degraded,
    ))
}

fn parse<'a>(tenant: &'a TenantId, query: &Query, now: Timestamp) -> Result<Search<'a>> {
    let time = |text: &Option<String>| text.as_deref().map(Timestamp::parse_rfc3339).transpose();
    // What came in this very millisecond belongs to the past as well.
    let until = time(&query.until)?.unwrap_or_else(|| now.plus_ms(1));
    let from = time(&query.from)?.unwrap_or_else(|| until.plus_ms(-DAY_MS));
    let span_ms = until.ms_since(from);
    if !(0..=SPAN_MS_MAX).contains(&span_ms) {
        return Err(Error::malformed(
            "from and until: in this order, at most 31 days apart",
        ));
    }
    let state = query.state.clone();
    if state
        .as_deref()
        .is_some_and(|s| !["accepted", "deposited", "quarantined"].contains(&s))
    {
        return Err(Error::malformed(
            "state: expected accepted, deposited or quarantined",
        ));
    }
    let page_size = query.page_size.filter(|n| *n > 0).unwrap_or(PAGE_SIZE);
    if page_size > PAGE_SIZE_MAX {
        return Err(Error::malformed(format!(
            "page_size: at most {PAGE_SIZE_MAX}"
        )));
    }
    let case = query.case.as_deref().map(CaseId::parse).transpose()?;
    Ok(Search {
        tenant,
        case,
        state,
        from,
        until,
        page_size,
    })
}

fn read_token(token: &str) -> Result<EvidenceId> {
    let bad = || Error::malformed("page: not a token of this service");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    EvidenceId::from_bytes(bytes.try_into().map_err(|_| bad())?).map_err(|_| bad())
}

/// Goes through the submissions from where the page begins until it is full, the time is over or enough was read.
async fn scan(
    intake: &Intake,
    search: &Search<'_>,
    begin: Option<EvidenceId>,
    page: &mut Page,
) -> Result<()> {
    let first = SubmissionId::new(search.from, [0; 10]);
    let mut at = begin.map_or(first, |b| b.submission.max(first));
    let mut reads_left = READS_MAX;
    while let Some(part) = hours::part(&*intake.truth, at, search.until, HOUR_MAX).await? {
        let wanted = part.ids.into_iter().filter(|id| id.at() < search.until);
        let mut read = stream::iter(wanted)
            .map(|id| async move { (id, read_stored(intake, id).await) })
            .buffered(READS_AT_ONCE);
        while let Some((id, submission)) = read.next().await {
            if reads_left == 0 {
                page.next = Some(EvidenceId {
                    submission: id,
                    item: 0,
                });
                return Ok(());
            }
            reads_left -= 1;
            let submission = match submission?.transpose() {
                Ok(submission) => submission,
                // Whose it is nobody knows; nobody else's listing waits for its mending.
                Err(error) => {
                    tracing::error!(%error, "a submission is passed over in a listing");
                    continue;
                }
            };
            let Some(submission) = submission.filter(|s| s.tenant == *search.tenant) else {
                continue;
            };
            let first = begin.filter(|b| b.submission == id).map_or(0, |b| b.item);
            add(intake, search, &submission, first, page).await;
            if page.next.is_some() {
                return Ok(());
            }
        }
        at = part.next;
    }
    Ok(())
}

/// Adds a submission's accepted items from place `first` on, until the page is full.
async fn add(
    intake: &Intake,
    search: &Search<'_>,
    submission: &Submission,
    first: u32,
    page: &mut Page,
) {
    if search
        .case
        .as_ref()
        .is_some_and(|case| *case != submission.case)
    {
        return;
    }
    let items: Vec<_> = submission
        .accepted()
        .filter(|(id, _)| id.item >= first)
        .collect();
    for part in items.chunks(search.page_size) {
        let ids: Vec<_> = part.iter().map(|(id, _)| *id).collect();
        let whereabouts = whereabouts(intake, &ids).await;
        page.degraded |= whereabouts.degraded;
        for (id, item) in part {
            if search
                .state
                .as_deref()
                .is_some_and(|state| state != whereabouts.state(id))
            {
                continue;
            }
            if page.evidence.len() == search.page_size {
                page.next = Some(*id);
                return;
            }
            page.evidence
                .push(evidence_document(submission, *id, item, &whereabouts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_bounded() {
        let tenant = TenantId::parse("t").unwrap();
        let now = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap();
        let parse = |query: Query| parse(&tenant, &query, now).map(|s| (s.from, s.until));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse(Query::default()).unwrap(),
            (now.plus_ms(1 - DAY_MS), now.plus_ms(1))
        );
        let month = Query {
            from: some("2026-10-22T12:00:00Z"),
            until: some("2026-11-22T12:00:00Z"),
            ..Query::default()
        };
        assert!(parse(month).is_ok());
        for bad in [
            Query {
                from: some("2026-10-01T00:00:00Z"),
                ..Query::default()
            },
            Query {
                from: some("2026-11-23T00:00:00Z"),
                ..Query::default()
            },
            Query {
                from: some("yesterday"),
                ..Query::default()
            },
            Query {
                state: some("lost"),
                ..Query::default()
            },
            Query {
                case: some("\n"),
                ..Query::default()
            },
            Query {
                page_size: Some(1_001),
                ..Query::default()
            },
        ] {
            assert!(parse(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(read_token("nonsense").is_err() && read_token("AAAA").is_err());
    }
}
