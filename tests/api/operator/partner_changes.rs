//! Changes of partners, keys, limits and allowlists by operators, and the replay of events.

use lmn_partner_api::{errors::catalogue::Code, operators::model::Role};
use serde_json::{Value, json};

use crate::support::{OperatorApi, Partner, Service, Vehicle, key};

#[tokio::test]
async fn admin_adds_a_partner_whose_key_works_and_is_shown_once() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let added = mina
        .post("/partners", json!({"name": "Acme"}))
        .await
        .created();
    let id = added["id"].as_str().unwrap();
    let twice = mina.post("/partners", json!({"name": "Acme"})).await;
    assert_eq!(twice.issues(), [("name".into(), "DUPLICATE".into())]);

    let (once, path) = (key(), format!("/partners/{id}/keys"));
    let issue = json!({"expires_in_seconds": 86_400});
    let issued = mina.post_once(&once, &path, issue.clone()).await.created();
    let replayed = mina.post_once(&once, &path, issue).await.ok();
    assert_eq!(replayed["prefix"], issued["prefix"]);
    assert_eq!(replayed["api_key"], Value::Null);
    let secret = issued["api_key"].as_str().unwrap();
    let caller = service.partner("caller").await.with_key(secret);
    caller.get("/v1/orders").await.ok();

    let prefix = issued["prefix"].as_str().unwrap();
    let rotated = mina
        .post(&format!("/keys/{prefix}/rotate"), json!({}))
        .await
        .created();
    assert_eq!(rotated["rotated"]["prefix"], prefix);
    caller.get("/v1/orders").await.ok();
    let again = mina
        .post(&format!("/keys/{prefix}/rotate"), json!({}))
        .await;
    again.refused(409, Code::InvalidStatusTransition);
    let revoke = format!("/keys/{prefix}/revoke");
    let revoked = mina.post(&revoke, json!({})).await.ok();
    assert_eq!(revoked["state"], "revoked");
    mina.post(&revoke, json!({}))
        .await
        .refused(409, Code::InvalidStatusTransition);
    mina.post("/keys/lmn_stg_none/revoke", json!({}))
        .await
        .refused(404, Code::NotFound);
    let shown = mina.get(&format!("/partners/{id}")).await.ok();
    assert_eq!(shown["keys"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains(secret));
}

#[tokio::test]
async fn location_and_link_of_the_operator_api_lack_the_path_of_the_public_url() {
    let public_url = ("PUBLIC_URL", "https://gateway.example.com/lmn");
    let service = Service::with(&[public_url]).await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let once = key();
    let added = mina
        .post_once(&once, "/partners", json!({"name": "Acme"}))
        .await;
    let location = format!(
        "/operator/v1/partners/{}",
        added.created()["id"].as_str().unwrap()
    );
    assert_eq!(added.header("location"), location);
    let again = mina
        .post_once(&once, "/partners", json!({"name": "Acme"}))
        .await;
    again.replays(&added);
    assert_eq!(again.header("location"), location);
    let path = location.trim_start_matches("/operator/v1");
    assert_eq!(mina.get(path).await.ok()["name"], "Acme");

    service.partner("bolt").await;
    let page = mina.get("/partners?limit=1").await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let link = format!("</operator/v1/partners?limit=1&cursor={cursor}>; rel=\"next\"");
    assert_eq!(page.header("link"), link);
}

#[tokio::test]
async fn admin_sets_limits_contact_and_allowlist_of_a_partner() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let acme = service.partner("acme").await;
    let shown = mina.rows("/partners").await;
    let id = shown[0]["id"].as_str().unwrap().to_owned();
    let post =
        async |path: &str, body: Value| mina.post(&format!("/partners/{id}/{path}"), body).await;

    let limit = json!({"limit": 1_200, "window_seconds": 60, "burst": 200});
    let set = post("limits", json!({"policy": "read", "limit": limit}))
        .await
        .ok();
    let write = &shown[0]["limits"]["write"];
    assert_eq!(set["limits"], json!({"read": limit, "write": write}));
    let restored = post("limits", json!({"policy": "read", "limit": null}))
        .await
        .ok();
    assert_eq!(restored["limits"]["read"], Value::Null);
    for (body, path) in [
        (json!({"policy": "read"}), "limit"),
        (json!({"policy": "all", "limit": null}), "policy"),
        (
            json!({"policy": "read", "limit": {"limit": 1, "window_seconds": 60}}),
            "limit.burst",
        ),
    ] {
        let issues = post("limits", body.clone()).await.issues();
        assert_eq!(issues[0].0, path, "{body}");
    }
    let contact = json!({"contact": "orders@acme.example"});
    assert_eq!(
        post("contact", contact).await.ok()["contact"],
        "orders@acme.example"
    );
    let cleared = post("contact", json!({"contact": null})).await.ok();
    assert_eq!(cleared["contact"], Value::Null);

    let network = json!({"cidr": "203.0.113.0/24"});
    let listed = post("allowlist/add", network.clone()).await.ok();
    assert_eq!(listed["allowlist"], json!(["203.0.113.0/24"]));
    assert_eq!(
        post("allowlist/add", network.clone()).await.issues()[0].1,
        "DUPLICATE"
    );
    assert_eq!(
        post("allowlist/add", json!({"cidr": "203.0.113.7/24"}))
            .await
            .issues()[0]
            .1,
        "INVALID_FORMAT"
    );
    let listed = post("allowlist/remove", network.clone()).await.ok();
    assert_eq!(listed["allowlist"], json!([]));
    assert_eq!(
        post("allowlist/remove", network).await.issues()[0].0,
        "cidr"
    );
    acme.get("/v1/orders").await.ok();

    let unknown = "/partners/01ARZ3NDEKTSV4RRFFQ69G5FAV/contact";
    let reply = mina.post(unknown, json!({"contact": null})).await;
    reply.refused(404, Code::PartnerNotFound);
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    tom.post("/partners", json!({"name": "Bolt"}))
        .await
        .refused(403, Code::RoleNotAllowed);
}

