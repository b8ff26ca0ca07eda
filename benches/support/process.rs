//! What processes cost: CPU time and memory, as `/proc` tells.

use std::{fs, path::Path};

use anyhow::Context;

/// Ticks in a second of CPU time, as the kernel counts them for `/proc`.
const TICKS: f64 = 100.0;

/// CPU seconds of one process.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    parent: u32,
    /// Its own.
    pub own: f64,
    /// Its own and those of children that have ended and were waited for.
    pub with_ended: f64,
}

impl Cpu {
    /// Reads it.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // The second field is the name, in parentheses, and may hold anything.
        let (_, rest) = stat
            .rsplit_once(')')
            .with_context(|| format!("{path} is `{stat}`"))?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let seconds = |field: usize| {
            let ticks: Result<f64, _> = fields[field - 3].parse();
            ticks.map(|ticks| ticks / TICKS)
        };
        let own = seconds(14)? + seconds(15)?;
        Ok(Self {
            parent: fields[1].parse()?,
            own,
            with_ended: own + seconds(16)? + seconds(17)?,
        })
    }

    /// Returns the seconds of a process and of all its children, also of those that have ended.
    pub fn of_family(pid: u32) -> anyhow::Result<f64> {
        let mut seconds = Self::of(pid)?.with_ended;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(child) = name.to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            // A process may end while this looks; its seconds are its parent's then.
            if let Ok(cpu) = Self::of(child)
                && cpu.parent == pid
            {
                seconds += cpu.own;
            }
        }
        Ok(seconds)
    }
}

/// Memory of a process, in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub now: f64,
    /// Resident at most.
    pub peak: f64,
}

impl Memory {
    /// Reads it.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(Path::new(&path))?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let line = line.with_context(|| format!("{path} has no {name}"))?;
            let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
            anyhow::Ok(kibibytes / 1024.0)
        };
        Ok(Self {
            now: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }
}
