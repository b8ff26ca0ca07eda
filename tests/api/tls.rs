//! TLS terminated by the server: over real sockets, with certificates that change.

use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use rustls::{
    ProtocolVersion, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    database::TestDatabase,
    process::{Process, lmn_on, words},
    support::{
        Service,
        certificate::{CertificateFiles, PATIENCE, address, client, connect, presented},
        eventually, settings,
    },
};

/// A request that keeps its connection open.
const REQUEST: &[u8] = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Starts a service whose partners' listener presents the certificate.
async fn service(files: &CertificateFiles, more: &[(&str, &str)]) -> Service {
    Service::with(&[&files.settings("SERVER")[..], more].concat()).await
}

/// Sends a request over an open connection and reads its response.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(
            stream.read_buf(&mut answer).await.unwrap(),
            0,
            "the connection is closed"
        );
    }
    assert!(answer.starts_with(b"HTTP/1.1 404 Not Found"));
}

#[tokio::test]
async fn tls_1_2_and_1_3_serve_http_1_and_http_2() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let service = service(&files, &[]).await;
    let both: [(&'static SupportedProtocolVersion, ProtocolVersion); 2] = [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ];
    for (version, expected) in both {
        for offered in [
            vec![],
            vec!["http/1.1"],
            vec!["h2", "http/1.1"],
            vec!["http/1.1", "h2"],
        ] {
            let mut config = client(&files, &[version]);
            config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
            let mut stream = connect(config, &service.url).await.unwrap();
            let (_, session) = stream.get_ref();
            assert_eq!(session.protocol_version(), Some(expected));
            let chosen = session
                .alpn_protocol()
                .map(|it| String::from_utf8_lossy(it).into_owned());
            let best = offered.iter().min().map(|it| (*it).to_owned());
            assert_eq!(chosen, best, "h2 is preferred");
            if chosen.as_deref() != Some("h2") {
                ask(&mut stream).await;
                continue;
            }
            let io = TokioIo::new(stream);
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let request = hyper::Request::get("https://localhost/nowhere");
            let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.version(), hyper::Version::HTTP_2);
            assert_eq!(response.status(), 404);
            connection.abort();
        }
    }
    // A client that supports both versions gets the newer one.
    let stream = connect(client(&files, &[&TLS12, &TLS13]), &service.url)
        .await
        .unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn older_versions_and_plain_http_are_refused() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let service = service(&files, &[]).await;
    // A ClientHello of TLS 1.1: two cipher suites, no compression, a curve, a point format and a signature algorithm.
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    body.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
    body.extend([0, 13, 0, 4, 0, 2, 4, 1]);
    let length = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    let mut old = TcpStream::connect(address(&service.url)).await.unwrap();
    old.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, old.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is closed");
    // A fatal alert: protocol_version.
    assert_eq!(
        (answer.first(), &answer[5..]),
        (Some(&21), [2, 70].as_slice()),
        "{answer:?}"
    );
    let mut plain = TcpStream::connect(address(&service.url)).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn handshake_that_takes_too_long_is_ended_and_counts_as_a_connection() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let limits = [
        ("SERVER__TLS__HANDSHAKE_SECONDS", "1"),
        settings::first_byte_seconds(600),
        settings::connections_max(2),
    ];
    let service = service(&files, &limits).await;
    let silent = TcpStream::connect(address(&service.url)).await.unwrap();
    let mut slow = TcpStream::connect(address(&service.url)).await.unwrap();
    slow.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 200])
        .await
        .unwrap();
    // A third connection is accepted once those are closed.
    let mut third = connect(client(&files, &[&TLS13]), &service.url)
        .await
        .unwrap();
    ask(&mut third).await;
    for mut socket in [silent, slow] {
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, socket.read_to_end(&mut answer))
            .await
            .expect("the connection is closed");
    }
}

#[tokio::test]
async fn tls_connection_whose_client_reads_no_responses_is_closed() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let limits = [
        settings::write_seconds(1),
        settings::idle_seconds(600),
        settings::connections_max(1),
    ];
    let service = service(&files, &limits).await;
    let mut slow = connect(client(&files, &[&TLS13]), &service.url)
        .await
        .unwrap();
    // Responses larger than all buffers between server and client.
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    slow.write_all(request.repeat(400).as_bytes())
        .await
        .unwrap();
    slow.flush().await.unwrap();
    // The next connection is accepted once that one is closed.
    let mut next = connect(client(&files, &[&TLS13]), &service.url)
        .await
        .unwrap();
    ask(&mut next).await;
    drop(slow);
}

#[tokio::test]
async fn graceful_stop_closes_tls_connections() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let mut service = service(&files, &[]).await;
    let mut idle = connect(client(&files, &[&TLS13]), &service.url)
        .await
        .unwrap();
    ask(&mut idle).await;
    let shaking = TcpStream::connect(address(&service.url)).await.unwrap();
    timeout(PATIENCE, service.stop())
        .await
        .expect("the service stops in time");
    let mut rest = Vec::new();
    // The server closes the TLS session properly, with a close_notify alert.
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap(), 0);
    drop(shaking);
}

