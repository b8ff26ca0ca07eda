//! A table like `vehicles` but without triggers, and plain copies of rows into it.

use std::{fs::File, path::Path, process::Command};

use anyhow::ensure;

use super::database::{Database, run};

/// The table; `columns` are all of its columns that are not generated.
#[derive(Debug)]
pub struct Equal {
    columns: String,
}

impl Equal {
    /// Makes the table, with the existing vehicles.
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

    /// Writes the rows of all vehicles missing in the table to a file, in their physical order.
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

    /// Copies rows from a file into the table in one statement, which must copy `vehicles` rows.
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
