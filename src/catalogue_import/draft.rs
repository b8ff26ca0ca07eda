//! [`Draft`]: the row of a listing in the text format of `copy`, with its JSON, before the time of the write is known.

use std::fmt::{Display, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest as _, Sha256};

use crate::{
    values::{string_enum::StringEnum, timestamp::Timestamp},
    vehicles::{
        model::{Listing, PricePoint, Vehicle},
        view::VehicleView,
    },
};

/// The columns of a row, in order. The digest covers the columns up to and including `listed_at`.
pub(super) const COLUMNS: [&str; 35] = [
    "id",
    "source",
    "make",
    "model",
    "trim",
    "year",
    "mileage_km",
    "fuel",
    "transmission",
    "drivetrain",
    "engine_cc",
    "color",
    "options",
    "lot_number",
    "auction_date",
    "auction_count",
    "auction_result",
    "accident_grade",
    "exterior_grade",
    "listing_usd",
    "thumbnail_url",
    "vin",
    "license_plate",
    "first_registered_on",
    "location",
    "photos",
    "inspection",
    "description",
    "listed_at",
    "auction_result_at",
    "listing_digest",
    "priced_at",
    "updated_at",
    "summary",
    "detail",
];

/// Length of a digest, in bytes: long enough that two different listings of a vehicle do not collide by chance.
const DIGEST_BYTES: usize = 16;

/// A hash of a listing in a file. It does not cover the time at which a result became known, which no file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; DIGEST_BYTES]);

impl Digest {
    fn of(text: &str) -> Self {
        let sha256 = Sha256::digest(text.as_bytes());
        let mut bytes = [0; DIGEST_BYTES];
        bytes
            .iter_mut()
            .zip(sha256)
            .for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A vehicle's row without the times that are known only when it is written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    row: String,
    /// The JSON for lists, without `updated_at`.
    summary: Template,
    /// The JSON of the single vehicle with its first price, without `recorded_at` and `updated_at`.
    detail: Template,
    listed_at: DateTime<Utc>,
    /// The digest of the listing.
    pub digest: Digest,
}

impl Draft {
    /// Creates the draft of a listing.
    pub(crate) fn of(listing: &Listing) -> serde_json::Result<Self> {
        let mut row = Row::default();
        row.push_listing(listing)?;
        let digest = Digest::of(&row.0);
        row.push_derived(listing);
        let detail = detail_of(listing)?;
        Ok(Self {
            row: row.0,
            summary: Template::of(&summary_of(&detail), &["updated_at"]),
            detail: Template::of(&detail, &["recorded_at", "updated_at"]),
            listed_at: listing.listed_at,
            digest,
        })
    }

    /// Returns the approximate length of the row, in bytes.
    pub(super) fn row_bytes(&self) -> usize {
        let json = self.summary.0.iter().chain(&self.detail.0);
        self.row.len() + json.map(String::len).sum::<usize>() + 256
    }

    /// Appends the row of a vehicle that changes at `now`.
    pub(super) fn push(&self, rows: &mut String, now: DateTime<Utc>) {
        rows.push_str(&self.row);
        // The prefix `\x` of a `bytea` in hex format, with its backslash escaped.
        rows.push_str("\\\\x");
        for byte in self.digest.0 {
            // Writing to a string cannot fail.
            let _ = write!(rows, "{byte:02x}");
        }
        let priced_at = self.listed_at.min(now);
        let _ = write!(rows, "\t{}", time(priced_at));
        let _ = write!(rows, "\t{}\t", time(now));
        escape(rows, &self.summary.fill(&[now]));
        rows.push('\t');
        escape(rows, &self.detail.fill(&[priced_at, now]));
        rows.push('\n');
    }
}

/// Fields of a row, each followed by a tab.
#[derive(Debug, Default)]
struct Row(String);

impl Row {
    fn push_listing(&mut self, listing: &Listing) -> serde_json::Result<()> {
        let auction = listing.auction.as_ref();
        let details = &listing.details;
        self.plain(Some(listing.id.as_str()));
        self.plain(Some(listing.source.as_str()));
        self.text(Some(&listing.make));
        self.text(Some(&listing.model));
        self.text(listing.trim.as_deref());
        self.plain(Some(listing.year));
        self.plain(Some(listing.mileage_km));
        self.plain(listing.fuel.map(StringEnum::as_str));
        self.plain(listing.transmission.map(StringEnum::as_str));
        self.text(listing.drivetrain.as_deref());
        self.plain(listing.engine_cc);
        self.text(listing.color.as_deref());
        self.list(&listing.options);
        self.text(auction.and_then(|it| it.lot_number.as_deref()));
        self.plain(auction.map(|it| time(it.date)));
        self.plain(auction.and_then(|it| it.count));
        self.plain(auction.map(|it| it.result.as_str()));
        self.plain(
            auction
                .and_then(|it| it.accident_grade)
                .map(StringEnum::as_str),
        );
        self.plain(
            auction
                .and_then(|it| it.exterior_grade)
                .map(StringEnum::as_str),
        );
        self.plain(Some(listing.listing_usd.dollars()));
        self.text(listing.thumbnail_url.as_deref());
        self.text(details.vin.as_deref());
        self.text(details.license_plate.as_deref());
        self.plain(details.first_registered_on);
        self.text(details.location.as_deref());
        self.list(&details.photos);
        let inspection = details.inspection.as_ref();
        let inspection = inspection.map(serde_json::to_string).transpose()?;
        self.text(inspection.as_deref());
        self.text(details.description.as_deref());
        self.plain(Some(time(listing.listed_at)));
        Ok(())
    }

