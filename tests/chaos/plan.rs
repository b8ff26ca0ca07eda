//! The plan of faults: drawn from a seed, and counted.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};

use crate::{
    seed::stream,
    wire::{Fault, Moment},
};

/// Faults of a hundred commits, of a thousand other round trips, of a hundred new connections.
const COMMITS_PERCENT: u32 = 6;
const STATEMENTS_PERMILLE: u32 = 3;
const CONNECTS_PERCENT: u32 = 15;
/// Of a thousand commits, those that are held until nobody waits for them any more.
const HELD_LONG_PERMILLE: u32 = 3;
/// Lost commits of a hundred after which what begins next is cut too: the look for what became of them.
const STORMS_PERCENT: u32 = 25;
/// How many beginnings are cut then, because others begin at the same time.
const STORM: u32 = 4;

/// What can happen, for the table.
pub const NAMES: [&str; 22] = [
    "commit: cut before it",
    "commit: fatal instead of it",
    "commit: cut at once after it",
    "commit: late, cut before",
    "commit: held",
    "commit: it or its answer held past the deadline",
    "commit: answer held",
    "commit: answer cut",
    "commit: answer replaced by a fatal",
    "begin: cut before it",
    "begin: held",
    "begin: answer cut",
    "statement: cut before it",
    "statement: fatal instead of it",
    "statement: cut at once after it",
    "statement: late, cut before",
    "statement: held",
    "statement: answer held",
    "statement: answer cut",
    "connect: refused",
    "connect: held",
    "storm: the next beginnings cut",
];

/// Chance, what it has done so far, and whether it still may.
pub struct Plan {
    drawn: Mutex<Drawn>,
    calm: AtomicBool,
}

struct Drawn {
    chance: StdRng,
    counts: BTreeMap<&'static str, u64>,
    turns: BTreeMap<Moment, usize>,
    storm: u32,
}

impl Plan {
    /// Makes a plan that is calm at first.
    pub fn new(seed: u64) -> Self {
        let drawn = Drawn {
            chance: stream(seed, 0),
            counts: BTreeMap::new(),
            turns: BTreeMap::new(),
            storm: 0,
        };
        Self {
            drawn: Mutex::new(drawn),
            calm: AtomicBool::new(true),
        }
    }

    /// Holds all faults back, or lets them happen.
    pub fn calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::SeqCst);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Returns how often each fault has happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.drawn.lock().unwrap().counts.clone()
    }

    /// Says what happens at a moment.
    pub fn decide(&self, moment: Moment) -> Fault {
        if self.is_calm() {
            return Fault::None;
        }
        self.drawn.lock().unwrap().decide(moment)
    }
}

impl Drawn {
    fn decide(&mut self, moment: Moment) -> Fault {
        if moment == Moment::Begin && self.storm > 0 {
            self.storm -= 1;
            return Fault::CutBefore;
        }
        let Some((name, fault)) = self.draw(moment) else {
            return Fault::None;
        };
        *self.counts.entry(name).or_default() += 1;
        let lost = !matches!(fault, Fault::Hold(_) | Fault::HoldAnswer(_));
        if moment == Moment::Commit && lost && self.percent(STORMS_PERCENT) {
            *self.counts.entry(NAMES[21]).or_default() += 1;
            self.storm = STORM;
        }
        fault
    }

    fn draw(&mut self, moment: Moment) -> Option<(&'static str, Fault)> {
        let short = self.milliseconds(1, 30);
        // Longer than somebody needs to look for what became of it.
        let late = self.milliseconds(1, 500);
        let faults: &[(&str, Fault)] = match moment {
            Moment::Commit if self.permille(HELD_LONG_PERMILLE) => {
                let long = self.milliseconds(3_100, 3_600);
                // A transaction that is idle for so long is ended by the database; a commit that arrived is done.
                let arrives = self.percent(70);
                let held = if arrives {
                    Fault::HoldAnswer(long)
                } else {
                    Fault::Hold(long)
                };
                return Some((NAMES[5], held));
            }
            Moment::Commit if self.percent(COMMITS_PERCENT) => &[
                (NAMES[0], Fault::CutBefore),
                (NAMES[1], Fault::FatalBefore),
                (NAMES[2], Fault::CutAtOnce),
                (NAMES[3], Fault::Late(late)),
                (NAMES[4], Fault::Hold(short)),
                (NAMES[6], Fault::HoldAnswer(short)),
                (NAMES[7], Fault::CutAfter),
                (NAMES[8], Fault::FatalAfter),
            ],
            Moment::Begin if self.permille(STATEMENTS_PERMILLE) => &[
                (NAMES[9], Fault::CutBefore),
                (NAMES[10], Fault::Hold(short)),
                (NAMES[11], Fault::CutAfter),
            ],
            Moment::Statement if self.permille(STATEMENTS_PERMILLE) => &[
                (NAMES[12], Fault::CutBefore),
                (NAMES[13], Fault::FatalBefore),
                (NAMES[14], Fault::CutAtOnce),
                (NAMES[15], Fault::Late(late)),
                (NAMES[16], Fault::Hold(short)),
                (NAMES[17], Fault::HoldAnswer(short)),
                (NAMES[18], Fault::CutAfter),
            ],
            Moment::Connect if self.percent(CONNECTS_PERCENT) => &[
                (NAMES[19], Fault::CutBefore),
                (NAMES[20], Fault::Hold(short)),
            ],
            Moment::Commit | Moment::Begin | Moment::Statement | Moment::Connect => return None,
        };
        // In turn, so that none is left out.
        let turn = self.turns.entry(moment).or_default();
        *turn += 1;
        faults.get(*turn % faults.len()).copied()
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.chance.random_ratio(percent, 100)
    }

    fn permille(&mut self, permille: u32) -> bool {
        self.chance.random_ratio(permille, 1000)
    }

    fn milliseconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.chance.random_range(low..=high))
    }
}
