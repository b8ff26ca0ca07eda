//! Tokens and roles of operators.

use lmn_partner_api::{errors::catalogue::Code, operators::model::Role};
use reqwest::Method;
use serde_json::json;

use crate::support::{OperatorApi, Service};

#[tokio::test]
async fn request_without_a_valid_token_is_refused() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    mina.get("/operators").await.ok();

    let missing = mina.ask_openly(Method::GET, "/operators");
    missing
        .send()
        .await
        .refused(401, Code::MissingOperatorToken);
    let unknown = OperatorApi {
        token: "lmn_op_AAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        ..mina.clone()
    };
    let details = unknown
        .get("/operators")
        .await
        .refused(401, Code::InvalidOperatorToken);
    assert_eq!(details, json!({"reason": "unknown"}));
    let acme = service.partner("acme").await;
    let partner = OperatorApi {
        token: acme.api_key.clone(),
        ..mina.clone()
    };
    let details = partner
        .get("/operators")
        .await
        .refused(401, Code::InvalidOperatorToken);
    assert_eq!(details, json!({"reason": "unknown"}));
}

#[tokio::test]
async fn expired_or_revoked_token_is_refused_by_the_next_request() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    mina.get("/operators").await.ok();
    mina.expire(service.db()).await;
    let details = mina
        .get("/operators")
        .await
        .refused(401, Code::InvalidOperatorToken);
    assert_eq!(details, json!({"reason": "expired"}));
    mina.revoke(service.db()).await;
    let details = mina
        .get("/operators")
        .await
        .refused(401, Code::InvalidOperatorToken);
    assert_eq!(details, json!({"reason": "revoked"}));
}

#[tokio::test]
async fn operator_with_another_role_is_refused() {
    let service = Service::start().await;
    for (name, role) in [
        ("vera", Role::Viewer),
        ("tom", Role::Trader),
        ("lena", Role::Logistics),
    ] {
        let operator = OperatorApi::add(&service, name, role).await;
        let details = operator
            .get("/operators")
            .await
            .refused(403, Code::RoleNotAllowed);
        assert_eq!(details, json!({"role": role, "needed": ["admin"]}));
    }
}

#[tokio::test]
async fn operators_are_listed_with_their_roles_and_states_a_page_at_a_time() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let tom = OperatorApi::add(&service, "tom", Role::Trader).await;
    tom.revoke(service.db()).await;
    // The name is free again.
    OperatorApi::add(&service, "tom", Role::Viewer).await;

    let mut seen = Vec::new();
    let mut path = "/operators?limit=1".to_owned();
    loop {
        let page = mina.get(&path).await.ok();
        let row = page["data"][0].clone();
        assert!(row.get("digest").is_none() && row.get("token").is_none());
        let member = |name: &str| row[name].as_str().unwrap().to_owned();
        seen.push(["name", "role", "state"].map(member));
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/operators?limit=1&cursor={next}");
    }
    seen.sort();
    let row = |name: &str, role: &str, state: &str| [name, role, state].map(str::to_owned);
    assert_eq!(
        seen,
        [
            row("mina", "admin", "active"),
            row("tom", "trader", "revoked"),
            row("tom", "viewer", "active"),
        ]
    );
}

#[tokio::test]
async fn unknown_route_and_method_are_answered_in_the_envelope() {
    let service = Service::start().await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    mina.get("/nothing").await.refused(404, Code::NotFound);
    let patched = mina.ask(Method::PATCH, "/operators").send().await;
    patched.refused(405, Code::MethodNotAllowed);
    assert_eq!(
        service
            .partner("acme")
            .await
            .get("/operator/v1/operators")
            .await
            .status,
        404,
        "the partners' listener has no operator API"
    );
}
