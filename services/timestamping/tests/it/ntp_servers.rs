//! Sources over real sockets: servers of the test's own that speak the real packet format, and chronyd.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use probity_platform::SystemRandom;
use probity_platform::clock::{Clock as _, SystemClock};
use probity_testkit::{eventually, free_port};
use probity_timestamping::clock::{Heard, LeapIndicator, Sample, Source};
use probity_timestamping::{ClockLease, ClockReader, Reading, SourceConfig, SystemReader};
use tokio::net::UdpSocket;

use crate::fixture::RULES;

/// For what a server does in an instant.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server of the test's own answers.
#[derive(Clone, Copy)]
enum Answers {
    /// The machine's time and this.
    Off {
        ms: i64,
        flags: u8,
        stratum: u8,
    },
    Kiss(&'static [u8; 4]),
    /// To another question.
    Forged,
    Nothing,
}

const GOOD: Answers = Answers::Off {
    ms: 0,
    flags: 0b00_100_100,
    stratum: 2,
};

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    answers: Arc<Mutex<Answers>>,
}

impl Server {
    async fn start(answers: Answers) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let shared = Arc::new(Mutex::new(answers));
        let answers = shared.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (bytes, from) = socket.recv_from(&mut question).await.unwrap();
                assert_eq!((bytes, question[0]), (48, 0x23));
                count.fetch_add(1, Ordering::SeqCst);
                let answers = *answers.lock().unwrap();
                if let Some(packet) = answer(answers, &question) {
                    socket.send_to(&packet, from).await.unwrap();
                }
            }
        });
        Self {
            address,
            asked,
            answers: shared,
        }
    }

    fn answers(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    fn source(&self) -> Source {
        Source::new(&SourceConfig::Ntp {
            server: self.address.to_string(),
            poll_s: 64,
        })
    }
}

fn answer(answers: Answers, question: &[u8]) -> Option<[u8; 48]> {
    let mut packet = [0; 48];
    packet[24..32].copy_from_slice(&question[40..48]);
    // A clock read in milliseconds is good for 2^-9 s.
    packet[3] = 0xf7;
    let mut time = |ms: i64| {
        let unix_ms = SystemClock.now().plus_ms(ms).unix_ms() as u64;
        let fraction = ((unix_ms % 1_000) << 32) / 1_000;
        let stamp = ((unix_ms / 1_000 + 2_208_988_800) << 32) | fraction;
        packet[32..40].copy_from_slice(&stamp.to_be_bytes());
        packet[40..48].copy_from_slice(&stamp.to_be_bytes());
    };
    match answers {
        Answers::Nothing => return None,
        Answers::Off { ms, flags, stratum } => {
            time(ms);
            (packet[0], packet[1]) = (flags, stratum);
        }
        Answers::Kiss(code) => {
            packet[0] = 0b11_100_100;
            packet[12..16].copy_from_slice(code);
        }
        Answers::Forged => {
            time(0);
            (packet[0], packet[1]) = (0b00_100_100, 2);
            packet[24] ^= 1;
        }
    }
    Some(packet)
}

fn reader() -> SystemReader {
    SystemReader::new(Arc::new(SystemClock))
}

async fn ask(source: &mut Source) -> Heard {
    source.ask(&reader(), &SystemRandom).await
}

#[tokio::test]
async fn what_servers_say_is_heard_for_what_it_is() {
    let off = |ms, flags, stratum| Answers::Off { ms, flags, stratum };
    for (leap, flags) in [
        (LeapIndicator::None, 0b00_100_100),
        (LeapIndicator::Insert, 0b01_100_100),
        (LeapIndicator::Delete, 0b10_100_100),
    ] {
        let server = Server::start(off(0, flags, 3)).await;
        match ask(&mut server.source()).await {
            Heard::Sample(sample) => assert_eq!((sample.leap, sample.stratum), (leap, 3)),
            other => panic!("{other:?}"),
        }
    }
    for (answers, unfit) in [
        (off(0, 0b11_100_100, 2), true),
        (off(0, 0b00_100_100, 16), true),
        (Answers::Kiss(b"DENY"), true),
        (Answers::Kiss(b"RATE"), false),
        (Answers::Forged, false),
        (Answers::Nothing, false),
    ] {
        let server = Server::start(answers).await;
        match ask(&mut server.source()).await {
            Heard::Unfit(_) => assert!(unfit),
            Heard::Silent(_) => assert!(!unfit),
            Heard::Sample(sample) => panic!("{sample:?}"),
        }
    }
}

#[tokio::test]
async fn kisses_are_obeyed() {
    let server = Server::start(Answers::Kiss(b"RSTR")).await;
    let mut source = server.source();
    assert!(matches!(ask(&mut source).await, Heard::Unfit(reason) if reason.contains("RSTR")));
    assert_eq!(source.period(), Duration::from_secs(6 * 3_600));

    let server = Server::start(Answers::Kiss(b"RATE")).await;
    let mut source = server.source();
    for doubled in [128, 256, 512] {
        ask(&mut source).await;
        assert_eq!(source.period(), Duration::from_secs(doubled));
    }
}

