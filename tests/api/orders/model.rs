//! A model of orders in memory, written independently of the code under test.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, FixedOffset, NaiveTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

/// The reason for which an action is refused: an error code, a `reason` in its details, or the name of an error of the
/// operator.
pub type Refusal = &'static str;

/// A vehicle of the model.
pub struct ModelVehicle {
    pub id: String,
    /// Vehicles of one identity share a VIN and a license plate: they are one vehicle, listed several times.
    pub identity: usize,
    pub listing_usd: i64,
    /// `None` for a dealer's vehicle.
    pub auction_date: Option<DateTime<Utc>>,
    pub is_sold: bool,
    pub is_withdrawn: bool,
}

/// An order of the model.
pub struct ModelOrder {
    pub id: String,
    pub partner: usize,
    pub vehicle: usize,
    /// `None` for an order on a buy-now vehicle.
    pub bid: Option<i64>,
    /// Whether the bid is the highest one on the vehicle, and the highest one.
    pub standing: Option<(bool, i64)>,
    pub status: &'static str,
    pub fulfillment_detail: Option<&'static str>,
    /// Why it failed or was cancelled.
    pub reason: Option<&'static str>,
    /// The purchase price and the auction fee.
    pub amounts: Option<(i64, i64)>,
    pub auction_date: Option<DateTime<Utc>>,
    pub vessel_name: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub history: Vec<Value>,
    pub events: Vec<Value>,
}

impl ModelOrder {
    /// Returns whether it competes for its vehicle.
    pub fn is_active(&self) -> bool {
        ["proceed", "acquiring"].contains(&self.status)
    }

    pub fn is_terminal(&self) -> bool {
        ["delivered", "cancelled", "failed"].contains(&self.status)
    }

    /// Returns whether its bid competes with the other bids on its vehicle.
    fn is_bidding(&self) -> bool {
        self.is_active() && self.bid.is_some()
    }
}

