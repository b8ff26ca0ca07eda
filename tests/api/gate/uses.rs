//! The time of a key's last use.

use sqlx::postgres::PgListener;

use crate::{
    process::run,
    support::{Service, eventually, settings},
};

const UNUSED: &str = "lmn_stg_unusedAAAAAAAAAAAAAAAAAAAAAA";
const REVOKED: &str = "lmn_stg_revokedAAAAAAAAAAAAAAAAAAAAA";

/// Counts the keys that were used within the last minute.
async fn used_keys(service: &Service) -> i64 {
    let recently = "select count(*) from api_keys
                    where last_used_at between now() - interval '1 minute' and now() + interval '1 minute'";
    service.count(recently).await
}

#[tokio::test(flavor = "multi_thread")]
async fn last_use_of_a_key_is_written_and_listed_and_not_announced() {
    let service = Service::with(&[settings::key_use_seconds(1)]).await;
    let acme = service.partner("acme").await;
    for key in [UNUSED, REVOKED] {
        acme.issue(service.db(), key).await;
    }
    acme.revoke(service.db(), REVOKED).await;
    let mut announced = PgListener::connect_with(service.db()).await.unwrap();
    announced.listen("lmn_gate").await.unwrap();
    acme.get("/v1/orders").await.ok();
    acme.with_key(REVOKED).get("/v1/orders").await.expect(401);
    eventually("the use is written", async || {
        (used_keys(&service).await == 1).then_some(())
    })
    .await;
    service
        .sql("select pg_notify('lmn_gate', 'the next one')")
        .await;
    let next = announced.recv().await.unwrap();
    assert_eq!(
        next.payload(),
        "the next one",
        "the use of a key makes no replica read it again"
    );

    let url = service.database.url();
    let list = |arguments: &[&str]| {
        let arguments = [&["key", "list", "acme"], arguments].concat();
        let output = run(&arguments, &[("DATABASE_URL", &url)]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let json = list(&["--json"]);
    let used = |line: &str| {
        let key: serde_json::Value = serde_json::from_str(line).unwrap();
        let prefix = key["prefix"].as_str().unwrap().to_owned();
        (prefix, key["last_used_at"].as_str().map(str::to_owned))
    };
    for (prefix, at) in json.lines().map(used) {
        let expected = acme.api_key.starts_with(&prefix);
        assert_eq!(at.is_some_and(|it| it.ends_with("+09:00")), expected);
    }
    let lines = list(&[]);
    assert_eq!(lines.matches("  last used 2").count(), 1, "{lines}");
    assert_eq!(lines.matches("  never used").count(), 2, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn last_uses_not_yet_written_are_written_when_the_replica_stops() {
    let mut service = Service::start().await;
    let (acme, rival) = (
        service.partner("acme").await,
        service.partner("rival").await,
    );
    acme.get("/v1/orders").await.ok();
    rival.get("/v1/orders").await.ok();
    assert_eq!(
        used_keys(&service).await,
        0,
        "no request waits for the write"
    );
    // Another replica has written a later use of the rival's key.
    service
        .sql(
            "update api_keys set last_used_at = now() + interval '1 hour' from partners
             where partners.id = partner_id and name = 'rival'",
        )
        .await;
    service.stop().await;
    assert_eq!(used_keys(&service).await, 1);
    let later = "select count(*) from api_keys where last_used_at > now() + interval '59 minutes'";
    assert_eq!(service.count(later).await, 1);
}
