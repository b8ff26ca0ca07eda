//! Commits whose answer is lost: the outcome is found out, never guessed.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lmn_partner_api::{error::catalogue::Code, router::router};

use crate::{
    database::TestDatabase,
    support::{Car, Partner, Reply, Service, key},
    wire::{self, Fault, Moment},
};

/// What happens to the next commit, once, and whether nothing can begin after it.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<Option<Fault>>>, Arc<AtomicBool>);

impl Next {
    /// Returns a service behind a wire, and what will happen on it.
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

    async fn place(&self, fault: Fault, acme: &Partner, key: &str, car: &str) -> Reply {
        *self.0.lock().unwrap() = Some(fault);
        let reply = acme.place_order_once(key, car, 12_000).await;
        assert!(self.0.lock().unwrap().is_none(), "the fault has happened");
        reply
    }
}

#[tokio::test]
async fn a_commit_that_was_done_is_answered_as_done() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    let faults = [
        Fault::CutAfter,
        Fault::FatalAfter,
        // It is done only while its outcome is already being looked for.
        Fault::Late(Duration::from_millis(100)),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
        let key = key();
        let reply = next.place(fault, &acme, &key, &car.id).await;
        reply.created();
        acme.place_order_once(&key, &car.id, 12_000)
            .await
            .replays(&reply);
        assert_eq!(acme.order(&reply.id()).await.body, reply.body);
    }
    assert_eq!(service.count("select count(*) from orders").await, 3);
}

#[tokio::test]
async fn a_commit_that_was_not_done_is_answered_as_not_done() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let key = key();
    for fault in [Fault::CutBefore, Fault::FatalBefore] {
        let reply = next.place(fault, &acme, &key, "glovis_1").await;
        reply.refused(503, Code::ServiceUnavailable);
        assert_eq!(reply.outcome(), ("unbound", "false"));
        assert_eq!(service.count("select count(*) from orders").await, 0);
    }
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}

#[tokio::test]
async fn a_commit_whose_outcome_cannot_be_found_out_is_not_guessed() {
    let (service, next) = Next::commit().await;
    let acme = service.partner("acme").await;
    for (n, (fault, again)) in [(Fault::CutAfter, 200), (Fault::CutBefore, 201)]
        .into_iter()
        .enumerate()
    {
        let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
        let key = key();
        next.1.store(true, Ordering::SeqCst);
        let reply = next.place(fault, &acme, &key, &car.id).await;
        reply.refused(503, Code::ServiceUnavailable);
        assert_eq!(reply.outcome(), ("unknown", "false"));
        next.1.store(false, Ordering::SeqCst);
        let reply = acme.place_order_once(&key, &car.id, 12_000).await;
        assert_eq!(reply.status, again, "{reply:?}");
    }
    assert_eq!(service.count("select count(*) from orders").await, 2);
}
