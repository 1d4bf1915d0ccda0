//! Where one-time codes come from: a person who reads them from a message, or the file channel of a demonstration.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use probity_client::Vendor;
use probity_proto::http::{IntentConfirmDocument, IntentRequestDocument, IntentRequestedDocument};

use crate::failure::{Failure, at};

/// How long the file channel may take to write a code.
const FILE_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Args, Clone)]
pub struct CodeArgs {
    /// Folder that the platform's file channel writes codes to; asked for on the terminal otherwise
    #[arg(long, env = "PROBITY_CODES", value_name = "DIR")]
    pub codes: Option<PathBuf>,
}

/// Asks for a code bound to the instruction and confirms with it; answers the intent's id.
pub async fn confirmed_intent(
    vendor: &Vendor,
    args: &CodeArgs,
    instruction_sha256: &str,
    summary: String,
) -> Result<String, Failure> {
    let request = IntentRequestDocument {
        instruction_sha256: instruction_sha256.to_owned(),
        summary,
    };
    let requested = vendor.request_intent(&request).await?;
    let code = match &args.codes {
        Some(folder) => code_from_file(folder.join(format!("{}.json", requested.intent))).await?,
        None => code_from_person(&requested)?,
    };
    let confirmation = IntentConfirmDocument {
        code,
        instruction_sha256: instruction_sha256.to_owned(),
    };
    vendor
        .confirm_intent(&requested.intent, &confirmation)
        .await?;
    Ok(requested.intent)
}

async fn code_from_file(path: PathBuf) -> Result<String, Failure> {
    let waiting = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FILE_PATIENCE, waiting)
        .await
        .map_err(|_| Failure::new(format!("{} did not appear", path.display())))?;
    let text = std::fs::read(&path).map_err(at(&path))?;
    let message: serde_json::Value = serde_json::from_slice(&text).map_err(Failure::new)?;
    let code = message.get("code").and_then(|code| code.as_str());
    code.map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{}: no code in it", path.display())))
}

fn code_from_person(requested: &IntentRequestedDocument) -> Result<String, Failure> {
    eprint!(
        "A one-time code went to {} ({}), good until {}. Code: ",
        requested.masked_destination, requested.channel, requested.expires_at
    );
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
