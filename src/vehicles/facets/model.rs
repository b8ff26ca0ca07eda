//! What facets are, and when they are counted anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// So old can facets be at most when they are given (contract, section 6).
const AGE_MAX: TimeDelta = TimeDelta::minutes(5);

/// The values that the cars of a source have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facets {
    /// Brands, with the models of each.
    pub(super) models: BTreeMap<String, BTreeSet<String>>,
    /// What they run on.
    pub(super) fuels: BTreeSet<String>,
    /// How their gears change.
    pub(super) transmissions: BTreeSet<String>,
    /// Their colors.
    pub(super) colors: BTreeSet<String>,
}

/// Values that stand together on a car of a source, as far as they were asked for.
#[derive(Debug)]
pub(super) struct Combination {
    pub(super) source: String,
    pub(super) make: Option<String>,
    pub(super) model: Option<String>,
    pub(super) fuel: Option<String>,
    pub(super) transmission: Option<String>,
    pub(super) color: Option<String>,
}

impl Facets {
    /// Says whether there are cars at all.
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Takes the values of a car.
    pub(super) fn note(&mut self, values: Combination) {
        if let (Some(make), Some(model)) = (values.make, values.model) {
            self.models.entry(make).or_default().insert(model);
        }
        self.fuels.extend(values.fuel);
        self.transmissions.extend(values.transmission);
        self.colors.extend(values.color);
    }

    /// Adds the values of another source.
    pub(super) fn join(&mut self, other: Self) {
        for (make, models) in other.models {
            self.models.entry(make).or_default().extend(models);
        }
        self.fuels.extend(other.fuels);
        self.transmissions.extend(other.transmissions);
        self.colors.extend(other.colors);
    }
}

/// How the facets stand, and the catalogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The catalogue's version now.
    pub(super) version: i64,
    /// What time it is.
    pub(super) now: DateTime<Utc>,
    /// The version in which facets were counted, and until when they are known to hold.
    pub(super) counted: Option<(i64, DateTime<Utc>)>,
}

/// What is to be done about the facets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: somebody else has just done it.
    Leave,
    /// No car has changed: the same facets hold now.
    Confirm,
    /// Count them.
    Count,
}

impl Standing {
    /// Says what is to be done by one of many replicas, each of which comes by `every` so often.
    pub(super) fn next_step(&self, every: Duration) -> Step {
        let half = TimeDelta::from_std(every / 2).unwrap_or_default();
        match self.counted {
            Some((_, as_of)) if self.now - as_of < half => Step::Leave,
            Some((version, _)) if version == self.version => Step::Confirm,
            _ => Step::Count,
        }
    }
}

/// Says whether facets may still be given.
pub(super) fn is_fresh(as_of: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - as_of <= AGE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
        texts.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn values_are_folded_and_joined() {
        let values = |make: Option<&str>, model: Option<&str>, fuel: Option<&str>| Combination {
            source: "sk".into(),
            make: make.map(str::to_owned),
            model: model.map(str::to_owned),
            fuel: fuel.map(str::to_owned),
            transmission: None,
            color: fuel.map(|_| "검정".to_owned()),
        };
        let mut facets = Facets::default();
        assert!(facets.is_empty());
        facets.note(values(Some("Kia"), Some("K5"), None));
        facets.note(values(Some("Kia"), Some("K3"), Some("lpg")));
        let mut other = Facets::default();
        other.note(values(Some("Kia"), Some("K5"), Some("diesel")));
        other.note(values(Some("BMW"), Some("X5"), None));
        facets.join(other);
        let expected = [("BMW", texts(["X5"])), ("Kia", texts(["K3", "K5"]))];
        let expected = expected.map(|(make, models)| (make.to_owned(), models));
        assert_eq!(facets.models, BTreeMap::from(expected));
        assert_eq!(facets.fuels, texts(["diesel", "lpg"]));
        assert_eq!(facets.colors, texts(["검정"]));
        assert!(facets.transmissions.is_empty() && !facets.is_empty());
    }

    #[test]
    fn one_of_many_replicas_counts_and_only_what_has_changed() {
        let now = DateTime::UNIX_EPOCH;
        let step = |counted: Option<(i64, i64)>| {
            let counted = counted.map(|(version, age)| (version, now - TimeDelta::seconds(age)));
            let version = 7;
            let standing = Standing {
                version,
                now,
                counted,
            };
            standing.next_step(Duration::from_secs(60))
        };
        assert_eq!(step(None), Step::Count);
        for (version, age, expected) in [
            (6, 29, Step::Leave),
            (6, 30, Step::Count),
            (7, 29, Step::Leave),
            (7, 30, Step::Confirm),
            (7, 90_000, Step::Confirm),
        ] {
            assert_eq!(step(Some((version, age))), expected, "{version} {age}");
        }
    }

    #[test]
    fn facets_are_given_for_five_minutes() {
        let as_of = DateTime::UNIX_EPOCH;
        assert!(is_fresh(as_of, as_of + TimeDelta::seconds(300)));
        assert!(!is_fresh(as_of, as_of + TimeDelta::seconds(301)));
    }
}
