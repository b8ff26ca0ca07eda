//! TLS termination: handshakes with a timeout, and a certificate that can be replaced at run time.
//!
//! The files are checked at an interval, and at once on a SIGHUP. New connections get the certificate that the files
//! contain; open connections keep theirs. Files that are not a valid pair are logged once, and the last valid
//! certificate stays in use.

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::{
    net::TcpStream,
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    app::App,
    config::{self, Files, Pair, PairFault},
    telemetry::load::Listener,
};

/// The offered protocols, preferred first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS on a listener. It is cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    listener: Listener,
    settings: config::Tls,
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate of new connections.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

impl Tls {
    /// Starts with the certificate that was read with the settings, and reloads it whenever its files change, until the
    /// replica stops. Fails if the cryptography provider cannot be used.
    pub(super) fn start(
        app: &App,
        listener: Listener,
        settings: config::Tls,
    ) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(settings.first.certified.clone())));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let tls = Self {
            listener,
            settings,
            acceptor: Arc::new(config).into(),
            current,
        };
        app.tasks().spawn(tls.clone().keep_fresh(app.clone()));
        Ok(tls)
    }

    /// Returns the listener that has it.
    pub(super) fn listener(&self) -> Listener {
        self.listener
    }

    /// Performs the handshake with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(self.settings.handshake, self.acceptor.accept(stream)).await?
    }

    /// Reloads the certificate whenever its files change, until the replica stops.
    async fn keep_fresh(self, app: App) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGHUP; certificate files are still checked at an interval");
                None
            }
        };
        let mut expiry = Expiry::begin(&app, self.listener, &self.settings.first);
        let mut ticks = interval(self.settings.reload);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            expiry.warn_once(&app);
            tokio::select! {
                () = app.stopping().cancelled() => return,
                _ = ticks.tick() => {}
                () = hangup(&mut hangups) => {}
            }
            let settings = self.settings.clone();
            let reading = spawn_blocking(move || {
                Files::read(&settings.certificate_file, &settings.private_key_file)
                    .map(|files| (files.digest(), files.pair()))
            });
            // A missing file has no digest, so it differs from every file.
            let (digest, pair) = match reading.await {
                Ok(Ok((digest, pair))) => (Some(digest), pair),
                Ok(Err(fault)) => (None, Err(fault)),
                Err(_) => continue,
            };
            if seen == Some(digest) {
                continue;
            }
            let is_first = seen.replace(digest).is_none();
            if let Some(new_expiry) = self.take(&app, is_first, pair) {
                expiry = new_expiry;
            }
        }
    }

    /// Replaces the certificate if the files contain a valid pair. Returns the expiry of a new certificate.
    fn take(&self, app: &App, is_first: bool, pair: Result<Pair, PairFault>) -> Option<Expiry> {
        let listener = self.listener.as_str();
        match pair {
            Ok(pair) => {
                let mut current = self
                    .current
                    .0
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                let is_new = current.cert != pair.certified.cert;
                *current = pair.certified.clone();
                drop(current);
                (is_new || !is_first).then(|| {
                    tracing::info!(
                        listener,
                        "new connections use the certificate that was reloaded"
                    );
                    Expiry::begin(app, self.listener, &pair)
                })
            }
            Err(fault) => {
                app.metrics().count_bad_certificate(self.listener);
                tracing::error!(listener, error = %fault, "the certificate files are not a valid pair; the last good one is kept");
                None
            }
        }
    }
}

/// Waits for a SIGHUP, or forever if the signal cannot be received.
async fn hangup(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// The expiry of the certificate in use.
struct Expiry {
    listener: Listener,
    at: Option<DateTime<Utc>>,
    /// Whether the warning about the expiry was logged.
    is_said: bool,
}

impl Expiry {
    /// Records the expiry of a certificate that is used from now on.
    fn begin(app: &App, listener: Listener, pair: &Pair) -> Self {
        if let Some(at) = pair.expires_at {
            app.metrics().set_certificate_expiry(listener, at);
        }
        Self {
            listener,
            at: pair.expires_at,
            is_said: false,
        }
    }

    /// Warns once if the certificate has expired, also if it was valid when it was loaded.
    fn warn_once(&mut self, app: &App) {
        if let Some(expires_at) = self.at
            && !self.is_said
            && expires_at <= app.heartbeat().time()
        {
            self.is_said = true;
            let listener = self.listener.as_str();
            tracing::warn!(listener, %expires_at, "the certificate has expired; clients will refuse it");
        }
    }
}
