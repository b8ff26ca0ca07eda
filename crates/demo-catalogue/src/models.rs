//! Types of the table of models: their names, years of production, engines and prices when new.

use crate::vehicle::{Fuel, Transmission};

/// A generation of a model.
pub(crate) struct Model {
    /// The brand.
    pub(crate) make: &'static str,
    /// The model.
    pub(crate) name: &'static str,
    /// The name that buyers use for the generation; may be empty.
    pub(crate) generation: &'static str,
    /// The first and the last year of production.
    pub(crate) years: (i16, i16),
    /// The first five characters of its vehicle identification numbers.
    pub(crate) maker: &'static str,
    /// Its frequency, relative to the other models.
    pub(crate) share: i64,
    /// The engines.
    pub(crate) kinds: &'static [Kind],
}

/// An engine with its transmission, drivetrains and trims.
pub(crate) struct Kind {
    /// The name that buyers use.
    pub(crate) name: &'static str,
    /// The fuel or energy source.
    pub(crate) fuel: Fuel,
    /// Displacement, in cubic centimeters; `None` for an electric motor.
    pub(crate) engine_cc: Option<i32>,
    /// The kind of transmission.
    pub(crate) transmission: Transmission,
    /// The drivetrains; the usual one is repeated, so that it is drawn more often.
    pub(crate) drivetrains: &'static [&'static str],
    /// The trims and their prices when new, in thousands of dollars.
    pub(crate) trims: &'static [(&'static str, i64)],
}

impl Model {
    /// Returns whether it was built abroad; such vehicles lose value faster.
    pub(crate) fn is_import(&self) -> bool {
        !self.maker.starts_with('K')
    }
}

/// Creates a generation of a model.
pub(crate) const fn model(
    make: &'static str,
    name: &'static str,
    generation: &'static str,
    years: (i16, i16),
    maker: &'static str,
    share: i64,
    kinds: &'static [Kind],
) -> Model {
    Model {
        make,
        name,
        generation,
        years,
        maker,
        share,
        kinds,
    }
}

/// Creates an engine; `engine_cc` is zero for an electric motor.
pub(crate) const fn kind(
    name: &'static str,
    fuel: Fuel,
    engine_cc: i32,
    transmission: Transmission,
    drivetrains: &'static [&'static str],
    trims: &'static [(&'static str, i64)],
) -> Kind {
    let engine_cc = if engine_cc == 0 {
        None
    } else {
        Some(engine_cc)
    };
    Kind {
        name,
        fuel,
        engine_cc,
        transmission,
        drivetrains,
        trims,
    }
}

#[cfg(test)]
mod tests {
    use crate::{table::MODELS, vehicle::Fuel};

    #[test]
    fn table_of_models_is_complete_and_consistent() {
        for model in MODELS {
            let name = format!("{} {} {}", model.make, model.name, model.generation);
            assert!(
                model.years.0 <= model.years.1 && model.years.0 <= 2024,
                "{name}"
            );
            assert!(model.share > 0 && !model.kinds.is_empty(), "{name}");
            assert_eq!(model.maker.len(), 5, "{name}");
            assert!(!model.maker.contains(['I', 'O', 'Q']), "{name}");
            for kind in model.kinds {
                assert!(
                    !kind.trims.is_empty() && !kind.drivetrains.is_empty(),
                    "{name}"
                );
                assert!(
                    kind.trims.is_sorted_by_key(|trim| trim.1),
                    "{name} {}",
                    kind.name
                );
                let motor = matches!(kind.fuel, Fuel::Electric | Fuel::Hydrogen);
                assert_eq!(kind.engine_cc.is_none(), motor, "{name} {}", kind.name);
            }
        }
    }
}
