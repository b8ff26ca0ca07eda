//! Parameters of the list: all bad values are reported at once, and the OpenAPI document describes the accepted ones.

use lmn_partner_api::errors::catalogue::Code;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::Value;

use crate::{
    seed::{seed, stream},
    support::{Document, Partner, Service},
};

fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs).finish()
}

impl Partner {
    /// Requests a list and returns the issues of its refusal, sorted.
    async fn issues_of(&self, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let query = encoded(pairs);
        let mut issues = self.get(&format!("/v1/vehicles?{query}")).await.issues();
        issues.sort();
        issues
    }
}

/// A parameter, a bad value, and the kinds of the issues that report it.
type BadValue = (&'static str, &'static str, &'static [&'static str]);

const VALUE: &[&str] = &["INVALID_VALUE"];
const FORMAT: &[&str] = &["INVALID_FORMAT"];
const TYPE: &[&str] = &["INVALID_TYPE"];
const RANGE: &[&str] = &["OUT_OF_RANGE"];

/// Values that are refused in every query.
const BAD_VALUES: &[BadValue] = &[
    ("ids", "", VALUE),
    ("ids", "a,,b,", &["INVALID_VALUE", "INVALID_VALUE"]),
    ("ids", "a\0", VALUE),
    ("keyword", "", VALUE),
    ("keyword", "-!- ", VALUE),
    (
        "keyword",
        "a b c d e f g h i j k l m n o p q",
        &["TOO_MANY"],
    ),
    ("make", "kia,", VALUE),
    ("make", "", VALUE),
    ("color", " ", VALUE),
    (
        "options_include",
        "hud,,",
        &["INVALID_VALUE", "INVALID_VALUE"],
    ),
    ("source", "encar", VALUE),
    ("source", "SK", VALUE),
    ("fuel", "petrol,Diesel", &["INVALID_VALUE", "INVALID_VALUE"]),
    ("transmission", "automatic", VALUE),
    ("accident_grade", "a", VALUE),
    (
        "exterior_grade",
        "E,AA",
        &["INVALID_VALUE", "INVALID_VALUE"],
    ),
    ("auction_status", "open", VALUE),
    ("auction_status", "", VALUE),
    ("year_min", "1899", RANGE),
    ("year_min", "", TYPE),
    ("year_max", "2101", RANGE),
    ("year_max", "2020.0", TYPE),
    ("mileage_max_km", "-1", RANGE),
    ("mileage_max_km", "10000001", RANGE),
    ("mileage_max_km", "1e3", TYPE),
    ("price_min_usd", "-1", RANGE),
    ("price_min_usd", "$5", TYPE),
    ("price_max_usd", "99999999999999999999", RANGE),
    ("auction_count_min", "-1", RANGE),
    ("auction_count_max", "1001", RANGE),
    ("auction_count_max", "many", TYPE),
    ("auction_date_from", "2026-2-3", FORMAT),
    ("auction_date_from", "2026-02-30", FORMAT),
    ("auction_date_from", "", FORMAT),
    ("auction_date_from", "-262143-01-01", FORMAT),
    ("auction_date_from", "-5000-01-01", FORMAT),
    ("auction_date_to", "+262142-12-31", FORMAT),
    ("auction_date_to", "+10000-01-01", FORMAT),
    ("auction_date_to", "20260420", FORMAT),
    ("auction_date_to", "2026-04-20T13:00:00+09:00", FORMAT),
    ("orderable", "false", VALUE),
    ("orderable", "TRUE", VALUE),
    ("orderable", "", VALUE),
    ("sort", "price", VALUE),
    ("sort", "", VALUE),
    ("limit", "0", RANGE),
    ("limit", "201", RANGE),
    ("limit", "all", TYPE),
    ("dry_run", "true", VALUE),
];

