//! `lmn dev`: runs a sandbox that is ready for a first order, without any set-up.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use chrono_tz::Asia::Seoul;
use demo_catalogue::KoreanTime;
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use super::{
    block_on, check_deprecations, dev_db, dev_demo, print_outcome,
    serve::{migrate, serve},
    system::survive_hangups,
    warn_of_slips,
};
use crate::{
    audit::Actor,
    catalogue_import::{batch::insert_new, model::read_line},
    config::{self, Settings},
    database::{Database, Tx, clock},
    partners::{self, api_key::read_key, changes},
    telemetry::{self, metrics::Metrics},
    values::{
        environment::Environment,
        id::{PartnerId, RequestId},
        rate_limit::{Kind, Policy},
    },
    vehicles,
};

/// The name of the demo partner.
const PARTNER: &str = "demo";
/// The partner's rate limit: 60,000 requests per 60 seconds, with a burst of 1,000.
const LIMIT: (u32, u32, u32) = (60_000, 60, 1_000);
/// The seed of the demo catalogue.
const SEED: u64 = 1;
/// The account that appears in the audit log.
const ACCOUNT: &str = "lmn-dev";
/// The variables that name another database than the private one.
const DATABASE_VARIABLES: [&str; 3] = ["DATABASE_URL", "DATABASE_URL_FILE", "LMN_DATABASE__URL"];

/// The arguments of `lmn dev`.
#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// The port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The folder of the private PostgreSQL server and the API key.
    #[arg(long, default_value = ".lmn")]
    data_dir: PathBuf,
    /// The number of vehicles in the demo catalogue.
    #[arg(long, default_value_t = 500)]
    vehicles: usize,
    /// Print one line of JSON once the server is ready.
    #[arg(long)]
    json: bool,
}

impl Default for Dev {
    fn default() -> Self {
        Self {
            port: 8080,
            data_dir: ".lmn".into(),
            vehicles: 500,
            json: false,
        }
    }
}

/// The data for the welcome message.
struct Welcome {
    partner: PartnerId,
    api_key: String,
    vehicle_id: String,
    max_bid: Option<i32>,
    operator_token: String,
}

impl Dev {
    /// Runs the sandbox until the process receives a stop signal.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut variables = config::environment();
        warn_of_slips(&variables);
        let is_set = |variables: &[(String, String)], name: &str| {
            let mut set = variables.iter().filter(|(_, value)| !value.is_empty());
            set.any(|(key, _)| key == name)
        };
        fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("cannot create {}", self.data_dir.display()))?;
        // Held until the end, because the private server stops when it has no users.
        let mut _cluster = None;
        if !DATABASE_VARIABLES.iter().any(|it| is_set(&variables, it)) {
            let cluster = dev_db::start(&self.data_dir.join("pg"))?;
            block_on(create_database(&cluster.url("postgres")))?;
            variables.push(("DATABASE_URL".into(), cluster.url("lmn")));
            _cluster = Some(cluster);
        }
        // Several sandboxes may run at once, so the operator's port is a free one unless it is set.
        for (name, value) in [
            ("LMN_LOG__FORMAT", "pretty"),
            ("LMN_OPERATOR__LISTEN", "127.0.0.1:0"),
            // No load balancer is in front of it.
            ("LMN_SERVER__DRAIN_GRACE_MILLISECONDS", "0"),
            // Webhook receivers for trying out run on the same machine.
            ("LMN_WEBHOOKS__OPEN_NETWORKS", "127.0.0.0/8,::1"),
        ] {
            if !is_set(&variables, name) {
                variables.push((name.into(), value.into()));
            }
        }
        let port = match self.port {
            0 => free_port().context("no port is free")?,
            port => port,
        };
        // URLs in responses, such as the `type` of a problem, point to this port.
        if !is_set(&variables, "LMN_PUBLIC_URL") {
            let url = format!("http://127.0.0.1:{port}");
            variables.push(("LMN_PUBLIC_URL".into(), url));
        }
        let mut settings = Settings::read(None, &variables)?;
        settings.environment = Environment::Sandbox;
        settings.server.listen.set_port(port);
        let settings = check_deprecations(settings)?;
        // Held until the end, so that all log lines are written before the process exits.
        let _log = telemetry::start(&settings.log);
        block_on(self.serve(settings))
    }

    async fn serve(&self, settings: Settings) -> anyhow::Result<()> {
        // In a terminal, a hang-up means that the terminal was closed, which ends the sandbox.
        if !io::stdin().is_terminal() {
            survive_hangups()?;
        }
        migrate(&settings).await?;
        let database = Database::connect(&settings.database, Metrics::new())?;
        let welcome = self
            .fill(&database)
            .await
            .context("filling the sandbox with demo data")?;
        database.close().await;
        let database_url = settings.database.url.expose_secret().to_owned();
        serve(settings, true, |at| match self.json {
            true => print_outcome(json!({
                "url": at.url,
                "docs_url": format!("{}/docs", at.url),
                "api_key": welcome.api_key,
                "partner_id": welcome.partner,
                "console_url": at.operator_url,
                "operator_token": welcome.operator_token,
                "database_url": database_url,
            })),
            false => print_outcome(welcome.message(&at.url, &at.operator_url)),
        })
        .await
    }

    /// Adds the demo vehicles, the partner and the key that the sandbox lacks.
    async fn fill(&self, database: &Database) -> anyhow::Result<Welcome> {
        let mut tx = database.begin().await?;
        let now = clock::real_now(&mut tx).await?;
        let today = now.with_timezone(&Seoul).date_naive();
        let mut listings = Vec::new();
        for vehicle in demo_catalogue::vehicles(SEED, self.vehicles, today) {
            let line = serde_json::to_vec(&vehicle)?;
            // A result became known after its auction, not now.
            let learned_at = vehicle.result_at.map_or(now, KoreanTime::instant);
            listings.push(read_line(&line, learned_at).map_err(|error| anyhow!("{error}"))?);
        }
        insert_new(&mut tx, &listings).await?;
        let actor = Actor::operator(ACCOUNT, RequestId::random());
        let partner = demo_partner(&mut tx, &actor).await?;
        let file = self.data_dir.join("api_key");
        let api_key = demo_key(&mut tx, &actor, partner, &file).await?;
        let file = self.data_dir.join("operator_token");
        let operator_token = dev_demo::operator_token(&mut tx, &actor, &file).await?;
        tx.commit().await?;
        dev_demo::place_orders(database, &actor, partner).await?;
        let mut connection = database.acquire().await?;
        let after = now + TimeDelta::days(3);
        let lot = vehicles::store::find_untouched_lot(&mut connection, partner, after).await?;
        let (vehicle_id, max_bid) = match lot {
            Some((id, price)) => (id.to_string(), Some(price.dollars() + 500)),
            None => ("VEHICLE_ID".to_owned(), None),
        };
        Ok(Welcome {
            partner,
            api_key,
            vehicle_id,
            max_bid,
            operator_token,
        })
    }
}

