//! The bodies of a connection: those of responses until the client has taken them, and those of requests that were
//! answered before they were read.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Untaken};

/// The most bytes that are read of a body after its request was answered.
const DISCARDED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The body of a response, and what it holds, until the client has taken it.
///
/// hyper drops a body when it has passed it on, which for HTTP/2 may be long before the client's window lets it be
/// sent. So each part of the data keeps the response untaken, and reports its progress.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Body,
    response: Arc<Untaken>,
}

impl ResponseBody {
    /// Wraps the body of a response on a connection.
    pub(super) fn new(body: Body, activity: &Activity) -> Self {
        Self {
            body,
            response: activity.begin_response(),
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Data;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| Data {
                    bytes,
                    response: self.response.clone(),
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.response.keep(&mut self.body);
    }
}

/// A part of a response.
pub(super) struct Data {
    bytes: Bytes,
    response: Arc<Untaken>,
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.response.take(bytes);
    }
}

/// Returns the body of a request for the API. What the API does not read is read and discarded, within bounds.
///
/// A client that is still sending when it is refused thus gets to the response: a connection that is closed with unread
/// data is reset, and the client loses what it has received. A client that waits for `100 Continue` sends nothing after
/// a refusal.
pub(super) fn request_body(
    headers: &HeaderMap,
    body: Incoming,
    activity: &Activity,
    tasks: &TaskTracker,
) -> Body {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return Body::new(body);
    }
    Body::new(RequestBody {
        body: Some(body),
        activity: activity.clone(),
        tasks: tasks.clone(),
    })
}

/// The body of a request, whose rest is read when it is dropped.
struct RequestBody {
    /// The body; `None` once it has ended.
    body: Option<Incoming>,
    activity: Activity,
    tasks: TaskTracker,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if matches!(frame, None | Some(Err(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|it| !it.is_end_stream());
        // There is no runtime any more if the process ends.
        let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) else {
            return;
        };
        let in_progress = self.activity.stay_in_progress();
        let discarding = async move {
            // Beyond the time, hyper closes the connection, or resets the stream.
            let _ = timeout(DISCARD_TIME, discard(rest)).await;
            drop(in_progress);
        };
        self.tasks.spawn_on(discarding, &runtime);
    }
}

/// Reads a body to its end, or up to the bound.
async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
