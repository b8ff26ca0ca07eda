//! Obstacles in the database: locks that another transaction holds, slow statements, ended sessions, lost rows.

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use super::{Service, eventually};

/// Locks every vehicle, as a write in progress does, until the returned transaction ends.
pub async fn lock_vehicles(db: &PgPool) -> Transaction<'static, Postgres> {
    let mut holder = db.begin().await.expect("a session is free");
    let locked = sqlx::query("select from vehicles for update");
    let locked = locked.execute(&mut *holder).await;
    locked.expect("no other write is in progress");
    holder
}

/// Locks a table even against reads, until the returned transaction ends.
pub async fn lock_table(db: &PgPool, table: &str) -> Transaction<'static, Postgres> {
    let mut holder = db.begin().await.expect("a session is free");
    let statement = format!("lock table {table} in access exclusive mode");
    let locked = sqlx::query(AssertSqlSafe(statement));
    let locked = locked.execute(&mut *holder).await;
    locked.expect("nobody uses the table for long");
    holder
}

/// Counts the sessions of a database that wait for a lock.
pub async fn blocked_sessions(db: &PgPool) -> i64 {
    let statement = "select count(*) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
    let counted = sqlx::query_scalar(statement).fetch_one(db).await;
    counted.expect(statement)
}

/// Waits until a statement waits for a lock, so that a write is in progress.
pub async fn wait_for_blocked_session(db: &PgPool) {
    eventually("a statement waits for a lock", async || {
        (blocked_sessions(db).await > 0).then_some(())
    })
    .await;
}

/// Waits until no statement waits for a lock any more.
pub async fn wait_for_no_blocked_session(db: &PgPool) {
    eventually("no statement waits for a lock", async || {
        (blocked_sessions(db).await == 0).then_some(())
    })
    .await;
}

/// Ends the sessions of a database that wait for a lock.
pub async fn end_blocked_sessions(db: &PgPool) {
    let statement = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query(statement).execute(db).await.expect(statement);
}

/// Ends the sessions on which the replicas of a database receive notifications and their heartbeat.
pub async fn end_heartbeats(db: &PgPool) {
    let statement = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and application_name = 'lmn heartbeat'";
    sqlx::query(statement).execute(db).await.expect(statement);
}

/// Ends all sessions of the product with a database.
pub async fn end_sessions(db: &PgPool) {
    let statement = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and application_name like 'lmn%'";
    sqlx::query(statement).execute(db).await.expect(statement);
}

/// Returns the process ids of the sessions of the product's pools with a database; not of heartbeats.
pub async fn pool_sessions(db: &PgPool) -> Vec<i32> {
    let statement = "select pid from pg_stat_activity
                     where datname = current_database() and application_name = 'lmn' order by pid";
    let sessions = sqlx::query_scalar(statement).fetch_all(db).await;
    sessions.expect(statement)
}

impl Service {
    /// Locks every vehicle, as a write in progress does, until the returned transaction ends.
    pub async fn lock_vehicles(&self) -> Transaction<'static, Postgres> {
        lock_vehicles(self.db()).await
    }

    /// Locks one vehicle, as a write in progress does, until the returned transaction ends.
    pub async fn lock_vehicle(&self, id: &str) -> Transaction<'static, Postgres> {
        let mut holder = self.db().begin().await.expect("a session is free");
        let locked = sqlx::query("select from vehicles where id = $1 for update").bind(id);
        let locked = locked.execute(&mut *holder).await;
        locked.expect("no other write is in progress");
        holder
    }

    /// Deletes the snapshots of vehicles as they were when they were ordered.
    pub async fn delete_snapshots(&self) {
        self.sql("delete from order_vehicles").await;
    }

    /// Makes every statement that needs the time take some seconds more, until a test sets the time.
    pub async fn delay_the_time(&self, seconds: f64) {
        self.sql(&format!(
            "create or replace function lmn_now(offset_seconds bigint) returns timestamptz language sql volatile
                 return (select clock_timestamp() from pg_sleep({seconds}))"
        ))
        .await;
    }

    /// Makes the insertion of every further order take some seconds more.
    pub async fn delay_orders(&self, seconds: f64) {
        self.sql(&format!(
            "create function rest() returns trigger language plpgsql as
                 $$ begin perform pg_sleep({seconds}); return new; end $$;
             create trigger rest before insert on orders for each row execute function rest();"
        ))
        .await;
    }

    /// Ends the effect of [`Self::delay_orders`].
    pub async fn stop_delaying_orders(&self) {
        self.sql("drop trigger rest on orders").await;
    }

    /// Replaces the function that places an order at once, so that every order is decided under its vehicle's lock.
    pub async fn disable_placing_in_one_round_trip(&self) {
        self.sql(
            "do $$ begin
                 execute format('create or replace function place_order(%s) language plpgsql as %L',
                                pg_get_function_arguments('place_order'::regproc),
                                'begin outcome := ''undecided''; end');
             end $$",
        )
        .await;
    }
}
