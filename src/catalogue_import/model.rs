//! Parsing of a line of a catalogue file: a vehicle as its source lists it, or all errors of the line.
//!
//! A line is the whole vehicle: a vehicle has no value for an omitted member. Members that are derived from others
//! (`order_cutoff_at`, `buy_now`, `pricing.history`, `updated_at`) and unknown members are ignored.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::fields::{Fields, YEARS, date, integer, name, prose, time, url, usd, vehicle_id, word};
use crate::{
    values::{id::VehicleId, json},
    vehicles::model::{Auction, AuctionResult, Details, Finding, Inspection, Listing, Source},
};

/// The fields that a dealer's vehicle must not have.
const AUCTION_FIELDS: [&str; 6] = [
    "accident_grade",
    "exterior_grade",
    "auction_date",
    "auction_count",
    "lot_number",
    "auction_result",
];

/// The errors of a line, each with the path of its field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InvalidLine(pub Vec<String>);

impl InvalidLine {
    /// Creates the error of a single reason.
    pub(crate) fn because(reason: impl fmt::Display) -> Self {
        Self(vec![reason.to_string()])
    }
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Parses a line; the result of its auction, if there is one, became known at `learned_at`.
pub(crate) fn read_line(line: &[u8], learned_at: DateTime<Utc>) -> Result<Listing, InvalidLine> {
    let (value, repeated) = json::read(line).map_err(|error| not_json(&error))?;
    let Value::Object(members) = value else {
        return Err(InvalidLine::because("not a JSON object"));
    };
    let mut reasons = Vec::new();
    for path in repeated {
        reasons.push(format!("{path}: appears twice"));
    }
    let listing = Fields::of(&members, "", &mut reasons).listing(learned_at);
    match listing {
        Some(listing) if reasons.is_empty() => Ok(listing),
        _ => Err(InvalidLine(reasons)),
    }
}

/// Returns the id of the vehicle that a bad line lists, if it can be read.
pub(crate) fn read_name(line: &[u8]) -> Option<VehicleId> {
    let (value, repeated) = json::read(line).ok()?;
    let is_clear = !repeated.iter().any(|path| path == "id");
    vehicle_id(value.get("id")?).ok().filter(|_| is_clear)
}

/// Returns the error of a line that is not JSON, with its column; the line number of the parser, always 1, is omitted.
fn not_json(error: &serde_json::Error) -> InvalidLine {
    let message = error.to_string();
    let reason = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |it| it.0);
    InvalidLine::because(format_args!(
        "not JSON: {reason} at column {}",
        error.column()
    ))
}

