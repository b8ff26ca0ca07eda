//! Commands that change orders: auctions, steps, shipments and withdrawals; reports, and the worker.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{command::Cli, process::Process};

/// Returns lots with an auction in the far future, as lines for `catalog import`.
pub fn lots(ids: &[&str]) -> String {
    let lot = |id: &&str| {
        json!({
            "id": id, "source": "glovis", "make": "Hyundai", "model": "Grandeur", "year": 2021,
            "mileage_km": 40_000, "auction_date": "2099-04-20T13:00:00+09:00", "auction_result": "upcoming",
            "pricing": {"listing_usd": 10_000}, "listed_at": "2026-01-02T03:04:05+09:00",
        })
    };
    ids.iter().map(|id| format!("{}\n", lot(id))).collect()
}

/// Adds a partner; returns its API key.
pub fn partner(cli: &Cli, name: &str) -> String {
    cli.one(&["partner", "add", name]);
    let issued = cli.one(&["key", "issue", name]);
    let mut texts = issued
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_str);
    texts.find(|it| it.len() == 36).unwrap().to_owned()
}

pub async fn order(
    server: &Process,
    key: &str,
    vehicle: &str,
    bid: impl Into<Option<i64>>,
) -> String {
    let bid = bid.into();
    let request = reqwest::Client::new().post(format!("{}/v1/orders", server.url()));
    let request = request
        .header("x-api-key", key)
        .header("idempotency-key", Uuid::new_v4().to_string())
        .header("content-type", "application/json")
        .body(json!({"vehicle_id": vehicle, "max_bid_amount_usd": bid}).to_string());
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 201);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_records_an_auction_result_and_ships_the_vehicle() {
    let cli = Cli::new().await;
    let (acme, rival) = (partner(&cli, "acme"), partner(&cli, "rival"));
    let imported = cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    assert!(
        imported.status.success(),
        "{}",
        crate::process::words(&imported)
    );
    let server = cli.serve("sandbox");
    let lost = order(&server, &acme, "glovis_1", 12_000).await;
    let won = order(&server, &rival, "glovis_1", 15_000).await;

    let moved = cli.all(&[
        "auction",
        "reschedule",
        "glovis_1",
        "2099-04-25T13:00:00+09:00",
    ]);
    assert_eq!(moved.len(), 2);
    let priced = cli.all(&["catalog", "price", "glovis_1", "11000"]);
    assert_eq!(priced.len(), 2);
    let refused = [
        "auction", "result", "glovis_1", "won", "--price", "15001", "--fee", "0",
    ];
    assert!(cli.refused(&refused).contains("no result before"));
    cli.sql("update vehicles set auction_date = now()").await;
    assert!(cli.refused(&refused).contains("above the bid"));
    let settled = cli.all(&[
        "auction", "result", "glovis_1", "won", "--price", "14000", "--fee", "150",
    ]);
    let ends: BTreeSet<_> = settled
        .iter()
        .map(|it| {
            (
                it["order_id"].as_str().unwrap(),
                it["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        ends,
        BTreeSet::from([(lost.as_str(), "failed"), (won.as_str(), "secured")])
    );

    ship(&cli, &won);

    // The audit log has the actor, the subject, and one request id for all changes of the command.
    let audit = cli.all(&["audit", "--partner", "rival"]);
    let settlement = audit.iter().find(|it| it["details"]["to"] == "secured");
    let settlement = settlement.expect("the settlement is in the log");
    assert_eq!(settlement["actor"], "operator:kim");
    assert_eq!(settlement["subject"], won.as_str());
    let request = &settlement["request_id"];
    let all = cli.all(&["audit"]);
    let together: BTreeSet<_> = all
        .iter()
        .filter(|it| it["request_id"] == *request)
        .map(|it| it["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        together.len(),
        3,
        "the vehicle and both orders were settled in one request: {together:?}"
    );
}

/// Ships a secured vehicle and sets its shipment.
fn ship(cli: &Cli, won: &str) {
    cli.one(&["order", "advance", won, "shipping"]);
    cli.one(&["order", "fulfillment", won, "awaiting_pickup"]);
    let eta = "2099-06-05T12:00:00+01:00";
    let shipped = cli.one(&[
        "order",
        "shipment",
        won,
        "--vessel-name",
        "Glovis Sun",
        "--eta",
        eta,
    ]);
    assert_eq!(shipped["shipment"]["eta"], eta);
    assert_eq!(shipped["amounts"]["purchase_price_usd"], 14_000);
    let statuses: Vec<_> = shipped["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].clone())
        .collect();
    assert_eq!(
        statuses,
        ["proceed", "acquiring", "secured", "shipping", "shipping"]
    );
    let cleared = cli.one(&["order", "shipment", won, "--vessel-name", ""]);
    assert!(cleared["shipment"]["vessel_name"].is_null());
    assert!(
        cli.refused(&["order", "advance", won, "acquiring"])
            .contains("`shipping`")
    );
    assert!(
        cli.refused(&["order", "advance", won, "secured"])
            .contains("--purchase-price")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overdue_delivery_is_reported_with_the_contact_of_its_partner() {
    let cli = Cli::new().await;
    let acme = partner(&cli, "acme");
    cli.one(&["partner", "contact", "acme", "logistics@acme.example"]);
    let imported = cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    assert!(imported.status.success());
    let server = cli.serve("sandbox");
    let id = order(&server, &acme, "glovis_1", 12_000).await;
    assert!(cli.all(&["report", "overdue"]).is_empty());
    cli.one(&["order", "advance", &id, "acquiring"]);
    cli.one(&[
        "order",
        "advance",
        &id,
        "secured",
        "--purchase-price",
        "11000",
        "--auction-fee",
        "0",
    ]);
    cli.one(&["order", "advance", &id, "shipping"]);
    assert!(cli.all(&["report", "overdue"]).is_empty());
    cli.sql("update orders set shipping_since = shipping_since - interval '91 days'")
        .await;
    let overdue = cli.one(&["report", "overdue", "--partner", "acme"]);
    assert_eq!(
        (&overdue["order"], &overdue["days"]),
        (&json!(id), &json!(91))
    );
    assert_eq!(overdue["vehicle"], "glovis_1");
    assert_eq!(overdue["contact"], "logistics@acme.example");
    let table = cli.run_with(&["report", "overdue"], "");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with(&format!("{id}  glovis_1  ")), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vehicles_of_an_auction_day_are_acquired_and_their_results_read_from_a_file() {
    let cli = Cli::new().await;
    let acme = partner(&cli, "acme");
    let ids = ["glovis_1", "glovis_2"];
    cli.run_with(&["catalog", "import", "-"], &lots(&ids));
    let server = cli.serve("sandbox");
    let won = order(&server, &acme, "glovis_1", 12_000).await;
    order(&server, &acme, "glovis_2", 12_000).await;
    let acquire = ["auction", "acquire", "2099-04-20", "--source", "glovis"];
    let early = cli.run_with(&acquire, "");
    let words = crate::process::words(&early);
    assert_eq!(early.status.code(), Some(1), "{words}");
    assert!(words.contains("2 of 2 rows were refused"), "{words}");
    // The auction was held.
    cli.sql(
        "update vehicles set auction_date = date_trunc('milliseconds', now());
         update orders set auction_date = vehicles.auction_date, order_cutoff_at = now() - interval '1 day'
         from vehicles where vehicles.id = vehicle_id",
    )
    .await;
    let day = "select to_char(auction_date at time zone 'Asia/Seoul', 'YYYY-MM-DD') from vehicles limit 1";
    let day: String = cli.ask(day).await;
    let outcomes = |rows: Vec<Value>| {
        let rows = rows.into_iter();
        rows.map(|it| it["outcome"].clone()).collect::<Vec<_>>()
    };
    for outcome in ["done", "unchanged"] {
        let rows = cli.all(&["auction", "acquire", day.as_str()]);
        assert_eq!(outcomes(rows), [outcome, outcome]);
    }
    let file =
        "vehicle_id,result,price_usd,fee_usd\nglovis_1,won,11000,150\nglovis_2,won,eleven,150\n";
    for outcome in ["done", "unchanged"] {
        let output = cli.run_with(&["auction", "results", "-", "--json"], file);
        assert_eq!(output.status.code(), Some(1), "a row is wrong");
        let words = crate::process::words(&output);
        let rows = crate::command::documents(&output);
        assert!(words.contains("1 of 2 rows were refused"), "{rows:#?}");
        assert_eq!(
            rows[1]["error"]["details"]["issues"][0]["path"],
            "line 3, column price_usd"
        );
        assert_eq!(outcomes(rows), [outcome, "refused"]);
    }
    let corrected = cli.one(&[
        "order",
        "amounts",
        won.as_str(),
        "--purchase-price",
        "11500",
        "--auction-fee",
        "150",
    ]);
    assert_eq!(corrected["amounts"]["purchase_price_usd"], 11_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawal_of_a_vehicle_cancels_its_orders_and_invalid_arguments_exit_with_2() {
    let cli = Cli::new().await;
    let acme = partner(&cli, "acme");
    cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let server = cli.serve("sandbox");
    order(&server, &acme, "glovis_1", 12_000).await;
    let withdrawn = cli.one(&["catalog", "withdraw", "glovis_1"]);
    assert_eq!(withdrawn["status"], "cancelled");
    assert!(
        cli.refused(&["catalog", "withdraw", "glovis_9"])
            .contains("no such vehicle")
    );
    for arguments in [
        &["order", "advance", "x", "acquiring"][..],
        &["order", "advance", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "gone"],
        &["auction", "result", "glovis_1", "won"],
        &["auction", "reschedule", "glovis_1", "2099-04-25T13:00:00Z"],
        &["catalog", "price", "glovis_1", "0"],
    ] {
        let output = cli.run_with(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    assert!(
        cli.refused(&["order", "advance", unknown, "acquiring"])
            .contains("no such order")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_runs_the_order_jobs_apart_from_the_servers() {
    let cli = Cli::new().await;
    let acme = partner(&cli, "acme");
    cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    let url = cli.database.url();
    let log_off = [("LOG__FILTER", "off")];
    let server = Process::on(&url, &["serve", "--no-worker", "--json"], &log_off);
    order(&server, &acme, "glovis_1", 12_000).await;
    cli.set_clocks_ahead(36_500).await;
    let worker = Process::on(&url, &["worker", "--json"], &log_off);
    assert_eq!(worker.ready["working"], true);
    let body = crate::command::eventually(&server, &acme, "/v1/orders", |body| {
        body["data"][0]["failure_reason"] == "auction_passed"
    })
    .await;
    assert_eq!(body["data"][0]["status"], "failed");
    assert!(worker.stop().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_lists_orders_and_prints_the_bid_sheet_of_a_day() {
    let cli = Cli::new().await;
    let (acme, rival) = (partner(&cli, "acme"), partner(&cli, "rival"));
    let imported = cli.run_with(&["catalog", "import", "-"], &lots(&["glovis_1"]));
    assert!(imported.status.success());
    let server = cli.serve("sandbox");
    order(&server, &acme, "glovis_1", 12_000).await;
    let leading = order(&server, &rival, "glovis_1", 13_000).await;

    assert_eq!(cli.all(&["order", "list"]).len(), 2);
    let filters = ["--status", "proceed,acquiring", "--date", "2099-04-20"];
    let of_rival = ["order", "list", "--partner", "rival"];
    let listed = cli.one(&[of_rival.as_slice(), &filters].concat());
    assert_eq!(listed["id"], leading);
    assert_eq!(listed["partner"]["name"], "rival");
    assert!(cli.all(&["order", "list", "--source", "sk"]).is_empty());
    assert!(cli.all(&["order", "list", "--overdue"]).is_empty());

    let sheet = cli.one(&["auction", "sheet", "2099-04-20"]);
    assert_eq!(sheet["vehicle"]["id"], "glovis_1");
    assert_eq!(
        (&sheet["highest_bid_usd"], &sheet["second_bid_usd"]),
        (&json!(13_000), &json!(12_000))
    );
    assert_eq!(sheet["leader"]["order_id"], leading);
    assert!(cli.all(&["auction", "sheet", "2099-04-21"]).is_empty());
}
