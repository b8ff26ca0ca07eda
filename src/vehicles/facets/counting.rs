//! Counts the facets, before the first caller asks and again and again, so that nobody ever waits for it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    model::{Facets, Step},
    store,
};
use crate::{app::App, telemetry::sweep::Sweep};

/// After what could not be counted it is tried again so soon.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Counts, and again after every interval, until the replica stops.
pub async fn run(app: App) {
    let every = app.settings().catalogue.facets;
    loop {
        let pause = if prepare(&app).await {
            every
        } else {
            every.min(TRY_AGAIN)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.stopping() => return,
        }
    }
}

/// Makes sure that there are fresh facets, and says whether there are.
pub async fn prepare(app: &App) -> bool {
    let counted = app.note(Sweep::Facets, refresh(app)).await;
    if let Err(error) = &counted {
        tracing::warn!(error = %error, "the facets were not counted; it is tried again");
    }
    counted.is_ok()
}

/// Counts the facets, unless another replica has just done it or no car has changed since.
pub async fn refresh(app: &App) -> Result<(), sqlx::Error> {
    let settings = &app.settings().catalogue;
    let mut tx = app.begin().await?;
    store::hold(&mut tx, settings.facets_statement).await?;
    // Read before the cars are: a car that changes meanwhile is counted, and counted again the next time.
    let standing = store::standing(&mut tx).await?;
    match standing.next_step(settings.facets) {
        Step::Leave => {}
        Step::Confirm => store::confirm(&mut tx, standing.now).await?,
        Step::Count => {
            let mut found = BTreeMap::<String, Facets>::new();
            for values in store::list_values(&mut tx).await? {
                found.entry(values.source.clone()).or_default().note(values);
            }
            store::replace(&mut tx, &found, &standing).await?;
        }
    }
    tx.commit().await
}
