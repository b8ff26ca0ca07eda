//! The service under test.

use std::collections::HashMap;

use lmn_partner_api::{
    app::App,
    config::Settings,
    router::{Api, operator_router, router},
    server,
};
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{Operator, Partner, Vehicle};
use crate::database::TestDatabase;

/// One replica on a database of its own, in this process, behind a real socket.
pub struct Service {
    pub url: String,
    pub database: TestDatabase,
    /// State of the application, by which tests run background jobs themselves.
    pub app: App,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a sandbox with the default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a sandbox with some settings, given as environment variables without the prefix `LMN_`.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::new().await, settings, router).await
    }

    /// Starts a sandbox on a given database, with given routes.
    pub async fn on(
        database: TestDatabase,
        settings: &[(&str, &str)],
        routes: impl FnOnce(App) -> Api,
    ) -> Self {
        let url = database.url();
        Self::at(database, &url, settings, routes).await
    }

    /// Starts a sandbox on a given database that it reaches at `database_url`.
    pub async fn at(
        database: TestDatabase,
        database_url: &str,
        settings: &[(&str, &str)],
        routes: impl FnOnce(App) -> Api,
    ) -> Self {
        let mut variables = HashMap::from([
            ("DATABASE_URL".to_owned(), database_url.to_owned()),
            ("LMN_SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("LMN_DATABASE__CONNECTIONS_MAX".to_owned(), "8".to_owned()),
        ]);
        let given = settings
            .iter()
            .map(|(name, value)| (format!("LMN_{name}"), (*value).to_owned()));
        variables.extend(given);
        let variables: Vec<_> = variables.into_iter().collect();
        let settings = Settings::read(None, &variables).expect("the test's settings are right");
        let app = App::start(settings)
            .await
            .expect("the test's database is ready");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("a listener has an address")
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = routes(app.clone());
        let served = app.clone();
        let running = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            let serving = server::serve(&served, listener, routes, stopped);
            serving.await.expect("TLS can be used");
            served.stop().await;
        });
        Self {
            url,
            database,
            app,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Returns connections to the database.
    pub fn db(&self) -> &PgPool {
        &self.database.pool
    }

    /// Stops the replica gracefully, and waits until it has stopped.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.await.expect("the server does not panic");
        }
    }

    /// Adds a partner with an API key, and rate limits that no test reaches by accident.
    pub async fn partner(&self, name: &str) -> Partner {
        Partner::add(self.db(), &self.url, name).await
    }

    /// Starts the operator's listener of this replica, and returns its URL.
    pub async fn operator_url(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (app, routes) = (self.app.clone(), operator_router(self.app.clone()));
        tokio::spawn(async move {
            server::serve_operator(&app, listener, routes, std::future::pending()).await;
        });
        format!("http://{address}")
    }

    /// Returns the text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.operator_url().await);
        let answer = reqwest::get(url).await.expect("the operator is answered");
        answer.text().await.expect("the body arrives")
    }

    /// Returns the value of a metric, named with its labels; zero if it is absent.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let value = text
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |it| it.parse().expect("it is a number"))
    }

    /// Returns an operator.
    pub fn operator(&self) -> Operator {
        Operator::at(&self.database.product)
    }

    /// Adds a vehicle to the catalogue, and waits until this replica has it.
    pub async fn vehicle(&self, vehicle: Vehicle) -> Vehicle {
        vehicle.insert(&self.database).await;
        self.app.catch_up().await;
        vehicle
    }

    /// Runs a statement, and waits until this replica shows its changes to the catalogue.
    pub async fn sql(&self, statement: &str) {
        self.sql_elsewhere(statement).await;
        self.app.catch_up().await;
    }

    /// Runs a statement as another process would, without waiting for this replica.
    pub async fn sql_elsewhere(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(self.db())
            .await
            .expect(statement);
    }

    /// Returns the single number that a query selects.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_one(self.db())
            .await
            .expect(query)
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

    /// Locks every vehicle, as a write in progress does, until the returned transaction ends.
    pub async fn lock_vehicles(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut holder = self.db().begin().await.unwrap();
        sqlx::query("select from vehicles for update")
            .execute(&mut *holder)
            .await
            .unwrap();
        holder
    }

    /// Stops the clock of all partners at an instant, to the millisecond.
    pub async fn time_is(&self, instant: &str) {
        let statement = format!(
            "create or replace function lmn_now(offset_seconds bigint) returns timestamptz
             language sql volatile return timestamptz '{instant}'"
        );
        self.sql(&statement).await;
    }
}
