//! Many slow connections beside healthy callers.

use tokio::{io::AsyncWriteExt, task::JoinSet, time::timeout};

use super::raw::{PATIENCE, head, socket};
use crate::support::{Service, Vehicle, eventually, settings};

/// Slow sockets of each kind.
const EACH: usize = 75;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_slow_sockets_do_not_affect_healthy_callers() {
    let settings = [
        settings::header_seconds(3),
        settings::first_byte_seconds(3),
        settings::body_seconds(5),
        // One more than the number of slow bodies.
        settings::partner_requests_max(76),
    ];
    let service = Service::with(&settings).await;
    let (slow, healthy) = (
        service.partner("slow").await,
        service.partner("healthy").await,
    );
    let head_of_order = head(&slow, "POST /v1/orders HTTP/1.1");
    let kinds = [
        String::new(),
        "PRI * HT".to_owned(),
        format!(
            "GET /v1/orders HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\nx-sl",
            slow.api_key
        ),
        format!("{head_of_order}content-length: 60000\r\n\r\n{{\"vehicle_id\":"),
    ];
    let mut slow_sockets = Vec::new();
    for kind in kinds.iter().flat_map(|it| std::iter::repeat_n(it, EACH)) {
        let mut socket = socket(&service).await;
        socket.write_all(kind.as_bytes()).await.unwrap();
        slow_sockets.push(socket);
    }
    assert_eq!(slow_sockets.len(), 300);
    eventually("all slow bodies are in flight", async || {
        let waiting = service.metric("lmn_http_requests_in_flight").await;
        (waiting >= EACH as f64).then_some(())
    })
    .await;
    let mut calls = JoinSet::new();
    for n in 0..40 {
        let healthy = healthy.clone();
        service.vehicle(Vehicle::lot(&format!("glovis_{n}"))).await;
        calls.spawn(async move {
            healthy.get("/v1/orders").await.ok();
            healthy
                .place_order(&format!("glovis_{n}"), 12_000)
                .await
                .created();
        });
    }
    timeout(PATIENCE, async {
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    })
    .await
    .expect("every healthy call is answered");
    // The slow connections are closed, each by its own limit.
    eventually("every slow body has timed out", async || {
        let line = "lmn_http_requests_total{route=\"/v1/orders\",method=\"POST\",status=\"408\",code=\"request_timeout\"}";
        (service.metric(line).await == EACH as f64).then_some(())
    })
    .await;
    for mut socket in slow_sockets {
        super::raw::rest(&mut socket).await;
    }
}
