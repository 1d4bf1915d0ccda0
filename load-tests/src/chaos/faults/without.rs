//! Runs in which something is not there: any fault, or everything but the store.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::calls::Alone;

/// What the court that pulls has before it when it has nothing but the store.
const WAITING: usize = 10;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is promised without faults has to be seen without faults.
pub async fn faults(lab: &Lab) -> Result<(), Failure> {
    sleep(Duration::from_secs(u64::from(lab.dose))).await;
    Ok(())
}

/// Vendors submit and order, a court lists, fetches and acknowledges, with the store alone (P13). What is not deposited yet
/// stays so, and what is not prepared yet is not pushed: proofs and time-stamps are asked for over NATS.
pub async fn bus_and_cache(lab: &Lab) -> Result<(), Failure> {
    let courts = lab.courts.as_ref();
    let courts = courts.ok_or_else(|| Failure::new("nobody pulls without courts"))?;
    let court = &courts.that_pulls.program;
    court.stop().await?;
    // A call that is not answered is asked again.
    while courts.waiting(&lab.submitter).await.unwrap_or(0) < WAITING {
        sleep(LOOK_EVERY).await;
    }
    for node in lab.stack.nats() {
        node.stop().await?;
    }
    let redis = lab.stack.process("redis")?;
    redis.stop().await?;

    let from = Instant::now();
    court.start_again();
    sleep(Duration::from_secs(u64::from(lab.dose))).await;
    lab.notes().alone = Some(Alone {
        from,
        to: Instant::now(),
    });
    redis.start_again();
    for node in lab.stack.nats() {
        node.start_again();
    }
    lab.did("NATS and Redis away");
    Ok(())
}
