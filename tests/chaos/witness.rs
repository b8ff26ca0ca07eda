//! The witness: hears every answer, and holds it against the database, at once and at the end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use bytes::Bytes;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::Reply;

/// An answer to one attempt, as far as it says what became of the key.
#[derive(Debug)]
pub struct Heard {
    pub partner: Uuid,
    pub key: String,
    pub request_id: String,
    pub status: u16,
    pub outcome: String,
    pub body: Bytes,
}

/// What the database remembers of a key and of a request.
#[derive(Debug, sqlx::FromRow)]
struct Remembered {
    reply: Option<Vec<u8>>,
    by_this_request: i64,
}

/// All that was heard.
pub struct Witness {
    db: PgPool,
    heard: Mutex<Vec<Heard>>,
    unheard: Mutex<u64>,
}

impl Witness {
    pub async fn of(db: &PgPool) -> Self {
        // Requests are looked up thousands of times here, and by nobody else.
        for table in ["audit_entries", "orders", "order_steps"] {
            let index = format!("create index on {table} (request_id)");
            let index = sqlx::query(sqlx::AssertSqlSafe(index)).execute(db);
            index.await.unwrap();
        }
        Self {
            db: db.clone(),
            heard: Mutex::default(),
            unheard: Mutex::default(),
        }
    }

    /// Takes note of a request whose answer nobody waited for.
    pub fn did_not_hear(&self) {
        *self.unheard.lock().unwrap() += 1;
    }

    /// Holds an answer against the database; `alone` if nothing else could have used the key meanwhile.
    pub async fn hear(&self, partner: Uuid, key: &str, reply: &Reply, alone: bool) {
        let heard = Heard {
            partner,
            key: key.to_owned(),
            request_id: reply.header("x-request-id").to_owned(),
            status: reply.status,
            outcome: reply.header("idempotency-status").to_owned(),
            body: reply.body.clone(),
        };
        let now = self.remembered(&heard).await;
        let same = now.reply.as_deref() == Some(&heard.body);
        let done = now.by_this_request;
        let true_now = match (heard.outcome.as_str(), heard.status) {
            ("bound", 200 | 201) => same && done == 1,
            ("replayed", 200) => same && done == 0,
            ("unbound", 503) => done == 0 && (now.reply.is_none() || !alone),
            ("conflict", 422) => now.reply.is_some() && done == 0,
            ("unknown", 503) => true,
            _ => false,
        };
        assert!(true_now, "{heard:?} but {now:?} (alone: {alone})");
        let replayed = heard.outcome == "replayed";
        assert_eq!(reply.header("idempotent-replayed"), replayed.to_string());
        self.heard.lock().unwrap().push(heard);
    }

    async fn remembered(&self, heard: &Heard) -> Remembered {
        sqlx::query_as(
            "select (select reply_body from idempotency_keys where partner_id = $1 and key = $2::uuid) as reply,
                    (select count(*) from audit_log where request_id = $3) as by_this_request",
        )
        .bind(heard.partner)
        .bind(&heard.key)
        .bind(&heard.request_id)
        .fetch_one(&self.db)
        .await
        .unwrap()
    }

    /// Holds every answer against what the database remembers in the end, and counts them.
    pub async fn judge(&self) -> BTreeMap<String, u64> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        let unheard = *self.unheard.lock().unwrap();
        let mut acted: HashMap<String, i64> =
            sqlx::query_as("select request_id, count(*) from audit_log group by request_id")
                .fetch_all(&self.db)
                .await
                .unwrap()
                .into_iter()
                .collect();
        let kept: HashMap<(Uuid, String), Vec<u8>> = sqlx::query_as::<_, (Uuid, String, Vec<u8>)>(
            "select partner_id, key::text, reply_body from idempotency_keys",
        )
        .fetch_all(&self.db)
        .await
        .unwrap()
        .into_iter()
        .map(|(partner, key, body)| ((partner, key), body))
        .collect();

        let mut counts = BTreeMap::new();
        for answer in heard {
            let done = acted.remove(&answer.request_id).unwrap_or_default();
            let fits = match answer.outcome.as_str() {
                "bound" => done == 1,
                "unknown" => done <= 1,
                _ => done == 0,
            };
            assert!(fits, "{answer:?}, and it did {done} things");
            if answer.status < 300 {
                let body = &kept[&(answer.partner, answer.key.clone())];
                assert_eq!(&answer.body, body, "{answer:?}");
            }
            let name = match (answer.outcome.as_str(), done) {
                ("unknown", 1) => "unknown, and it was done",
                ("unknown", _) => "unknown, and it was not done",
                (outcome, _) => outcome,
            };
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        let by_unheard: i64 = acted.values().sum();
        assert!(
            acted.len() as u64 <= unheard && by_unheard == acted.len() as i64,
            "{acted:?} were done by nobody"
        );
        counts.insert("not waited for".to_owned(), unheard);
        counts.insert(
            "not waited for, and it was done".to_owned(),
            acted.len() as u64,
        );
        counts
    }
}