#[tokio::test]
async fn a_server_that_serves_again_is_asked_as_before() {
    let server = Server::start(Answers::Kiss(b"DENY")).await;
    let mut source = server.source();
    ask(&mut source).await;
    server.answers(GOOD);
    assert!(matches!(ask(&mut source).await, Heard::Sample(_)));
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    assert_eq!(source.period(), Duration::from_secs(64));

    let server = Server::start(Answers::Kiss(b"RATE")).await;
    let mut source = server.source();
    for _ in 0..2 {
        ask(&mut source).await;
    }
    server.answers(GOOD);
    let mut periods = Vec::new();
    for _ in 0..24 {
        ask(&mut source).await;
        periods.push(source.period().as_secs());
    }
    assert_eq!(periods[..7], [256; 7]);
    assert_eq!((periods[7], periods[15], periods[23]), (128, 64, 64));
}

/// The machine's clocks; the wall one turned.
struct Turned {
    reader: SystemReader,
    ms: Arc<AtomicI64>,
}

impl ClockReader for Turned {
    fn read(&self) -> Reading {
        let reading = self.reader.read();
        Reading {
            wall: reading.wall.plus_ms(self.ms.load(Ordering::SeqCst)),
            ..reading
        }
    }
}

/// Each of them has something to say; who is busy says it when it is asked again.
async fn hear_all(lease: &ClockLease, sources: &mut [Source]) {
    for (place, source) in sources.iter_mut().enumerate() {
        let answered = async {
            loop {
                let heard = source.ask(lease.reader(), &SystemRandom).await;
                if matches!(heard, Heard::Sample(_)) {
                    return heard;
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, answered).await.unwrap();
        lease.hear(place, heard, Duration::from_secs(512));
    }
    lease.renew();
    let record = probity_pki::tsp::ClockEvidence {
        record: "clock/x".to_owned(),
        digest: [1; 32],
    };
    lease.recorded(&lease.take_period(), record);
}

#[tokio::test]
async fn two_good_servers_outweigh_a_liar() {
    for (clock_ms, good) in [(0, true), (600_000, false), (-600_000, false)] {
        let liar = Answers::Off {
            ms: 600_000,
            flags: 0b00_100_100,
            stratum: 1,
        };
        let servers = [
            Server::start(GOOD).await,
            Server::start(liar).await,
            Server::start(GOOD).await,
        ];
        let mut sources: Vec<Source> = servers.iter().map(Server::source).collect();
        let names: Vec<String> = sources.iter().map(|s| s.name().to_owned()).collect();
        let ms = Arc::new(AtomicI64::new(clock_ms));
        let turned = Turned {
            reader: reader(),
            ms: ms.clone(),
        };
        let lease = ClockLease::new(Box::new(turned), RULES, &names);
        hear_all(&lease, &mut sources).await;
        let now = lease.now();
        assert_eq!(now.is_ok(), good, "{clock_ms}: {now:?}");
        if good {
            ms.store(600_000, Ordering::SeqCst);
            assert!(lease.now().unwrap_err().detail.contains("jumped"));
        }
    }
}

/// chronyd serving the machine's own time on a loopback port, leaving the clock alone (-x).
struct Chronyd {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn chronyd() -> Option<Chronyd> {
    let program = [
        "/usr/sbin/chronyd",
        "/usr/bin/chronyd",
        "/usr/local/sbin/chronyd",
    ];
    let Some(program) = program.iter().find(|path| Path::new(path).exists()) else {
        println!("SKIPPED: no chronyd, so no NTP server of others was asked");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let pid = folder.path().join("pid");
    let settings = format!(
        "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\nlocal stratum 8\ncmdport 0\n\
         bindcmdaddress /\npidfile {}\n",
        pid.display()
    );
    let file = folder.path().join("chrony.conf");
    std::fs::write(&file, settings).unwrap();
    let process = Command::new(program)
        .args(["-x", "-d", "-U", "-f", file.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Chronyd {
        process,
        port,
        _folder: folder,
    })
}

#[tokio::test]
async fn chronyd_is_understood_and_a_wrong_clock_beside_it_refused() {
    let Some(chronyd) = chronyd() else { return };
    let config = SourceConfig::Ntp {
        server: format!("127.0.0.1:{}", chronyd.port),
        poll_s: 64,
    };
    let mut source = Source::new(&config);
    let sample: Sample = eventually("chronyd's answer", PATIENCE, || {
        let mut source = Source::new(&config);
        async move {
            match ask(&mut source).await {
                Heard::Sample(sample) => Some(sample),
                _ => None,
            }
        }
    })
    .await;
    assert_eq!((sample.stratum, sample.leap), (8, LeapIndicator::None));

    for clock_ms in [0, 600_000, -600_000] {
        let turned = Turned {
            reader: reader(),
            ms: Arc::new(AtomicI64::new(clock_ms)),
        };
        let rules = probity_timestamping::clock::Rules { quorum: 1, ..RULES };
        let lease = ClockLease::new(Box::new(turned), rules, &[source.name().to_owned()]);
        hear_all(&lease, std::slice::from_mut(&mut source)).await;
        let now = lease.now();
        assert_eq!(now.is_ok(), clock_ms == 0, "{clock_ms}: {now:?}");
    }
}
