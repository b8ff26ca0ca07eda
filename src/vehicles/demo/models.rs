//! What there is to say about a model: what it is called, when it was built, what drives it, and what it cost when it
//! was new.

use crate::vehicles::model::{Fuel, Transmission};

/// A generation of a model.
pub(super) struct Model {
    /// The brand.
    pub(super) make: &'static str,
    /// The model.
    pub(super) name: &'static str,
    /// Which generation, as buyers call it; may be empty.
    pub(super) generation: &'static str,
    /// The first and the last year it was built.
    pub(super) years: (i16, i16),
    /// The first five characters of its identification numbers.
    pub(super) maker: &'static str,
    /// How common it is.
    pub(super) share: i64,
    /// What drives it.
    pub(super) kinds: &'static [Kind],
}

/// An engine and what came with it.
pub(super) struct Kind {
    /// What buyers call it.
    pub(super) name: &'static str,
    /// What it runs on.
    pub(super) fuel: Fuel,
    /// Displacement, in cubic centimetres.
    pub(super) engine_cc: Option<i32>,
    /// How its gears change.
    pub(super) transmission: Transmission,
    /// The drivetrains, the usual one repeated.
    pub(super) drivetrains: &'static [&'static str],
    /// The trims and their prices when new, in thousands of dollars.
    pub(super) trims: &'static [(&'static str, i64)],
}

impl Model {
    /// Says whether it was built abroad: such cars lose their price faster.
    pub(super) fn is_import(&self) -> bool {
        !self.maker.starts_with('K')
    }
}

/// Describes a generation of a model.
pub(super) const fn model(
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

/// Describes an engine; zero cubic centimetres are those of an electric motor.
pub(super) const fn kind(
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
    use super::super::table::MODELS;
    use crate::vehicles::model::Fuel;

    #[test]
    fn the_table_is_whole() {
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
