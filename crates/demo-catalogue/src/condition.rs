//! The condition of a vehicle: its grades, color and equipment, the inspection report and the dealer's description.

use chrono::NaiveDate;

use crate::{
    chance::Chance,
    models::Model,
    vehicle::{Finding, Grade, Inspection},
};

/// The grades of a vehicle, which auctions publish.
#[derive(Clone, Copy)]
pub(crate) struct Condition {
    /// Grade of the frame and body after accidents.
    pub(crate) accident: Grade,
    /// Grade of the exterior.
    pub(crate) exterior: Grade,
}

/// Colors, each with the percentage of Korean vehicles that have it.
const COLORS: &[(&str, i64)] = &[
    ("White", 22),
    ("Pearl White", 13),
    ("Black", 22),
    ("Gray", 14),
    ("Dark Gray", 6),
    ("Silver", 9),
    ("Blue", 5),
    ("Navy", 3),
    ("Red", 2),
    ("Brown", 2),
    ("Green", 1),
    ("Beige", 1),
];

/// Equipment: its name, the first model year that has it, and the percentage of vehicles with it, before the addition
/// for the price.
const OPTIONS: &[(&str, i16, i64)] = &[
    ("abs", 0, 90),
    ("bluetooth", 0, 60),
    ("alloy_wheels", 0, 60),
    ("rear_camera", 0, 45),
    ("parking_sensors", 0, 50),
    ("smart_key", 0, 45),
    ("navigation", 0, 30),
    ("leather_seats", 0, 30),
    ("heated_seats", 0, 45),
    ("heated_steering_wheel", 2013, 30),
    ("ventilated_seats", 2013, 5),
    ("power_seats", 0, 10),
    ("memory_seats", 0, -15),
    ("sunroof", 0, -10),
    ("led_headlights", 2015, 10),
    ("lane_assist", 2016, 20),
    ("adaptive_cruise", 2016, 0),
    ("blind_spot_monitor", 2016, 5),
    ("around_view", 2014, -15),
    ("hud", 2016, -25),
    ("apple_carplay", 2017, 25),
    ("digital_cluster", 2019, 0),
    ("power_tailgate", 2014, -10),
    ("premium_audio", 0, -20),
    ("built_in_camera", 2020, -25),
];

const PANELS: &[&str] = &[
    "hood",
    "front bumper",
    "left front fender",
    "left front door",
    "left rear door",
    "left quarter panel",
    "trunk lid",
    "rear bumper",
    "right quarter panel",
    "right rear door",
    "right front door",
    "right front fender",
    "roof",
    "left side sill",
    "right side sill",
    "fuel flap",
];

const BLEMISHES: &[&str] = &[
    "scratch",
    "small dent",
    "stone chips",
    "repainted",
    "scuff",
    "faded paint",
];

const FRAME: &[&str] = &[
    "front side member",
    "radiator support",
    "left wheel house",
    "rear panel",
    "trunk floor",
];

/// Dealers' descriptions that suit any vehicle.
const REMARKS: &[&str] = &[
    "Regularly serviced at the manufacturer's workshop; tires changed last year.",
    "Very clean inside, non-smoker. 실내 깨끗한 비흡연 차량입니다.",
    "Former company vehicle with complete records. Two keys.",
    "Ready for export; deregistration papers take two working days.",
    "엔진, 미션 상태 좋습니다. 수출 가능합니다.",
    "Small scratches on the rear bumper, priced accordingly. Engine and gearbox run quietly.",
    "Brake pads and battery are new. 엔진오일, 미션오일 교환 완료.",
    "Family vehicle, always parked indoors. The dashboard camera stays in the vehicle.",
];

/// Dealers' descriptions of a vehicle without accidents.
const PRAISE: &[&str] = &[
    "One owner, no accidents, full service history. 1인 소유 무사고 차량입니다.",
    "No accidents, original paint throughout. 완전 무사고, 내외관 관리 상태 우수합니다.",
    "무사고 차량, 성능점검기록부 있습니다. Inspection report on request.",
];

