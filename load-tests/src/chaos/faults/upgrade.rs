//! Every role replaced by another build of itself, one after the other, with work in flight.

use std::time::Duration;

use crate::Failure;
use crate::chaos::Lab;
use crate::chaos::process::Process;
use crate::chaos::stack::{Build, ROLES};

/// From SIGTERM to SIGKILL, as an orchestrator grants it (P12).
const GRACE: Duration = Duration::from_secs(30);
/// It has one address that vendors know, so the second one would be asked by nobody.
const ALONE: &str = "intake";

/// Old to new, then back, in turn.
pub async fn rolling(lab: &Lab) -> Result<(), Failure> {
    for (round, to) in [Build::New, Build::Old].into_iter().cycle().enumerate() {
        if round >= lab.dose as usize {
            break;
        }
        for role in ROLES {
            replace(lab, role, to).await?;
            lab.pause(1..=2).await;
        }
        lab.did(match to {
            Build::New => "every role old to new",
            Build::Old => "every role new to old",
        });
    }
    Ok(())
}

/// As an orchestrator does it that starts the next before it ends the last: both side by side, then the next alone.
async fn replace(lab: &Lab, role: &str, to: Build) -> Result<(), Failure> {
    let beside = if role == ALONE {
        None
    } else {
        let beside = lab.stack.start_beside(role, to).await?;
        lab.did("old and new side by side");
        lab.pause(2..=3).await;
        Some(beside)
    };
    let process = lab.stack.process(role)?;
    end(lab, process).await?;
    process.next_executable(lab.stack.probityd(to)?);
    process.start_again();
    lab.stack.ready(role).await?;
    if let Some(beside) = beside {
        end(lab, &beside).await?;
    }
    Ok(())
}

/// SIGTERM, and the time to end that an orchestrator grants.
pub async fn end(lab: &Lab, process: &Process) -> Result<(), Failure> {
    match process.end(GRACE).await? {
        Some(took) => lab.measured("longest end after SIGTERM, ms", took.as_secs_f64() * 1e3),
        None => lab.broken(format!(
            "{} did not end within {GRACE:?} of SIGTERM",
            process.name()
        )),
    }
    lab.count("ended by SIGTERM");
    Ok(())
}
