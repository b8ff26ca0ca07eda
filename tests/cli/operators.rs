//! Commands for the operators of the operator API.

use serde_json::{Value, json};

use crate::{
    command::Cli,
    process::{run, words},
};

#[tokio::test(flavor = "multi_thread")]
async fn operator_gets_a_token_that_is_stored_nowhere_until_it_is_revoked() {
    let cli = Cli::new().await;
    let added = cli.one(&[
        "operator",
        "add",
        "mina",
        "--role",
        "trader",
        "--expires-in",
        "90d",
    ]);
    let token = added["token"].as_str().unwrap();
    assert!(token.starts_with("lmn_op_") && token.len() == 35, "{token}");
    assert_eq!(
        (&added["name"], &added["role"]),
        (&json!("mina"), &json!("trader"))
    );

    let taken = cli.refused(&["operator", "add", "mina", "--role", "viewer"]);
    assert!(
        taken.contains("there is an operator called `mina` already"),
        "{taken}"
    );
    let spaced = cli.refused(&["operator", "add", "mina kim", "--role", "viewer"]);
    assert!(spaced.contains("no white space"), "{spaced}");

    let listed = cli.one(&["operator", "list"]);
    assert_eq!(listed["state"], "active");
    assert!(!listed.to_string().contains(token));
    let revoked = cli.one(&["operator", "revoke", "mina"]);
    assert_eq!(revoked["state"], "revoked");
    let again = cli.refused(&["operator", "revoke", "mina"]);
    assert!(again.contains("revoked already"), "{again}");
    cli.one(&["operator", "add", "mina", "--role", "viewer"]);

    let changes: Vec<(Value, Value)> = cli
        .all(&["audit"])
        .into_iter()
        .map(|it| (it["action"].clone(), it["actor"].clone()))
        .collect();
    let by_kim = |action: &str| (json!(action), json!("operator:kim"));
    let expected = ["operator.added", "operator.revoked", "operator.added"].map(by_kim);
    assert_eq!(changes, expected);
}

#[test]
fn operator_openapi_document_is_printed_without_a_database() {
    let printed = run(&["openapi", "--operator"], &[]);
    assert!(printed.status.success(), "{}", words(&printed));
    let document: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(document["info"]["title"], "LMN operator API");
    assert!(document["paths"].get("/v1/bid-sheet").is_some());
}
