//! Asking the sources.

use std::time::Duration;

use probity_platform::{Error, Random, Result};
use tokio::net::{UdpSocket, lookup_host};

use super::chrony::Chrony;
use super::leap::LeapIndicator;
use super::ntp::{self, NotATime};
use super::reading::ClockReader;
use super::sample::Sample;
use crate::SourceConfig;

/// A server that does not answer within this is silent.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// Packets that are no answer, per question.
const STRAY_MAX: usize = 16;
/// Extension fields of a server are read over.
const DATAGRAM_BYTES_MAX: usize = 1_024;
/// chronyd and the machine's own clock are on this machine: asked this often, so that what chronyd learns about the clock
/// is known within the second.
const LOCAL_PERIOD: Duration = Duration::from_millis(400);
/// A server that asks for fewer questions gets them at twice the interval, up to this.
const PERIOD_MAX: Duration = Duration::from_secs(4_096);

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Sample(Sample),
    /// The source says that it does not know the time: what it said before counts no more.
    Unfit(String),
    /// Nothing was heard: what it said before ages.
    Silent(String),
}

/// A time source and how often it may be asked.
pub struct Source {
    name: String,
    kind: Kind,
    period: Duration,
}

enum Kind {
    System {
        error_us: i64,
    },
    Chrony(Chrony),
    Ntp {
        server: String,
    },
    /// Said never to ask again.
    Gone {
        reason: String,
    },
}

impl Source {
    pub fn new(config: &SourceConfig) -> Self {
        match config {
            SourceConfig::System { error_ms } => Self {
                name: "system".to_owned(),
                kind: Kind::System {
                    error_us: i64::from(*error_ms) * 1_000,
                },
                period: LOCAL_PERIOD,
            },
            SourceConfig::Chrony { command } => Self {
                name: "chrony".to_owned(),
                kind: Kind::Chrony(Chrony {
                    command: command.clone(),
                }),
                period: LOCAL_PERIOD,
            },
            SourceConfig::Ntp { server, poll_s } => Self {
                name: format!("ntp {server}"),
                kind: Kind::Ntp {
                    server: server.clone(),
                },
                period: Duration::from_secs(u64::from(*poll_s)),
            },
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// To wait before asking again.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Asks once.
    pub async fn ask(&mut self, reader: &dyn ClockReader, random: &dyn Random) -> Heard {
        match &self.kind {
            Kind::System { error_us } => {
                let reading = reader.read();
                Heard::Sample(Sample {
                    monotonic_us: reading.monotonic_us,
                    utc_us: reading.wall_us(),
                    error_us: error_us.saturating_add(reading.gap_us),
                    delay_us: 0,
                    stratum: 0,
                    leap: LeapIndicator::None,
                    measurement: None,
                })
            }
            Kind::Chrony(chrony) => chrony.ask(reader).await,
            Kind::Gone { reason } => Heard::Unfit(reason.clone()),
            Kind::Ntp { server } => match exchange(server, reader, random).await {
                Err(e) => Heard::Silent(e.detail),
                Ok(Ok(sample)) => Heard::Sample(sample),
                Ok(Err(no)) => self.refused(&no),
            },
        }
    }

    fn refused(&mut self, no: &NotATime) -> Heard {
        let reason = no.to_string();
        match no {
            NotATime::Denied(_) => {
                self.kind = Kind::Gone {
                    reason: reason.clone(),
                };
                Heard::Unfit(reason)
            }
            NotATime::Rate => {
                self.period = (self.period * 2).min(PERIOD_MAX.max(self.period));
                Heard::Silent(reason)
            }
            NotATime::Unfit(_) => Heard::Unfit(reason),
            NotATime::Stray => Heard::Silent(reason),
        }
    }
}

/// One question and its answer. A socket of its own for each: its port is one more thing a forger has to guess, and a
/// connected one takes packets from the server alone.
async fn exchange(
    server: &str,
    reader: &dyn ClockReader,
    random: &dyn Random,
) -> Result<core::result::Result<Sample, NotATime>> {
    let silent = |e: &dyn std::fmt::Display| Error::unavailable(format!("{server}: {e}"));
    let exchanged = async {
        let mut addresses = lookup_host(server).await.map_err(|e| silent(&e))?;
        let address = addresses.next().ok_or_else(|| silent(&"has no address"))?;
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).await.map_err(|e| silent(&e))?;
        socket.connect(address).await.map_err(|e| silent(&e))?;
        let nonce = u64::from_be_bytes(random.bytes::<8>());
        let sent_us = reader.read().monotonic_us;
        let question = ntp::question(nonce);
        socket.send(&question).await.map_err(|e| silent(&e))?;
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..STRAY_MAX {
            let bytes = socket.recv(&mut buffer).await.map_err(|e| silent(&e))?;
            let received_us = reader.read().monotonic_us;
            let packet = buffer.get(..bytes).unwrap_or_default();
            match ntp::answer(packet, nonce, sent_us, received_us) {
                Err(NotATime::Stray) => {}
                answered => return Ok(answered),
            }
        }
        Ok(Err(NotATime::Stray))
    };
    match tokio::time::timeout(ANSWER_TIME_MAX, exchanged).await {
        Ok(answered) => answered,
        Err(_) => Err(silent(&"no answer within a second")),
    }
}
