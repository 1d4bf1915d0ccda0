//! A second process of a role beside the first.

use probity_testkit::free_port;

use crate::Failure;

use super::{Build, Process, Stack, run_role, until_ready};

impl Stack {
    /// Starts it as this build, on ports of its own, and waits until it is ready.
    pub async fn start_beside(&self, role: &str, build: Build) -> Result<Process, Failure> {
        let name = format!("{role}-beside");
        let config = std::fs::read_to_string(self.config(role)).map_err(Failure::new)?;
        let ops_port = free_port();
        let config = with_other_ports(&config, ops_port, free_port);
        let file = self.config(&name);
        std::fs::write(&file, config).map_err(Failure::new)?;
        let program = self.program(&name, self.probityd(build)?, &run_role(role, &file))?;
        let process = Process::start(program);
        until_ready(&name, &format!("http://127.0.0.1:{ops_port}")).await?;
        Ok(process)
    }
}

/// The same configuration for a process that listens elsewhere.
fn with_other_ports(config: &str, ops_port: u16, mut port: impl FnMut() -> u16) -> String {
    let lines = config.lines().map(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        match name {
            "ops_listen" => format!("{name} = \"127.0.0.1:{ops_port}\"\n"),
            "listen" | "grpc_listen" => format!("{name} = \"127.0.0.1:{}\"\n", port()),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_it_listens_is_changed() {
        let config = "[process]\nops_listen = \"127.0.0.1:1\"\n[x]\nlisten = \"127.0.0.1:2\"\n\
                      grpc_listen = \"127.0.0.1:3\"\ncrl_url = \"http://127.0.0.1:2/crl\"\n";
        let mut ports = 11..;
        let changed = with_other_ports(config, 10, || ports.next().unwrap());
        let wanted = "[process]\nops_listen = \"127.0.0.1:10\"\n[x]\nlisten = \"127.0.0.1:11\"\n\
                      grpc_listen = \"127.0.0.1:12\"\ncrl_url = \"http://127.0.0.1:2/crl\"\n";
        assert_eq!(changed, wanted);
    }
}