#[tokio::test]
async fn admin_replays_an_event_of_any_partner() {
    let service = Service::start().await;
    let acme: Partner = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    service.operator().ships(&order).await;
    let event = acme.events_of(&order).await[0]["id"].clone();
    let path = format!("/events/{}/replay", event.as_str().unwrap());
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let without = mina.post(&path, json!({})).await;
    without.refused(404, Code::WebhookEndpointNotFound);
    acme.hook(json!({"url": "https://1.1.1.1/lmn", "enabled": false}))
        .await
        .expect(201);
    let replayed = mina.post(&path, json!({})).await.expect(202);
    assert_eq!(
        (&replayed["id"], &replayed["delivery_status"]),
        (&event, &json!("pending"))
    );
    mina.post("/events/evt_01ARZ3NDEKTSV4RRFFQ69G5FAV/replay", json!({}))
        .await
        .refused(404, Code::EventNotFound);
}

#[tokio::test]
async fn admin_replays_the_events_of_a_partner_in_a_time_range() {
    let service = Service::start().await;
    let acme: Partner = service.partner("acme").await;
    service.vehicle(Vehicle::lot("glovis_1")).await;
    let order = acme.place_order("glovis_1", 12_000).await.id();
    service.operator().ships(&order).await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let id = mina.rows("/partners").await[0]["id"].clone();
    let path = format!("/partners/{}/replay", id.as_str().unwrap());
    let statuses = async || {
        let events = acme.rows(&format!("/v1/orders/{order}/events")).await;
        let statuses = events.iter().map(|it| it["delivery_status"].clone());
        statuses.collect::<Vec<_>>()
    };
    let (since, until) = ("2001-01-01T00:00:00+09:00", "2099-01-01T00:00:00+09:00");
    let all = json!({"since": since, "until": until});
    let without = mina.post(&path, all.clone()).await;
    without.refused(404, Code::WebhookEndpointNotFound);
    acme.hook(json!({"url": "https://1.1.1.1/lmn", "enabled": false}))
        .await
        .expect(201);

    let none = json!({"since": since, "until": "2001-01-02T00:00:00+09:00"});
    assert_eq!(mina.post(&path, none).await.ok()["events"], 0);
    let counted = json!({"since": since, "until": until, "dry_run": true});
    let counted = mina.post(&path, counted).await.ok();
    let expected = json!({"partner_id": id, "events": 3, "dry_run": true});
    assert_eq!(counted, expected);
    assert_eq!(statuses().await, ["delivery_skipped"; 3]);
    let once = key();
    let replayed = mina.post_once(&once, &path, all.clone()).await;
    assert_eq!(replayed.ok()["events"], 3);
    assert_eq!(statuses().await, ["pending"; 3]);
    let again = mina.post_once(&once, &path, all.clone()).await;
    again.replays(&replayed);
    // An event that waits is not sent twice.
    assert_eq!(mina.post(&path, all.clone()).await.ok()["events"], 0);
    let latest = mina.rows("/audit?partner=acme").await[0].clone();
    assert_eq!(
        (&latest["action"], &latest["actor"]),
        (&json!("webhook.replayed"), &json!("operator:mina"))
    );

    let unknown = "/partners/01ARZ3NDEKTSV4RRFFQ69G5FAV/replay";
    let reply = mina.post(unknown, all.clone()).await;
    reply.refused(404, Code::PartnerNotFound);
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    tom.post(&path, all)
        .await
        .refused(403, Code::RoleNotAllowed);
}

#[tokio::test]
async fn replay_of_a_range_that_is_empty_or_has_too_many_events_is_refused() {
    let service = Service::start().await;
    let acme: Partner = service.partner("acme").await;
    acme.hook(json!({"url": "https://1.1.1.1/lmn", "enabled": false}))
        .await
        .expect(201);
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let id = mina.rows("/partners").await[0]["id"].clone();
    let path = format!("/partners/{}/replay", id.as_str().unwrap());
    let (since, until) = ("2001-01-01T00:00:00+09:00", "2099-01-01T00:00:00+09:00");
    for (body, path_of_issue, issue) in [
        (json!({"until": until}), "since", "REQUIRED_FIELD_MISSING"),
        (
            json!({"since": until, "until": since}),
            "until",
            "OUT_OF_RANGE",
        ),
        (
            json!({"since": since, "until": since}),
            "until",
            "OUT_OF_RANGE",
        ),
        (
            json!({"since": since, "until": until, "dry_run": "yes"}),
            "dry_run",
            "INVALID_TYPE",
        ),
    ] {
        let issues = mina.post(&path, body.clone()).await.issues();
        assert_eq!(issues, [(path_of_issue.into(), issue.into())], "{body}");
    }
    let events = format!(
        "insert into events (id, partner_id, position, type, occurred_at, payload, delivery_status)
         select gen_random_uuid(), '{}', n, 'webhook.test', now(), '{{}}', 'delivered'
         from generate_series(1, 10001) as n",
        acme.id
    );
    service.sql_elsewhere(&events).await;
    let all = json!({"since": since, "until": until});
    let issues = mina.post(&path, all).await.issues();
    assert_eq!(issues, [("until".into(), "TOO_MANY".into())]);
    let pending = "select count(*) from events where delivery_status = 'pending'";
    assert_eq!(service.count(pending).await, 0);
}
