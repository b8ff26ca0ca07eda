//! Reads by key that share a statement: each request gets its own row, independent of the others.

use lmn_partner_api::errors::catalogue::Code;
use sqlx::{Postgres, Transaction};
use tokio::task::JoinHandle;

use crate::support::{
    Partner, Reply, Service, Vehicle, blocked_sessions, end_blocked_sessions, eventually,
    lock_table,
};

/// Number of concurrent reads.
const READERS: usize = 40;

/// A service whose orders cannot be read until the transaction ends.
struct Shut {
    service: Service,
    partners: [Partner; 2],
    /// An order of each partner.
    orders: [String; 2],
    holder: Transaction<'static, Postgres>,
}

impl Shut {
    async fn start() -> Self {
        let service = Service::start().await;
        let partners = [
            service.partner("acme").await,
            service.partner("rival").await,
        ];
        service.vehicle(Vehicle::lot("glovis_1")).await;
        let orders = [
            partners[0].place_order("glovis_1", 12_000).await.id(),
            partners[1].place_order("glovis_1", 13_000).await.id(),
        ];
        let holder = lock_table(service.db(), "orders").await;
        Self {
            service,
            partners,
            orders,
            holder,
        }
    }

    /// Reads an order in a task of its own.
    fn read(&self, partner: usize, order: usize) -> JoinHandle<Reply> {
        let (partner, order) = (self.partners[partner].clone(), self.orders[order].clone());
        tokio::spawn(async move { partner.order(&order).await })
    }

    /// Waits until the given number of requests is in progress, and returns the number of statements that wait.
    async fn statements(&self, requests: usize) -> i64 {
        eventually("all requests are in progress", async || {
            let in_progress = self.service.metric("lmn_http_requests_in_flight").await;
            (in_progress == requests as f64).then_some(())
        })
        .await;
        blocked_sessions(self.service.db()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_during_a_statement_share_the_next_one() {
    let shut = Shut::start().await;
    let reads: Vec<_> = (0..READERS)
        .map(|n| (n, shut.read(n % 2, n / 2 % 2)))
        .collect();
    // One of the first, and a few more because that one is slow.
    let most = shut.service.app.settings().database.batch_statements as i64;
    let statements = shut.statements(READERS).await;
    assert!((1..=most).contains(&statements), "{statements}");
    let orders = shut.orders.clone();
    shut.holder.rollback().await.unwrap();
    for (n, read) in reads {
        let (partner, order) = (n % 2, n / 2 % 2);
        let reply = read.await.unwrap();
        if partner == order {
            assert_eq!(reply.ok()["id"], orders[order].as_str());
        } else {
            // The order belongs to the other partner.
            reply.refused(404, Code::OrderNotFound);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_complete_after_the_caller_of_the_running_statement_has_disconnected() {
    let shut = Shut::start().await;
    let first = shut.read(0, 0);
    shut.statements(1).await;
    let others: Vec<_> = (1..READERS).map(|_| shut.read(1, 1)).collect();
    shut.statements(READERS).await;
    first.abort();
    let orders = shut.orders.clone();
    eventually("it has hung up", async || first.is_finished().then_some(())).await;
    shut.holder.rollback().await.unwrap();
    for read in others {
        assert_eq!(read.await.unwrap().ok()["id"], orders[1].as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_a_failed_statement_are_refused_and_later_reads_succeed() {
    let shut = Shut::start().await;
    let reads: Vec<_> = (0..READERS).map(|_| shut.read(0, 0)).collect();
    shut.statements(READERS).await;
    // Each statement in turn waits for the table and is terminated; only its own reads fail.
    eventually("every read is refused", async || {
        end_blocked_sessions(shut.service.db()).await;
        reads.iter().all(JoinHandle::is_finished).then_some(())
    })
    .await;
    for read in reads {
        read.await.unwrap().refused(503, Code::ServiceUnavailable);
    }
    let (acme, order) = (shut.partners[0].clone(), shut.orders[0].clone());
    shut.holder.rollback().await.unwrap();
    assert_eq!(acme.order(&order).await.ok()["id"], order.as_str());
}