impl Condition {
    /// Draws the grades; those of most vehicles are good.
    pub(crate) fn draw(chance: &mut Chance) -> Option<Self> {
        const ACCIDENT: &[(Grade, i64)] = &[
            (Grade::A, 48),
            (Grade::B, 28),
            (Grade::C, 14),
            (Grade::D, 7),
            (Grade::F, 3),
        ];
        const EXTERIOR: &[(Grade, i64)] = &[
            (Grade::A, 36),
            (Grade::B, 40),
            (Grade::C, 16),
            (Grade::D, 6),
            (Grade::F, 2),
        ];
        let (accident, _) = chance.weigh(ACCIDENT, |grade| grade.1)?;
        let (exterior, _) = chance.weigh(EXTERIOR, |grade| grade.1)?;
        Some(Self {
            accident: *accident,
            exterior: *exterior,
        })
    }

    /// Returns the price as a percentage of that of a flawless vehicle.
    pub(crate) fn worth(self) -> i64 {
        let accident = match self.accident {
            Grade::A => 100,
            Grade::B => 96,
            Grade::C => 89,
            Grade::D => 78,
            Grade::F => 60,
        };
        accident - blemishes(self.exterior)
    }

    /// Generates the report of an inspector.
    pub(crate) fn inspection(self, chance: &mut Chance, day: NaiveDate) -> Option<Inspection> {
        let (summary, exchanged, bent) = match self.accident {
            Grade::A => ("No accident; body and frame are original.", 0, 0),
            Grade::B => (
                "Minor accident; bolted panels exchanged, frame intact.",
                2,
                0,
            ),
            Grade::C => (
                "Accident repaired; several panels exchanged or repaired.",
                4,
                0,
            ),
            Grade::D => ("Major accident; frame repaired.", 4, 2),
            Grade::F => ("Severe damage to body and frame; sold as it is.", 5, 3),
        };
        let mut items = Vec::new();
        // The step of three is coprime to the sixteen panels, so none is repeated.
        let start = usize::try_from(chance.between(0, 15)).ok()?;
        let mut panels = PANELS
            .iter()
            .cycle()
            .skip(start)
            .step_by(3)
            .take(PANELS.len());
        for panel in panels.by_ref().take(exchanged) {
            let finding = if chance.percent(70) {
                "exchanged"
            } else {
                "repaired and repainted"
            };
            items.push(Finding {
                part: panel,
                finding,
            });
        }
        let blemishes = usize::try_from(blemishes(self.exterior)).ok()?;
        for panel in panels.take(blemishes) {
            let finding = chance.pick(BLEMISHES)?;
            items.push(Finding {
                part: panel,
                finding,
            });
        }
        let frame = FRAME.iter().cycle().skip(start).take(bent);
        items.extend(frame.map(|part| Finding {
            part,
            finding: "bent and straightened",
        }));
        Some(Inspection {
            inspected_on: day,
            summary,
            items,
        })
    }

    /// Draws a dealer's description that agrees with the condition.
    pub(crate) fn description(self, chance: &mut Chance, model: &Model) -> Option<String> {
        let is_praised = self.accident == Grade::A && chance.percent(50);
        let remark = chance.pick(if is_praised { PRAISE } else { REMARKS })?;
        let name = format!("{} {}. ", model.make, model.name);
        let name = chance.unless(60, name).unwrap_or_default();
        chance.unless(10, format!("{name}{remark}"))
    }
}

/// Returns the number of blemishes for a grade of the exterior.
fn blemishes(exterior: Grade) -> i64 {
    match exterior {
        Grade::A => 0,
        Grade::B => 2,
        Grade::C => 4,
        Grade::D => 6,
        Grade::F => 9,
    }
}

/// Draws a color.
pub(crate) fn color(chance: &mut Chance) -> Option<&'static str> {
    let (color, _) = chance.weigh(COLORS, |color| color.1)?;
    chance.unless(2, *color)
}

/// Draws the equipment: the higher the price when new, the more of it.
pub(crate) fn options(chance: &mut Chance, year: i16, new_usd: i64) -> Vec<&'static str> {
    let known = OPTIONS.iter().filter(|option| option.1 <= year);
    let built = known.filter(|option| chance.percent(option.2 + new_usd / 650));
    built.map(|option| option.0).collect()
}
