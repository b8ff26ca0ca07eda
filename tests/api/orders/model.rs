//! What the contract says of orders, written out again as a small world in memory: no line of it is the product's.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, FixedOffset, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

/// Why something is not done.
pub type Refusal = &'static str;

/// A car.
pub struct Lot {
    pub id: String,
    /// Cars of one kind have one VIN and one plate.
    pub kind: usize,
    pub listing: i64,
    /// When it is auctioned; `None` for a dealer's car.
    pub date: Option<DateTime<Utc>>,
    pub is_sold: bool,
    pub is_withdrawn: bool,
}

/// An order.
pub struct Known {
    pub id: String,
    pub partner: usize,
    pub car: usize,
    pub bid: Option<i64>,
    pub standing: Option<(bool, i64)>,
    pub status: &'static str,
    pub detail: Option<&'static str>,
    pub reason: Option<&'static str>,
    pub amounts: Option<(i64, i64)>,
    pub date: Option<DateTime<Utc>>,
    pub vessel: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub history: Vec<Value>,
    pub events: Vec<Value>,
}

impl Known {
    pub fn is_active(&self) -> bool {
        ["proceed", "acquiring"].contains(&self.status)
    }

    pub fn is_done(&self) -> bool {
        ["delivered", "cancelled", "failed"].contains(&self.status)
    }

    fn is_bidding(&self) -> bool {
        self.is_active() && self.bid.is_some()
    }
}

