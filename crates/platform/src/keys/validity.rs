//! What ends: certificates and lists that a role cannot serve without. Their end makes the process not ready, and is
//! announced long before.

use std::collections::BTreeMap;
use std::time::Duration;

use probity_domain::Timestamp;
use probity_pki::crl::Crl;
use probity_pki::x509::Certificate;

use crate::metrics::ValidityLabel;
use crate::startup::Context;
use crate::{Error, Result};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 3_600_000;
/// A ceremony needs people in one room: warned this many days ahead, once a day.
const WARNED_DAYS: i64 = 30;

/// How long a certificate or list is good.
#[derive(Debug, Clone)]
pub struct Validity {
    what: &'static str,
    from: Timestamp,
    until: Timestamp,
}

impl Validity {
    /// A certificate's; `what` names it in `/readyz`, metrics and log.
    #[must_use]
    pub fn of_certificate(what: &'static str, certificate: &Certificate) -> Self {
        Self {
            what,
            from: certificate.not_before(),
            until: certificate.not_after(),
        }
    }

    /// A revocation list's: past its nextUpdate nobody believes it.
    #[must_use]
    pub fn of_crl(what: &'static str, crl: &Crl) -> Self {
        Self {
            what,
            from: crl.this_update(),
            until: crl.next_update(),
        }
    }

    /// # Errors
    /// `Unavailable` when it is not good now.
    fn check(&self, now: Timestamp) -> Result<()> {
        let Self { what, from, until } = self;
        if *from <= now && now < *until {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "{what}: good from {from} to {until}, and not now"
        )))
    }

    const fn left_ms(&self, now: Timestamp) -> i64 {
        self.until.ms_since(now)
    }

    /// Says how it stands, and answers the days left when a warning is due.
    fn look(&self, ctx: &Context, now: Timestamp) -> Option<i64> {
        let left_ms = self.left_ms(now);
        let label = ValidityLabel { what: self.what };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge: thousands of years are exact to the millisecond"
        )]
        let days = left_ms as f64 / DAY_MS as f64;
        let gauge = &ctx.metrics.validity_days;
        gauge.get_or_create(&label).set(days);
        ctx.readiness.set(self.what, self.check(now));
        let days_left = left_ms.div_euclid(DAY_MS);
        (days_left < WARNED_DAYS).then_some(days_left)
    }
}

/// Looks at once, and then every minute until shutdown.
///
/// # Errors
/// None; a task among those of a role.
pub fn watch_validity(
    ctx: &Context,
    watched: Vec<Validity>,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let mut warned = BTreeMap::new();
    look(ctx, &watched, &mut warned);
    let ctx = ctx.clone();
    async move {
        while !ctx.shutdown.is_requested() {
            tokio::select! {
                () = ctx.shutdown.requested() => {}
                () = tokio::time::sleep(LOOK) => look(&ctx, &watched, &mut warned),
            }
        }
        Ok(())
    }
}

/// `warned` holds the days left that were said last.
fn look(ctx: &Context, watched: &[Validity], warned: &mut BTreeMap<&'static str, i64>) {
    let now = ctx.clock.now();
    for validity in watched {
        let Some(days_left) = validity.look(ctx, now) else {
            continue;
        };
        let (what, until) = (validity.what, validity.until);
        if warned.insert(what, days_left) != Some(days_left) {
            tracing::warn!(what, %until, days_left, "ends soon: hold the ceremony's next session");
        }
    }
}
