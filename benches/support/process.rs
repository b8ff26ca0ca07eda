//! CPU time and memory of processes, read from `/proc`.

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context;

/// Ticks per second of CPU time in `/proc`.
const TICKS: f64 = 100.0;

/// CPU seconds of one process.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    parent: u32,
    /// Its own CPU seconds.
    pub own: f64,
    /// Its own CPU seconds and those of children that have ended and were waited for.
    pub with_ended: f64,
}

impl Cpu {
    /// Reads the CPU time of a process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        // The second field is the name, in parentheses, and may contain any character.
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

    /// Returns the CPU seconds of a process and of all its children, including those that have ended.
    pub fn of_family(pid: u32) -> anyhow::Result<f64> {
        let mut seconds = Self::of(pid)?.with_ended;
        // A child may end meanwhile; its seconds then belong to its parent.
        seconds += children(pid)?.iter().map(|(_, cpu)| cpu.own).sum::<f64>();
        Ok(seconds)
    }
}

/// Returns the running children of a process.
fn children(pid: u32) -> anyhow::Result<Vec<(u32, Cpu)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        if let Ok(cpu) = Cpu::of(child)
            && cpu.parent == pid
        {
            children.push((child, cpu));
        }
    }
    Ok(children)
}

/// CPU time of every thread of one or more processes, in nanoseconds.
///
/// `/proc/PID/stat` counts the same time in ticks of 10 ms, which is as much as many requests take together.
#[derive(Debug, Clone, Default)]
pub struct Threads(HashMap<u32, u64>);

impl Threads {
    /// Reads the threads of a process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/task");
        let mut threads = HashMap::new();
        for entry in fs::read_dir(&path).with_context(|| format!("reading {path}"))? {
            let entry = entry?;
            // A thread may end while the folder is read.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            let thread = entry.file_name().to_string_lossy().parse()?;
            let nanoseconds = text.split_whitespace().next().unwrap_or_default();
            threads.insert(thread, nanoseconds.parse()?);
        }
        anyhow::ensure!(!threads.is_empty(), "{path} has no CPU time");
        Ok(Self(threads))
    }

    /// Reads the threads of a process and of all its children.
    pub fn of_family(pid: u32) -> anyhow::Result<Self> {
        let mut all = Self::of(pid)?;
        for (child, _) in children(pid)? {
            all.0.extend(Self::of(child).unwrap_or_default().0);
        }
        Ok(all)
    }

    /// Returns the CPU seconds spent since an earlier reading, without those of threads that have ended meanwhile.
    pub fn seconds_since(&self, before: &Self) -> f64 {
        let spent = self.0.iter().map(|(thread, now)| {
            let then = before.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(then)
        });
        spent.sum::<u64>() as f64 / 1e9
    }
}

/// Memory of a process, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident memory now.
    pub now: f64,
    /// Largest resident memory so far.
    pub peak: f64,
}

impl Memory {
    /// Reads the memory of a process.
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
