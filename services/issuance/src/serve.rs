//! Wiring.

use std::sync::Arc;
use std::time::Duration;

use probity_platform::edge::{self, Limits};
use probity_platform::keys::watch_validity;
use probity_platform::startup::Context;
use probity_platform::{Result, telemetry};
use probity_proto::subjects::ISSUE_EVENT_CERTIFICATE;
use probity_proto::v1::issue_event_certificate_reply::Outcome;
use probity_proto::v1::{IssueEventCertificateReply, IssueEventCertificateRequest};

use tracing::Instrument as _;

use crate::revoke::record;
use crate::{Authority, Config, CrlPublisher, Issuer, OcspResponder, router};

/// While the store cannot be reached, the list is tried again this often.
const RETRY: Duration = Duration::from_secs(5);

/// Runs the role until shutdown.
///
/// # Errors
/// `Malformed` for wrong configuration or key files, before a socket opens.
pub async fn serve(config: Config, ctx: Context) -> Result<()> {
    config.check()?;
    let authority = Arc::new(Authority::open(&config)?);
    let truth = ctx.buckets.truth.clone();
    let crls = Arc::new(CrlPublisher::new(
        authority.clone(),
        truth.clone(),
        ctx.clock.clone(),
    ));
    let issuer = Arc::new(Issuer {
        authority,
        crls,
        truth,
        ledger: ctx.ledger.clone(),
        clock: ctx.clock.clone(),
        random: ctx.random.clone(),
    });
    let ocsp = match &config.ocsp {
        Some(ocsp) => Some(Arc::new(OcspResponder::open(ocsp, issuer.clone())?)),
        None => None,
    };
    let mut validities = issuer.authority.validities();
    validities.extend(ocsp.iter().map(|ocsp| ocsp.validity()));
    let routes = router(issuer.clone(), ctx.access.clone(), ocsp);
    let listener = edge::listen(config.listen).await?;
    ctx.readiness.expect("crl");
    let validity = watch_validity(&ctx, validities);
    ctx.started();
    tokio::try_join!(
        edge::serve_http_on(listener, routes, &ctx, "issuance", Limits::default()),
        validity,
        answer(issuer.clone(), &ctx),
        publish(
            issuer,
            &ctx,
            Duration::from_secs(config.crl_period_s.into())
        ),
    )?;
    Ok(())
}

async fn answer(issuer: Arc<Issuer>, ctx: &Context) -> Result<()> {
    let handler = move |request: IssueEventCertificateRequest| {
        let issuer = issuer.clone();
        let span = tracing::info_span!(
            "issue",
            probity.submission = telemetry::submission(&request.submission_id)
        );
        async move {
            let certificate = issuer.issue_event_certificate(&request).await?;
            Ok(IssueEventCertificateReply {
                outcome: Some(Outcome::Certificate(certificate)),
            })
        }
        .instrument(span)
    };
    ctx.bus
        .answer(&ISSUE_EVENT_CERTIFICATE, ctx.shutdown.clone(), handler)
        .await
}

/// Keeps the list current, and the ledger in line with the revocations it found.
async fn publish(issuer: Arc<Issuer>, ctx: &Context, period: Duration) -> Result<()> {
    let mut recorded = std::collections::HashSet::new();
    while !ctx.shutdown.is_requested() {
        let kept = keep_current(&issuer, &mut recorded).await;
        ctx.readiness
            .set("crl", issuer.crls.current(issuer.clock.now()).map(drop));
        let wait = match kept {
            Ok(()) => period / 2,
            Err(e) => {
                tracing::warn!(error = %e, "the CRL could not be refreshed");
                RETRY
            }
        };
        tokio::select! {
            () = ctx.shutdown.requested() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

async fn keep_current(
    issuer: &Issuer,
    recorded: &mut std::collections::HashSet<String>,
) -> Result<()> {
    for revocation in issuer.crls.refresh().await? {
        if !recorded.contains(&revocation.serial) {
            record(&issuer.ledger, &revocation).await?;
            recorded.insert(revocation.serial);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roles are spawned: checked here, where the reason can be seen.
    #[expect(dead_code, reason = "compiling it is the test")]
    fn serves_on_any_thread(config: Config, ctx: Context) {
        fn spawned<F: Future<Output = Result<()>> + Send>(_: F) {}
        spawned(serve(config, ctx));
    }
}
