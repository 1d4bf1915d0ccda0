//! Terms of the log's writer: who holds the lease takes hints, appends, reconciles and scrubs until it is lost.

use std::sync::Arc;

use probity_platform::startup::{Context, Shutdown};
use probity_platform::{Error, Result};
use tokio::task::JoinHandle;

use super::{limits, pause, run_stage, tell};
use crate::log::{Appends, Lease, Log, Writer};
use crate::{Config, Deposit, reconcile, scrub};

/// What it takes to be the writer, whether or not this process is it now.
pub(super) struct Stand {
    pub config: Config,
    pub ctx: Context,
    pub log: Arc<Log>,
    pub deposit: Arc<Deposit>,
    pub lease: Lease,
    pub writer: Writer,
    pub appends: Appends,
    pub gauges: reconcile::Gauges,
    pub scrubbed: scrub::Measures,
}

impl Stand {
    /// Stands by until the lease is free, writes while it is held, stands by again.
    pub async fn stand(mut self) -> Result<()> {
        let shutdown = self.ctx.shutdown.clone();
        while !shutdown.is_requested() {
            if acquired(&mut self.lease).await {
                tracing::info!("this process appends to the log");
                self.term().await?;
                tracing::info!("this process no longer appends to the log");
            }
            pause(&shutdown, self.lease.pause()).await;
        }
        Ok(())
    }

    /// One term as the writer: from the lease taken to the lease lost or shutdown.
    async fn term(&mut self) -> Result<()> {
        let (over, staged) = (Shutdown::new(), Shutdown::new());
        let mut ctx = self.ctx.clone();
        ctx.shutdown = over.clone();
        let limits = limits(&self.config);
        let stage = {
            let (ctx, deposit) = (ctx.clone(), self.deposit.clone());
            // Only when nothing is under way any more does the appender stop. A stage that ends by itself ends the term:
            // nobody keeps the lease and deposits nothing.
            let ends = [staged.clone(), over.clone()];
            spawn_ending(ends, run_stage(ctx, self.config.concurrency, deposit))
        };
        let scrub = tokio::spawn(scrub::serve(
            self.config.scrub.clone(),
            ctx.clone(),
            self.log.clone(),
            self.scrubbed.clone(),
        ));
        let reconcile = {
            let (config, log, gauges) = (&self.config, &self.log, &self.gauges);
            let serve = reconcile::serve(config.clone(), ctx, log.clone(), gauges.clone());
            spawn_ending([over.clone()], serve)
        };
        let tell = {
            let ctx = self.ctx.clone();
            move |news| tell(ctx.clone(), news)
        };
        let append = self
            .appends
            .commit_all(&mut self.writer, limits, &staged, tell);
        let ((), ()) = tokio::join!(append, renew(&mut self.lease, &self.ctx.shutdown, &over));
        self.lease.release().await;
        reconcile.await.map_err(Error::internal)?;
        scrub.await.map_err(Error::internal)?;
        stage.await.map_err(Error::internal)?
    }
}

/// Requests these when it is dropped, however whoever holds it came to an end: a panic is one.
struct Ending<const N: usize>([Shutdown; N]);

impl<const N: usize> Drop for Ending<N> {
    fn drop(&mut self) {
        self.0.iter().for_each(Shutdown::request);
    }
}

/// Spawns work whose end is the end of more.
fn spawn_ending<const N: usize, F>(ends: [Shutdown; N], work: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(async move {
        let _ends = Ending(ends);
        work.await
    })
}

/// Renews the lease until it is lost, the term has ended otherwise, or shutdown; then the term is over.
async fn renew(lease: &mut Lease, shutdown: &Shutdown, over: &Shutdown) {
    while !shutdown.is_requested() && !over.is_requested() {
        tokio::select! {
            () = pause(shutdown, lease.pause()) => {}
            () = over.requested() => break,
        }
        if shutdown.is_requested() || !acquired(lease).await {
            break;
        }
    }
    over.request();
}

async fn acquired(lease: &mut Lease) -> bool {
    match lease.acquire().await {
        Ok(held) => held,
        Err(e) => {
            tracing::warn!(error = %e, "the log's lease could not be written");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_term() {
        let over = Shutdown::new();
        let panics = spawn_ending([over.clone()], async { panic!("a defect") });
        over.requested().await;
        assert!(panics.await.is_err_and(|e| e.is_panic()));
    }
}
