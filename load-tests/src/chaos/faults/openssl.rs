//! OpenSSL, whose word counts where a certificate or a time is to be believed.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::Failure;

/// Runs a command of it, which writes what it has to say to `out`.
pub async fn run(arguments: &[&str], out: &Path) -> Result<(), Failure> {
    let ended = Command::new("openssl")
        .args(arguments)
        .arg("-out")
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(Failure::new)?;
    if ended.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "openssl {}: {ended}",
        arguments.join(" ")
    )))
}
