//! Codes as files in a directory, for demos and tests.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use probity_platform::{Error, Result};
use tokio::io::AsyncWriteExt as _;

use super::{CodeChannel, CodeMessage};

/// Writes `<dir>/<intent>.json`, readable by its owner alone.
#[derive(Debug)]
pub struct FileChannel {
    dir: PathBuf,
}

impl FileChannel {
    /// Makes the directory when it is missing.
    ///
    /// # Errors
    /// `Malformed` when there can be none.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)
            .map_err(|e| Error::malformed(format!("code directory {}: {e}", dir.display())))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }
}

#[async_trait]
impl CodeChannel for FileChannel {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn send(&self, message: &CodeMessage<'_>) -> Result<()> {
        let intent = message.intent.to_string();
        let text = serde_json::json!({
            "intent": intent,
            "destination": message.destination,
            "code": message.code.expose(),
            "summary": message.summary,
            "instruction_sha256": message.instruction_sha256,
            "expires_at": message.expires_at.to_rfc3339(),
        });
        let unwritten = |e: std::io::Error| Error::unavailable(format!("code file: {e}"));
        // Renamed into place, so that whoever waits for the file never reads half of it.
        let partial = self.dir.join(format!("{intent}.partial"));
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&partial).await.map_err(unwritten)?;
        file.write_all(format!("{text:#}\n").as_bytes())
            .await
            .map_err(unwritten)?;
        file.flush().await.map_err(unwritten)?;
        tokio::fs::rename(&partial, self.dir.join(format!("{intent}.json")))
            .await
            .map_err(unwritten)
    }
}
