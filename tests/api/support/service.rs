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

use super::{Operator, Partner};
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

/// Reads some settings, together with those of every replica under test.
pub fn read_settings(database_url: &str, settings: &[(&str, &str)]) -> Settings {
    let mut variables = HashMap::from([
        ("DATABASE_URL".to_owned(), database_url.to_owned()),
        ("LMN_SERVER__LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("LMN_DATABASE__CONNECTIONS_MAX".to_owned(), "8".to_owned()),
        // No load balancer has to notice that it stops.
        (
            "LMN_SERVER__DRAIN_GRACE_MILLISECONDS".to_owned(),
            "0".to_owned(),
        ),
    ]);
    let given = settings
        .iter()
        .map(|(name, value)| (format!("LMN_{name}"), (*value).to_owned()));
    variables.extend(given);
    let variables: Vec<_> = variables.into_iter().collect();
    Settings::read(None, &variables).expect("the test's settings are right")
}

/// Starts a replica without its listeners and its worker, on a database that it reaches at `database_url`.
pub async fn start_app(database_url: &str, settings: &[(&str, &str)]) -> App {
    App::start(read_settings(database_url, settings))
        .await
        .expect("the test's database is ready")
}

impl Service {
    /// Starts a sandbox with the default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a sandbox with some settings, most of which [`settings`](super::settings) names.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::new().await, settings, router).await
    }

    /// Starts a production deployment, and returns it with a partner that has an empty allowlist.
    pub async fn in_production() -> (Self, Partner) {
        let database = TestDatabase::new().await;
        sqlx::query("update deployment set environment = 'production'")
            .execute(&database.pool)
            .await
            .expect("a new database can be of either kind");
        let service = Self::on(database, &[("ENVIRONMENT", "production")], router).await;
        let acme = service.partner("acme").await;
        let production_key = acme.api_key.replace("lmn_stg_", "lmn_prd_");
        acme.issue(service.db(), &production_key).await;
        let acme = acme.with_key(&production_key);
        (service, acme)
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
        let app = start_app(database_url, settings).await;
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
            let serving = server::serve_operator(&app, listener, routes, std::future::pending());
            serving.await.expect("TLS can be used");
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

    /// Stops the clock of all partners at an instant, to the millisecond.
    pub async fn time_is(&self, instant: &str) {
        self.now_is(&format!("timestamptz '{instant}'")).await;
    }

    /// Stops real time at an instant; the sandbox clocks of partners keep their distance to it.
    pub async fn real_time_is(&self, instant: &str) {
        let offset = "make_interval(secs => offset_seconds)";
        self.now_is(&format!("timestamptz '{instant}' + {offset}"))
            .await;
    }

    async fn now_is(&self, expression: &str) {
        let statement = format!(
            "create or replace function lmn_now(offset_seconds bigint) returns timestamptz
             language sql volatile return {expression}"
        );
        self.sql(&statement).await;
    }

    /// Moves the sandbox clocks of all partners to some days ahead of real time.
    pub async fn set_clocks_ahead(&self, days: i64) {
        let ahead = sqlx::query("update partners set clock_offset_seconds = $1");
        let moved = ahead.bind(days * 86_400).execute(self.db()).await;
        moved.expect("a sandbox clock may be that far ahead");
    }
}
