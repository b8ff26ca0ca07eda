//! The activity on a connection: its requests in progress, and the bytes of its responses that the client has taken.

use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use tokio::time::sleep;

use crate::http::client_ip::Peer;

/// The number of known responses at which those that are taken are forgotten: more than the streams of a connection.
const UNTAKEN_MAX: usize = 256;
/// The mark of a response that was not checked yet.
const UNCHECKED: u64 = u64::MAX;

/// The activity on one connection, shared by its requests and responses.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<State>);

#[derive(Debug)]
struct State {
    peer: Peer,
    is_http2: bool,
    /// The number of complete request heads so far.
    begun: AtomicUsize,
    /// The number of requests that wait for their response, or whose body is still arriving.
    in_progress: AtomicUsize,
    /// The number of bytes of response bodies that the client has taken so far.
    taken: AtomicU64,
    /// Whether an HTTP/1 request head has arrived in part.
    is_head_begun: AtomicBool,
    /// Whether the next response is the last one.
    is_ending: AtomicBool,
    /// The responses of an HTTP/2 connection that are not taken yet, and some that are.
    untaken: Mutex<Vec<Weak<Untaken>>>,
}

impl Activity {
    /// Creates the activity of a new connection.
    pub(super) fn new(peer: Peer, is_http2: bool) -> Self {
        Self(Arc::new(State {
            peer,
            is_http2,
            begun: AtomicUsize::new(0),
            in_progress: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            is_head_begun: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            untaken: Mutex::default(),
        }))
    }

    /// Returns the other end of the connection.
    pub(super) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Returns whether the connection speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2
    }

    /// Counts a complete request head; the request is in progress until the returned guard is dropped.
    pub(super) fn begin_request(&self) -> InProgress {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        self.stay_in_progress()
    }

    /// Keeps a request in progress until the returned guard is dropped.
    pub(super) fn stay_in_progress(&self) -> InProgress {
        self.0.in_progress.fetch_add(1, Ordering::Relaxed);
        InProgress(self.clone())
    }

    /// Returns the number of complete request heads so far.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Returns whether a request is in progress.
    pub(super) fn in_progress(&self) -> bool {
        self.0.in_progress.load(Ordering::Relaxed) > 0
    }

    /// Records whether an HTTP/1 request head has arrived in part.
    pub(super) fn set_head_begun(&self, is_begun: bool) {
        self.0.is_head_begun.store(is_begun, Ordering::Relaxed);
    }

    /// Returns whether an HTTP/1 request head has arrived in part.
    pub(super) fn is_head_begun(&self) -> bool {
        self.0.is_head_begun.load(Ordering::Relaxed)
    }

    /// Makes the next response the last one.
    pub(super) fn end(&self) {
        self.0.is_ending.store(true, Ordering::Relaxed);
    }

    /// Returns whether the next response is the last one.
    pub(super) fn is_ending(&self) -> bool {
        self.0.is_ending.load(Ordering::Relaxed)
    }

    /// Begins a response, which is untaken until all references to the result are dropped.
    pub(super) fn begin_response(&self) -> Arc<Untaken> {
        let response = Arc::new(Untaken {
            activity: self.clone(),
            taken: AtomicU64::new(0),
            checked: AtomicU64::new(UNCHECKED),
            body: Mutex::default(),
        });
        if self.0.is_http2 {
            let untaken = self.0.untaken.lock();
            let mut untaken = untaken.unwrap_or_else(PoisonError::into_inner);
            if untaken.len() >= UNTAKEN_MAX {
                untaken.retain(|it| it.strong_count() > 0);
            }
            untaken.push(Arc::downgrade(&response));
        }
        response
    }

    /// Waits until no request is in progress, none has begun and no byte was taken for `limit`, or up to twice that.
    pub(super) async fn idle(&self, limit: Duration) {
        let marks = || (self.begun(), self.0.taken.load(Ordering::Relaxed));
        loop {
            let before = marks();
            sleep(limit).await;
            if marks() == before && !self.in_progress() {
                return;
            }
        }
    }

    /// Waits until no request with an accepted key was answered for `limit`, or up to twice that.
    pub(super) async fn without_key(&self, limit: Duration) {
        loop {
            let before = self.0.peer.accepted_keys();
            sleep(limit).await;
            if self.0.peer.accepted_keys() == before {
                return;
            }
        }
    }

    /// Waits until the client has taken nothing of one response, or less than `least` bytes of all, for `limit`, or up
    /// to twice that.
    ///
    /// It considers the responses of an HTTP/2 connection, whose windows let a client stop a response without blocking
    /// the socket.
    pub(super) async fn stalled(&self, limit: Duration, least: u64) {
        let mut before = self.0.taken.load(Ordering::Relaxed);
        loop {
            sleep(limit).await;
            let after = self.0.taken.load(Ordering::Relaxed);
            let untaken = self.untaken();
            let moved: Vec<bool> = untaken.iter().filter_map(|it| it.check()).collect();
            let is_too_slow = !moved.is_empty() && after.saturating_sub(before) < least;
            if is_too_slow || moved.contains(&false) {
                return;
            }
            before = after;
        }
    }

    /// Returns the responses that are not taken yet, and forgets the others.
    fn untaken(&self) -> Vec<Arc<Untaken>> {
        let untaken = self.0.untaken.lock();
        let mut untaken = untaken.unwrap_or_else(PoisonError::into_inner);
        let live: Vec<_> = untaken.iter().filter_map(Weak::upgrade).collect();
        *untaken = live.iter().map(Arc::downgrade).collect();
        live
    }
}

