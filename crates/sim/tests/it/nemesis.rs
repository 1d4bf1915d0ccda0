//! What goes wrong on purpose beyond single requests: wiped streams, lost bucket `work`, moved clocks, stopped and killed
//! processes, poison on the bus.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use probity_domain::{EvidenceId, SubmissionId};
use probity_platform::Random;
use probity_platform::stage::AHEAD_MS_MAX;
use probity_proto::subjects::{HINTS, SIGNED, STAMPED, SUBMITTED};
use probity_proto::v1::{EvidenceRecord, Signed, Stamped, Submitted};
use prost::Message as _;
use tokio::time::sleep;

use crate::bus::Bus;
use crate::chance::Chance;
use crate::clock::WallClock;
use crate::pki::EPOCH;
use crate::processes::{Order, Orders};
use crate::sim::Sim;
use crate::store::Store;

const WHO: &str = "nemesis";
/// Clocks go wrong by at most this much (F13).
const CLOCK_ERROR_MS: u64 = 600_000;

pub struct Nemesis {
    pub sim: Arc<Sim>,
    pub store: Store,
    pub bus: Arc<Bus>,
    pub orders: Orders,
    /// By name of process.
    pub clocks: Vec<(&'static str, Arc<WallClock>)>,
    pub processes: Vec<&'static str>,
    pub storages: [&'static str; 2],
    pub chance: Chance,
}

impl Nemesis {
    /// Does harm until it is told to stop; then clocks are set right again.
    pub async fn live(self: Arc<Self>) {
        loop {
            sleep(Duration::from_secs(self.chance.between(5, 90))).await;
            if self.sim.doses() == crate::sim::Doses::default() {
                return;
            }
            match self.chance.below(8) {
                0 => self.wipe_bus(),
                1 => self.lose_work().await,
                2 | 3 => self.move_clock(),
                4 => self.stop(),
                5 => self.kill(),
                _ => self.poison().await,
            }
        }
    }

    pub fn set_clocks_right(&self) {
        for (_, clock) in &self.clocks {
            clock.set_offset_ms(0);
        }
        self.sim.note(WHO, "clocks are right");
    }

    /// In one run of four an intake's clock is ahead from the start: most submit in the first minute.
    pub fn set_an_intake_ahead(&self, chance: &Chance, intakes: &[&str]) {
        if chance.below(4) == 0 {
            let who = *chance.one_of(intakes);
            let offset_ms = chance.between(AHEAD_MS_MAX as u64, CLOCK_ERROR_MS) as i64;
            self.set_clock(who, offset_ms);
        }
    }

    fn wipe_bus(&self) {
        self.sim.note(WHO, "wipes the bus");
        self.bus.wipe();
    }

    /// The bucket may be cleared when nothing is in flight: so whoever writes the log is down.
    async fn lose_work(&self) {
        for storage in self.storages {
            self.orders.give(storage, Order::Kill { for_ms: 3_000 });
        }
        sleep(Duration::from_secs(1)).await;
        self.sim.note(WHO, "loses bucket work");
        self.store.lose_work().await;
    }

    fn move_clock(&self) {
        let (who, _) = self.chance.one_of(&self.clocks);
        let size_ms = self.chance.below(CLOCK_ERROR_MS) as i64;
        let offset_ms = match self.chance.below(3) {
            0 => 0,
            1 => size_ms,
            _ => -size_ms,
        };
        self.set_clock(who, offset_ms);
    }

    fn set_clock(&self, who: &str, offset_ms: i64) {
        self.sim.note(
            WHO,
            &format!("sets the clock of {who} wrong by {offset_ms} ms"),
        );
        for (_, clock) in self.clocks.iter().filter(|(name, _)| *name == who) {
            clock.set_offset_ms(offset_ms);
        }
    }

    fn stop(&self) {
        let process = self.chance.one_of(&self.processes);
        let for_ms = self.chance.between(1, 90_000);
        self.orders.give(process, Order::Stop { for_ms });
    }

    fn kill(&self) {
        let process = self.chance.one_of(&self.processes);
        let for_ms = self.chance.between(1, 60_000);
        self.orders.give(process, Order::Kill { for_ms });
    }

    async fn poison(&self) {
        let random: &dyn Random = &self.chance;
        let id = format!("poison.{}", hex::encode(random.bytes::<8>()));
        let unknown = SubmissionId::new(EPOCH, random.bytes());
        let number = EvidenceId {
            submission: unknown,
            item: 0,
        };
        let record = EvidenceRecord {
            evidence_number: number.to_string(),
            statement: Bytes::from_static(b"{}"),
            manifest: Bytes::new(),
            signature: Bytes::copy_from_slice(&random.bytes::<32>()),
        };
        let (submission_id, records) = (unknown.to_string(), vec![record]);
        let (hint, bytes) = match self.chance.below(4) {
            0 => (*self.chance.one_of(&HINTS), vec![0xff; 40]),
            1 => (SUBMITTED, unknown_submission(unknown).encode_to_vec()),
            2 => (
                SIGNED,
                Signed {
                    submission_id,
                    records,
                    round: 0,
                }
                .encode_to_vec(),
            ),
            _ => (
                STAMPED,
                Stamped {
                    submission_id,
                    records,
                    round: 0,
                }
                .encode_to_vec(),
            ),
        };
        self.bus
            .tell_bytes(WHO, &hint, &id, bytes.into())
            .await
            .ok();
    }
}

fn unknown_submission(id: SubmissionId) -> Submitted {
    Submitted {
        submission_id: id.to_string(),
        first_item: 0,
        last_item: 9,
        round: 0,
        tenant: String::new(),
    }
}