/// A step that the operator makes on one order.
#[derive(Debug, Clone, Copy)]
pub enum OperatorStep {
    Acquire,
    Secure(i64, i64),
    Fail(&'static str),
    Cancel(&'static str),
    Ship,
    Fulfill(&'static str),
    /// A change of the shipment: another name of the vessel.
    Shipment(&'static str),
}

/// The result of an auction.
#[derive(Debug, Clone, Copy)]
pub enum AuctionResult {
    Won(i64, i64),
    Outbid,
    Cancelled,
    Withdrawn,
}

/// The state of the service: vehicles, orders, event feeds and clocks.
pub struct Model {
    /// The current time, before any partner's clock offset.
    pub now: DateTime<Utc>,
    /// Clock offset of each partner, in seconds.
    pub offset_seconds: Vec<i64>,
    pub vehicles: Vec<ModelVehicle>,
    /// Orders in the order of their acceptance.
    pub orders: Vec<ModelOrder>,
    /// Events of each partner: the index of the order, and the event's sequence number in it.
    pub feeds: Vec<Vec<(usize, usize)>>,
    /// Pairs of a partner and a re-listed vehicle for which an event was recorded.
    announced_relistings: BTreeSet<(usize, usize)>,
    /// Orders that have changed since this set was last emptied.
    pub changed: BTreeSet<usize>,
}

fn korea(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    time.with_timezone(&FixedOffset::east_opt(9 * 3600).unwrap())
}

pub fn text(time: DateTime<Utc>) -> String {
    korea(time).format("%Y-%m-%dT%H:%M:%S+09:00").to_string()
}

/// Returns the order cutoff: midnight in Korea at the start of the day before the auction.
pub fn cutoff(auction: DateTime<Utc>) -> DateTime<Utc> {
    let day = korea(auction).date_naive() - Days::new(1);
    let midnight = day.and_time(NaiveTime::MIN);
    let there = midnight.and_local_timezone(FixedOffset::east_opt(9 * 3600).unwrap());
    there.unwrap().to_utc()
}

impl Model {
    pub fn new(now: DateTime<Utc>, partners: usize) -> Self {
        Self {
            now,
            offset_seconds: vec![0; partners],
            vehicles: Vec::new(),
            orders: Vec::new(),
            feeds: vec![Vec::new(); partners],
            announced_relistings: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    pub fn now_of(&self, partner: usize) -> DateTime<Utc> {
        self.now + TimeDelta::seconds(self.offset_seconds[partner])
    }

    /// Returns an order as the API shows it to its partner.
    pub fn read(&self, n: usize) -> Value {
        let (it, vehicle) = (&self.orders[n], &self.vehicles[self.orders[n].vehicle]);
        let allowed: &[&str] = match it.status {
            "proceed" => &["cancel"],
            "shipping" => &["in_transit", "customs", "delivered"],
            _ => &[],
        };
        let shipment = it.vessel_name.as_ref().map(|vessel| {
            json!({"vessel_name": vessel, "bl_number": null, "port_of_loading": null, "port_of_discharge": null,
                   "etd": null, "eta": null})
        });
        json!({
            "id": it.id, "vehicle_id": vehicle.id,
            "vin": vin(vehicle.identity), "license_plate": license_plate(vehicle.identity),
            "status": it.status, "fulfillment_detail": it.fulfillment_detail, "max_bid_amount_usd": it.bid,
            "is_highest_bid": it.standing.map(|it| it.0), "current_max_bid_usd": it.standing.map(|it| it.1),
            "amounts": {"purchase_price_usd": it.amounts.map(|it| it.0), "auction_fee_usd": it.amounts.map(|it| it.1)},
            "auction_date": it.auction_date.map(text), "order_cutoff_at": it.auction_date.map(|it| text(cutoff(it))),
            "failure_reason": it.reason.filter(|_| it.status == "failed"),
            "cancellation_reason": it.reason.filter(|_| it.status == "cancelled"),
            "shipment": shipment, "allowed_actions": allowed,
            "created_at": text(it.created_at), "updated_at": text(it.updated_at),
        })
    }

    fn orders_on(&self, vehicle: usize, which: impl Fn(&ModelOrder) -> bool) -> Vec<usize> {
        let found = |n: &usize| self.orders[*n].vehicle == vehicle && which(&self.orders[*n]);
        (0..self.orders.len()).filter(found).collect()
    }

    /// Updates the standings of the open bids on a vehicle.
    fn update_standings(&mut self, vehicle: usize) {
        let bidding = self.orders_on(vehicle, ModelOrder::is_bidding);
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
                self.changed.insert(n);
            }
        }
    }

    /// Records an event with the current state of the order.
    fn record_event(&mut self, n: usize, kind: &str, member: &str, value: Value) {
        let (order, at) = (self.read(n), text(self.now_of(self.orders[n].partner)));
        let mut data = Map::from_iter([("order".to_owned(), order)]);
        data.insert(member.to_owned(), value);
        let sequence = self.orders[n].events.len() + 1;
        let event = json!({"type": kind, "sequence": sequence, "occurred_at": at, "data": data});
        self.orders[n].events.push(event);
        self.feeds[self.orders[n].partner].push((n, sequence));
    }

    /// Makes a step; records an event unless the partner made it.
    fn step(&mut self, n: usize, status: &'static str, detail: Option<&'static str>, by: &str) {
        let at = text(self.now_of(self.orders[n].partner));
        self.step_at(n, (status, detail), by, (&at, None));
    }

    fn step_at(
        &mut self,
        n: usize,
        to: (&'static str, Option<&'static str>),
        by: &str,
        occurred: (&str, Option<&str>),
    ) {
        let now = self.now_of(self.orders[n].partner);
        let it = &mut self.orders[n];
        let was = (it.status, it.fulfillment_detail);
        (it.status, it.fulfillment_detail, it.updated_at) = (to.0, to.1, now);
        it.history.push(
            json!({"n": it.history.len() + 1, "status": to.0, "fulfillment_detail": to.1, "by": by,
            "occurred_at": occurred.0, "recorded_at": text(now), "notes": occurred.1}),
        );
        self.changed.insert(n);
        match by {
            "partner" => {}
            _ if was.0 == to.0 => self.record_event(
                n,
                "order.fulfillment_updated",
                "previous_fulfillment_detail",
                json!(was.1),
            ),
            _ => self.record_event(n, "order.status_changed", "previous_status", json!(was.0)),
        }
    }

    fn end(&mut self, n: usize, status: &'static str, reason: &'static str, by: &str) {
        self.orders[n].reason = Some(reason);
        self.step(n, status, None, by);
    }

    /// Fails an order, by way of `acquiring`.
    fn fail(&mut self, n: usize, reason: &'static str) {
        self.acquire(n);
        self.end(n, "failed", reason, "operator");
    }

    fn acquire(&mut self, n: usize) {
        if self.orders[n].status == "proceed" {
            self.step(n, "acquiring", None, "operator");
        }
    }

    /// Ends an order whose vehicle is no longer available: cancels it in `proceed`, fails it otherwise.
    fn end_as_unavailable(&mut self, n: usize, cancelled: &'static str, failed: &'static str) {
        match self.orders[n].status {
            "proceed" => self.end(n, "cancelled", cancelled, "operator"),
            _ => self.end(n, "failed", failed, "operator"),
        }
    }

    pub fn may_place(
        &self,
        partner: usize,
        vehicle: usize,
        bid: Option<i64>,
    ) -> Result<(), Refusal> {
        let it = &self.vehicles[vehicle];
        if it.is_withdrawn {
            return Err("vehicle_unavailable");
        }
        match it.auction_date {
            None if bid.is_some() => return Err("validation_error"),
            Some(_) if it.is_sold => return Err("past_order_cutoff"),
            Some(_) if bid.is_none_or(|bid| bid < it.listing_usd) => return Err("missing_max_bid"),
            Some(date) if self.now_of(partner) >= cutoff(date) => return Err("past_order_cutoff"),
            _ => {}
        }
        match self.orders_on(vehicle, |it| it.partner == partner && !it.is_terminal())[..] {
            [] => Ok(()),
            _ => Err("duplicate_order"),
        }
    }

    pub fn place(&mut self, id: String, partner: usize, vehicle: usize, bid: Option<i64>) {
        let now = self.now_of(partner);
        let first = json!({"n": 1, "status": "proceed", "fulfillment_detail": null, "by": "partner",
                           "occurred_at": text(now), "recorded_at": text(now), "notes": null});
        self.orders.push(ModelOrder {
            id,
            partner,
            vehicle,
            bid,
            standing: None,
            status: "proceed",
            fulfillment_detail: None,
            reason: None,
            amounts: None,
            auction_date: bid.and(self.vehicles[vehicle].auction_date),
            vessel_name: None,
            created_at: now,
            updated_at: now,
            history: vec![first],
            events: Vec::new(),
        });
        self.changed.insert(self.orders.len() - 1);
        self.update_standings(vehicle);
    }

    pub fn cancel(&mut self, n: usize) -> Result<(), Refusal> {
        if self.orders[n].status != "proceed" {
            return Err("out_of_sequence");
        }
        self.end(n, "cancelled", "partner_cancelled", "partner");
        self.update_standings(self.orders[n].vehicle);
        Ok(())
    }

    /// Applies a partner's report with the time at which it happened.
    pub fn report(&mut self, n: usize, value: &'static str, at: &str) -> Result<(), Refusal> {
        if !["in_transit", "customs", "delivered"].contains(&value) {
            return Err("partner_not_authorized");
        }
        let it = &self.orders[n];
        if it.status != "shipping" {
            return Err("out_of_sequence");
        }
        let to = match value {
            "delivered" => ("delivered", it.fulfillment_detail),
            _ => ("shipping", Some(value)),
        };
        if to != (it.status, it.fulfillment_detail) {
            self.step_at(n, to, "partner", (at, Some("so we heard")));
        }
        Ok(())
    }

    pub fn advance(&mut self, n: usize, step: OperatorStep) -> Result<(), Refusal> {
        let it = &self.orders[n];
        let (status, current, vehicle, bid) =
            (it.status, it.fulfillment_detail, it.vehicle, it.bid);
        let now = self.now_of(it.partner);
        let from = match step {
            OperatorStep::Acquire | OperatorStep::Cancel(_) => "proceed",
            OperatorStep::Secure(..) | OperatorStep::Fail(_) => "acquiring",
            OperatorStep::Ship => "secured",
            OperatorStep::Fulfill(_) | OperatorStep::Shipment(_) => "shipping",
        };
        if status != from {
            return Err("out_of_sequence");
        }
        match step {
            OperatorStep::Acquire => self.step(n, "acquiring", None, "operator"),
            OperatorStep::Cancel(reason) => self.end(n, "cancelled", reason, "operator"),
            OperatorStep::Fail(reason) => self.end(n, "failed", reason, "operator"),
            OperatorStep::Ship => self.step(n, "shipping", Some("export_processing"), "operator"),
            OperatorStep::Fulfill(detail) if current == Some(detail) => {}
            OperatorStep::Fulfill(detail) => self.step(n, "shipping", Some(detail), "operator"),
            OperatorStep::Shipment(name) if self.orders[n].vessel_name.as_deref() == Some(name) => {
            }
            OperatorStep::Shipment(name) => {
                (self.orders[n].vessel_name, self.orders[n].updated_at) =
                    (Some(name.to_owned()), now);
                self.changed.insert(n);
                let member = "previous_fulfillment_detail";
                self.record_event(n, "order.fulfillment_updated", member, json!(current));
            }
            OperatorStep::Secure(price, fee) => self.secure(n, price, fee)?,
        }
        if matches!(step, OperatorStep::Secure(..)) && bid.is_none() {
            for other in self.orders_on(vehicle, |it| it.is_active() && it.bid.is_none()) {
                self.fail(other, "vehicle_unavailable");
            }
            self.vehicles[vehicle].is_withdrawn = true;
        }
        self.update_standings(vehicle);
        Ok(())
    }

    fn may_secure(&self, n: usize, price: i64) -> Result<(), Refusal> {
        let is_bought = |it: &ModelOrder| ["secured", "shipping", "delivered"].contains(&it.status);
        if !self.orders_on(self.orders[n].vehicle, is_bought).is_empty() {
            return Err("secured_by_another");
        }
        match self.orders[n].bid.is_some_and(|bid| price > bid) {
            true => Err("price_above_bid"),
            false => Ok(()),
        }
    }

    fn secure(&mut self, n: usize, price: i64, fee: i64) -> Result<(), Refusal> {
        self.may_secure(n, price)?;
        self.acquire(n);
        self.orders[n].amounts = Some((price, fee));
        self.step(n, "secured", None, "operator");
        Ok(())
    }

    /// Returns the time, before any clock offset, at which the clocks of all partners that bid have reached the auction.
    pub fn held_at(&self, vehicle: usize) -> Option<DateTime<Utc>> {
        let bidding = self.orders_on(vehicle, ModelOrder::is_bidding);
        let offsets = bidding
            .iter()
            .map(|n| self.offset_seconds[self.orders[*n].partner]);
        let ahead = TimeDelta::seconds(offsets.min().unwrap_or(0));
        Some(self.vehicles[vehicle].auction_date? - ahead)
    }

    pub fn settle(&mut self, vehicle: usize, result: AuctionResult) -> Result<(), Refusal> {
        let (it, bidding) = (
            &self.vehicles[vehicle],
            self.orders_on(vehicle, ModelOrder::is_bidding),
        );
        let is_upcoming = !it.is_sold && !it.is_withdrawn;
        if it.auction_date.is_none() || (bidding.is_empty() && !is_upcoming) {
            return Err("no_open_auction");
        }
        if self.held_at(vehicle).is_some_and(|at| self.now < at) {
            return Err("not_held");
        }
        if let AuctionResult::Won(price, fee) = result {
            let leads = |n: &&usize| self.orders[**n].standing.is_some_and(|it| it.0);
            let winner = *bidding.iter().find(leads).ok_or("no_bids")?;
            self.secure(winner, price, fee)?;
        }
        for n in bidding {
            match result {
                AuctionResult::Won(..) if self.orders[n].status == "secured" => {}
                AuctionResult::Won(..) => self.fail(n, "outbid_internally"),
                AuctionResult::Outbid => self.fail(n, "outbid"),
                AuctionResult::Cancelled => {
                    self.end_as_unavailable(n, "auction_cancelled", "auction_cancelled");
                }
                AuctionResult::Withdrawn => {
                    self.end_as_unavailable(n, "seller_withdrew", "vehicle_unavailable");
                }
            }
        }
        match result {
            AuctionResult::Won(..) | AuctionResult::Outbid => self.vehicles[vehicle].is_sold = true,
            AuctionResult::Cancelled | AuctionResult::Withdrawn => {
                self.vehicles[vehicle].is_withdrawn = true;
            }
        }
        Ok(())
    }

    pub fn withdraw(&mut self, vehicle: usize) {
        for n in self.orders_on(vehicle, ModelOrder::is_active) {
            self.end_as_unavailable(n, "seller_withdrew", "vehicle_unavailable");
        }
        self.vehicles[vehicle].is_withdrawn = true;
    }

    pub fn reschedule(&mut self, vehicle: usize, date: DateTime<Utc>) -> Result<(), Refusal> {
        let it = &self.vehicles[vehicle];
        let before = it.auction_date.filter(|_| !it.is_sold && !it.is_withdrawn);
        let before = before.ok_or("no_open_auction")?;
        self.vehicles[vehicle].auction_date = Some(date);
        if date == before {
            return Ok(());
        }
        let (kind, member) = ("order.auction_rescheduled", "previous_auction_date");
        let mut kept_open = Vec::new();
        for n in self.orders_on(vehicle, ModelOrder::is_bidding) {
            let now = self.now_of(self.orders[n].partner);
            (self.orders[n].auction_date, self.orders[n].updated_at) = (Some(date), now);
            self.changed.insert(n);
            let closes = now < cutoff(before) && now >= cutoff(date);
            if closes && self.orders[n].status == "proceed" {
                self.record_event(n, kind, member, json!(text(before)));
                self.end(n, "cancelled", "auction_rescheduled_too_soon", "operator");
            } else {
                kept_open.push(n);
            }
        }
        self.update_standings(vehicle);
        for n in kept_open {
            self.record_event(n, kind, member, json!(text(before)));
        }
        Ok(())
    }

    pub fn reprice(&mut self, vehicle: usize, price: i64) {
        let before = self.vehicles[vehicle].listing_usd;
        self.vehicles[vehicle].listing_usd = price;
        if before == price {
            return;
        }
        for n in self.orders_on(vehicle, |it| it.status == "proceed") {
            let kind = "order.price_updated";
            self.record_event(n, kind, "previous_listing_usd", json!(before));
            self.orders[n].events.last_mut().unwrap()["data"]["listing_usd"] = json!(price);
        }
    }

    pub fn relist(&mut self, vehicle: usize) {
        for partner in 0..self.offset_seconds.len() {
            let identity = self.vehicles[vehicle].identity;
            let is_former = |it: &ModelOrder| {
                let is_same = self.vehicles[it.vehicle].identity == identity;
                it.partner == partner && it.is_terminal() && is_same
            };
            let former = self.orders.iter().rposition(is_former);
            if let Some(n) = former.filter(|_| self.announced_relistings.insert((partner, vehicle)))
            {
                let id = json!(self.vehicles[vehicle].id);
                self.record_event(n, "order.re_auctioned", "new_vehicle_id", id);
            }
        }
    }

    /// Fails the orders whose auction passed 24 hours ago, of one partner or of all; returns how many.
    pub fn fail_passed(&mut self, partner: Option<usize>) -> usize {
        let is_due = |it: &ModelOrder| {
            let date = it.auction_date.filter(|_| it.status == "proceed");
            let is_included = partner.is_none_or(|partner| it.partner == partner);
            let past = |date| date + TimeDelta::hours(24) <= self.now_of(it.partner);
            is_included && date.is_some_and(past)
        };
        let due: Vec<_> = (0..self.orders.len())
            .filter(|n| is_due(&self.orders[*n]))
            .collect();
        for n in &due {
            self.end(*n, "failed", "auction_passed", "automatic");
        }
        for n in &due {
            self.update_standings(self.orders[*n].vehicle);
        }
        due.len()
    }
}

pub fn vin(identity: usize) -> String {
    format!("KMHF341DBMA00000{identity}")
}

pub fn license_plate(identity: usize) -> String {
    format!("12가345{identity}")
}
