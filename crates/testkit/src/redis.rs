//! redis-server without persistence.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::server::Kind;
use crate::tools::tool;

pub(crate) struct Redis;

impl Kind for Redis {
    fn name(&self) -> &'static str {
        "redis-server"
    }

    fn command(&self, port: u16, data: &Path) -> io::Result<Command> {
        let mut command = Command::new(tool("redis-server"));
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--maxmemory-policy",
                "noeviction",
            ])
            .arg("--dir")
            .arg(data);
        Ok(command)
    }

    fn probe(&self) -> (&'static [u8], &'static str) {
        (b"PING\r\n", "+PONG")
    }
}
