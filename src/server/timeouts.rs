//! Timeouts of the two sides of a connection.
//!
//! hyper's only timer for HTTP/1 runs from the end of a response to the end of the next request head, so it cannot
//! distinguish an idle connection, which a proxy keeps open for a minute, from a head that arrives slowly. That timer
//! limits the idle time, and [`HeadTimeout`] limits the head from its first byte. [`WriteTimeout`] limits the time that
//! the client may take nothing, or too little, of what is written.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::activity::Activity;
use crate::config;

/// Returns the number of bytes that a client must take within `server.write_seconds`; at least one.
pub(super) fn least_bytes(settings: &config::Server) -> u64 {
    let bytes = settings.write_bytes_per_second_min;
    bytes.saturating_mul(settings.write.as_secs()).max(1)
}

/// The reading side of an HTTP/1 connection, which fails if a request head is not complete in time.
pub(super) struct HeadTimeout<R> {
    inner: R,
    activity: Activity,
    /// The number of complete heads at the last read.
    complete: usize,
    limit: Duration,
    /// The timer, which runs until the head is complete.
    head: Option<Pin<Box<Sleep>>>,
}

impl<R> HeadTimeout<R> {
    /// Starts the timer, because a connection begins with a head.
    pub(super) fn new(inner: R, activity: Activity, limit: Duration) -> Self {
        activity.set_head_begun(true);
        Self {
            inner,
            activity,
            complete: 0,
            limit,
            head: Some(Box::pin(sleep(limit))),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for HeadTimeout<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let complete = self.activity.begun();
        if self.complete != complete {
            self.complete = complete;
            self.head = None;
            self.activity.set_head_begun(false);
        }
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if self.activity.in_progress() {
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
                self.activity.set_head_begun(true);
                Poll::Ready(done)
            }
            (read, _) => read,
        }
    }
}

/// The writing side of a connection, which fails if the client takes too little for too long.
///
/// The time counts while writes are blocked. After each `limit` of it, at least `least` bytes must have been written.
pub(super) struct WriteTimeout<W> {
    inner: W,
    limit: Duration,
    least: u64,
    /// The time for which writes were blocked since the last check, without the current one.
    blocked: Duration,
    /// The bytes written since the last check.
    written: u64,
    /// The moment since which the current write is blocked.
    since: Option<Instant>,
    /// The timer of the next check, which runs while a write is blocked.
    check: Option<Pin<Box<Sleep>>>,
}

impl<W> WriteTimeout<W> {
    /// Requires that the client takes `least` bytes in each `limit`.
    pub(super) fn new(inner: W, limit: Duration, least: u64) -> Self {
        Self {
            inner,
            limit,
            least,
            blocked: Duration::ZERO,
            written: 0,
            since: None,
            check: None,
        }
    }

    /// Counts the bytes of a write, and returns its result.
    fn count(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.written += *bytes as u64;
        }
        self.limited(written, context)
    }

    /// Returns the result of a write, or an error at a check that fails.
    fn limited<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if let Some(since) = self.since.take() {
                self.blocked += since.elapsed();
            }
            return written;
        }
        let limit = self.limit;
        let check = self.check.get_or_insert_with(|| Box::pin(sleep(limit)));
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            check
                .as_mut()
                .reset(now + limit.saturating_sub(self.blocked));
        }
        loop {
            ready!(check.as_mut().poll(context));
            if self.written < self.least {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let now = Instant::now();
            (self.since, self.blocked, self.written) = (Some(now), Duration::ZERO, 0);
            check.as_mut().reset(now + limit);
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.count(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.count(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.limited(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.limited(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Writes to a client that takes 4 bytes every 29 seconds, three times; returns the seconds until the timeout.
    async fn seconds_to_timeout(least: u64) -> u64 {
        let (ours, mut theirs) = duplex(4);
        let mut ours = WriteTimeout::new(ours, LIMIT, least);
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
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_too_little_times_out_and_a_slow_one_does_not() {
        // The last progress is in the third period, so nothing is taken in the fourth.
        assert_eq!(seconds_to_timeout(1).await, 4 * 30);
        assert_eq!(seconds_to_timeout(4).await, 4 * 30);
        // 4 bytes were written before the client took any.
        assert_eq!(seconds_to_timeout(8).await, 2 * 30);
        assert_eq!(seconds_to_timeout(9).await, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn time_between_writes_does_not_count() {
        let (ours, mut theirs) = duplex(1024);
        let mut ours = WriteTimeout::new(ours, LIMIT, 1024);
        for _ in 0..3 {
            ours.write_all(&[7; 8]).await.unwrap();
            theirs.read_exact(&mut [0; 8]).await.unwrap();
            sleep(LIMIT * 2).await;
        }
    }
}
