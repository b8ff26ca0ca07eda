//! A replica that is disconnected from its database: it refuses reads that it cannot confirm, and later catches up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lmn_partner_api::{errors::catalogue::Code, router::router};

use super::list_all;
use crate::{
    database::TestDatabase,
    support::{Partner, Reply, Service, Vehicle, eventually, lock_table, settings},
    wire::{self, Fault},
};

const PAGE: &str = "/v1/vehicles?source=glovis";
const VEHICLE: &str = "/v1/vehicles/l1";
const FACETS: &str = "/v1/vehicles/facets";

/// A thousand commits, each of which changes one vehicle; in the end every vehicle has changed.
const THOUSAND_CHANGES: &str = "do $$ begin
        for n in 1..1000 loop
            update vehicles set listing_usd = 10000 + n where id = 'l' || n % 50;
            commit;
        end loop;
    end $$";

/// Price of the vehicle whose change has no row in the change log: only a reload of all vehicles finds it.
const UNLOGGED_USD: i32 = 99_000;

/// A replica whose connections to the database can be cut.
struct Scene {
    service: Service,
    acme: Partner,
    is_cut: Arc<AtomicBool>,
}

impl Scene {
    /// Starts a replica with fifty vehicles and one whose id is `unlogged`.
    async fn start() -> Self {
        let database = TestDatabase::new().await;
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = is_cut.clone();
        let url = wire::string(&database, move |_| match cut.load(Ordering::SeqCst) {
            true => Fault::CutBefore,
            false => Fault::None,
        })
        .await;
        // Reads are refused after one second without a connection.
        let settings = [settings::acquire_seconds(1)];
        let service = Service::at(database, &url, &settings, router).await;
        let acme = service.partner("acme").await;
        for n in 0..50 {
            Vehicle::lot(&format!("l{n}"))
                .insert(&service.database)
                .await;
        }
        service.vehicle(Vehicle::lot("unlogged")).await;
        Self {
            service,
            acme,
            is_cut,
        }
    }

    /// Changes every vehicle as another process would, one of them without a row in the change log.
    async fn change_vehicles(&self) {
        self.service
            .set_price_unlogged("unlogged", UNLOGGED_USD)
            .await;
        self.service.sql_elsewhere(THOUSAND_CHANGES).await;
    }

    /// Deletes the change log but for the last changes.
    async fn truncate_log(&self, changes: i64) {
        let statement = format!(
            "delete from catalogue_changes where version < (select version - {changes} from catalogue)"
        );
        self.service.sql_elsewhere(&statement).await;
    }

    /// Cuts the connections, and waits until lists are refused, within the staleness.
    async fn cut(&self) {
        self.acme.get(PAGE).await.ok();
        self.is_cut.store(true, Ordering::SeqCst);
        let cut_at = Instant::now();
        let staleness = self.service.app.settings().catalogue.staleness;
        eventually("lists are refused", async || {
            let age = cut_at.elapsed();
            let reply = self.acme.get(PAGE).await;
            if reply.status == 200 {
                assert!(age < staleness, "a list that is {age:?} old");
                return None;
            }
            assert_unavailable(&reply);
            Some(())
        })
        .await;
    }

    /// Restores the connections, and waits until the replica lists vehicles; the first list must equal the database.
    async fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
        let listed = eventually("vehicles are listed", async || {
            let reply = self.acme.get("/v1/vehicles?source=glovis&limit=200").await;
            (reply.status == 200).then_some(reply)
        })
        .await;
        let body = listed.json();
        let rows = body["data"].as_array().unwrap().iter();
        let shown: Vec<_> = rows
            .filter(|it| it["id"] != "unlogged")
            .map(|it| it["pricing"]["listing_usd"].as_i64().unwrap())
            .collect();
        let statement = "select listing_usd::bigint from vehicles where id <> 'unlogged' order by auction_date, id collate \"C\"";
        let stored: Vec<i64> = sqlx::query_scalar(statement)
            .fetch_all(self.service.db())
            .await
            .unwrap();
        assert_eq!(shown, stored);
        assert!(stored.iter().all(|it| *it > 10_950));
    }
}

fn assert_unavailable(reply: &Reply) {
    let details = reply.refused(503, Code::ServiceUnavailable);
    let retry_after = reply.header("retry-after");
    assert_eq!(details["retry_after"].to_string(), retry_after);
}

/// Query that matches the vehicle of the unlogged change by its new price.
const UNLOGGED_PRICE: &str = "source=glovis&price_min_usd=90000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnected_replica_catches_up_from_the_log() {
    let scene = Scene::start().await;
    scene.cut().await;
    scene.change_vehicles().await;
    assert_unavailable(&scene.acme.get(PAGE).await);
    scene.is_cut.store(false, Ordering::SeqCst);
    eventually("vehicles are listed", async || {
        let reply = scene.acme.get("/v1/vehicles?ids=l7").await;
        let price = &reply.json()["data"][0]["pricing"]["listing_usd"];
        (*price == 10_957).then_some(())
    })
    .await;
    let cheap = "source=glovis&price_min_usd=10951";
    assert_eq!(list_all(&scene.acme, cheap).await.len(), 50);
    // The catalogue has not been reloaded.
    assert_eq!(list_all(&scene.acme, UNLOGGED_PRICE).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_disconnected_for_longer_than_the_log_reloads_the_catalogue() {
    let scene = Scene::start().await;
    scene.cut().await;
    scene.change_vehicles().await;
    scene.truncate_log(10).await;
    assert_unavailable(&scene.acme.get(PAGE).await);
    scene.mend().await;
    assert_eq!(list_all(&scene.acme, UNLOGGED_PRICE).await, ["unlogged"]);
    // The replica follows the log again, although the log is empty.
    scene
        .service
        .sql_elsewhere("delete from catalogue_changes")
        .await;
    scene.service.set_price("l1", 95_000).await;
    assert_eq!(
        list_all(&scene.acme, UNLOGGED_PRICE).await,
        ["l1", "unlogged"]
    );
}

#[tokio::test]
async fn replica_that_cannot_confirm_its_catalogue_refuses_only_vehicle_reads() {
    let service = Service::with(&[settings::acquire_seconds(1)]).await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("l1")).await;
    let order = acme.place_order("l1", 12_000).await.id();
    let holder = lock_table(service.db(), "catalogue").await;
    for path in [PAGE, FACETS, VEHICLE] {
        eventually("it is refused", async || {
            let reply = acme.get(path).await;
            (reply.status != 200).then(|| assert_unavailable(&reply))
        })
        .await;
    }
    acme.order(&order).await.ok();
    acme.cancel(&order).await.ok();
    holder.rollback().await.unwrap();
    for path in [PAGE, FACETS, VEHICLE] {
        eventually("it is answered", async || {
            (acme.get(path).await.status == 200).then_some(())
        })
        .await;
    }
}