/// Starts a replica as a process, to which a signal can be sent; returns it and its log.
fn replica(
    database: &TestDatabase,
    files: &CertificateFiles,
    reload_seconds: &str,
) -> (Process, NamedTempFile) {
    let log = NamedTempFile::new().unwrap();
    let [certificate, key] = files.settings("SERVER");
    let settings = [
        settings::LOG_INFO,
        certificate,
        key,
        ("SERVER__TLS__RELOAD_SECONDS", reload_seconds),
    ];
    let arguments = ["serve", "--json", "--no-worker"];
    let command = lmn_on(&database.url(), &arguments, &settings);
    let process = Process::run_with_log(command, log.reopen().unwrap());
    assert!(process.url().starts_with("https://"));
    (process, log)
}

async fn metrics(process: &Process) -> String {
    let answer = reqwest::get(format!("{}/metrics", process.operator_url())).await;
    answer.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificate_is_loaded_without_a_restart_and_a_bad_one_is_ignored() {
    let (database, files) = (TestDatabase::new().await, CertificateFiles::new());
    let first = files.renew(2100);
    let (process, log) = replica(&database, &files, "1");
    assert_eq!(presented(&files, process.url()).await, Some(first));
    let mut open = connect(client(&files, &[&TLS13]), process.url())
        .await
        .unwrap();
    ask(&mut open).await;

    let second = files.renew(2101);
    eventually("the new certificate is presented", async || {
        (presented(&files, process.url()).await.as_ref() == Some(&second)).then_some(())
    })
    .await;
    ask(&mut open).await;
    let expiry = "lmn_tls_certificate_expiry_timestamp_seconds{listener=\"partners\"} 4133980800";
    assert!(
        metrics(&process).await.contains(expiry),
        "the metrics show when the certificate expires"
    );

    // First a key of another certificate, then no key.
    let bad =
        |count: u64| format!("lmn_tls_bad_certificates_total{{listener=\"partners\"}} {count}\n");
    fs::write(files.key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    eventually("the bad certificate is counted", async || {
        metrics(&process).await.contains(&bad(1)).then_some(())
    })
    .await;
    // The files are read many times, but the problem is reported once.
    let noticed = Instant::now();
    while noticed.elapsed() < Duration::from_millis(2500) {
        assert_eq!(presented(&files, process.url()).await, Some(second.clone()));
    }
    assert!(metrics(&process).await.contains(&bad(1)));
    fs::remove_file(files.key()).unwrap();
    eventually("the bad certificate is counted", async || {
        metrics(&process).await.contains(&bad(2)).then_some(())
    })
    .await;
    assert_eq!(presented(&files, process.url()).await, Some(second));
    let said = fs::read_to_string(log.path()).unwrap();
    assert_eq!(
        said.matches("the last good one is kept").count(),
        2,
        "{said}"
    );
    assert!(said.contains("does not fit the certificate") && !said.contains("PRIVATE KEY"));

    let third = files.renew(2102);
    eventually("the third certificate is presented", async || {
        (presented(&files, process.url()).await.as_ref() == Some(&third)).then_some(())
    })
    .await;
    ask(&mut open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_certificate_and_an_expired_one_causes_a_warning() {
    let (database, files) = (TestDatabase::new().await, CertificateFiles::new());
    files.renew(2010);
    let (process, log) = replica(&database, &files, "3600");
    eventually("the expired certificate is logged", async || {
        let said = fs::read_to_string(log.path()).unwrap();
        said.contains("the certificate has expired").then_some(())
    })
    .await;
    let second = files.renew(2100);
    let id = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(id, Signal::HUP).unwrap();
    eventually("the new certificate is presented", async || {
        (presented(&files, process.url()).await.as_ref() == Some(&second)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_expires_while_in_use_causes_one_warning() {
    let (database, files) = (TestDatabase::new().await, CertificateFiles::new());
    files.renew(2100);
    let (process, log) = replica(&database, &files, "1");
    let warned = || {
        let said = fs::read_to_string(log.path()).unwrap();
        said.matches("the certificate has expired").count()
    };
    let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = since_1970().as_secs() + 5;
    let expiring = files.renew_until(until);
    eventually("the certificate is presented", async || {
        (presented(&files, process.url()).await.as_ref() == Some(&expiring)).then_some(())
    })
    .await;
    assert_eq!(warned(), 0, "the certificate is still valid");
    eventually("the expired certificate is logged", async || {
        (warned() > 0).then_some(())
    })
    .await;
    assert!(
        since_1970().as_secs() >= until,
        "no warning comes before the certificate expires"
    );
    // The files are read many times, but the problem is reported once.
    let noticed = Instant::now();
    while noticed.elapsed() < Duration::from_millis(2500) {
        let _ = presented(&files, process.url()).await;
        assert_eq!(warned(), 1);
    }
}

#[test]
fn check_of_the_settings_shows_when_both_certificates_expire() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let settings = [files.settings("SERVER"), files.settings("OPERATOR")].concat();
    let mut checking = lmn_on("postgres://localhost/lmn", &["config", "check"], &settings);
    let checked = checking.output().unwrap();
    let said = words(&checked);
    assert!(checked.status.success(), "{said}");
    for section in ["server.tls", "operator.tls"] {
        let expiry = format!("The certificate of {section} expires at 2100-01-01");
        assert!(said.contains(&expiry), "{said}");
    }
}
