//! Waiting for conditions instead of sleeping.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const STEP_MIN: Duration = Duration::from_millis(5);
const STEP_MAX: Duration = Duration::from_millis(200);

/// Waits until `condition` holds.
///
/// # Panics
/// After `timeout`, naming `what` was waited for.
pub async fn wait_until<F, Fut>(what: &str, timeout: Duration, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let condition = || {
        let holds = condition();
        async move { holds.await.then_some(()) }
    };
    eventually(what, timeout, condition).await;
}

/// Waits until `attempt` yields a value, and returns it.
///
/// # Panics
/// After `timeout`, naming `what` was waited for.
pub async fn eventually<T, F, Fut>(what: &str, timeout: Duration, mut attempt: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + timeout;
    let mut step = STEP_MIN;
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        if Instant::now() >= deadline {
            panic!("waited {timeout:?} in vain for {what}");
        }
        sleep(step).await;
        step = (step * 2).min(STEP_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn yields_the_first_value() {
        let mut round = 0;
        let value = eventually("the third round", Duration::from_secs(60), || {
            round += 1;
            std::future::ready((round == 3).then_some(round))
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "in vain for the impossible")]
    async fn names_what_never_came() {
        wait_until("the impossible", Duration::from_millis(20), || {
            std::future::ready(false)
        })
        .await;
    }
}
