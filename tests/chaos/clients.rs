//! Clients that know one rule only: the same key with the same body, until there is an answer.

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

/// Of a hundred attempts, those that are hung up on, and those that are made several times at once.
const HUNG_UP_PERCENT: u32 = 3;
const AT_ONCE_PERCENT: u32 = 3;
/// Milliseconds that are waited for an answer before it is hung up on, at most.
const PATIENCE: u64 = 400;
/// Attempts after which something is wrong: faults are rare, and strike at random.
const ATTEMPTS_MAX: u32 = 500;

/// One client of a partner.
pub struct Client<'a> {
    partner: &'a Partner,
    witness: &'a Witness,
    chance: Mutex<StdRng>,
}

impl<'a> Client<'a> {
    pub fn new(partner: &'a Partner, witness: &'a Witness, seed: u64, number: u64) -> Self {
        Self {
            partner,
            witness,
            chance: Mutex::new(stream(seed, number)),
        }
    }

    pub fn percent(&self, percent: u32) -> bool {
        self.chance.lock().unwrap().random_ratio(percent, 100)
    }

    /// Places an order, and gives its id.
    pub async fn place(&self, vehicle_id: &str, bid: i64) -> String {
        let key = key();
        let body = |bid| json!({"vehicle_id": vehicle_id, "max_bid_amount_usd": bid});
        let order = self
            .insist(&key, Method::POST, "/v1/orders", Some(body(bid)), 200)
            .await;
        if self.percent(10) {
            self.insist(&key, Method::POST, "/v1/orders", Some(body(bid + 1)), 422)
                .await;
        }
        order.id()
    }

    /// Cancels an order.
    pub async fn cancel(&self, id: &str) {
        let path = format!("/v1/orders/{id}");
        self.insist(&key(), Method::DELETE, &path, None, 200).await;
    }

    /// Asks until the answer is final: a success (or a 422 where the key did something else), whoever did it.
    async fn insist(
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
        // Once an attempt was given up, it may still be under way while later ones are answered.
        let mut alone = last != 422;
        for _ in 0..ATTEMPTS_MAX {
            let mut replies = Vec::new();
            if self.percent(HUNG_UP_PERCENT) {
                alone = false;
                replies.extend(self.hang_up(key, ask().send()).await);
            } else if self.percent(AT_ONCE_PERCENT) {
                let (one, two, three) = tokio::join!(ask().send(), ask().send(), ask().send());
                for reply in [&one, &two, &three] {
                    self.witness.hear(self.partner.id, key, reply, false).await;
                }
                replies.extend([one, two, three]);
            } else {
                let reply = ask().send().await;
                self.witness.hear(self.partner.id, key, &reply, alone).await;
                replies.push(reply);
            }
            for reply in replies {
                if reply.status == last || (last == 200 && reply.status == 201) {
                    return reply;
                }
                assert_eq!(reply.status, 503, "{reply:?}");
            }
        }
        panic!("{key} {method} {path} is never answered for good");
    }

    /// Asks, and does not wait for the answer for long.
    async fn hang_up(&self, key: &str, asking: impl Future<Output = Reply>) -> Option<Reply> {
        let patience = Duration::from_millis(self.chance.lock().unwrap().random_range(0..PATIENCE));
        let Ok(reply) = timeout(patience, asking).await else {
            self.witness.did_not_hear();
            return None;
        };
        self.witness.hear(self.partner.id, key, &reply, false).await;
        Some(reply)
    }
}
