//! Roles that die and roles that hang.

use std::time::Duration;

use tokio::time::sleep;

use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::stack::ROLES;

/// Longer than the 30 s after which JetStream gives a message to somebody else.
const FROZEN: Duration = Duration::from_secs(35);
const WORKERS: [&str; 4] = ["signing", "timestamping", "storage", "delivery"];

pub async fn kill_roles(lab: &Lab) -> Result<(), Failure> {
    let mut left = Vec::new();
    for _ in 0..lab.dose {
        lab.pause(2..=6).await;
        // Each of them before one of them again: a short dose leaves none out.
        if left.is_empty() {
            left = ROLES.to_vec();
        }
        let role = left.swap_remove(lab.below(left.len()));
        lab.stack.process(role)?.kill().await?;
        lab.did(&format!("kill -9 {role}"));
    }
    Ok(())
}

pub async fn freeze_roles(lab: &Lab) -> Result<(), Failure> {
    let workers = WORKERS.iter().cycle();
    for role in workers.take(usize::try_from(lab.dose).unwrap_or(usize::MAX)) {
        let process = lab.stack.process(role)?;
        process.signal("STOP").await?;
        sleep(FROZEN).await;
        process.signal("CONT").await?;
        lab.did(&format!("{role} frozen"));
        lab.pause(2..=5).await;
    }
    Ok(())
}
