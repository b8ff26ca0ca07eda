//! Commits whose answer is lost: the outcome is found out, never guessed.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use lmn_partner_api::{error::catalogue::Code, router::router};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::{
    database::TestDatabase,
    support::{Car, Partner, Service, key},
};

/// What happens to the next commit, once.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It never reaches the database.
    LostOnTheWay,
    /// It is done, and the connection cut before the answer.
    AnswerLost,
    /// It is done, and a pooler in between says that the server is gone.
    AnswerReplaced,
}

/// Stands between the service and its database.
#[derive(Clone)]
struct Wire {
    database: PathBuf,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Wire {
    /// Returns a service behind a wire, and the wire.
    async fn cut() -> Option<(Service, Self)> {
        let database = TestDatabase::new().await;
        // With a database of one's own over TCP there is no socket to stand in front of.
        let socket = database
            .pool
            .connect_options()
            .get_socket()?
            .join(".s.PGSQL.5432");
        let wire = Self {
            database: socket,
            next: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = database
            .pool
            .connect_options()
            .get_database()
            .unwrap()
            .to_owned();
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
        tokio::spawn(wire.clone().listen(listener));
        let service = Service::at(database, &url, &[], router).await;
        Some((service, wire))
    }

    async fn listen(self, listener: TcpListener) {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = UnixStream::connect(&self.database).await.unwrap();
            tokio::spawn(self.clone().carry(client, server));
        }
    }

    async fn carry(self, mut client: TcpStream, mut server: UnixStream) {
        let (mut asked, mut answered) = ([0; 65_536], [0; 65_536]);
        loop {
            tokio::select! {
                length = client.read(&mut asked) => {
                    let Ok(length @ 1..) = length else { return };
                    let said = &asked[..length];
                    let commits = said.windows(6).any(|it| it == b"COMMIT");
                    let fault = if commits { self.next.lock().unwrap().take() } else { None };
                    if matches!(fault, Some(Fault::LostOnTheWay)) {
                        return;
                    }
                    server.write_all(said).await.unwrap();
                    if let Some(fault) = fault {
                        // The database has answered, so it is done.
                        let _ = server.read(&mut answered).await.unwrap();
                        if matches!(fault, Fault::AnswerReplaced) {
                            let _ = client.write_all(FATAL).await;
                        }
                        return;
                    }
                }
                length = server.read(&mut answered) => {
                    let Ok(length @ 1..) = length else { return };
                    if client.write_all(&answered[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn place(
        &self,
        fault: Fault,
        acme: &Partner,
        key: &str,
        car: &str,
    ) -> crate::support::Reply {
        *self.next.lock().unwrap() = Some(fault);
        let reply = acme.place_order_once(key, car, 12_000).await;
        assert!(
            self.next.lock().unwrap().is_none(),
            "the fault has happened"
        );
        reply
    }
}

/// An ErrorResponse: FATAL, 57P01, terminating connection due to administrator command.
const FATAL: &[u8] = b"E\0\0\0\x32SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0";

#[tokio::test]
async fn a_commit_that_was_done_is_answered_as_done() {
    let Some((service, wire)) = Wire::cut().await else {
        return;
    };
    let acme = service.partner("acme").await;
    for (n, fault) in [Fault::AnswerLost, Fault::AnswerReplaced]
        .into_iter()
        .enumerate()
    {
        let car = service.car(Car::lot(&format!("glovis_{n}"))).await;
        let key = key();
        let reply = wire.place(fault, &acme, &key, &car.id).await;
        reply.created();
        acme.place_order_once(&key, &car.id, 12_000)
            .await
            .replays(&reply);
        assert_eq!(acme.order(&reply.id()).await.body, reply.body);
    }
    assert_eq!(service.count("select count(*) from orders").await, 2);
}

#[tokio::test]
async fn a_commit_that_was_not_done_is_answered_as_not_done() {
    let Some((service, wire)) = Wire::cut().await else {
        return;
    };
    let acme = service.partner("acme").await;
    service.car(Car::lot("glovis_1")).await;
    let key = key();
    let reply = wire
        .place(Fault::LostOnTheWay, &acme, &key, "glovis_1")
        .await;
    reply.refused(503, Code::ServiceUnavailable);
    assert_eq!(reply.outcome(), ("unbound", "false"));
    assert_eq!(service.count("select count(*) from orders").await, 0);
    acme.place_order_once(&key, "glovis_1", 12_000)
        .await
        .created();
}
