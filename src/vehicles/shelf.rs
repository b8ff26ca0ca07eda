//! The shelf: answers of the catalogue, kept as bytes for as long as no car changes.
//!
//! The catalogue is the same for every partner, and read far more often than it is written. The
//! [heartbeat](crate::database) knows whether it has changed: an answer is given again while its generation is
//! confirmed, and while the database was heard from within `catalogue.trust_milliseconds`. So a kept answer costs
//! neither a query nor a serialisation, is never older than that time, and never older than one that this replica has
//! given before.

use moka::sync::Cache;

use crate::{
    app::App,
    http::{etag::Tagged, page::RenderedPage},
    settings::Catalogue,
    telemetry::sweep::Kind,
};

/// How much of the shelf single cars have, in per cent; pages have the rest.
const VEHICLES_PERCENT: u64 = 25;
/// Bytes that an entry takes beside its question and answer.
const ENTRY_BYTES: usize = 1_024;
/// A longer question is not one that anybody asks often.
const QUESTION_BYTES_MAX: usize = 2_048;

/// Answers that are kept: pages by the query that asks for them, cars by their names.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// Pages of the list.
    pub(super) pages: Kept<RenderedPage>,
    /// Single cars.
    pub(super) vehicles: Kept<Tagged>,
}

impl Shelf {
    /// Makes one with nothing on it.
    pub(crate) fn new(settings: &Catalogue) -> Self {
        let vehicles_bytes = settings.kept_bytes / 100 * VEHICLES_PERCENT;
        Self {
            pages: Kept {
                kind: Kind::Pages,
                answers: kept(settings.kept_bytes - vehicles_bytes, RenderedPage::bytes),
            },
            vehicles: Kept {
                kind: Kind::Vehicles,
                answers: kept(vehicles_bytes, Tagged::bytes),
            },
        }
    }
}

/// Answers of one kind.
#[derive(Debug, Clone)]
pub(super) struct Kept<A: Clone + Send + Sync + 'static> {
    kind: Kind,
    answers: Answers<A>,
}

/// Answers by their questions, each with the generation in which it was read.
type Answers<A> = Cache<String, (u64, A)>;

fn kept<A: Clone + Send + Sync + 'static>(bytes_max: u64, bytes: fn(&A) -> usize) -> Answers<A> {
    let weigh = move |key: &String, (_, answer): &(u64, A)| {
        let bytes = key.len() + ENTRY_BYTES + bytes(answer);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .max_capacity(bytes_max)
        .weigher(weigh)
        .build()
}

impl<A: Clone + Send + Sync + 'static> Kept<A> {
    /// Returns the answer to a question, if it still holds.
    pub(super) fn get(&self, app: &App, question: &str) -> Option<A> {
        let kept = self.answers.get(question);
        let holds = kept.filter(|(generation, _)| app.heartbeat().confirms_catalogue(*generation));
        app.metrics().count_kept(self.kind, holds.is_some());
        holds.map(|(_, answer)| answer)
    }

    /// Keeps an answer that was read since `generation` began, unless that is over.
    pub(super) fn put(&self, app: &App, generation: u64, question: String, answer: &A) {
        if question.len() <= QUESTION_BYTES_MAX && app.heartbeat().catalogue() == generation {
            self.answers.insert(question, (generation, answer.clone()));
        }
    }
}