/// A guard for a request in progress, dropped when it is answered or canceled.
#[derive(Debug)]
pub(super) struct InProgress(Activity);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response that the client has not taken completely.
#[derive(Debug)]
pub(super) struct Untaken {
    activity: Activity,
    /// The number of bytes taken so far.
    taken: AtomicU64,
    /// The same at the last check, or [`UNCHECKED`].
    checked: AtomicU64,
    /// The body, once all of it was passed on: what it holds is released when the last byte is taken.
    body: Mutex<Body>,
}

impl Untaken {
    /// Records that the client has taken bytes.
    pub(super) fn take(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.activity.0.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Keeps a body of which all was passed on.
    pub(super) fn keep(&self, body: &mut Body) {
        let mut kept = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *kept, body);
    }

    /// Returns whether bytes were taken since the last check; `None` at the first one.
    fn check(&self) -> Option<bool> {
        let taken = self.taken.load(Ordering::Relaxed);
        let checked = self.checked.swap(taken, Ordering::Relaxed);
        (checked != UNCHECKED).then_some(checked != taken)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::time::{Instant, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn activity() -> Activity {
        Activity::new(Peer::new(SocketAddr::from(([127, 0, 0, 1], 1))), true)
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_idle_if_no_request_began_or_is_in_progress() {
        let activity = activity();
        let began = Instant::now();
        let busy = async {
            sleep(LIMIT / 2).await;
            let in_progress = activity.begin_request();
            sleep(LIMIT * 3).await;
            drop(in_progress);
        };
        let ((), ()) = tokio::join!(activity.idle(LIMIT), busy);
        assert_eq!(began.elapsed(), LIMIT * 4);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_not_idle_while_the_client_takes_a_response() {
        let activity = activity();
        let began = Instant::now();
        let slow = async {
            let response = activity.begin_response();
            for _ in 0..10 {
                sleep(LIMIT / 2).await;
                response.take(1);
            }
        };
        let ((), ()) = tokio::join!(activity.idle(LIMIT), slow);
        assert!(began.elapsed() > LIMIT * 5, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn response_that_is_not_taken_stalls_the_connection() {
        let activity = activity();
        let began = Instant::now();
        let (taken, held) = (activity.begin_response(), activity.begin_response());
        let takes = async {
            for _ in 0..100 {
                sleep(LIMIT / 4).await;
                taken.take(1000);
            }
        };
        tokio::select! {
            () = activity.stalled(LIMIT, 1) => {}
            () = takes => {}
        }
        assert_eq!(began.elapsed(), LIMIT * 2);
        drop((taken, held));
        let endless = timeout(LIMIT * 9, activity.stalled(LIMIT, 1)).await;
        assert!(endless.is_err(), "nothing is left to be taken");
    }

    #[tokio::test(start_paused = true)]
    async fn responses_that_are_taken_too_slowly_stall_the_connection() {
        for (bytes, stalls) in [(20, false), (19, true)] {
            let activity = activity();
            let response = activity.begin_response();
            let takes = async {
                // Between two checks, not at the same time.
                sleep(LIMIT / 8).await;
                for _ in 0..20 {
                    response.take(bytes);
                    sleep(LIMIT / 2).await;
                }
            };
            let stalled = tokio::select! {
                () = activity.stalled(LIMIT, 40) => true,
                () = takes => false,
            };
            assert_eq!(stalled, stalls, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_requests_with_an_accepted_key_renew_the_time_without_one() {
        let activity = activity();
        let began = Instant::now();
        let requests = async {
            sleep(LIMIT / 2).await;
            drop(activity.begin_request());
            activity.peer().note_key();
            sleep(LIMIT).await;
            drop(activity.begin_request());
        };
        let ((), ()) = tokio::join!(activity.without_key(LIMIT), requests);
        assert_eq!(began.elapsed(), LIMIT * 2);
    }
}
