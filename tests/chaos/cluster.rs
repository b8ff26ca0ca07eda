//! PostgreSQL clusters of one test, which it stops, copies and restores.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use dev_postgres::{Cluster, Purpose};
use lmn_partner_api::cli::dev_db;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{process::words, support::eventually};

/// Makes a folder for the clusters of a test.
pub fn make_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

/// Lets every account write to a folder: root's servers run as another one.
pub fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
}

/// Starts the cluster in `dir`, and creates it if it does not exist. It is durable, and ready once it accepts writes.
pub async fn start(dir: PathBuf) -> Cluster {
    let starting = spawn_blocking(move || {
        let supervisor = dev_db::supervisor(env!("CARGO_BIN_EXE_lmn"));
        Cluster::ensure(&dir, Purpose::Data, &supervisor, &|_| {})
            .unwrap_or_else(|error| panic!("{error}"))
    });
    starting.await.unwrap()
}

/// Starts the cluster in `dir`, whose data were put into `dir/data` by one of PostgreSQL's programs.
pub async fn adopt(dir: PathBuf) -> Cluster {
    // The file marks a folder as that of a cluster.
    File::create(dir.join("using.lock")).unwrap();
    start(dir).await
}

/// Returns the process id of the server.
pub fn server_of(cluster: &Cluster) -> Pid {
    let file = cluster.dir().join("data/postmaster.pid");
    let text = fs::read_to_string(file).unwrap();
    let server = text.lines().next().unwrap().trim().parse().unwrap();
    Pid::from_raw(server).unwrap()
}

/// Stops the server, and waits until it has ended.
pub async fn stop(cluster: Cluster) {
    kill_process(server_of(&cluster), Signal::INT).unwrap();
    let supervisor = cluster.dir().join("supervisor.lock");
    let server = cluster.dir().join("data/postmaster.pid");
    eventually("the server has stopped", async || {
        let is_supervised = File::open(&supervisor).is_ok_and(|it| it.try_lock_shared().is_err());
        (!is_supervised && !server.exists()).then_some(())
    })
    .await;
}

/// Runs one of PostgreSQL's programs, of the version of the cluster, to its end.
pub async fn run(cluster: &Cluster, program: &str, arguments: &[&str]) {
    let mut command = cluster.command(program).unwrap();
    command.args(arguments);
    let running = spawn_blocking(move || command.output().unwrap());
    let output = running.await.unwrap();
    assert!(output.status.success(), "{program}: {}", words(&output));
}
