//! The metrics of waiting deliveries.

use serde_json::json;

use super::scene::Scene;
use crate::support::count_backlog;

#[tokio::test]
async fn waiting_deliveries_are_counted_by_state_in_the_metrics() {
    let scene = Scene::set().await;
    let mut partners = vec![scene.acme.clone()];
    for name in ["fails", "pauses"] {
        let partner = scene.service.partner(name).await;
        let hook = json!({"url": scene.sink.url(), "enabled": name != "pauses"});
        partner.hook(hook).await.expect(201);
        partners.push(partner);
    }
    // Due for acme: one since 100 s, one since 300 s, and one since 900 s that is being sent; another one is not due.
    for (partner, ago, count) in [
        (0, 100, 1),
        (0, 300, 1),
        (0, 900, 1),
        (0, -50, 1),
        (1, 5_000, 4),
        (1, -50, 2),
        (2, 9_000, 7),
    ] {
        scene.add_deliveries(&partners[partner], count, ago).await;
    }
    scene
        .service
        .sql(&format!(
            "update delivery_queues set lease = id, leased_until = now() + interval '1 hour'
             where due_at between now() - interval '1000 seconds' and now() - interval '800 seconds';
             update webhook_endpoints set failing_since = now() where partner_id = '{}'",
            partners[1].id
        ))
        .await;
    count_backlog(&scene.service.app).await.unwrap();

    let text = scene.service.metrics().await;
    for (state, count) in [("due", 3), ("failing", 4), ("later", 3), ("paused", 7)] {
        let line = format!("lmn_webhook_queues_waiting{{state=\"{state}\"}} {count}");
        assert!(text.lines().any(|it| it == line), "`{line}` in {text}");
    }
    let oldest = text
        .lines()
        .find_map(|it| it.strip_prefix("lmn_webhook_oldest_due_seconds "));
    let oldest: f64 = oldest.unwrap().parse().unwrap();
    assert!((300.0..400.0).contains(&oldest), "{oldest}");
}
