//! Commits whose answer is lost: the service finds out their outcome and never guesses it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{errors::catalogue::Code, router::router};

use crate::{
    database::TestDatabase,
    support::{Partner, Reply, Service, Vehicle, key},
    wire::{self, Fault, Moment},
};

/// The fault of the next commit, which happens once, and whether no transaction can begin after it.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<Option<Fault>>>, Arc<AtomicBool>);

impl Next {
    /// Returns a service that reaches its database through a proxy, and the faults planned for that proxy.
    async fn commit() -> (Service, Self) {
        let (database, next) = (TestDatabase::new().await, Self::default());
        let planned = next.clone();
        let url = wire::string(&database, move |moment| {
            let mut next = planned.0.lock().unwrap();
            match moment {
                Moment::Commit => next.take().unwrap_or(Fault::None),
                Moment::Begin if next.is_none() && planned.1.load(Ordering::SeqCst) => {
                    Fault::CutBefore
                }
                Moment::Connect | Moment::Statement | Moment::Begin => Fault::None,
            }
        });
        let url = url.await;
        (Service::at(database, &url, &[], router).await, next)
    }

    async fn place(&self, fault: Fault, acme: &Partner, key: &str, vehicle: &str) -> Reply {
        *self.0.lock().unwrap() = Some(fault);
        let reply = acme.place_order_once(key, vehicle, 12_000).await;
        assert!(self.0.lock().unwrap().is_none(), "the fault has happened");
        reply
    }
}

#[tokio::test]
async fn commit_that_was_done_is_answered_as_done() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    let faults = [
        Fault::CutAfter,
        Fault::FatalAfter,
        // The commit is done only after the service has begun to look for its outcome.
        Fault::Late(Duration::from_millis(100)),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        let key = key();
        let reply = next.place(fault, &acme, &key, &vehicle.id).await;
        reply.created();
        acme.place_order_once(&key, &vehicle.id, 12_000)
            .await
            .replays(&reply);
        assert_eq!(acme.order(&reply.id()).await.body, reply.body);
    }
    assert_eq!(service.order_count().await, 3);
}

#[tokio::test]
async fn commit_that_was_not_done_is_answered_as_not_done() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let key = key();
    for fault in [Fault::CutBefore, Fault::FatalBefore] {
        let reply = next.place(fault, &acme, &key, "glovis_1").await;
        reply.refused(503, Code::ServiceUnavailable);
        assert_eq!(reply.outcome(), ("unbound", "false"));
        assert_eq!(service.order_count().await, 0);
    }
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}

#[tokio::test]
async fn commit_whose_outcome_cannot_be_found_out_is_answered_as_unknown() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    for (n, (fault, again)) in [(Fault::CutAfter, 200), (Fault::CutBefore, 201)]
        .into_iter()
        .enumerate()
    {
        let vehicle = service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        let key = key();
        next.1.store(true, Ordering::SeqCst);
        let reply = next.place(fault, &acme, &key, &vehicle.id).await;
        reply.refused(503, Code::ServiceUnavailable);
        assert_eq!(reply.outcome(), ("unknown", "false"));
        next.1.store(false, Ordering::SeqCst);
        let reply = acme.place_order_once(&key, &vehicle.id, 12_000).await;
        assert_eq!(reply.status, again, "{reply:?}");
    }
    assert_eq!(service.order_count().await, 2);
}
