//! The faults, by their numbers in the table of promises; each runs while the vendor submits.

mod bus;
mod cache;
pub mod clock;
mod disk;
mod flood;
mod openssl;
mod poison;
mod processes;
mod rotation;
mod store;
mod upgrade;
mod without;

use super::Lab;
use super::stack::SetUp;
use crate::Failure;

/// One kind of fault: what is done, and how much of it.
pub struct Fault {
    pub name: &'static str,
    pub what: &'static str,
    /// What the dose counts.
    pub unit: &'static str,
    /// What a short run does.
    pub dose: u32,
    /// What the table of promises asks for.
    pub dose_full: u32,
    pub set_up: SetUp,
}

const PLAIN: SetUp = SetUp {
    cluster: false,
    clocks: &[],
    small_volume: false,
    upgrade: false,
    courts: true,
    asks_once: false,
    exact: false,
    per_second: 15.0,
    batch_size: 15,
};

const fn fault(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    dose: u32,
    dose_full: u32,
) -> Fault {
    Fault {
        name,
        what,
        unit,
        dose,
        dose_full,
        set_up: PLAIN,
    }
}

/// All of them.
pub static FAULTS: [Fault; 25] = [
    Fault {
        set_up: SetUp {
            asks_once: true,
            exact: true,
            ..PLAIN
        },
        ..fault("none", "nothing", "seconds", 15, 600)
    },
    Fault {
        set_up: SetUp {
            asks_once: true,
            ..PLAIN
        },
        ..fault(
            "bare",
            "NATS and Redis away: accepting and pulling go on",
            "seconds",
            20,
            600,
        )
    },
    fault(
        "wipe",
        "NATS deleted and Redis emptied, spread evenly over the run",
        "times",
        3,
        3,
    ),
    fault(
        "open",
        "NATS away, its store deleted, until so many are accepted; then all of it is to be found",
        "captures",
        500,
        100_000,
    ),
    fault("F1", "kill -9 of a random role", "kills", 7, 500),
    Fault {
        set_up: SetUp {
            cluster: true,
            ..PLAIN
        },
        ..fault(
            "F2",
            "kill -9 of one of three nats-servers, every third time of all",
            "times",
            6,
            50,
        )
    },
    fault(
        "F3",
        "nats-server stopped for 2 s, its store deleted, started empty",
        "times",
        4,
        10,
    ),
    fault(
        "F4",
        "Redis emptied, killed, and full with noeviction for 5 s",
        "times each",
        2,
        10,
    ),
    fault(
        "F5",
        "a role frozen for 35 s (AckWait is 30 s), then let go",
        "times",
        4,
        50,
    ),
    fault(
        "F6",
        "store: 15 % reset, 30 % slow close, 10 % 503, 5 % 429, 35 % 3 s late",
        "seconds",
        30,
        1_800,
    ),
    fault(
        "F7",
        "store: 10 % of answers lost after the act, 5 % of creations 409, lists without the newest 5 s",
        "seconds",
        40,
        1_800,
    ),
    fault(
        "F8",
        "store out of reach: every connection breaks",
        "seconds",
        20,
        600,
    ),
    Fault {
        set_up: SetUp {
            small_volume: true,
            ..PLAIN
        },
        ..fault(
            "F9",
            "volume of NATS and of temporary files full for 15 s",
            "times",
            2,
            2,
        )
    },
    Fault {
        set_up: SetUp {
            cluster: true,
            ..PLAIN
        },
        ..fault(
            "F10",
            "two bits flipped in each file of one of three nats-servers, stopped meanwhile",
            "times",
            3,
            10,
        )
    },
    fault(
        "F10-single",
        "the same with the only nats-server: no good copy is left",
        "times",
        3,
        10,
    ),
    fault(
        "F11",
        "nats-server killed and put back to an older copy of its store",
        "times",
        3,
        10,
    ),
    Fault {
        set_up: SetUp {
            clocks: &["timestamping", "signing", "storage", "intake"],
            ..PLAIN
        },
        ..fault(
            "F13",
            "clock of a role 10 min ahead, then 10 min behind, 10 s each",
            "roles",
            4,
            4,
        )
    },
    fault(
        "tsa",
        "time-stamping down (F13, second half)",
        "seconds",
        30,
        3_600,
    ),
    fault(
        "F16",
        "hints that no work can be done for",
        "hints",
        50,
        1_000,
    ),
    Fault {
        set_up: SetUp {
            // Nobody but the flooder is to be in the other vendor's way.
            courts: false,
            per_second: 3.0,
            batch_size: 1,
            ..PLAIN
        },
        ..fault(
            "F17",
            "another vendor submits 50 times as much; as long before it for comparison",
            "seconds",
            30,
            300,
        )
    },
    Fault {
        set_up: SetUp {
            upgrade: true,
            ..PLAIN
        },
        ..fault(
            "F18",
            "every role replaced by another build, old by new, then back, both side by side for a while",
            "rounds",
            2,
            10,
        )
    },
    fault(
        "F19",
        "the vendor's credential, root's list, OCSP responder and users of NATS replaced by their next",
        "rounds",
        1,
        10,
    ),
    Fault {
        set_up: SetUp {
            // A package of replaced bytes is not made.
            courts: false,
            ..PLAIN
        },
        ..fault(
            "F20",
            "objects of the truth replaced in place by an administrator",
            "objects",
            3,
            3,
        )
    },
    fault(
        "line-nats",
        "line to NATS frozen 15 s, cut, 300 ms late for 10 s",
        "times",
        2,
        10,
    ),
    fault(
        "line-redis",
        "line to Redis frozen 15 s, cut, 300 ms late for 10 s",
        "times",
        2,
        10,
    ),
];

/// Does the fault, `lab.dose` times; answers when the last is over.
pub async fn inject(lab: &Lab, name: &str) -> Result<(), Failure> {
    match name {
        "none" => without::faults(lab).await,
        "bare" => without::bus_and_cache(lab).await,
        "wipe" => bus::wipe(lab).await,
        "F1" => processes::kill_roles(lab).await,
        "F2" => bus::kill_nodes(lab).await,
        "F3" => bus::empty(lab).await,
        "open" => bus::away_while_accepting(lab).await,
        "F4" => cache::lose_and_fill(lab).await,
        "F5" => processes::freeze_roles(lab).await,
        "F6" => store::misbehaves(lab).await,
        "F7" => store::loses_answers(lab).await,
        "F8" => store::out_of_reach(lab).await,
        "F9" => disk::full(lab).await,
        "F10" | "F10-single" => bus::flip_bits(lab).await,
        "F11" => bus::back_in_time(lab).await,
        "F13" => clock::wrong(lab).await,
        "tsa" => clock::no_time_stamps(lab).await,
        "F16" => poison::hints(lab).await,
        "F17" => flood::of_one_vendor(lab).await,
        "F18" => upgrade::rolling(lab).await,
        "F19" => rotation::everything(lab).await,
        "F20" => store::replaced_objects(lab).await,
        "line-nats" => bus::bad_line(lab).await,
        "line-redis" => cache::bad_line(lab).await,
        _ => Err(Failure::new(format!("no fault {name}"))),
    }
}
