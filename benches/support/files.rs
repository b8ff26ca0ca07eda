//! Files of the demo catalogue's vehicles for `lmn catalog import`.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::server::lmn;

/// One of this many vehicles belongs to the base, which is imported first.
const BASE_OF: usize = 11;
/// One of this many new vehicles has another price in the file of changes.
pub const CHANGED_OF: usize = 10;

/// Files of vehicles.
#[derive(Debug)]
pub struct Files {
    /// The base: a tenth as many vehicles as the new ones, and other ones.
    pub base: PathBuf,
    /// The number of vehicles of the base.
    pub base_vehicles: usize,
    /// The new vehicles.
    pub new: PathBuf,
    /// The new vehicles, some of them with other prices.
    pub changed: PathBuf,
    /// The number of new vehicles.
    pub vehicles: usize,
}

impl Files {
    /// Makes the files of a demo catalogue.
    pub fn make(folder: &Path, vehicles: usize) -> anyhow::Result<Self> {
        let mut files = Self {
            base: folder.join("base"),
            base_vehicles: 0,
            new: folder.join("new"),
            changed: folder.join("changed"),
            vehicles: 0,
        };
        let all = (vehicles * BASE_OF / (BASE_OF - 1)).to_string();
        let settings: [(&str, &str); 0] = [];
        let mut demo = lmn(&["catalog", "demo", "--vehicles", &all], &settings)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(demo.stdout.take().context("the demo prints nothing")?);
        let create = |path: &Path| File::create(path).map(BufWriter::new);
        let (mut base, mut new) = (create(&files.base)?, create(&files.new)?);
        let mut changed = create(&files.changed)?;
        for (n, line) in lines.lines().enumerate() {
            let line = line?;
            if n % BASE_OF == 0 {
                files.base_vehicles += 1;
                writeln!(base, "{line}")?;
                continue;
            }
            let other = match files.vehicles % CHANGED_OF {
                0 => other_price(&line)?,
                _ => line.clone(),
            };
            files.vehicles += 1;
            writeln!(new, "{line}")?;
            writeln!(changed, "{other}")?;
        }
        for mut file in [base, new, changed] {
            file.flush()?;
        }
        ensure!(demo.wait()?.success(), "`lmn catalog demo` failed");
        Ok(files)
    }
}

/// Returns the line of a vehicle with another price.
fn other_price(line: &str) -> anyhow::Result<String> {
    let mut vehicle: Value = serde_json::from_str(line)?;
    let price = vehicle["pricing"]["listing_usd"].as_i64();
    vehicle["pricing"]["listing_usd"] = (price.context("a vehicle without a price")? + 1).into();
    Ok(vehicle.to_string())
}