fn expected(bad: &[BadValue]) -> Vec<(String, String)> {
    let issues = bad.iter().flat_map(|(name, _, kinds)| {
        kinds
            .iter()
            .map(|kind| ((*name).to_owned(), (*kind).to_owned()))
    });
    let mut issues: Vec<_> = issues.collect();
    issues.sort();
    issues
}

#[tokio::test]
async fn every_bad_value_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for bad in BAD_VALUES {
        let (name, value, _) = *bad;
        let mut pairs = vec![(name, value)];
        if !["make", "ids"].contains(&name) {
            pairs.push(("make", "kia"));
        }
        assert_eq!(
            acme.issues_of(&pairs).await,
            expected(&[*bad]),
            "{name}={value}"
        );
    }
}

#[tokio::test]
async fn all_issues_are_reported_at_once() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let seed = seed();
    for number in 0..150 {
        let mut rng = stream(seed, number);
        let mut bad: Vec<BadValue> = Vec::new();
        for _ in 0..rng.random_range(2..8) {
            let one = BAD_VALUES.choose(&mut rng).unwrap();
            if bad.iter().all(|it| it.0 != one.0) {
                bad.push(*one);
            }
        }
        let mut pairs: Vec<_> = bad.iter().map(|it| (it.0, it.1)).collect();
        if bad.iter().all(|it| it.0 != "make") {
            pairs.push(("make", "kia"));
        }
        assert_eq!(acme.issues_of(&pairs).await, expected(&bad), "{pairs:?}");
    }
}

#[tokio::test]
async fn repeated_parameter_is_refused() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for pair in [
        ("limit", "5"),
        ("keyword", "k5"),
        ("auction_date_to", "2026-04-20"),
    ] {
        let issues = acme
            .issues_of(&[("make", "kia"), ("source", "sk"), pair, pair])
            .await;
        assert_eq!(issues[0], (pair.0.to_owned(), "DUPLICATE".to_owned()));
    }
    // The first and the last day that are accepted.
    for (from, to) in [("0000-01-01", "9999-12-31"), ("9999-12-31", "9999-12-31")] {
        let pairs = [
            ("source", "sk"),
            ("auction_date_from", from),
            ("auction_date_to", to),
        ];
        acme.get(&format!("/v1/vehicles?{}", encoded(&pairs)))
            .await
            .ok();
    }
}

#[tokio::test]
async fn inverted_range_is_refused_at_its_lower_bound() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    for (min, max, from, to) in [
        ("year_min", "year_max", "2020", "2019"),
        ("price_min_usd", "price_max_usd", "1000", "999"),
        ("auction_count_min", "auction_count_max", "2", "1"),
        (
            "auction_date_from",
            "auction_date_to",
            "2026-04-21",
            "2026-04-20",
        ),
    ] {
        let pairs = [("source", "sk"), (min, from), (max, to)];
        assert_eq!(
            acme.issues_of(&pairs).await,
            [(min.to_owned(), "OUT_OF_RANGE".to_owned())]
        );
        let even = [("source", "sk"), (min, to), (max, to)];
        acme.get(&format!("/v1/vehicles?{}", encoded(&even)))
            .await
            .ok();
    }
}

