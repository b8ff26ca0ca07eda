//! The check of every response against the database, at once and at the end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use bytes::Bytes;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::Reply;

/// The response to one attempt, as far as it concerns the idempotency key.
#[derive(Debug)]
pub struct Answer {
    pub partner: Uuid,
    pub key: String,
    pub request_id: String,
    pub status: u16,
    pub outcome: String,
    pub body: Bytes,
}

/// The database's records of a key and of a request.
#[derive(Debug, sqlx::FromRow)]
struct Recorded {
    reply: Option<Vec<u8>>,
    by_this_request: i64,
}

/// All responses so far, and the number of abandoned requests.
pub struct Witness {
    db: PgPool,
    answers: Mutex<Vec<Answer>>,
    abandoned: Mutex<u64>,
}

impl Witness {
    pub async fn of(db: &PgPool) -> Self {
        // Only this test looks requests up by their id, and does so thousands of times.
        for table in ["audit_entries", "orders", "order_steps"] {
            let index = format!("create index on {table} (request_id)");
            let index = sqlx::query(sqlx::AssertSqlSafe(index)).execute(db);
            index.await.unwrap();
        }
        Self {
            db: db.clone(),
            answers: Mutex::default(),
            abandoned: Mutex::default(),
        }
    }

    /// Counts a request whose response the client did not wait for.
    pub fn count_abandoned(&self) {
        *self.abandoned.lock().unwrap() += 1;
    }

    /// Compares a response with the database; `alone` if no other attempt could have used the key meanwhile.
    pub async fn check(&self, partner: Uuid, key: &str, reply: &Reply, alone: bool) {
        let answer = Answer {
            partner,
            key: key.to_owned(),
            request_id: reply.header("x-request-id").to_owned(),
            status: reply.status,
            outcome: reply.header("idempotency-status").to_owned(),
            body: reply.body.clone(),
        };
        let now = self.recorded(&answer).await;
        let same = now.reply.as_deref() == Some(&answer.body);
        let done = now.by_this_request;
        let is_correct = match (answer.outcome.as_str(), answer.status) {
            ("bound", 200 | 201) => same && done == 1,
            ("replayed", 200) => same && done == 0,
            ("unbound", 503) => done == 0 && (now.reply.is_none() || !alone),
            ("conflict", 422) => now.reply.is_some() && done == 0,
            ("unknown", 503) => true,
            _ => false,
        };
        assert!(is_correct, "{answer:?} but {now:?} (alone: {alone})");
        let replayed = answer.outcome == "replayed";
        assert_eq!(reply.header("idempotent-replayed"), replayed.to_string());
        self.answers.lock().unwrap().push(answer);
    }

    async fn recorded(&self, answer: &Answer) -> Recorded {
        sqlx::query_as(
            "select (select reply_body from idempotency_keys where partner_id = $1 and key = $2::uuid) as reply,
                    (select count(*) from audit_log where request_id = $3) as by_this_request",
        )
        .bind(answer.partner)
        .bind(&answer.key)
        .bind(&answer.request_id)
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    /// Compares every response with the final state of the database; returns the number of each outcome.
    pub async fn check_all(&self) -> BTreeMap<String, u64> {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        let abandoned = *self.abandoned.lock().unwrap();
        let mut acted: HashMap<String, i64> =
            sqlx::query_as("select request_id, count(*) from audit_log group by request_id")
                .fetch_all(&self.db)
                .await
                .unwrap()
                .into_iter()
                .collect();
        let stored: HashMap<(Uuid, String), Vec<u8>> =
            sqlx::query_as::<_, (Uuid, String, Vec<u8>)>(
                "select partner_id, key::text, reply_body from idempotency_keys",
            )
            .fetch_all(&self.db)
            .await
            .unwrap()
            .into_iter()
            .map(|(partner, key, body)| ((partner, key), body))
            .collect();

        let mut counts = BTreeMap::new();
        for answer in answers {
            let done = acted.remove(&answer.request_id).unwrap_or_default();
            let fits = match answer.outcome.as_str() {
                "bound" => done == 1,
                "unknown" => done <= 1,
                _ => done == 0,
            };
            assert!(fits, "{answer:?}, and it made {done} changes");
            if answer.status < 300 {
                let body = &stored[&(answer.partner, answer.key.clone())];
                assert_eq!(&answer.body, body, "{answer:?}");
            }
            let name = match (answer.outcome.as_str(), done) {
                ("unknown", 1) => "unknown, and executed",
                ("unknown", _) => "unknown, and not executed",
                (outcome, _) => outcome,
            };
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        let changes: i64 = acted.values().sum();
        assert!(
            acted.len() as u64 <= abandoned && changes == acted.len() as i64,
            "{acted:?} are changes of no known request"
        );
        counts.insert("abandoned".to_owned(), abandoned);
        counts.insert("abandoned, and executed".to_owned(), acted.len() as u64);
        counts
    }
}
