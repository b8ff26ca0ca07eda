//! Bids of several partners on one vehicle.

use serde_json::json;

use crate::support::{Partner, Reply, Service, Vehicle};

async fn standing(partner: &Partner, order: &Reply) -> (serde_json::Value, serde_json::Value) {
    let order = partner.order(&order.id()).await.ok();
    (
        order["is_highest_bid"].clone(),
        order["current_max_bid_usd"].clone(),
    )
}

#[tokio::test]
async fn highest_bid_leads_and_the_first_of_equal_bids() {
    let service = Service::start().await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let (first, second, third) = (
        service.partner("first").await,
        service.partner("second").await,
        service.partner("third").await,
    );

    let one = first.place_order("glovis_1", 12_000).await;
    assert_eq!(one.created()["is_highest_bid"], true);
    let two = second.place_order("glovis_1", 12_000).await;
    assert_eq!(two.created()["is_highest_bid"], false);
    assert_eq!(standing(&first, &one).await, (json!(true), json!(12_000)));

    let three = third.place_order("glovis_1", 15_000).await;
    assert_eq!(three.created()["current_max_bid_usd"], 15_000);
    let before = first.order(&one.id()).await.json();
    assert_eq!(standing(&first, &one).await, (json!(false), json!(15_000)));
    assert_eq!(standing(&second, &two).await, (json!(false), json!(15_000)));
    assert_eq!(
        before["updated_at"],
        one.json()["updated_at"],
        "a rival's bid is no change of the order"
    );

    // The leader cancels: its standing is frozen, and the next highest bid leads.
    third.cancel(&three.id()).await.ok();
    assert_eq!(standing(&third, &three).await, (json!(true), json!(15_000)));
    assert_eq!(standing(&first, &one).await, (json!(true), json!(12_000)));
    first.cancel(&one.id()).await.ok();
    assert_eq!(standing(&second, &two).await, (json!(true), json!(12_000)));
    assert_eq!(standing(&first, &one).await, (json!(true), json!(12_000)));

    // A later bid does not change the standing of cancelled orders.
    first.place_order("glovis_1", 20_000).await.created();
    assert_eq!(standing(&third, &three).await, (json!(true), json!(15_000)));
    assert_eq!(standing(&second, &two).await, (json!(false), json!(20_000)));
}

#[tokio::test]
async fn exactly_one_of_many_simultaneous_bids_leads() {
    let service = Service::start().await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let mut bidders = Vec::new();
    for n in 0..12 {
        let partner = service.partner(&format!("partner {n}")).await;
        bidders.push(tokio::spawn(async move {
            let order = partner.place_order("glovis_1", 12_000 + n % 3).await;
            (partner, order)
        }));
    }
    let mut placed = Vec::new();
    for bidder in bidders {
        placed.push(bidder.await.unwrap());
    }
    let mut leaders = 0;
    for (partner, order) in placed {
        order.created();
        let (leads, highest) = standing(&partner, &order).await;
        assert_eq!(highest, 12_002);
        leaders += i32::from(leads == true);
    }
    assert_eq!(leaders, 1);
    let first_of_the_highest = "select count(*) from orders_with_standing
        where is_highest_bid and accepted_no = (select min(accepted_no) from orders where max_bid_usd = 12002)";
    assert_eq!(service.count(first_of_the_highest).await, 1);
}
