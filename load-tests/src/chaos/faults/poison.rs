//! Hints for which there is no work to do, told by whoever has intake's place on the bus: they name no submission. They are
//! well-formed messages, each is parked by the first look at it, and none crashes a stage. What does is tested on the stage
//! runner and a real NATS (`crates/platform/tests/it/poison.rs`), and panics here and there in the simulation.

use probity_proto::subjects::SUBMITTED;
use probity_proto::v1::Submitted;

use crate::Failure;
use crate::chaos::Lab;

pub async fn hints(lab: &Lab) -> Result<(), Failure> {
    let bus = lab.stack.bus("intake", None).await?;
    for number in 0..lab.dose {
        let hint = poisoned(number);
        bus.tell(&SUBMITTED, &format!("poison-{number}"), &hint)
            .await
            .map_err(Failure::new)?;
        lab.did("poisoned hint");
        if number % 10 == 9 {
            lab.pause(1..=2).await;
        }
    }
    Ok(())
}

/// In turn: text that is no identifier, none at all, the identifier of a submission that nobody made.
fn poisoned(number: u32) -> Submitted {
    let submission_id = match number % 3 {
        0 => "not an identifier".to_owned(),
        1 => String::new(),
        _ => format!("0192d7a4-5b1e-7c3a-8f00-{number:012x}"),
    };
    Submitted {
        submission_id,
        first_item: number,
        last_item: u32::MAX - number,
        round: 0,
        tenant: String::new(),
    }
}