#[tokio::test]
async fn parameter_that_requires_another_is_refused_without_it() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let needs = |names: &[&str]| -> Vec<(String, String)> {
        names
            .iter()
            .map(|it| ((*it).to_owned(), "REQUIRES".to_owned()))
            .collect()
    };
    for (pairs, missing) in [
        (vec![("source", "sk"), ("model", "K5")], vec!["model"]),
        (vec![("model", "K5")], vec!["make", "model"]),
        (vec![("ids", "a"), ("model", "K5")], vec!["model"]),
        (vec![], vec!["make"]),
        (vec![("keyword", "kia")], vec!["make"]),
        (vec![("accident_grade", "A")], vec!["make"]),
        (vec![("source", "dealer")], vec!["make"]),
        (vec![("source", "sk,dealer")], vec!["make"]),
    ] {
        assert_eq!(acme.issues_of(&pairs).await, needs(&missing), "{pairs:?}");
        let reply = acme.get(&format!("/v1/vehicles?{}", encoded(&pairs))).await;
        let details = reply.refused(400, Code::ValidationError);
        let field = missing.contains(&"make").then_some("make");
        assert_eq!(
            details.get("field").and_then(Value::as_str),
            field,
            "{pairs:?}"
        );
    }
    for pairs in [
        vec![("source", "dealer"), ("make", "kia")],
        vec![("source", "dealer"), ("ids", "a")],
        vec![("source", "sk,aj")],
        vec![("make", "kia"), ("model", "k5")],
        vec![("ids", "a")],
    ] {
        acme.get(&format!("/v1/vehicles?{}", encoded(&pairs)))
            .await
            .ok();
    }
}

/// Returns values that a schema allows, and values that it does not.
fn samples(document: &Document, schema: &Value) -> (Vec<String>, Vec<String>) {
    let schema = document.resolve(schema);
    let number = |name: &str| schema[name].as_i64();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match schema["type"].as_str().unwrap() {
        "integer" => {
            let (min, max) = (number("minimum").unwrap(), number("maximum").unwrap());
            let numbers = |values: [i64; 2]| values.map(|it| it.to_string()).to_vec();
            (numbers([min, max]), numbers([min - 1, max + 1]))
        }
        "array" => {
            assert_eq!(number("minItems"), Some(1));
            let (mut good, mut bad) = samples(document, &schema["items"]);
            let most = usize::try_from(number("maxItems").unwrap()).unwrap();
            let first = good[0].clone();
            good.push(vec![first.clone(); most].join(","));
            bad.push(vec![first; most + 1].join(","));
            (good, bad)
        }
        _ if schema["enum"].is_array() => {
            let words: Vec<_> = schema["enum"]
                .as_array()
                .unwrap()
                .iter()
                .map(text)
                .collect();
            let bad = words.iter().map(|it| format!("{it}x")).collect();
            (words, bad)
        }
        _ if schema["format"] == "date" => (
            vec!["2026-04-20".into()],
            vec!["2026-04-31".into(), "1 May".into()],
        ),
        _ => {
            let most = usize::try_from(number("maxLength").unwrap()).unwrap();
            assert_eq!(number("minLength"), Some(1));
            let letters = |count: usize| "가".repeat(count);
            (
                vec![letters(1), letters(most)],
                vec![String::new(), letters(most + 1)],
            )
        }
    }
}

#[tokio::test]
async fn document_describes_exactly_the_accepted_values() {
    let service = Service::start().await;
    let acme = service.partner("acme").await;
    let document = Document::read();
    let parameters = &document.operation("list_vehicles").members["parameters"];
    let mut seen = 0;
    for parameter in parameters.as_array().unwrap() {
        let parameter = document.resolve(parameter);
        let name = parameter["name"].as_str().unwrap();
        if parameter["in"] != "query" || name == "cursor" {
            continue;
        }
        let other_parameters: &[(&str, &str)] = match name {
            "make" | "source" | "ids" => &[("ids", "a"), ("make", "kia")],
            _ => &[("make", "kia")],
        };
        let ask = async |value: &str| {
            let mut pairs = vec![(name, value)];
            pairs.extend(other_parameters.iter().filter(|it| it.0 != name));
            acme.get(&format!("/v1/vehicles?{}", encoded(&pairs))).await
        };
        let (good, bad) = samples(&document, &parameter["schema"]);
        for value in &good {
            let reply = ask(value).await;
            assert_eq!(reply.status, 200, "{name}={value}: {reply:?}");
        }
        for value in &bad {
            let issues = ask(value).await.issues();
            assert!(
                issues.iter().all(|it| it.0 == name) && !issues.is_empty(),
                "{name}={value}: {issues:?}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 24, "a new filter is counted here");
}
