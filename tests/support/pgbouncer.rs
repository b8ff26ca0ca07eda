//! [`PgBouncer`]: a connection pooler in front of the database of one test, on a Unix socket in a temporary folder; killed
//! when it is dropped.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use url::Url;

use crate::database::TestDatabase;

/// The port in the name of the socket; nothing listens on it.
const PORT: u16 = 6432;
/// Time that the pooler may take to start.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An account for a pooler that is started by root and reaches its server over TCP: `nobody` on nearly every system.
const NOBODY: u32 = 65534;

/// A running pooler.
pub struct PgBouncer {
    folder: TempDir,
    database: String,
    child: Child,
}

impl PgBouncer {
    /// Starts a pooler in a mode: `session`, `transaction` or `statement`. As operators do who see that it refuses our
    /// sessions, it is told to drop the settings that they begin with.
    pub fn start(database: &TestDatabase, mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let server = Server::of(&database.url());
        let config = folder.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = {server}\n[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = {PORT}\n\
             auth_type = any\npool_mode = {mode}\nignore_startup_parameters = extra_float_digits, options\n\
             default_pool_size = 40\n",
            name = server.database,
            server = server.connection,
            folder = folder.path().display(),
        );
        fs::write(&config, text).expect("the folder can be written to");
        let log = File::create(folder.path().join("log")).expect("the folder can be written to");
        let mut command = Command::new(program());
        command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if rustix::process::geteuid().is_root() {
            // It refuses to run as root, and must reach the socket of a private server.
            let account = server.account;
            fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
            chown(folder.path(), Some(account), Some(account)).expect("root may do so");
            command.uid(account).gid(account);
        }
        let child = command.spawn().expect("the pooler runs");
        let pooler = Self {
            folder,
            database: server.database,
            child,
        };
        pooler.wait();
        pooler
    }

    /// Returns the URL of the database by way of the pooler.
    pub fn url(&self) -> String {
        let (name, folder) = (&self.database, self.folder.path().display());
        format!("postgres://lmn@localhost/{name}?host={folder}&port={PORT}")
    }

    fn wait(&self) {
        let socket = self.folder.path().join(format!(".s.PGSQL.{PORT}"));
        let began = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let log = fs::read_to_string(self.folder.path().join("log"));
            assert!(
                began.elapsed() < TIMEOUT,
                "the pooler does not start: {log:?}"
            );
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have failed to start.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server of a test's database, as the pooler's configuration names it.
struct Server {
    database: String,
    connection: String,
    /// The account that reaches it.
    account: u32,
}

impl Server {
    fn of(url: &str) -> Self {
        let url = Url::parse(url).expect("a test's database has a URL");
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|it| it.1.into_owned())
        };
        let host = parameter("host").or_else(|| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let port = parameter("port").or_else(|| url.port().map(|it| it.to_string()));
        let port = port.unwrap_or_else(|| "5432".to_owned());
        let database = url.path().trim_start_matches('/').to_owned();
        let (user, password) = (url.username(), url.password().unwrap_or_default());
        let account = match host.starts_with('/') {
            true => fs::metadata(&host).expect("the server runs").uid(),
            false => NOBODY,
        };
        let mut connection = format!("host='{host}' port={port} dbname={database} user='{user}'");
        if !password.is_empty() {
            connection.push_str(&format!(" password='{password}'"));
        }
        Self {
            database,
            connection,
            account,
        }
    }
}

/// Returns the path of the program. Debian installs it where only root looks.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let mut candidates = folders.iter().map(|it| it.join("pgbouncer"));
    candidates.find(|it| Path::is_file(it)).expect(
        "this test needs PgBouncer in PATH: install it (`apt-get install pgbouncer`, `brew install pgbouncer`)",
    )
}
