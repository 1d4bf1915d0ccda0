//! From what a run noted, counted and found to its report.

use std::collections::BTreeMap;
use std::time::Instant;

use super::audit::Audit;
use super::calls::Availability;
use super::courts::{Courts, Deliveries};
use super::faults::Fault;
use super::latency::compare;
use super::report::Report;
use super::stack::Stack;
use super::{Lab, Restarts};

pub fn conclude(
    lab: &Lab,
    fault: &Fault,
    audit: Audit,
    deliveries: Option<Deliveries>,
    last_fault: Instant,
    began: Instant,
) -> Report {
    let tally = &lab.submitter.tally;
    let mut figures = lab.notes().figures.clone();
    figures.extend(compared(lab, &audit));
    let mut injected = lab.notes().injected.clone();
    for (what, times) in lab.stack.store.injected() {
        injected.insert(format!("store: {what}"), times);
    }
    let replaced = lab.notes().replaced.clone();
    let mut broken = lab.notes().broken.clone();
    broken.extend(audit.broken(&replaced));
    broken.extend(deliveries.iter().flat_map(Deliveries::broken));
    if let Some(available) = available(lab) {
        figures.extend(available.figures);
        broken.extend(available.broken);
    }
    let restarts = restarts(&lab.stack);
    let counts = |count: fn((u32, u32)) -> u32| -> BTreeMap<String, u32> {
        let counted = restarts.iter().map(|(name, times)| {
            let before = lab.restarts_before.get(name).copied().unwrap_or_default();
            (name.clone(), count(*times).saturating_sub(count(before)))
        });
        counted.filter(|(_, times)| *times > 0).collect()
    };
    let ended_by_itself = counts(|(_, of_its_own)| of_its_own);
    if lab.set_up.exact {
        broken.extend(deliveries.iter().flat_map(Deliveries::inexact));
        broken.extend(tally.errors().into_keys());
        broken.extend(ended_by_itself.keys().map(|name| format!("{name} ended")));
    }
    Report {
        fault: fault.name.to_owned(),
        what: fault.what.to_owned(),
        dose: lab.dose,
        dose_full: fault.dose_full,
        unit: fault.unit.to_owned(),
        captures_planned: tally.planned(),
        captures_accepted: tally.accepted(),
        planned_per_second: lab.rate.per_second,
        capture_bytes: lab.rate.size_bytes,
        seconds: began.elapsed().as_secs_f64(),
        injected,
        client_errors: tally.errors(),
        recovery: lab.progress.recovery(last_fault),
        restarts: counts(|(all, _)| all),
        ended_by_itself,
        figures,
        audit,
        deliveries,
        passed: broken.is_empty(),
        broken,
    }
}

/// Which calls were answered with the store alone, where that was tried (P13).
fn available(lab: &Lab) -> Option<Availability> {
    let alone = lab.notes().alone?;
    let mut calls = lab.submitter.tally.calls();
    calls.extend(lab.courts.iter().flat_map(Courts::calls));
    let kinds = [
        "intent",
        "upload",
        "submit",
        "order",
        "list",
        "fetch",
        "acknowledge",
    ];
    Some(Availability::of(&alone, &calls, &kinds))
}

/// What the vendor met before and during a fault that is about others, where it was noted when that was.
fn compared(lab: &Lab, audit: &Audit) -> BTreeMap<String, f64> {
    let Some(compared) = lab.notes().compared else {
        return BTreeMap::new();
    };
    let tally = &lab.submitter.tally;
    let (mut to_accepted, mut to_deposited) = (Vec::new(), Vec::new());
    for batch in tally.batches() {
        let took = |until: Instant| (batch.planned, until.duration_since(batch.planned));
        to_accepted.push(took(batch.accepted));
        let places = batch.numbers.iter().map(|number| audit.places.get(number));
        let last = places.max().flatten();
        let deposited = last.and_then(|last| lab.progress.reached_at(last + 1));
        to_deposited.extend(deposited.map(took));
    }
    let mut figures = compare(&compared, "to accepted", &to_accepted);
    figures.extend(compare(&compared, "to deposited", &to_deposited));
    let calls = tally.calls();
    for kind in ["intent", "upload", "submit"] {
        let of_kind = calls.iter().filter(|call| call.what == kind);
        let took: Vec<_> = of_kind.map(|call| (call.began, call.took)).collect();
        figures.extend(compare(&compared, &format!("of the call {kind}"), &took));
    }
    figures
}

/// How often each process was started again.
pub fn restarts(stack: &Stack) -> Restarts {
    let counted = stack.processes().map(|process| {
        let times = (process.restarts(), process.ended_by_itself());
        (process.name().to_owned(), times)
    });
    counted.collect()
}