/// Returns a port that is free now. It must be known before the server listens on it.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

impl Welcome {
    fn message(&self, url: &str, console_url: &str) -> String {
        let Self {
            api_key,
            vehicle_id,
            operator_token,
            ..
        } = self;
        let order = json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": self.max_bid});
        let idempotency_key = Uuid::new_v4();
        format!(
            "\n\
             The LMN partner API is ready, with a demo catalogue.\n\
             \n  \
             URL      {url}\n  \
             API key  {api_key}\n  \
             Docs     {url}/docs\n  \
             Console  {console_url}\n  \
             Token    {operator_token}\n\
             \n\
             Place a first order (run it twice: the second response is a replay of the first):\n\
             \n  \
             curl -i {url}/v1/orders \\\n    \
             -H 'x-api-key: {api_key}' \\\n    \
             -H 'Idempotency-Key: {idempotency_key}' \\\n    \
             -H 'Content-Type: application/json' \\\n    \
             -d '{order}'\n\
             \n\
             Browse lots with upcoming auctions:\n\
             \n  \
             curl '{url}/v1/vehicles?source=glovis,sk,aj,lotte,kcar&auction_status=upcoming&limit=3' -H 'x-api-key: {api_key}'\n"
        )
    }
}

/// Creates the database of the private server if it does not exist yet.
async fn create_database(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url)
        .await
        .context("cannot connect to the private PostgreSQL server")?;
    let created = sqlx::raw_sql(AssertSqlSafe("create database lmn"))
        .execute(&mut connection)
        .await;
    const DUPLICATE_DATABASE: &str = "42P04";
    match created {
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(DUPLICATE_DATABASE) =>
        {
            Ok(())
        }
        other => other.map(drop).context("creating the database"),
    }
}

async fn demo_partner(tx: &mut Tx, actor: &Actor) -> anyhow::Result<PartnerId> {
    if let Some(partner) = partners::store::find(tx, PARTNER).await? {
        return Ok(partner.id);
    }
    let partner = changes::add_partner(tx, actor, PARTNER).await?;
    let (limit, window_seconds, burst) = LIMIT;
    let policy = Policy::new(limit, window_seconds, burst);
    for kind in [Kind::Read, Kind::Write] {
        changes::set_limit(tx, actor, &partner, kind, policy).await?;
    }
    Ok(partner.id)
}

/// Returns the key in the file if it is still valid. Otherwise issues a new one and writes it to the file.
async fn demo_key(
    tx: &mut Tx,
    actor: &Actor,
    partner: PartnerId,
    file: &Path,
) -> anyhow::Result<String> {
    if let Ok(stored) = fs::read_to_string(file) {
        let stored = stored.trim();
        if let Ok(digest) = read_key(stored, Environment::Sandbox) {
            let found = partners::store::find_grant_of_any_partner(tx, &digest).await?;
            if found
                .is_some_and(|(grant, now)| grant.partner == partner && grant.check(now).is_ok())
            {
                return Ok(stored.to_owned());
            }
        }
    }
    let issued = changes::issue_key(tx, actor, partner, Environment::Sandbox, None).await?;
    let text = issued.key.secret().expose_secret().to_owned();
    write_secret(file, &text)
        .with_context(|| format!("cannot write the key to {}", file.display()))?;
    Ok(text)
}

/// Writes a file that only its owner can read, atomically.
pub(super) fn write_secret(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut out = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(out, "{text}")?;
    fs::rename(new, file)
}
