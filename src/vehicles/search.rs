//! How a page of the catalogue is found, in bounded time whatever is asked.
//!
//! A walk along the index of the sort is the way for what many cars match: the page is full soon, and page N costs what
//! page 1 costs. What few match is gathered by its terms and put in order instead. Which of the two it is, a glance
//! tells: a short walk, which is all that most questions need. Where neither serves (many match, but all of them far
//! along the walk), the page comes back short, with the place to which it has looked.

use super::{
    filter::Filter,
    sort::Place,
    store::{self, Listed, Wanted},
};
use crate::{app::App, database};

/// Cars of a page, as far as they were found.
#[derive(Debug)]
pub(super) struct Found {
    /// The cars, in order.
    pub(super) cars: Vec<Listed>,
    /// The last place that was looked at, if cars are missing and there is more to look at.
    pub(super) seen_to: Option<Place>,
}

/// Says whether a walk is the shorter way, after what a glance has found.
///
/// It is if a walk of full length, finding as much in every stretch, would fill the page.
fn is_worth_walking(found: usize, wanted: i64, (glance, walk): (i64, i64)) -> bool {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    found.saturating_mul(walk) >= wanted.saturating_mul(glance)
}

/// Finds the cars of a page.
pub(super) async fn search(app: &App, wanted: Wanted<'_>) -> Result<Found, sqlx::Error> {
    let limits = &app.settings().catalogue;
    if !wanted.filter.ids.is_empty() {
        // Few whatever else is asked, and the ids lead to them.
        if let Some(found) = gather(app, wanted, limits.gather_cars).await? {
            return Ok(found);
        }
    }
    let glance = walk(app, wanted, limits.glance_cars).await?;
    if glance.seen_to.is_none() {
        return Ok(glance);
    }
    let budgets = (limits.glance_cars, limits.walk_cars);
    if !is_worth_walking(glance.cars.len(), wanted.limit, budgets)
        && let Some(found) = gather(app, wanted, limits.gather_cars).await?
    {
        return Ok(found);
    }
    walk(app, wanted, limits.walk_cars).await
}

async fn walk(app: &App, wanted: Wanted<'_>, budget: i64) -> Result<Found, sqlx::Error> {
    let mut connection = app.acquire_for_walk().await?;
    let stretch = store::walk(&mut connection, wanted, budget).await?;
    app.heartbeat().saw_catalogue(stretch.version);
    Ok(Found {
        cars: stretch.cars,
        seen_to: stretch.seen_to,
    })
}

async fn gather(app: &App, wanted: Wanted<'_>, budget: i64) -> Result<Option<Found>, sqlx::Error> {
    let mut tx = app.begin().await?;
    store::find_by_terms_only(&mut tx).await?;
    store::take_at_most(&mut tx, app.settings().catalogue.gather).await?;
    let gathered = match store::gather(&mut tx, wanted, budget).await {
        // Few match, but of many that had to be looked at: a walk is bounded in those.
        Err(error) if database::is_cut_off(&error) => return Ok(None),
        gathered => gathered?,
    };
    app.heartbeat().saw_catalogue(gathered.version);
    Ok(gathered.cars.map(|cars| Found {
        cars,
        seen_to: None,
    }))
}

/// Counts the cars that match, up to `limit`.
pub(super) async fn count(app: &App, filter: &Filter, limit: i64) -> Result<i64, sqlx::Error> {
    let mut tx = app.begin().await?;
    store::find_by_terms_only(&mut tx).await?;
    let (version, count) = store::count(&mut tx, filter, limit).await?;
    app.heartbeat().saw_catalogue(version);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_taken_where_it_would_fill_the_page() {
        let limits = (2_000, 20_000);
        // Fifty cars in twenty thousand are five in two thousand.
        for (found, expected) in [(0, false), (4, false), (5, true), (49, true)] {
            assert_eq!(is_worth_walking(found, 50, limits), expected, "{found}");
        }
    }
}
