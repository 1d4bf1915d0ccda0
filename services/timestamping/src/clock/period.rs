//! What is written down of a stretch of time.

use std::collections::BTreeMap;

use probity_domain::Timestamp;
use probity_proto::clock::{
    ClockChange, ClockSampleDocument, ClockSourceDocument, LeapDocument, RefusalCount,
};

use super::doubt::Doubt;
use super::interval::Interval;
use super::leap::LeapSecond;
use super::reading::Reading;
use super::sample::Sample;

/// Changes kept one by one.
const CHANGES_MAX: usize = 32;
const REASON_CHARS_MAX: usize = 200;

/// One period of the clock log, being counted.
#[derive(Debug, Clone)]
pub struct Period {
    pub from: Reading,
    pub to: Reading,
    pub doubt_at_end: Option<Doubt>,
    pub losses_at_end: u64,
    pub times_given: u64,
    pub sources: Vec<SourceCounts>,
    readings: u64,
    bound_us_max: i64,
    changes: Vec<ClockChange>,
    changes_unlisted: u64,
    refusals: BTreeMap<Doubt, u64>,
    leap: Option<LeapSecond>,
}

#[derive(Debug, Clone)]
pub struct SourceCounts {
    pub name: String,
    answers: u64,
    failures: u64,
    last_failure: Option<String>,
    last: Option<ClockSampleDocument>,
    offset_us: Option<(i64, i64)>,
    agrees: bool,
}

impl Period {
    pub(super) fn begin(
        from: Reading,
        doubt: Option<Doubt>,
        losses: u64,
        sources: &[String],
    ) -> Self {
        let counts = |name: &String| SourceCounts {
            name: name.clone(),
            answers: 0,
            failures: 0,
            last_failure: None,
            last: None,
            offset_us: None,
            agrees: false,
        };
        Self {
            from,
            to: from,
            doubt_at_end: doubt,
            losses_at_end: losses,
            times_given: 0,
            sources: sources.iter().map(counts).collect(),
            readings: 0,
            bound_us_max: 0,
            changes: Vec::new(),
            changes_unlisted: 0,
            refusals: BTreeMap::new(),
            leap: None,
        }
    }

    pub(super) fn answered(&mut self, source: usize, sample: &Sample, offset: Interval) {
        let Some(counts) = self.sources.get_mut(source) else {
            return;
        };
        let middle_us = offset.lower_us.midpoint(offset.upper_us);
        counts.answers += 1;
        counts.offset_us = Some(match counts.offset_us {
            None => (middle_us, middle_us),
            Some((min, max)) => (min.min(middle_us), max.max(middle_us)),
        });
        counts.last = Some(ClockSampleDocument {
            stratum: sample.stratum,
            offset_us: middle_us,
            error_us: sample.error_us,
            delay_us: sample.delay_us,
            leap: sample.leap.bits(),
        });
    }

    pub(super) fn failed(&mut self, source: usize, reason: String) {
        if let Some(counts) = self.sources.get_mut(source) {
            counts.failures += 1;
            counts.last_failure = Some(reason.chars().take(REASON_CHARS_MAX).collect());
        }
    }

    pub(super) fn judged(&mut self, bound_us: Option<i64>) {
        self.readings += 1;
        self.bound_us_max = self.bound_us_max.max(bound_us.unwrap_or(0));
    }

    pub(super) fn refused(&mut self, doubt: Doubt) {
        *self.refusals.entry(doubt).or_default() += 1;
    }

    pub(super) fn changed(&mut self, at: Timestamp, doubt: Option<Doubt>, losses: u64) {
        self.doubt_at_end = doubt;
        self.losses_at_end = losses;
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(ClockChange {
                at: at.to_rfc3339(),
                doubt: doubt.map(|doubt| doubt.to_string()),
            });
        } else {
            self.changes_unlisted += 1;
        }
    }

    pub(super) fn end(
        &mut self,
        to: Reading,
        leap: Option<LeapSecond>,
        offsets: &[Option<Interval>],
        agreed: Option<Interval>,
    ) {
        self.to = to;
        self.leap = leap;
        for (counts, offset) in self.sources.iter_mut().zip(offsets) {
            counts.agrees = match (offset, &agreed) {
                (Some(offset), Some(agreed)) => offset.overlaps(agreed),
                _ => false,
            };
        }
    }

    /// As it is written, without its place in the log.
    pub(super) fn into_document(self, place: Place) -> probity_proto::clock::ClockRecordDocument {
        let source = |counts: SourceCounts| ClockSourceDocument {
            name: counts.name,
            answers: counts.answers,
            failures: counts.failures,
            last_failure: counts.last_failure,
            last: counts.last,
            offset_us_min: counts.offset_us.map(|(min, _)| min),
            offset_us_max: counts.offset_us.map(|(_, max)| max),
            agrees: counts.agrees,
        };
        let refusal = |(doubt, count): (Doubt, u64)| RefusalCount {
            reason: doubt.to_string(),
            count,
        };
        probity_proto::clock::ClockRecordDocument {
            format: probity_proto::clock::CLOCK_RECORD_FORMAT.to_owned(),
            unit: place.unit,
            run: place.run,
            seq: place.seq,
            previous: place.previous.map(hex::encode),
            from: self.from.wall.to_rfc3339(),
            to: self.to.wall.to_rfc3339(),
            elapsed_ms: (self.to.monotonic_us - self.from.monotonic_us) / 1_000,
            doubt: self.doubt_at_end.map(|doubt| doubt.to_string()),
            changes: self.changes,
            changes_unlisted: self.changes_unlisted,
            quorum: place.quorum,
            accuracy_ms: place.accuracy_ms,
            readings: self.readings,
            bound_us_max: self.bound_us_max,
            sources: self.sources.into_iter().map(source).collect(),
            leap: self.leap.map(|leap| LeapDocument {
                at: leap.midnight.to_rfc3339(),
                inserted: leap.is_inserted,
            }),
            times_given: self.times_given,
            refusals: self.refusals.into_iter().map(refusal).collect(),
        }
    }
}

/// Where a record stands, and the rules that held.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub unit: String,
    pub run: String,
    pub seq: u64,
    pub previous: Option<[u8; 32]>,
    pub quorum: u32,
    pub accuracy_ms: u32,
}
