//! Who listens where.

use std::collections::BTreeMap;
use std::path::Path;

use probity_testkit::free_port;

use crate::Failure;

/// Ports of 127.0.0.1 by name.
pub struct Ports(BTreeMap<String, u16>);

impl Ports {
    /// From lines of a name and a port.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let lines = std::fs::read_to_string(file).map_err(Failure::new)?;
        let parse = |line: &str| {
            let (name, port) = line.split_once(' ')?;
            Some((name.to_owned(), port.parse().ok()?))
        };
        Ok(Self(lines.lines().filter_map(parse).collect()))
    }

    pub fn of(&self, name: &str) -> Result<u16, Failure> {
        let found = self.0.get(name).copied();
        found.ok_or_else(|| Failure::new(format!("no port for {name} in the prepared folder")))
    }

    /// A free port that is nobody's yet, who may only be about to listen.
    pub fn spare(&mut self, name: &str) -> u16 {
        let mut port = free_port();
        while self.0.values().any(|taken| *taken == port) {
            port = free_port();
        }
        self.0.insert(name.to_owned(), port);
        port
    }
}