/// LMN's step of one order.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Acquire,
    Secure(i64, i64),
    Fail(&'static str),
    Cancel(&'static str),
    Ship,
    Fulfill(&'static str),
    Vessel(&'static str),
}

/// How an auction ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Won(i64, i64),
    Outbid,
    Cancelled,
    Withdrawn,
}

/// All there is.
pub struct World {
    /// What time it is for LMN.
    pub now: DateTime<Utc>,
    /// How far each partner is ahead, in seconds.
    pub ahead: Vec<i64>,
    pub cars: Vec<Lot>,
    /// In the order in which they were accepted.
    pub orders: Vec<Known>,
    /// Each partner's events: the order, and the number there.
    pub feeds: Vec<Vec<(usize, usize)>>,
    /// Which partner was told of which listing.
    told: BTreeSet<(usize, usize)>,
    /// The orders that read differently since this was last emptied.
    pub touched: BTreeSet<usize>,
}

fn korea(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    time.with_timezone(&FixedOffset::east_opt(9 * 3600).unwrap())
}

pub fn text(time: DateTime<Utc>) -> String {
    korea(time).format("%Y-%m-%dT%H:%M:%S+09:00").to_string()
}

/// Midnight in Korea at the start of the day before the auction's.
pub fn cutoff(auction: DateTime<Utc>) -> DateTime<Utc> {
    let day = korea(auction).date_naive() - Days::new(1);
    let midnight = day.and_time(NaiveTime::MIN);
    let there = midnight.and_local_timezone(FixedOffset::east_opt(9 * 3600).unwrap());
    there.unwrap().to_utc()
}

impl World {
    pub fn new(now: DateTime<Utc>, partners: usize) -> Self {
        Self {
            now,
            ahead: vec![0; partners],
            cars: Vec::new(),
            orders: Vec::new(),
            feeds: vec![Vec::new(); partners],
            told: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    pub fn now_of(&self, partner: usize) -> DateTime<Utc> {
        self.now + TimeDelta::seconds(self.ahead[partner])
    }

    /// Returns an order as its partner reads it.
    pub fn read(&self, n: usize) -> Value {
        let (it, car) = (&self.orders[n], &self.cars[self.orders[n].car]);
        let allowed: &[&str] = match it.status {
            "proceed" => &["cancel"],
            "shipping" => &["in_transit", "customs", "delivered"],
            _ => &[],
        };
        let shipment = it.vessel.as_ref().map(|vessel| {
            json!({"vessel_name": vessel, "bl_number": null, "port_of_loading": null, "port_of_discharge": null,
                   "etd": null, "eta": null})
        });
        json!({
            "id": it.id, "vehicle_id": car.id, "vin": vin(car.kind), "license_plate": plate(car.kind),
            "status": it.status, "fulfillment_detail": it.detail, "max_bid_amount_usd": it.bid,
            "is_highest_bid": it.standing.map(|it| it.0), "current_max_bid_usd": it.standing.map(|it| it.1),
            "amounts": {"purchase_price_usd": it.amounts.map(|it| it.0), "auction_fee_usd": it.amounts.map(|it| it.1)},
            "auction_date": it.date.map(text), "order_cutoff_at": it.date.map(|it| text(cutoff(it))),
            "failure_reason": it.reason.filter(|_| it.status == "failed"),
            "cancellation_reason": it.reason.filter(|_| it.status == "cancelled"),
            "shipment": shipment, "allowed_actions": allowed,
            "created_at": text(it.created_at), "updated_at": text(it.updated_at),
        })
    }

    fn on(&self, car: usize, which: impl Fn(&Known) -> bool) -> Vec<usize> {
        let found = |n: &usize| self.orders[*n].car == car && which(&self.orders[*n]);
        (0..self.orders.len()).filter(found).collect()
    }

    /// Tells the bids on a car how they stand.
    fn rank(&mut self, car: usize) {
        let bidding = self.on(car, Known::is_bidding);
        let mut best: Option<(usize, i64)> = None;
        for n in &bidding {
            let bid = self.orders[*n].bid.unwrap();
            if best.is_none_or(|(_, high)| bid > high) {
                best = Some((*n, bid));
            }
        }
        for n in bidding {
            let standing = best.map(|(leader, high)| (leader == n, high));
            if self.orders[n].standing != standing {
                self.orders[n].standing = standing;
                self.touched.insert(n);
            }
        }
    }

    /// Writes down an event, with the order as it reads now.
    fn tell(&mut self, n: usize, kind: &str, member: &str, value: Value) {
        let (order, at) = (self.read(n), text(self.now_of(self.orders[n].partner)));
        let mut data = Map::from_iter([("order".to_owned(), order)]);
        data.insert(member.to_owned(), value);
        let sequence = self.orders[n].events.len() + 1;
        let event = json!({"type": kind, "sequence": sequence, "occurred_at": at, "data": data});
        self.orders[n].events.push(event);
        self.feeds[self.orders[n].partner].push((n, sequence));
    }

    /// Makes a step, and tells it unless it is the partner's own.
    fn step(&mut self, n: usize, status: &'static str, detail: Option<&'static str>, by: &str) {
        let at = text(self.now_of(self.orders[n].partner));
        self.step_at(n, (status, detail), by, (&at, None));
    }

    fn step_at(
        &mut self,
        n: usize,
        to: (&'static str, Option<&'static str>),
        by: &str,
        told: (&str, Option<&str>),
    ) {
        let now = self.now_of(self.orders[n].partner);
        let it = &mut self.orders[n];
        let was = (it.status, it.detail);
        (it.status, it.detail, it.updated_at) = (to.0, to.1, now);
        it.history.push(
            json!({"n": it.history.len() + 1, "status": to.0, "fulfillment_detail": to.1, "by": by,
            "occurred_at": told.0, "recorded_at": text(now), "notes": told.1}),
        );
        self.touched.insert(n);
        match by {
            "partner" => {}
            _ if was.0 == to.0 => self.tell(
                n,
                "order.fulfillment_updated",
                "previous_fulfillment_detail",
                json!(was.1),
            ),
            _ => self.tell(n, "order.status_changed", "previous_status", json!(was.0)),
        }
    }

    fn end(&mut self, n: usize, status: &'static str, reason: &'static str, by: &str) {
        self.orders[n].reason = Some(reason);
        self.step(n, status, None, by);
    }

    /// Fails an order for which LMN was to pay.
    fn fail(&mut self, n: usize, reason: &'static str) {
        self.buy(n);
        self.end(n, "failed", reason, "operator");
    }

    fn buy(&mut self, n: usize) {
        if self.orders[n].status == "proceed" {
            self.step(n, "acquiring", None, "operator");
        }
    }

    /// Ends an order whose car is not to be had.
    fn call_off(&mut self, n: usize, cancelled: &'static str, failed: &'static str) {
        match self.orders[n].status {
            "proceed" => self.end(n, "cancelled", cancelled, "operator"),
            _ => self.end(n, "failed", failed, "operator"),
        }
    }

    pub fn may_place(&self, partner: usize, car: usize, bid: Option<i64>) -> Result<(), Refusal> {
        let it = &self.cars[car];
        if it.is_withdrawn {
            return Err("vehicle_unavailable");
        }
        match it.date {
            None if bid.is_some() => return Err("validation_error"),
            Some(_) if it.is_sold => return Err("past_order_cutoff"),
            Some(_) if bid.is_none_or(|bid| bid < it.listing) => return Err("missing_max_bid"),
            Some(date) if self.now_of(partner) >= cutoff(date) => return Err("past_order_cutoff"),
            _ => {}
        }
        match self.on(car, |it| it.partner == partner && !it.is_done())[..] {
            [] => Ok(()),
            _ => Err("duplicate_order"),
        }
    }

    pub fn place(&mut self, id: String, partner: usize, car: usize, bid: Option<i64>) {
        let now = self.now_of(partner);
        let first = json!({"n": 1, "status": "proceed", "fulfillment_detail": null, "by": "partner",
                           "occurred_at": text(now), "recorded_at": text(now), "notes": null});
        self.orders.push(Known {
            id,
            partner,
            car,
            bid,
            standing: None,
            status: "proceed",
            detail: None,
            reason: None,
            amounts: None,
            date: bid.and(self.cars[car].date),
            vessel: None,
            created_at: now,
            updated_at: now,
            history: vec![first],
            events: Vec::new(),
        });
        self.touched.insert(self.orders.len() - 1);
        self.rank(car);
    }

    pub fn cancel(&mut self, n: usize) -> Result<(), Refusal> {
        if self.orders[n].status != "proceed" {
            return Err("out_of_sequence");
        }
        self.end(n, "cancelled", "partner_cancelled", "partner");
        self.rank(self.orders[n].car);
        Ok(())
    }

    /// The partner's report, told as of some time.
    pub fn report(&mut self, n: usize, word: &'static str, at: &str) -> Result<(), Refusal> {
        if !["in_transit", "customs", "delivered"].contains(&word) {
            return Err("partner_not_authorized");
        }
        let it = &self.orders[n];
        if it.status != "shipping" {
            return Err("out_of_sequence");
        }
        let to = match word {
            "delivered" => ("delivered", it.detail),
            _ => ("shipping", Some(word)),
        };
        if to != (it.status, it.detail) {
            self.step_at(n, to, "partner", (at, Some("so we heard")));
        }
        Ok(())
    }

    pub fn advance(&mut self, n: usize, deed: Deed) -> Result<(), Refusal> {
        let it = &self.orders[n];
        let (status, at, car, bid) = (it.status, it.detail, it.car, it.bid);
        let now = self.now_of(it.partner);
        let from = match deed {
            Deed::Acquire | Deed::Cancel(_) => "proceed",
            Deed::Secure(..) | Deed::Fail(_) => "acquiring",
            Deed::Ship => "secured",
            Deed::Fulfill(_) | Deed::Vessel(_) => "shipping",
        };
        if status != from {
            return Err("out_of_sequence");
        }
        match deed {
            Deed::Acquire => self.step(n, "acquiring", None, "operator"),
            Deed::Cancel(reason) => self.end(n, "cancelled", reason, "operator"),
            Deed::Fail(reason) => self.end(n, "failed", reason, "operator"),
            Deed::Ship => self.step(n, "shipping", Some("export_processing"), "operator"),
            Deed::Fulfill(detail) if at == Some(detail) => {}
            Deed::Fulfill(detail) => self.step(n, "shipping", Some(detail), "operator"),
            Deed::Vessel(name) if self.orders[n].vessel.as_deref() == Some(name) => {}
            Deed::Vessel(name) => {
                (self.orders[n].vessel, self.orders[n].updated_at) = (Some(name.to_owned()), now);
                self.touched.insert(n);
                let member = "previous_fulfillment_detail";
                self.tell(n, "order.fulfillment_updated", member, json!(at));
            }
            Deed::Secure(price, fee) => self.secure(n, price, fee)?,
        }
        if matches!(deed, Deed::Secure(..)) && bid.is_none() {
            for other in self.on(car, |it| it.is_active() && it.bid.is_none()) {
                self.fail(other, "vehicle_unavailable");
            }
            self.cars[car].is_withdrawn = true;
        }
        self.rank(car);
        Ok(())
    }

    fn may_secure(&self, n: usize, price: i64) -> Result<(), Refusal> {
        let is_bought = |it: &Known| ["secured", "shipping", "delivered"].contains(&it.status);
        if !self.on(self.orders[n].car, is_bought).is_empty() {
            return Err("secured_by_another");
        }
        match self.orders[n].bid.is_some_and(|bid| price > bid) {
            true => Err("price_above_bid"),
            false => Ok(()),
        }
    }

    fn secure(&mut self, n: usize, price: i64, fee: i64) -> Result<(), Refusal> {
        self.may_secure(n, price)?;
        self.buy(n);
        self.orders[n].amounts = Some((price, fee));
        self.step(n, "secured", None, "operator");
        Ok(())
    }

    pub fn settle(&mut self, car: usize, end: End) -> Result<(), Refusal> {
        let (it, bidding) = (&self.cars[car], self.on(car, Known::is_bidding));
        let is_upcoming = !it.is_sold && !it.is_withdrawn;
        if it.date.is_none() || (bidding.is_empty() && !is_upcoming) {
            return Err("no_open_auction");
        }
        if let End::Won(price, fee) = end {
            let leads = |n: &&usize| self.orders[**n].standing.is_some_and(|it| it.0);
            let winner = *bidding.iter().find(leads).ok_or("nobody_bids")?;
            self.secure(winner, price, fee)?;
        }
        for n in bidding {
            match end {
                End::Won(..) if self.orders[n].status == "secured" => {}
                End::Won(..) => self.fail(n, "outbid_internally"),
                End::Outbid => self.fail(n, "outbid"),
                End::Cancelled => self.call_off(n, "auction_cancelled", "auction_cancelled"),
                End::Withdrawn => self.call_off(n, "seller_withdrew", "vehicle_unavailable"),
            }
        }
        match end {
            End::Won(..) | End::Outbid => self.cars[car].is_sold = true,
            End::Cancelled | End::Withdrawn => self.cars[car].is_withdrawn = true,
        }
        Ok(())
    }

    pub fn withdraw(&mut self, car: usize) {
        for n in self.on(car, Known::is_active) {
            self.call_off(n, "seller_withdrew", "vehicle_unavailable");
        }
        self.cars[car].is_withdrawn = true;
    }

    pub fn reschedule(&mut self, car: usize, date: DateTime<Utc>) -> Result<(), Refusal> {
        let it = &self.cars[car];
        let before = it.date.filter(|_| !it.is_sold && !it.is_withdrawn);
        let before = before.ok_or("no_open_auction")?;
        self.cars[car].date = Some(date);
        if date == before {
            return Ok(());
        }
        let (kind, member) = ("order.auction_rescheduled", "previous_auction_date");
        let mut stay = Vec::new();
        for n in self.on(car, Known::is_bidding) {
            let now = self.now_of(self.orders[n].partner);
            (self.orders[n].date, self.orders[n].updated_at) = (Some(date), now);
            self.touched.insert(n);
            let closes = now < cutoff(before) && now >= cutoff(date);
            if closes && self.orders[n].status == "proceed" {
                self.tell(n, kind, member, json!(text(before)));
                self.end(n, "cancelled", "auction_rescheduled_too_soon", "operator");
            } else {
                stay.push(n);
            }
        }
        self.rank(car);
        for n in stay {
            self.tell(n, kind, member, json!(text(before)));
        }
        Ok(())
    }

    pub fn reprice(&mut self, car: usize, price: i64) {
        let before = self.cars[car].listing;
        self.cars[car].listing = price;
        if before == price {
            return;
        }
        for n in self.on(car, |it| it.status == "proceed") {
            let kind = "order.price_updated";
            self.tell(n, kind, "previous_listing_usd", json!(before));
            self.orders[n].events.last_mut().unwrap()["data"]["listing_usd"] = json!(price);
        }
    }

    pub fn relist(&mut self, car: usize) {
        for partner in 0..self.ahead.len() {
            let kind = self.cars[car].kind;
            let is_former = |it: &Known| {
                it.partner == partner && it.is_done() && self.cars[it.car].kind == kind
            };
            let former = self.orders.iter().rposition(is_former);
            if let Some(n) = former.filter(|_| self.told.insert((partner, car))) {
                let id = json!(self.cars[car].id);
                self.tell(n, "order.re_auctioned", "new_vehicle_id", id);
            }
        }
    }

    /// Lets time do what it does, for one partner or for all.
    pub fn sweep(&mut self, whose: Option<usize>) -> usize {
        let is_due = |it: &Known| {
            let date = it.date.filter(|_| it.status == "proceed");
            let is_his = whose.is_none_or(|partner| it.partner == partner);
            let past = |date| date + TimeDelta::hours(24) <= self.now_of(it.partner);
            is_his && date.is_some_and(past)
        };
        let due: Vec<_> = (0..self.orders.len())
            .filter(|n| is_due(&self.orders[*n]))
            .collect();
        for n in &due {
            self.end(*n, "failed", "auction_passed", "automatic");
        }
        for n in &due {
            self.rank(self.orders[*n].car);
        }
        due.len()
    }
}

pub fn vin(kind: usize) -> String {
    format!("KMHF341DBMA00000{kind}")
}

pub fn plate(kind: usize) -> String {
    format!("12가345{kind}")
}
