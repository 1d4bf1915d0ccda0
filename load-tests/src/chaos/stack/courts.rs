//! Who receives: a court that is pushed to and one that pulls, each with the reference recipient's own program and a gate of
//! the laboratory before what is counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use probity_testkit::free_port;

use crate::Failure;
use crate::chaos::gate::{Gate, Seen, Tls};

use super::{Process, Stack, text, until_open};

/// Names of the two recipients.
pub const PUSHED: &str = "pushed";
pub const PULLS: &str = "pulls";
const OPERATOR_KEY: &str = "secret/operator-key";

/// A court's program, and the gate that is open as long as this is kept.
pub struct Court {
    pub program: Process,
    _gate: Gate,
}

impl Stack {
    /// A court whose designated system is behind a gate: its certificate is the gate's as well.
    pub async fn court_pushed_to(&self, seen: Arc<Seen>) -> Result<Court, Failure> {
        let (outer, inner) = (free_port(), free_port());
        let endpoint = format!("https://127.0.0.1:{outer}");
        let more = ["--endpoint", &endpoint, "--allow-private-address"];
        let folder = self.make_court(PUSHED, "push", &more).await?;
        let tls = Tls {
            certificate: read(&folder.join("tls.crt.pem"))?,
            key: read(&folder.join("tls.key.pem"))?,
        };
        let gate = Gate::start(
            outer,
            Some(&tls),
            format!("https://127.0.0.1:{inner}"),
            seen,
        )?;
        let listen = format!("127.0.0.1:{inner}");
        let program = self.court_program("serve", &folder, &["--listen", &listen])?;
        until_open("the court's system", inner).await?;
        Ok(Court {
            program,
            _gate: gate,
        })
    }

    /// A court that looks every second what there is for it, through a gate before delivery.
    pub async fn court_that_pulls(&self, seen: Arc<Seen>) -> Result<Court, Failure> {
        let folder = self.make_court(PULLS, "pull", &[]).await?;
        let credential = text(&folder.join("credential"));
        let asked = [
            "--role",
            "court",
            "--recipient",
            PULLS,
            "--out",
            &credential,
        ];
        self.officer("credential", &asked).await?;
        let port = free_port();
        let gate = Gate::start(port, None, self.url("delivery")?, seen)?;
        let delivery = format!("http://127.0.0.1:{port}");
        let more = ["--delivery", &delivery, "--credential", &credential];
        let more = [&more[..], &["--watch", "1", "--legal-basis", "a trial"]].concat();
        Ok(Court {
            program: self.court_program("pull", &folder, &more)?,
            _gate: gate,
        })
    }

    /// Makes its keys and registers it. Who allows private addresses is an operator.
    async fn make_court(
        &self,
        recipient: &str,
        channel: &str,
        more: &[&str],
    ) -> Result<PathBuf, Failure> {
        let key = self.path(OPERATOR_KEY);
        if !key.exists() {
            let config = text(&self.config("identity"));
            let asked = [
                "bootstrap-officer",
                "--role",
                "operator",
                "--config",
                &config,
            ];
            let secret = self.run("probityd", &asked).await?;
            std::fs::write(&key, secret).map_err(Failure::new)?;
        }
        let folder = self.path(&format!("court-{recipient}"));
        let folder_text = text(&folder);
        let mut arguments = vec!["court", "init", "--dir", &folder_text, "--name", recipient];
        arguments.extend([
            "--recipient",
            recipient,
            "--place",
            "Beijing",
            "--channel",
            channel,
        ]);
        arguments.extend(more);
        self.run("probity", &arguments).await?;
        let profile = text(&folder.join("recipient.json"));
        let asked = [recipient, "--document", &profile];
        self.officer_as(OPERATOR_KEY, "recipient", &asked).await?;
        Ok(folder)
    }

    /// It verifies what it receives, by the roots and the log's key alone.
    fn court_program(
        &self,
        command: &str,
        folder: &Path,
        more: &[&str],
    ) -> Result<Process, Failure> {
        let folder = text(folder);
        let roots = text(&self.path("keys/public/root-ca.crt.pem"));
        let log_key = text(&self.path("keys/public/log.vkey"));
        let arguments = ["court", command, "--dir", &folder, "--roots", &roots];
        let arguments = [&arguments[..], &["--log-key", &log_key], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let executable = self.programs.join("probity");
        let program = self.program(&format!("court-{command}"), executable, &arguments)?;
        Ok(Process::start(program))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(Failure::new)
}
