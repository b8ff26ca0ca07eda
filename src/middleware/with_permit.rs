//! [`WithPermit`]: a response future that holds a permit until the response is ready.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;

pin_project! {
    /// A future with a permit that is released when the future completes or is dropped.
    pub struct WithPermit<F> {
        #[pin]
        future: F,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F> WithPermit<F> {
    /// Holds `permit` until `future` completes.
    pub(super) fn new(future: F, permit: OwnedSemaphorePermit) -> Self {
        Self {
            future,
            permit: Some(permit),
        }
    }
}

impl<F: Future> Future for WithPermit<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(context);
        if polled.is_ready() {
            drop(this.permit.take());
        }
        polled
    }
}
