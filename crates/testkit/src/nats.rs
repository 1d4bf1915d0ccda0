//! nats-server with JetStream on disk.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::server::Kind;
use crate::tools::tool;

#[derive(Default)]
pub(crate) struct Nats {
    /// Further lines of the configuration: users and what they may.
    pub(crate) config: String,
}

impl Kind for Nats {
    fn name(&self) -> &'static str {
        "nats-server"
    }

    fn command(&self, port: u16, data: &Path) -> io::Result<Command> {
        let config = data.with_file_name("nats.conf");
        let store = data.display();
        fs::write(
            &config,
            format!(
                "listen: \"127.0.0.1:{port}\"\n\
                 jetstream {{ store_dir: \"{store}\", max_mem: 256MB, max_file: 8GB }}\n\
                 max_payload: 1MB\n{}",
                self.config
            ),
        )?;
        let mut command = Command::new(tool("nats-server"));
        command.arg("--config").arg(config);
        Ok(command)
    }

    /// A server greets first, and says whether JetStream is on.
    fn probe(&self) -> (&'static [u8], &'static str) {
        (b"", r#""jetstream":true"#)
    }
}
