//! What an operator asks of this role without running it.

use probity_platform::Result;
use probity_platform::startup::Stores;

use crate::{Config, rebuild_index, serve};

/// `rebuild-index`: writes the index in Redis anew from the log; answers what it did, for people.
///
/// # Errors
/// `Malformed` for wrong configuration or key files; `Unavailable` without Redis or the store.
pub async fn rebuild(config: Config, stores: Stores) -> Result<String> {
    let (_, log) = serve::open_log(&config, &stores.buckets)?;
    let rebuilt = rebuild_index(&stores.cache, &log).await?;
    let resumed = match rebuilt.resumed_at {
        0 => String::new(),
        before => format!("; {before} of them by a rebuild that was cut short"),
    };
    Ok(format!(
        "indexed {} entries of the log {}{resumed}",
        rebuilt.entries, config.log_name
    ))
}
