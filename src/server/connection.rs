//! A single connection, with its timeouts.
//!
//! hyper's only timer for HTTP/1 runs from the end of a response to the end of the next request head, so it cannot
//! distinguish an idle connection, which a proxy keeps open for a minute, from a head that arrives slowly. Here that
//! timer limits the idle time, and [`HeadTimeout`] limits the head from its first byte. [`WriteTimeout`] limits the time that
//! the client may take nothing of a response. hyper has no idle timer for HTTP/2, so this module has one.

use std::{
    convert::Infallible,
    io::{self, Cursor, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, extract, http::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, join, split},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{Service, service_fn};

use super::tls::Tls;
use crate::{app::App, config, http::client_ip::Peer};

/// The first bytes of an HTTP/2 connection; any others are HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Interval at which an idle HTTP/2 connection is pinged.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// Maximum number of requests in progress on an HTTP/2 connection. hyper also limits streams that are reset
/// repeatedly.
const HTTP2_STREAMS_MAX: u32 = 100;

/// An accepted connection, with everything needed to serve it.
pub(super) struct Connection<S> {
    pub(super) app: App,
    pub(super) settings: config::Server,
    pub(super) tls: Option<Tls>,
    pub(super) peer: SocketAddr,
    pub(super) service: S,
    pub(super) watcher: Watcher,
    /// Cancelled when the server stops accepting new requests.
    pub(super) stopping: CancellationToken,
}

impl<S> Connection<S>
where
    S: Service<extract::Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Serves requests until the client or the server closes the connection, or a timeout expires.
    pub(super) async fn serve(self, stream: TcpStream) {
        // Responses are written whole, so Nagle's algorithm would only delay them. An error here only costs speed.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let (read, write) = stream.into_split();
            return self.exchange(read, write).await;
        };
        let shaken = tokio::select! {
            shaken = tls.accept(stream) => shaken,
            () = self.stopping.cancelled() => return,
        };
        match shaken {
            Ok(stream) => {
                let (read, write) = split(stream);
                self.exchange(read, write).await;
            }
            Err(error) => {
                self.app.metrics().count_failed_handshake();
                tracing::debug!(peer = %self.peer, %error, "TLS handshake failed");
            }
        }
    }

    /// Serves HTTP over the two halves of a connection.
    async fn exchange(
        self,
        mut read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
    ) {
        let begun = tokio::select! {
            begun = timeout(self.settings.first_byte, beginning(&mut read)) => begun,
            () = self.stopping.cancelled() => return,
        };
        let Ok(Ok(begun)) = begun else { return };
        let Self {
            settings,
            peer,
            service,
            watcher,
            ..
        } = self;
        let is_http2 = begun == PREFACE;
        let requests = Requests::default();
        let idle_requests = requests.clone();
        let read = Cursor::new(begun).chain(read);
        let read: Box<dyn AsyncRead + Send + Unpin> = match is_http2 {
            true => Box::new(read),
            false => Box::new(HeadTimeout::new(read, requests.clone(), settings.header)),
        };
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_progress = requests.enter();
            request.extensions_mut().insert(Peer(peer));
            let response = service.clone().call(request.map(Body::new));
            async move {
                let response = response.await;
                drop(in_progress);
                response
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.idle);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(settings.header)
            .max_concurrent_streams(HTTP2_STREAMS_MAX);
        let write = WriteTimeout::new(write, settings.write);
        let stream = TokioIo::new(join(read, write));
        let connection = builder.serve_connection(stream, TowerToHyperService::new(service));
        let connection = watcher.watch(connection.into_owned());
        let ended = tokio::select! {
            ended = connection => ended,
            // HTTP/1 has hyper's timer.
            () = idle_requests.idle(settings.idle), if is_http2 => return,
        };
        // An error here is caused by the client: it disconnected, violated the protocol or was too slow.
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "connection closed with an error");
        }
    }
}

/// Reads until the version of HTTP is known; hyper-util would wait for that without a time limit.
async fn beginning(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let missing = PREFACE.len() - begun.len();
        let length = (&mut *stream)
            .take(missing as u64)
            .read_buf(&mut begun)
            .await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(begun)
}

/// Counts the requests of a connection: all so far, and those that have ended.
#[derive(Debug, Clone, Default)]
struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Requests {
    fn enter(&self) -> Answering {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Relaxed)
    }

    fn in_progress(&self) -> bool {
        self.begun() != self.0.ended.load(Ordering::Relaxed)
    }

    /// Waits until no request is in progress and none has begun for `limit`, or up to twice that.
    async fn idle(&self, limit: Duration) {
        loop {
            let before = self.begun();
            sleep(limit).await;
            if self.begun() == before && !self.in_progress() {
                return;
            }
        }
    }
}

/// A guard for a request in progress, dropped when it is answered or canceled.
struct Answering(Requests);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The reading side of an HTTP/1 connection, which fails if a request head is not complete in time.
struct HeadTimeout<R> {
    inner: R,
    requests: Requests,
    /// The number of complete heads at the last read.
    complete: usize,
    limit: Duration,
    /// The timer, which runs until the head is complete.
    head: Option<Pin<Box<Sleep>>>,
}

impl<R> HeadTimeout<R> {
    /// Starts the timer, because a connection begins with a head.
    fn new(inner: R, requests: Requests, limit: Duration) -> Self {
        let head = Some(Box::pin(sleep(limit)));
        Self {
            inner,
            requests,
            complete: 0,
            limit,
            head,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for HeadTimeout<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let complete = self.requests.begun();
        if self.complete != complete {
            self.complete = complete;
            self.head = None;
        }
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if self.requests.in_progress() {
            // These bytes are a body, whose time the handler limits.
            return read;
        }
        match (read, &mut self.head) {
            (Poll::Pending, Some(head)) => {
                ready!(head.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            (Poll::Ready(done), None) => {
                self.head = Some(Box::pin(sleep(self.limit)));
                Poll::Ready(done)
            }
            (read, _) => read,
        }
    }
}

/// The writing side of a connection, which fails if the client takes nothing for too long.
struct WriteTimeout<W> {
    inner: W,
    limit: Duration,
    /// The timer, which runs while nothing can be written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<W> WriteTimeout<W> {
    fn new(inner: W, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            stuck: None,
        }
    }

    /// Returns the result of a write. Any progress resets the timer.
    fn press<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.press(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.press(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.press(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.press(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::Instant,
    };

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_nothing_times_out_and_a_slow_one_does_not() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = WriteTimeout::new(ours, LIMIT);
        let began = Instant::now();
        let slow = async {
            for _ in 0..3 {
                sleep(LIMIT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut [0; 4]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let written = tokio::select! {
            written = ours.write_all(&[7; 100]) => written,
            () = slow => unreachable!(),
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 3 * 29 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_is_idle_if_no_request_began_or_is_in_progress() {
        let requests = Requests::default();
        let began = Instant::now();
        let busy = async {
            sleep(LIMIT / 2).await;
            let in_progress = requests.enter();
            sleep(LIMIT * 3).await;
            drop(in_progress);
        };
        let ((), ()) = tokio::join!(requests.idle(LIMIT), busy);
        assert_eq!(began.elapsed(), LIMIT * 4);
    }
}
