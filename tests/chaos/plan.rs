//! The plan of faults: random from a seed, and counted.

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

/// Faults per hundred commits, per thousand other round trips, and per hundred new connections.
const COMMITS_PERCENT: u32 = 6;
const STATEMENTS_PERMILLE: u32 = 3;
const CONNECTS_PERCENT: u32 = 15;
/// Commits per thousand that are held past the deadline of their request.
const HELD_LONG_PERMILLE: u32 = 3;
/// Percentage of lost commits after which the next transactions are cut at their beginning, which hits the lookup of
/// the commit's outcome.
const CUT_BEGINS_PERCENT: u32 = 25;
/// Number of transactions cut then, several because other transactions begin at the same time.
const CUT_BEGINS: u32 = 4;

/// Names of the faults, for the printed table.
pub const NAMES: [&str; 22] = [
    "commit: cut before it",
    "commit: fatal instead of it",
    "commit: cut at once after it",
    "commit: late, cut before",
    "commit: held",
    "commit: held past the deadline, or its answer",
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
    "commit: the next transactions cut at their beginning",
];

/// Random faults, their counts, and whether they are paused.
pub struct Plan {
    state: Mutex<State>,
    is_paused: AtomicBool,
}

struct State {
    rng: StdRng,
    counts: BTreeMap<&'static str, u64>,
    turns: BTreeMap<Moment, usize>,
    cut_begins: u32,
}

impl Plan {
    /// Makes a plan that is paused at first.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: stream(seed, 0),
            counts: BTreeMap::new(),
            turns: BTreeMap::new(),
            cut_begins: 0,
        };
        Self {
            state: Mutex::new(state),
            is_paused: AtomicBool::new(true),
        }
    }

    /// Pauses all faults, or resumes them.
    pub fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    /// Returns how often each fault has happened.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().unwrap().counts.clone()
    }

    /// Returns the fault at a moment.
    pub fn decide(&self, moment: Moment) -> Fault {
        if self.is_paused() {
            return Fault::None;
        }
        self.state.lock().unwrap().decide(moment)
    }
}

impl State {
    fn decide(&mut self, moment: Moment) -> Fault {
        if moment == Moment::Begin && self.cut_begins > 0 {
            self.cut_begins -= 1;
            return Fault::CutBefore;
        }
        let Some((name, fault)) = self.draw(moment) else {
            return Fault::None;
        };
        *self.counts.entry(name).or_default() += 1;
        let lost = !matches!(fault, Fault::Hold(_) | Fault::HoldAnswer(_));
        if moment == Moment::Commit && lost && self.percent(CUT_BEGINS_PERCENT) {
            *self.counts.entry(NAMES[21]).or_default() += 1;
            self.cut_begins = CUT_BEGINS;
        }
        fault
    }

    fn draw(&mut self, moment: Moment) -> Option<(&'static str, Fault)> {
        let short = self.milliseconds(1, 30);
        // Up to longer than the lookup of the commit's outcome takes.
        let late = self.milliseconds(1, 500);
        let faults: &[(&str, Fault)] = match moment {
            Moment::Commit if self.permille(HELD_LONG_PERMILLE) => {
                let long = self.milliseconds(3_100, 3_600);
                // The database ends a transaction that is idle for so long; a commit that has arrived is done.
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
        // Faults are taken in turn, so that each of them happens.
        let turn = self.turns.entry(moment).or_default();
        *turn += 1;
        faults.get(*turn % faults.len()).copied()
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn permille(&mut self, permille: u32) -> bool {
        self.rng.random_ratio(permille, 1000)
    }

    fn milliseconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(low..=high))
    }
}
