//! Processes and who of them goes next. Each is one future; between two polls of it the scheduler may let another go,
//! stop it for a while (SIGSTOP), or drop it (`kill -9`) and start it again later, knowing nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::sim::{Sim, locked};

pub type Life = Pin<Box<dyn Future<Output = ()>>>;

/// What the scheduler is asked to do to a process.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    Kill { for_ms: u64 },
    Stop { for_ms: u64 },
}

/// Orders, by name of process.
#[derive(Clone, Default)]
pub struct Orders(Arc<Mutex<Vec<(&'static str, Order)>>>);

impl Orders {
    pub fn give(&self, process: &'static str, order: Order) {
        locked(&self.0).push((process, order));
    }
}

struct Process {
    name: &'static str,
    begin: Box<dyn Fn() -> Life>,
    life: Option<Life>,
    woken: Arc<Woken>,
    /// Dead or stopped until then.
    rests_until: Option<Instant>,
    ended: bool,
    hands_to_threads: bool,
}

struct Woken {
    is: AtomicBool,
    bell: Arc<Notify>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }
}

pub struct Processes {
    sim: Arc<Sim>,
    all: Vec<Process>,
    bell: Arc<Notify>,
    pub orders: Orders,
}

impl Processes {
    pub fn new(sim: &Arc<Sim>) -> Self {
        Self {
            sim: sim.clone(),
            all: Vec::new(),
            bell: Arc::default(),
            orders: Orders::default(),
        }
    }

    /// A process that lives as `begin` says, again and again.
    pub fn add(&mut self, name: &'static str, begin: impl Fn() -> Life + 'static) {
        self.push(name, false, begin);
    }

    /// The same, of one that hands work to other threads.
    pub fn add_threaded(&mut self, name: &'static str, begin: impl Fn() -> Life + 'static) {
        self.push(name, true, begin);
    }

    fn push(
        &mut self,
        name: &'static str,
        hands_to_threads: bool,
        begin: impl Fn() -> Life + 'static,
    ) {
        let bell = self.bell.clone();
        self.all.push(Process {
            name,
            life: Some(begin()),
            begin: Box::new(begin),
            woken: Arc::new(Woken {
                is: AtomicBool::new(true),
                bell,
            }),
            rests_until: None,
            ended: false,
            hands_to_threads,
        });
    }

    /// Lets them live for this long.
    pub async fn run(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.follow_orders();
            self.end_rests();
            let ready = self.ready();
            if ready.is_empty() {
                self.wait(until).await;
            } else {
                let next = *self.sim.chance.one_of(&ready);
                let gate = self.all[next].hands_to_threads.then(close_gate);
                self.advance(next);
                drop(gate);
            }
            // With time paused a sleep ends only when nothing is under way in this runtime, other threads included:
            // whatever the step handed to one has come back.
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn ready(&self) -> Vec<usize> {
        let is_ready = |process: &Process| {
            process.rests_until.is_none()
                && process.life.is_some()
                && process.woken.is.load(Ordering::SeqCst)
        };
        let all = self.all.iter().enumerate();
        all.filter(|(_, process)| is_ready(process))
            .map(|(place, _)| place)
            .collect()
    }

    fn advance(&mut self, place: usize) {
        if self.sim.chance.per_mille(self.sim.doses().crash) {
            let for_ms = self.sim.chance.between(1, 5_000);
            self.kill(place, for_ms);
            return;
        }
        let process = &mut self.all[place];
        process.woken.is.store(false, Ordering::SeqCst);
        let waker = Waker::from(process.woken.clone());
        if let Some(life) = &mut process.life
            && life
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        {
            process.life = None;
            process.ended = true;
        }
    }

    fn kill(&mut self, place: usize, for_ms: u64) {
        let process = &mut self.all[place];
        if process.ended {
            return;
        }
        self.sim
            .note(process.name, &format!("killed for {for_ms} ms"));
        process.life = None;
        process.rests_until = Some(Instant::now() + Duration::from_millis(for_ms));
    }

    fn follow_orders(&mut self) {
        let orders: Vec<_> = locked(&self.orders.0).drain(..).collect();
        for (name, order) in orders {
            let Some(place) = self.all.iter().position(|process| process.name == name) else {
                continue;
            };
            match order {
                Order::Kill { for_ms } => self.kill(place, for_ms),
                Order::Stop { for_ms } => {
                    self.sim.note(name, &format!("stopped for {for_ms} ms"));
                    let until = Instant::now() + Duration::from_millis(for_ms);
                    self.all[place].rests_until = Some(until);
                }
            }
        }
    }

    fn end_rests(&mut self) {
        let now = Instant::now();
        for process in &mut self.all {
            if process.rests_until.is_some_and(|until| until <= now) {
                process.rests_until = None;
                if process.life.is_none() && !process.ended {
                    self.sim.note(process.name, "started");
                    process.life = Some((process.begin)());
                }
                process.woken.is.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Nothing happens before a timer: paused time goes straight there.
    async fn wait(&self, until: Instant) {
        let rests = self.all.iter().filter_map(|process| process.rests_until);
        let next = rests.min().map_or(until, |rest| rest.min(until));
        tokio::select! {
            biased;
            () = self.bell.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Occupies the one thread for blocking work until what is answered is dropped: what a step hands over waits for the
/// step's end, so that no race decides whether it is done when first asked for.
fn close_gate() -> mpsc::Sender<()> {
    let (gate, closed) = mpsc::channel::<()>();
    let (occupied, is_occupied) = mpsc::channel();
    tokio::task::spawn_blocking(move || {
        occupied.send(()).ok();
        closed.recv().ok();
    });
    is_occupied.recv().ok();
    gate
}
