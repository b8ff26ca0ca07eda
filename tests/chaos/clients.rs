//! Clients that follow one rule: they repeat a request with the same key and body until they get a final response.

use std::{sync::Mutex, time::Duration};

use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    seed::stream,
    support::{Partner, Reply, key},
    witness::Witness,
};

/// Percentages of attempts that the client abandons, and of attempts that it makes several times at once.
const HUNG_UP_PERCENT: u32 = 3;
const AT_ONCE_PERCENT: u32 = 3;
/// Longest wait in milliseconds before the client abandons an attempt.
const ABANDON_WITHIN: u64 = 400;
/// Attempts after which the test fails: faults are rare and random, so a request succeeds much earlier.
const ATTEMPTS_MAX: u32 = 500;

/// One client of a partner.
pub struct Client<'a> {
    partner: &'a Partner,
    witness: &'a Witness,
    rng: Mutex<StdRng>,
}

impl<'a> Client<'a> {
    pub fn new(partner: &'a Partner, witness: &'a Witness, seed: u64, number: u64) -> Self {
        Self {
            partner,
            witness,
            rng: Mutex::new(stream(seed, number)),
        }
    }

    pub fn percent(&self, percent: u32) -> bool {
        self.rng.lock().unwrap().random_ratio(percent, 100)
    }

    /// Places an order; returns its id.
    pub async fn place(&self, vehicle_id: &str, bid: i64) -> String {
        let key = key();
        let body = |bid| json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": bid});
        let order = self
            .repeat(&key, Method::POST, "/v1/orders", Some(body(bid)), 200)
            .await;
        if self.percent(10) {
            self.repeat(&key, Method::POST, "/v1/orders", Some(body(bid + 1)), 422)
                .await;
        }
        order.id()
    }

    /// Cancels an order.
    pub async fn cancel(&self, id: &str) {
        let path = format!("/v1/orders/{id}");
        self.repeat(&key(), Method::DELETE, &path, None, 200).await;
    }

    /// Repeats a request until the response is final: a success of any attempt, or 422 if the key is bound to another
    /// body.
    async fn repeat(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        last: u16,
    ) -> Reply {
        let ask = || {
            let ask = self.partner.ask(method.clone(), path).key(key);
            match &body {
                Some(body) => ask.json(body),
                None => ask,
            }
        };
        // An abandoned attempt may still be running while later ones are answered.
        let mut alone = last != 422;
        for _ in 0..ATTEMPTS_MAX {
            let mut replies = Vec::new();
            if self.percent(HUNG_UP_PERCENT) {
                alone = false;
                replies.extend(self.hang_up(key, ask().send()).await);
            } else if self.percent(AT_ONCE_PERCENT) {
                let (one, two, three) = tokio::join!(ask().send(), ask().send(), ask().send());
                for reply in [&one, &two, &three] {
                    self.witness.check(self.partner.id, key, reply, false).await;
                }
                replies.extend([one, two, three]);
            } else {
                let reply = ask().send().await;
                self.witness
                    .check(self.partner.id, key, &reply, alone)
                    .await;
                replies.push(reply);
            }
            for reply in replies {
                if reply.status == last || (last == 200 && reply.status == 201) {
                    return reply;
                }
                assert_eq!(reply.status, 503, "{reply:?}");
            }
        }
        panic!("{key} {method} {path} never gets a final response");
    }

    /// Sends a request and abandons it after a short random time.
    async fn hang_up(&self, key: &str, asking: impl Future<Output = Reply>) -> Option<Reply> {
        let limit = Duration::from_millis(self.rng.lock().unwrap().random_range(0..ABANDON_WITHIN));
        let Ok(reply) = timeout(limit, asking).await else {
            self.witness.count_abandoned();
            return None;
        };
        self.witness
            .check(self.partner.id, key, &reply, false)
            .await;
        Some(reply)
    }
}
