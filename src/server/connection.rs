//! A single connection: its protocol, its service and its end.

use std::{
    convert::Infallible,
    fmt::Display,
    io::{self, Cursor},
    net::SocketAddr,
    pin::pin,
    time::Duration,
};

use axum::{
    extract,
    http::{HeaderValue, Request, header},
    response::Response,
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, join, split},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, service_fn};

use super::{
    activity::Activity,
    body::{ResponseBody, request_body},
    timeouts::{HeadTimeout, WriteTimeout, least_bytes},
    tls::Tls,
};
use crate::{app::App, config, http::client_ip::Peer};

/// The first bytes of an HTTP/2 connection; any others are HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Interval at which an idle HTTP/2 connection is pinged.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// Maximum number of requests in progress on an HTTP/2 connection. hyper also limits streams that are reset
/// repeatedly.
const HTTP2_STREAMS_MAX: u32 = 100;
/// The time for a request that is on its way when the server closes a connection without one.
const LAST_REQUEST: Duration = Duration::from_millis(500);

/// The phases of a graceful stop, each of which begins when its token is cancelled.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    /// Clients are told to use other connections: HTTP/1 responses carry `Connection: close`.
    pub(super) draining: CancellationToken,
    /// Connections end after the requests in progress, and after a last one that is on its way.
    pub(super) closing: CancellationToken,
    /// The remaining connections are cut.
    pub(super) over: CancellationToken,
}

impl Stop {
    /// Waits for the first bytes of a connection; returns `None` if they do not arrive in time before a stop.
    async fn unless_closing<T>(&self, first: impl Future<Output = T>) -> Option<T> {
        let closed = async {
            self.closing.cancelled().await;
            sleep(LAST_REQUEST).await;
        };
        tokio::select! {
            biased;
            first = first => Some(first),
            () = closed => None,
        }
    }
}

/// An accepted connection, with everything needed to serve it.
pub(super) struct Connection<S> {
    pub(super) app: App,
    pub(super) settings: config::Server,
    pub(super) tls: Option<Tls>,
    pub(super) peer: SocketAddr,
    /// Whether the peer is a trusted proxy, whose requests come from many clients.
    pub(super) is_trusted: bool,
    pub(super) service: S,
    pub(super) stop: Stop,
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
        let Some(shaken) = self.stop.unless_closing(tls.accept(stream)).await else {
            return;
        };
        match shaken {
            Ok(stream) => {
                let (read, write) = split(stream);
                self.exchange(read, write).await;
            }
            Err(error) => {
                self.app.metrics().count_failed_handshake(tls.listener());
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
        let begun = timeout(self.settings.first_byte, beginning(&mut read));
        let Some(Ok(Ok(begun))) = self.stop.unless_closing(begun).await else {
            return;
        };
        let activity = Activity::new(Peer::new(self.peer), begun == PREFACE);
        let course = Course {
            settings: self.settings.clone(),
            activity: activity.clone(),
            is_trusted: self.is_trusted,
            stop: self.stop.clone(),
        };
        let read = Cursor::new(begun).chain(read);
        let write = WriteTimeout::new(write, self.settings.write, least_bytes(&self.settings));
        if activity.is_http2() {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(HTTP2_PING)
                .keep_alive_timeout(self.settings.header)
                .max_concurrent_streams(HTTP2_STREAMS_MAX);
            let stream = TokioIo::new(join(read, write));
            let service = TowerToHyperService::new(self.tracked(activity));
            course.run(builder.serve_connection(stream, service)).await;
        } else {
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(self.settings.idle);
            let read = HeadTimeout::new(read, activity.clone(), self.settings.header);
            let stream = TokioIo::new(join(read, write));
            let service = TowerToHyperService::new(self.tracked(activity));
            course.run(builder.serve_connection(stream, service)).await;
        }
    }

    /// Returns the service of a connection with this activity.
    fn tracked(
        self,
        activity: Activity,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static {
        let (service, stop) = (self.service, self.stop);
        let tasks: TaskTracker = self.app.tasks().clone();
        service_fn(move |request: Request<Incoming>| {
            let in_progress = activity.begin_request();
            let (mut head, body) = request.into_parts();
            head.extensions.insert(activity.peer().clone());
            let body = request_body(&head.headers, body, &activity, &tasks);
            let response = service.clone().call(Request::from_parts(head, body));
            let (activity, stop) = (activity.clone(), stop.clone());
            async move {
                let Ok(mut response) = response.await;
                drop(in_progress);
                let is_last = activity.is_ending() || stop.draining.is_cancelled();
                if is_last && !activity.is_http2() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(response.map(|body| ResponseBody::new(body, &activity)))
            }
        })
    }
}

/// Reads until the version of HTTP is known.
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

/// The course of a connection, from its first request to its end.
struct Course {
    settings: config::Server,
    activity: Activity,
    is_trusted: bool,
    stop: Stop,
}

impl Course {
    /// Runs a connection until the client closes it, a timeout expires, or it was shut down gracefully.
    async fn run<C>(&self, connection: C)
    where
        C: GracefulConnection,
        C::Error: Display,
    {
        let mut connection = pin!(connection);
        let mut timed_out = pin!(self.timed_out());
        let mut last_call = pin!(self.last_call());
        let mut is_called = false;
        let ended = loop {
            tokio::select! {
                // Bytes that have arrived are read before the connection is shut down.
                biased;
                ended = &mut connection => break ended,
                () = &mut timed_out => return,
                () = &mut last_call, if !is_called => {
                    is_called = true;
                    // A head that has arrived in part is answered, and the response ends the connection.
                    if self.activity.is_http2() || !self.activity.is_head_begun() {
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        };
        // An error here is caused by the client: it disconnected, violated the protocol or was too slow.
        if let Err(error) = ended {
            let peer = self.activity.peer().address();
            tracing::debug!(%peer, %error, "connection closed with an error");
        }
    }

    /// Waits until an HTTP/2 connection is idle or its client takes too little. HTTP/1 has hyper's timer, and its
    /// client takes nothing only by blocking the socket.
    async fn timed_out(&self) {
        if !self.activity.is_http2() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = self.activity.idle(self.settings.idle) => {}
            () = self.activity.stalled(self.settings.write, least_bytes(&self.settings)) => {}
        }
    }

    /// Waits until the connection is to be shut down, because the server stops, or because no request with a key came
    /// for too long.
    ///
    /// HTTP/2 negotiates the last request. HTTP/1 cannot, so one that is already on its way gets some time.
    async fn last_call(&self) {
        tokio::select! {
            () = self.stop.closing.cancelled() => {}
            () = self.activity.without_key(self.settings.idle), if !self.is_trusted => {}
        }
        self.activity.end();
        if !self.activity.is_http2() {
            sleep(LAST_REQUEST).await;
        }
    }
}
