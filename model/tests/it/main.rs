//! Every interleaving of a small world keeps every promise; each defect breaks the one it should.

use std::collections::BTreeSet;

use probity_model::{
    ALL_PUBLISHED, Defect, NEVER_STUCK, NO_FORK, NOT_FORGED, NOT_LOST, ONCE, PROMISED_IS_THERE,
    Protocol,
};
use stateright::{Checker, HasDiscoveries, Model};

/// A defect is found within so many.
const STATES_MAX: usize = 300_000;

fn protocol(defects: &[Defect]) -> Protocol {
    Protocol {
        writers: 2,
        entries: 2,
        crashes: 1,
        losses: 1,
        forgeries: 0,
        defects: BTreeSet::from_iter(defects.iter().copied()),
    }
}

#[test]
fn the_protocol_keeps_its_promises() {
    let worlds = [
        protocol(&[]),
        Protocol {
            crashes: 2,
            losses: 2,
            ..protocol(&[])
        },
        Protocol {
            entries: 3,
            ..protocol(&[])
        },
        Protocol {
            forgeries: 2,
            ..protocol(&[])
        },
        Protocol {
            writers: 3,
            crashes: 0,
            losses: 0,
            ..protocol(&[])
        },
    ];
    for world in worlds {
        let checker = world.clone().checker().threads(2).spawn_bfs().join();
        println!("{world:?}: {} states", checker.unique_state_count());
        checker.assert_properties();
        assert!(checker.is_done() && checker.unique_state_count() > 1_000);
    }
}

/// Looks until each of these promises is broken: a broken protocol may have states without end.
#[track_caller]
fn breaks(defects: &[Defect], promises: &[&'static str]) {
    breaks_in(protocol(defects), promises);
}

#[track_caller]
fn breaks_in(world: Protocol, promises: &[&'static str]) {
    let wanted = HasDiscoveries::AllOf(promises.iter().copied().collect());
    let defects = world.defects.clone();
    let checker = world.checker().threads(2).finish_when(wanted);
    let checker = checker.target_state_count(STATES_MAX).spawn_bfs().join();
    let broken: Vec<_> = checker.discoveries().into_keys().collect();
    for promise in promises {
        assert!(
            broken.contains(promise),
            "{defects:?} breaks only {broken:?}"
        );
    }
}

#[test]
fn each_defect_breaks_its_promise() {
    breaks(&[Defect::SwapUnconditionally], &[NOT_LOST, NEVER_STUCK]);
    breaks(&[Defect::TruthBeforeSwap], &[NEVER_STUCK]);
    breaks(&[Defect::CheckpointFirst], &[PROMISED_IS_THERE]);
    breaks(&[Defect::NoDuplicateCheck], &[ONCE]);
    breaks(&[Defect::NoRollForward], &[NOT_LOST]);
    breaks(&[Defect::LeaveBehind], &[NEVER_STUCK]);
    breaks(&[Defect::BelieveQuietHead], &[NEVER_STUCK]);
}

/// Where somebody may put entries behind the log's end.
#[test]
fn forged_entries_are_neither_taken_up_nor_in_the_way() {
    let forging = |defect| Protocol {
        forgeries: 1,
        ..protocol(&[defect])
    };
    breaks_in(forging(Defect::BelieveLeftBehind), &[NOT_FORGED]);
    breaks_in(forging(Defect::LeaveForged), &[NEVER_STUCK]);
}

/// A fork that outsiders see takes two defects: create-only checkpoints are the second lock. Building on an old head takes
/// two as well: what lies behind it tells of it, and so do newer checkpoints.
#[test]
fn some_promises_have_two_locks() {
    breaks(
        &[Defect::BelieveOldHead, Defect::BelieveQuietHead],
        &[NOT_LOST],
    );
    breaks(
        &[Defect::SwapUnconditionally, Defect::CheckpointFirst],
        &[NO_FORK],
    );
}

/// Stuck writers publish nothing: found at the end of runs, so depth first.
#[test]
fn what_is_stuck_is_not_published() {
    let wanted = HasDiscoveries::AllOf([ALL_PUBLISHED].into());
    let checker = protocol(&[Defect::LeaveBehind])
        .checker()
        .finish_when(wanted);
    let checker = checker.target_state_count(STATES_MAX).spawn_dfs().join();
    assert!(checker.discovery(ALL_PUBLISHED).is_some());
}
