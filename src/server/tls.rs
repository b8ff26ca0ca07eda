//! TLS for partners, ended here: handshakes in bounded time, and a certificate that can be changed while it is in use.
//!
//! The files are looked at every so often, and at once when the process gets a SIGHUP. New connections get what they
//! hold then; the ones that are open live on. Files that are no pair are said once, and what was good is kept.

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
    settings::{self, Files, Pair, PairFault},
};

/// What is offered, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What makes connections secret.
#[derive(Clone)]
pub(super) struct Tls {
    settings: settings::Tls,
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

impl Tls {
    /// Begins with the certificate that was there at the start, or says what is wrong with the cryptography.
    pub(super) fn new(settings: settings::Tls) -> Result<Self, rustls::Error> {
        let current = Arc::new(Current(RwLock::new(settings.first.certified.clone())));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            settings,
            acceptor: Arc::new(config).into(),
            current,
        })
    }

    /// Shakes hands with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(self.settings.handshake, self.acceptor.accept(stream)).await?
    }

    /// Takes a new certificate whenever there is one, until the replica stops.
    pub(super) async fn keep_fresh(self, app: App) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(%error, "a SIGHUP cannot be heard; certificates are looked at all the same");
                None
            }
        };
        let mut expiry = Expiry::begin(&app, &self.settings.first);
        let mut ticks = interval(self.settings.reload);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            expiry.warn_once(&app);
            tokio::select! {
                () = app.stopping() => return,
                _ = ticks.tick() => {}
                () = heard(&mut hangups) => {}
            }
            let settings = self.settings.clone();
            let looked = spawn_blocking(move || {
                Files::read(&settings.certificate_file, &settings.private_key_file)
                    .map(|files| (files.digest(), files.pair()))
            });
            // What is no file yet is told from every file.
            let (digest, pair) = match looked.await {
                Ok(Ok((digest, pair))) => (Some(digest), pair),
                Ok(Err(fault)) => (None, Err(fault)),
                Err(_) => continue,
            };
            if seen == Some(digest) {
                continue;
            }
            let is_first = seen.replace(digest).is_none();
            if let Some(begun) = self.take(&app, is_first, pair) {
                expiry = begun;
            }
        }
    }

    /// Takes what the files hold now, if it is a pair; returns until when a new one is good.
    fn take(&self, app: &App, is_first: bool, pair: Result<Pair, PairFault>) -> Option<Expiry> {
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
                    tracing::info!("new connections get the certificate that the files hold now");
                    Expiry::begin(app, &pair)
                })
            }
            Err(fault) => {
                app.metrics().count_bad_certificate();
                tracing::error!(error = %fault, "the certificate's files are no pair; the last good one is kept");
                None
            }
        }
    }
}

/// Waits for a SIGHUP, for ever if none can be heard.
async fn heard(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// Until when the certificate in use is good.
struct Expiry {
    at: Option<DateTime<Utc>>,
    /// Whether it was said that it has expired.
    is_said: bool,
}

impl Expiry {
    /// Tells until when a certificate is good that is used from now on.
    fn begin(app: &App, pair: &Pair) -> Self {
        if let Some(at) = pair.expires_at {
            app.metrics().set_certificate_expiry(at);
        }
        Self {
            at: pair.expires_at,
            is_said: false,
        }
    }

    /// Warns of a certificate that has expired, also of one that was good when it was taken.
    fn warn_once(&mut self, app: &App) {
        if let Some(expires_at) = self.at
            && !self.is_said
            && expires_at <= app.heartbeat().time()
        {
            self.is_said = true;
            tracing::warn!(%expires_at, "the certificate has expired; partners will refuse it");
        }
    }
}
