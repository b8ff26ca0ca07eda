//! A table that is equal to that of the vehicles but for its triggers, and plain copies of rows into it.

use std::{fs::File, path::Path, process::Command};

use anyhow::ensure;

use super::database::{Database, run};

/// The table, and the columns that are copied: all.
#[derive(Debug)]
pub struct Equal {
    columns: String,
}

impl Equal {
    /// Makes it, with the vehicles that there are.
    pub async fn make(database: &Database) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let columns: String = sqlx::query_scalar(
            "select string_agg(column_name, ', ' order by ordinal_position) from information_schema.columns
             where table_name = 'vehicles' and is_generated = 'NEVER'",
        )
        .fetch_one(&mut connection)
        .await?;
        let equal = format!(
            "create table equal (like vehicles including all);
             insert into equal ({columns}) select {columns} from vehicles;
             analyze equal"
        );
        run(&mut connection, equal).await?;
        Ok(Self { columns })
    }

    /// Writes the rows of all vehicles that are not in it to a file, in the order in which they were written.
    pub fn copy_out(&self, database: &Database, rows: &Path) -> anyhow::Result<()> {
        let columns = &self.columns;
        let copy = format!(
            "copy (select {columns} from vehicles where not exists (select from equal where equal.id = vehicles.id))
             to stdout"
        );
        let psql = Command::new(database.programs.join("psql"))
            .args(["-q", &database.url()])
            .args(["-c", "set max_parallel_workers_per_gather = 0", "-c", &copy])
            .stdout(File::create(rows)?)
            .status()?;
        ensure!(psql.success(), "the rows were not copied out: {psql}");
        Ok(())
    }

    /// Copies the rows of so many vehicles into it, in one statement.
    pub async fn copy_in(
        &self,
        database: &Database,
        rows: &Path,
        vehicles: usize,
    ) -> anyhow::Result<()> {
        let copy = format!("copy equal ({}) from stdin", self.columns);
        let mut psql = Command::new(database.programs.join("psql"));
        psql.args([&database.url(), "-c", &copy])
            .stdin(File::open(rows)?);
        let output = tokio::process::Command::from(psql).output().await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            printed.trim() == format!("COPY {vehicles}"),
            "the copy printed `{printed}` and `{errors}`"
        );
        Ok(())
    }
}