    fn push_derived(&mut self, listing: &Listing) {
        let auction = listing.auction.as_ref();
        self.plain(auction.and_then(|it| it.result_at).map(time));
    }

    /// Appends a value without characters that must be escaped.
    fn plain(&mut self, value: Option<impl Display>) {
        // Writing to a string cannot fail.
        let _ = match value {
            Some(value) => write!(self.0, "{value}\t"),
            None => write!(self.0, "\\N\t"),
        };
    }

    fn text(&mut self, value: Option<&str>) {
        match value {
            Some(text) => escape(&mut self.0, text),
            None => self.0.push_str("\\N"),
        }
        self.0.push('\t');
    }

    /// Appends an array of quoted texts, with a backslash before each quote and backslash in them.
    fn list(&mut self, values: &[String]) {
        let mut list = String::from("{");
        for (n, value) in values.iter().enumerate() {
            list.push_str(if n == 0 { "\"" } else { ",\"" });
            escape_element(&mut list, value);
            list.push('"');
        }
        list.push('}');
        self.text(Some(&list));
    }
}

/// Appends an element of an array, with a backslash before each quote and backslash.
fn escape_element(out: &mut String, text: &str) {
    let is_special = |byte: u8| matches!(byte, b'"' | b'\\');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        out.push('\\');
        // The special character is one byte.
        let (special, after) = from.split_at(1);
        out.push_str(special);
        rest = after;
    }
    out.push_str(rest);
}

/// Appends the text of a field, with tabs, line ends and backslashes escaped.
fn escape(out: &mut String, text: &str) {
    let is_special = |byte: u8| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = from.chars();
        out.push_str(match characters.next() {
            Some('\t') => "\\t",
            Some('\n') => "\\n",
            Some('\r') => "\\r",
            _ => "\\\\",
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Renders a listing as the JSON of a single vehicle, with the time of its listing in place of the times that are not
/// known yet.
fn detail_of(listing: &Listing) -> serde_json::Result<String> {
    let listed_at = listing.listed_at;
    let price = PricePoint {
        listing_usd: listing.listing_usd,
        recorded_at: Timestamp::kst(listed_at),
    };
    let vehicle = Vehicle {
        listing: listing.clone(),
        updated_at: listed_at,
        withdrawn_at: None,
    };
    serde_json::to_string(&VehicleView::new(vehicle, vec![price]))
}

/// Extracts the summary from the JSON of a single vehicle: the fields before `vin`, without the price history.
fn summary_of(detail: &str) -> String {
    let (before, after) = detail.split_once(",\"history\":[").unwrap_or((detail, ""));
    let (_, after) = after.split_once(']').unwrap_or_default();
    let (after, _) = after.split_once(",\"vin\":").unwrap_or((after, ""));
    format!("{before}{after}}}")
}

/// JSON without the times of some members: the parts before, between and after them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<String>);

impl Template {
    /// Removes the times of members, each the first of its name.
    ///
    /// A string value cannot be mistaken for a member, because the quotes in it are escaped.
    fn of(json: &str, members: &[&str]) -> Self {
        let mut parts = Vec::with_capacity(members.len() + 1);
        let mut rest = json;
        for member in members {
            let name = format!("\"{member}\":\"");
            let start = rest.find(&name).map_or(rest.len(), |at| at + name.len());
            let (before, from) = rest.split_at(start);
            parts.push(before.to_owned());
            rest = from.trim_start_matches(|it| it != '"');
        }
        parts.push(rest.to_owned());
        Self(parts)
    }

    fn fill(&self, times: &[DateTime<Utc>]) -> String {
        let mut json = String::new();
        let mut times = times.iter();
        for part in &self.0 {
            json.push_str(part);
            if let Some(time) = times.next() {
                json.push_str(&Timestamp::kst(*time).to_string());
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeDelta};

    use super::*;
    use crate::{catalogue_import::model::read_line, vehicles::view::summary_json};

    #[test]
    fn draft_and_view_of_a_vehicle_render_the_same_json() {
        let today = NaiveDate::from_ymd_opt(2026, 4, 20).unwrap();
        for vehicle in demo_catalogue::vehicles(5, 50, today) {
            let line = serde_json::to_vec(&vehicle).unwrap();
            let mut listing = read_line(&line, vehicle.listed_at.instant()).unwrap();
            let odd = r#","history":["updated_at":"2026-04-20" "recorded_at":"],"vin":"#.to_owned();
            listing.color = Some(odd.clone());
            listing.make = odd;
            let updated_at = listing.listed_at + TimeDelta::milliseconds(1_001);
            let priced_at = listing.listed_at - TimeDelta::seconds(1);
            let draft = Draft::of(&listing).unwrap();
            assert_eq!(
                draft.summary.fill(&[updated_at]),
                summary_json(&listing, updated_at).unwrap()
            );
            let price = PricePoint {
                listing_usd: listing.listing_usd,
                recorded_at: Timestamp::kst(priced_at),
            };
            let vehicle = Vehicle {
                listing,
                updated_at,
                withdrawn_at: None,
            };
            let view = VehicleView::new(vehicle, vec![price]);
            assert_eq!(
                draft.detail.fill(&[priced_at, updated_at]),
                serde_json::to_string(&view).unwrap()
            );
        }
    }
}
