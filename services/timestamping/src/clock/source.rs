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
/// After so many answers in a row the interval is halved again, down to the configured one.
const ANSWERS_TO_RECOVER: u32 = 8;
/// RFC 5905 7.4 has clients give up a server that refuses. This long after it, its name is looked up again and it is
/// asked once more, as after a restart: a server that is configured back must not need one.
const DENIED_PERIOD: Duration = Duration::from_secs(6 * 3_600);

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
    /// As configured.
    poll: Duration,
    period: Duration,
    /// Since the interval last changed.
    answers: u32,
}

enum Kind {
    System { error_us: i64 },
    Chrony(Chrony),
    Ntp { server: String },
}

impl Source {
    pub fn new(config: &SourceConfig) -> Self {
        let (name, kind, poll) = match config {
            SourceConfig::System { error_ms } => {
                let error_us = i64::from(*error_ms) * 1_000;
                ("system".to_owned(), Kind::System { error_us }, LOCAL_PERIOD)
            }
            SourceConfig::Chrony { command } => {
                let command = command.clone();
                let kind = Kind::Chrony(Chrony { command });
                ("chrony".to_owned(), kind, LOCAL_PERIOD)
            }
            SourceConfig::Ntp { server, poll_s } => {
                let poll = Duration::from_secs(u64::from(*poll_s));
                let kind = Kind::Ntp {
                    server: server.clone(),
                };
                (format!("ntp {server}"), kind, poll)
            }
        };
        Self {
            name,
            kind,
            poll,
            period: poll,
            answers: 0,
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
            Kind::Ntp { server } => match exchange(server, reader, random).await {
                Err(e) => Heard::Silent(e.detail),
                Ok(Ok(sample)) => {
                    self.answered();
                    Heard::Sample(sample)
                }
                Ok(Err(no)) => self.refused(&no),
            },
        }
    }

    fn answered(&mut self) {
        if self.period == DENIED_PERIOD {
            self.ask_every(self.poll);
            return;
        }
        self.answers += 1;
        if self.answers >= ANSWERS_TO_RECOVER {
            self.ask_every((self.period / 2).max(self.poll));
        }
    }

    const fn ask_every(&mut self, period: Duration) {
        self.period = period;
        self.answers = 0;
    }

    fn refused(&mut self, no: &NotATime) -> Heard {
        let reason = no.to_string();
        match no {
            NotATime::Denied(_) => {
                tracing::error!(source = self.name, reason, "asked again in some hours");
                self.ask_every(DENIED_PERIOD);
                Heard::Unfit(reason)
            }
            NotATime::Rate => {
                self.ask_every((self.period * 2).min(PERIOD_MAX.max(self.period)));
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
