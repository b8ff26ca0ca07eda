//! Restores, rehearsed with the commands of docs/operating.md: a base backup and archived WAL to a point in time, and a
//! dump into a cluster of another locale. Keys replay, cursors go on, events are delivered.

mod scene;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use dev_postgres::Cluster;
use lmn_partner_api::errors::catalogue::Code;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use self::scene::{BID, DATABASE, Known, Restored, Scene, VEHICLES, create_database, page, walk};
use crate::{cluster, support::eventually};

/// The point to which the WAL is replayed.
const POINT: &str = "before_the_accident";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_backup_and_wal_restore_everything_up_to_a_point_and_nothing_after_it() {
    let folder = cluster::make_folder();
    let archive = folder.path().join("archive");
    let primary = start_archiving(folder.path().join("primary"), &archive).await;
    let scene = Scene::on(folder, primary).await;
    let mut placed = scene.place_orders(1..=4).await;
    let read = page(&scene.acme, 3, None).await;
    let restored = scene.folder.path().join("restored");
    back_up(&scene.cluster, &restored).await;
    placed.extend(scene.place_orders(5..=8).await);
    let known = Known::of(&scene.acme, placed, read).await;
    scene
        .execute(&format!("select pg_create_restore_point('{POINT}')"))
        .await;
    let lost = scene.place_orders(9..=VEHICLES).await;
    let lost_event = walk(&scene.acme, None).await.pop().unwrap();
    wait_until_archived(&scene.db).await;
    let (folder, acme, receiver) = scene.end().await;

    recover_to_point(&restored, &archive);
    let cluster = cluster::adopt(restored).await;
    let restored = Restored::check(&cluster.url(DATABASE), acme, known, receiver).await;
    let acme = &restored.acme;
    for lost in &lost {
        let id = lost.reply.id();
        acme.order(&id).await.refused(404, Code::OrderNotFound);
        let again = acme.place_order_once(&lost.key, &lost.vehicle, BID).await;
        assert_ne!(again.created()["id"], id, "the lost key places anew");
    }
    let after_lost = acme.get(&format!("/v1/events?after={lost_event}")).await;
    after_lost.refused(404, Code::EventNotFound);
    restored.end().await;
    cluster::stop(cluster).await;
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dump_is_restored_into_a_cluster_of_another_locale() {
    let folder = cluster::make_folder();
    let primary = cluster::start(folder.path().join("primary")).await;
    let scene = Scene::on(folder, primary).await;
    let placed = scene.place_orders(1..=4).await;
    let read = page(&scene.acme, 3, None).await;
    let known = Known::of(&scene.acme, placed, read).await;
    let dump = scene.folder.path().join("lmn.dump");
    let dump = dump.to_str().unwrap();
    let url = scene.cluster.url(DATABASE);
    let dumped = ["--format=custom", "--dbname", &url, "--file", dump];
    cluster::run(&scene.cluster, "pg_dump", &dumped).await;
    let other = scene.folder.path().join("other");
    initialize_in_korean(&scene.cluster, &other).await;
    let (folder, acme, receiver) = scene.end().await;

    let cluster = cluster::adopt(other).await;
    let url = create_database(&cluster).await;
    let restored = ["--exit-on-error", "--dbname", &url, dump];
    cluster::run(&cluster, "pg_restore", &restored).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let by_icu = "select datlocprovider = 'i' from pg_database where datname = current_database()";
    let by_icu: bool = sqlx::query_scalar(by_icu)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(by_icu, "the locale is another one");
    // The ids of transactions are those of the other cluster, and the feed of changes would wait for them.
    for table in ["orders", "order_steps", "audit_entries"] {
        let reset = format!("update {table} set transaction_id = '0'");
        connection.execute(AssertSqlSafe(reset)).await.unwrap();
    }
    connection.close().await.unwrap();
    let orders = known.placed.len();
    let restored = Restored::check(&url, acme, known, receiver).await;
    restored.check_changes(orders).await;
    restored.end().await;
    cluster::stop(cluster).await;
    drop(folder);
}

/// Starts a cluster that archives its WAL.
async fn start_archiving(dir: PathBuf, archive: &Path) -> Cluster {
    fs::create_dir(archive).unwrap();
    cluster::open_to_all(archive);
    let archive = archive.display();
    let cluster = cluster::start(dir.clone()).await;
    let url = cluster.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let command = format!("archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f'");
    for setting in ["archive_mode = on", &command] {
        let set = format!("alter system set {setting}");
        connection.execute(AssertSqlSafe(set)).await.unwrap();
    }
    connection.close().await.unwrap();
    cluster::stop(cluster).await;
    cluster::start(dir).await
}

/// Makes a base backup of a cluster, which is to become the data of the cluster in `dir`.
async fn back_up(cluster: &Cluster, dir: &Path) {
    let url = cluster.url("postgres");
    let data = dir.join("data");
    let data = data.to_str().unwrap();
    let arguments = ["--checkpoint=fast", "--dbname", &url, "--pgdata", data];
    cluster::run(cluster, "pg_basebackup", &arguments).await;
}

/// Ends the current segment of the WAL, and waits until it is in the archive.
async fn wait_until_archived(db: &PgPool) {
    let last: String = sqlx::query_scalar("select pg_walfile_name(pg_switch_wal())")
        .fetch_one(db)
        .await
        .unwrap();
    eventually("the WAL is archived", async || {
        let is_archived: bool = sqlx::query_scalar(
            "select coalesce(last_archived_wal >= $1, false) from pg_stat_archiver",
        )
        .bind(&last)
        .fetch_one(db)
        .await
        .unwrap();
        is_archived.then_some(())
    })
    .await;
}

/// Lets the next start of the cluster in `dir` replay the archive up to the point.
fn recover_to_point(dir: &Path, archive: &Path) {
    let data = dir.join("data");
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\n\
         recovery_target_name = '{POINT}'\n\
         recovery_target_action = 'promote'\n\
         archive_mode = off\n",
        archive.display()
    );
    let file = OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.auto.conf"));
    file.unwrap().write_all(settings.as_bytes()).unwrap();
    let signal = data.join("recovery.signal");
    File::create(&signal).unwrap();
    let owner = data.metadata().unwrap();
    chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
}

/// Makes the data of a cluster in `dir` whose locale is Korean, by the rules of ICU.
async fn initialize_in_korean(cluster: &Cluster, dir: &Path) {
    let data = dir.join("data");
    let arguments = [
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=icu",
        "--icu-locale=ko-KR",
        "--pgdata",
        data.to_str().unwrap(),
    ];
    cluster::run(cluster, "initdb", &arguments).await;
}