impl Fields<'_> {
    fn listing(&mut self, learned_at: DateTime<Utc>) -> Option<Listing> {
        // Every field is read before any is unwrapped, so that all errors are reported at once.
        let id = self.required("id", vehicle_id);
        let source = self.required("source", word);
        let make = self.required("make", name);
        let model = self.required("model", name);
        let trim = self.optional("trim", name);
        let year = self.required("year", integer(YEARS));
        let mileage_km = self.required("mileage_km", integer(0..=10_000_000));
        let fuel = self.optional("fuel", word);
        let transmission = self.optional("transmission", word);
        let drivetrain = self.optional("drivetrain", name);
        let engine_cc = self.optional("engine_cc", integer(0..=100_000));
        let color = self.optional("color", name);
        let options = self.list("options", name);
        let auction = self.auction(source, learned_at);
        let listing_usd = self.object("pricing", |it| it.required("listing_usd", usd));
        if self.value("pricing").is_none() {
            self.complain("pricing", "is required");
        }
        let thumbnail_url = self.optional("thumbnail_url", url);
        let listed_at = self.required("listed_at", time);
        let details = self.details();
        Some(Listing {
            id: id?,
            source: source?,
            make: make?,
            model: model?,
            trim,
            year: year?,
            mileage_km: mileage_km?,
            fuel,
            transmission,
            drivetrain,
            engine_cc,
            color,
            options,
            auction,
            listing_usd: listing_usd?,
            thumbnail_url,
            listed_at: listed_at?,
            details,
        })
    }

    fn details(&mut self) -> Details {
        Details {
            vin: self.optional("vin", name),
            license_plate: self.optional("license_plate", name),
            first_registered_on: self.optional("first_registered_on", date),
            location: self.optional("location", name),
            photos: self.list("photos", url),
            inspection: self.object("inspection", |it| it.inspection()),
            description: self.optional("description", prose),
        }
    }

    fn auction(&mut self, source: Option<Source>, learned_at: DateTime<Utc>) -> Option<Auction> {
        let lot_number = self.optional("lot_number", name);
        let date = self.optional("auction_date", time);
        let count = self.optional("auction_count", integer(1..=1_000));
        let result = self.optional("auction_result", word);
        let accident_grade = self.optional("accident_grade", word);
        let exterior_grade = self.optional("exterior_grade", word);
        if source? == Source::Dealer {
            for field in AUCTION_FIELDS {
                if self.value(field).is_some() {
                    self.complain(field, "a dealer's vehicle has no auction");
                }
            }
            return None;
        }
        for field in ["auction_date", "auction_result"] {
            if self.value(field).is_none() {
                self.complain(field, "is required for an auction vehicle");
            }
        }
        let result = result?;
        Some(Auction {
            lot_number,
            date: date?,
            count,
            result,
            result_at: (result != AuctionResult::Upcoming).then_some(learned_at),
            accident_grade,
            exterior_grade,
        })
    }

    fn inspection(&mut self) -> Option<Inspection> {
        let inspected_on = self.required("inspected_on", date);
        let summary = self.required("summary", prose);
        let items = self.items("items", |it| {
            let part = it.required("part", name);
            let finding = it.required("finding", prose);
            Some(Finding {
                part: part?,
                finding: finding?,
            })
        });
        Some(Inspection {
            inspected_on: inspected_on?,
            summary: summary?,
            items,
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use serde_json::json;

    use super::*;
    use crate::{
        values::timestamp::Timestamp,
        vehicles::{
            model::{PricePoint, Vehicle},
            view::VehicleView,
        },
    };

    fn now() -> DateTime<Utc> {
        Timestamp::parse("2026-04-20T13:00:00+09:00")
            .unwrap()
            .instant()
    }

    fn read(value: &Value) -> Result<Listing, InvalidLine> {
        read_line(value.to_string().as_bytes(), now())
    }

    fn lot() -> Value {
        json!({
            "id": "glovis_20260420_1064_2345", "source": "glovis", "make": "Hyundai", "model": "Sonata",
            "year": 2021, "mileage_km": 40_000, "pricing": {"listing_usd": 9_000},
            "listed_at": "2026-04-01T10:00:00+09:00", "auction_date": "2026-04-20T13:00:00+09:00",
            "auction_result": "upcoming",
        })
    }

    /// Returns a lot with one member replaced.
    fn with(name: &str, value: Value) -> Value {
        let mut lot = lot();
        lot[name] = value;
        lot
    }

    #[test]
    fn omitted_members_have_no_value_in_the_vehicle() {
        let listing = read(&lot()).unwrap();
        assert_eq!(listing.details, Details::default());
        assert_eq!((listing.trim, listing.options.len()), (None, 0));
        assert_eq!(listing.auction.unwrap().result_at, None);
    }

    #[test]
    fn result_becomes_known_when_it_is_read() {
        let listing = read(&with("auction_result", "sold".into())).unwrap();
        assert_eq!(listing.auction.unwrap().result_at, Some(now()));
    }

    #[test]
    fn derived_and_unknown_members_are_ignored() {
        for name in ["order_cutoff_at", "buy_now", "updated_at", "made_up"] {
            assert_eq!(read(&with(name, json!({"x": []}))), read(&lot()), "{name}");
        }
        let pricing = json!({"listing_usd": 9_000, "history": "none"});
        assert_eq!(read(&with("pricing", pricing)), read(&lot()));
    }

    /// Asserts that each value, in place of a member, is refused and is the only error.
    fn assert_refused<const N: usize>(table: [(&str, Value, &str); N]) {
        for (name, value, path) in table {
            let InvalidLine(reasons) = read(&with(name, value)).expect_err(path);
            assert_eq!(reasons.len(), 1, "{reasons:?}");
            assert!(reasons[0].starts_with(&format!("{path}: ")), "{reasons:?}");
        }
    }

    #[test]
    fn wrong_value_of_a_vehicle_is_reported_with_its_path() {
        let long = |n: usize| Value::from("x".repeat(n));
        assert_refused([
            ("id", json!("facets"), "id"),
            ("id", json!("a b"), "id"),
            ("id", json!(7), "id"),
            ("source", json!("ebay"), "source"),
            ("make", json!(""), "make"),
            ("make", json!(" "), "make"),
            ("make", json!(null), "make"),
            ("make", json!("Kia\0"), "make"),
            ("model", long(201), "model"),
            ("year", json!(1899), "year"),
            ("year", json!(2101), "year"),
            ("year", json!(2021.0), "year"),
            ("year", json!("2021"), "year"),
            ("mileage_km", json!(-1), "mileage_km"),
            ("mileage_km", json!(u64::MAX), "mileage_km"),
            ("fuel", json!("petrol"), "fuel"),
            ("transmission", json!(true), "transmission"),
            ("engine_cc", json!(100_001), "engine_cc"),
            ("options", json!("ABS"), "options"),
            ("options", json!(["ABS", 7]), "options[1]"),
            ("options", vec![json!("ABS"); 501].into(), "options"),
            ("auction_date", json!(null), "auction_date"),
        ]);
    }

    #[test]
    fn wrong_value_of_an_auction_or_detail_is_reported_with_its_path() {
        let long = |n: usize| Value::from("x".repeat(n));
        assert_refused([
            (
                "auction_date",
                json!("2026-04-20T13:00:00Z"),
                "auction_date",
            ),
            ("auction_date", json!("2026-04-20T13:00:00"), "auction_date"),
            (
                "auction_date",
                json!("0001-04-20T13:00:00+09:00"),
                "auction_date",
            ),
            ("auction_result", json!(null), "auction_result"),
            ("auction_result", json!("lost"), "auction_result"),
            ("auction_count", json!(0), "auction_count"),
            ("accident_grade", json!("E"), "accident_grade"),
            ("pricing", json!(null), "pricing"),
            ("pricing", json!(9_000), "pricing"),
            ("pricing", json!({}), "pricing.listing_usd"),
            ("pricing", json!({"listing_usd": 0}), "pricing.listing_usd"),
            (
                "pricing",
                json!({"listing_usd": 9_000.5}),
                "pricing.listing_usd",
            ),
            (
                "pricing",
                json!({"listing_usd": 10_000_001}),
                "pricing.listing_usd",
            ),
            ("listed_at", json!(1_776_654_000), "listed_at"),
            ("thumbnail_url", long(2_049), "thumbnail_url"),
            (
                "first_registered_on",
                json!("2021-3-15"),
                "first_registered_on",
            ),
            (
                "first_registered_on",
                json!("2021-02-30"),
                "first_registered_on",
            ),
            ("photos", json!([null]), "photos[0]"),
            ("description", long(20_001), "description"),
            ("inspection", json!([]), "inspection"),
            (
                "inspection",
                json!({"inspected_on": "2026-04-01", "summary": "Good.", "items": [{"part": "hood"}]}),
                "inspection.items[0].finding",
            ),
        ]);
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let mut line = lot();
        line["make"] = json!(7);
        line["year"] = json!(0);
        line["auction_date"] = Value::Null;
        let InvalidLine(reasons) = read(&line).unwrap_err();
        let paths: Vec<_> = reasons
            .iter()
            .map(|it| it.split(':').next().unwrap())
            .collect();
        assert_eq!(paths, ["make", "year", "auction_date"]);
    }

    #[test]
    fn dealers_vehicle_has_no_auction() {
        let mut line = lot();
        line["source"] = "dealer".into();
        line["lot_number"] = "1234".into();
        let InvalidLine(reasons) = read(&line).unwrap_err();
        assert_eq!(reasons.len(), 3, "{reasons:?}");
        for name in AUCTION_FIELDS {
            line[name] = Value::Null;
        }
        assert_eq!(read(&line).unwrap().auction, None);
    }

    #[test]
    fn repeated_key_is_refused() {
        let line = lot().to_string().replacen('{', r#"{"make":"Kia","#, 1);
        let InvalidLine(reasons) = read_line(line.as_bytes(), now()).unwrap_err();
        assert_eq!(reasons, ["make: appears twice"]);
    }

    #[test]
    fn vehicle_id_is_read_from_a_bad_line() {
        let id_of = |line: &str| read_name(line.as_bytes()).map(|id| id.to_string());
        assert_eq!(
            id_of(r#"{"id":"sk_1","year":0,"year":1}"#),
            Some("sk_1".into())
        );
        for line in [
            "",
            "[]",
            "{}",
            r#"{"id":7}"#,
            r#"{"id":"sk_1""#,
            r#"{"id":"a","id":"b"}"#,
        ] {
            assert_eq!(id_of(line), None, "{line}");
        }
    }

    #[test]
    fn line_that_is_not_one_object_is_refused() {
        for line in ["", "null", "[]", "{", "{} {}", "{\"id\":\"\\ud800\"}"] {
            assert_eq!(read_line(line.as_bytes(), now()).unwrap_err().0.len(), 1);
        }
        assert!(read_line(b"{\"id\":\"\xff\"}", now()).is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn demo_vehicles_are_read_and_rendered_as_the_same_lines(seed: u64, day in 0_u64..3_000) {
            let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Days::new(day);
            for vehicle in demo_catalogue::vehicles(seed, 20, today) {
                let line = serde_json::to_string(&vehicle).unwrap();
                let listing = read_line(line.as_bytes(), now()).unwrap();
                let updated_at = listing.listed_at;
                let price = PricePoint {
                    listing_usd: listing.listing_usd,
                    recorded_at: Timestamp::kst(updated_at),
                };
                let vehicle = Vehicle { listing, updated_at, withdrawn_at: None };
                let view = VehicleView::new(vehicle, vec![price]);
                proptest::prop_assert_eq!(serde_json::to_string(&view).unwrap(), line);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = read_line(&bytes, now());
        }

        #[test]
        fn arbitrary_strings_do_not_panic(name in "[a-z_]{2,14}", text in "\\PC{0,40}") {
            let _ = read(&with(&name, text.into()));
        }
    }
}
