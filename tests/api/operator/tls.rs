//! TLS on the operator's listener: over real sockets, with certificates that change.

use std::fs;

use lmn_partner_api::operators::model::Role;
use rustls::version::TLS13;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    database::TestDatabase,
    process::{self, Process, lmn_on, words},
    support::{
        OperatorApi, Service,
        certificate::{CertificateFiles, PATIENCE, address, client, connect, presented},
        eventually,
        settings::{self, Setting},
    },
};

/// The operator's listener is on every address of this machine, not only on loopback.
const BEYOND_LOOPBACK: Setting = ("OPERATOR__LISTEN", "0.0.0.0:0");

/// Starts a service whose operator's listener is beyond loopback and presents the certificate.
async fn service(files: &CertificateFiles) -> Service {
    let [certificate, key] = files.settings("OPERATOR");
    Service::with(&[BEYOND_LOOPBACK, certificate, key]).await
}

/// Sends a request on a connection of its own, and returns the response as text.
async fn send(files: &CertificateFiles, url: &str, head: &str, body: &str) -> String {
    let mut stream = connect(client(files, &[&TLS13]), url).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("the server answers").unwrap();
    answer
}

#[tokio::test]
async fn operator_api_is_on_beyond_loopback_with_tls() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let service = service(&files).await;
    let mina = OperatorApi::add(&service, "mina", Role::Admin).await;
    let operators = async |token: &str| {
        let head = format!("GET /operator/v1/operators HTTP/1.1\r\nauthorization: Bearer {token}");
        send(&files, &mina.url, &head, "").await
    };
    let answered = operators(&mina.token).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
    assert!(answered.contains("mina"), "{answered}");
    let refused = operators("lmn_op_AAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(
        refused.starts_with("HTTP/1.1 401 Unauthorized"),
        "{refused}"
    );
    for path in ["/healthz", "/metrics"] {
        let answered = send(&files, &mina.url, &format!("GET {path} HTTP/1.1"), "").await;
        assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
    }
    let plain = reqwest::get(format!("{}/healthz", mina.url)).await;
    assert!(plain.is_err(), "plain HTTP is refused: {plain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_api_is_off_beyond_loopback_without_tls() {
    let (database, log) = (TestDatabase::new().await, NamedTempFile::new().unwrap());
    let arguments = ["serve", "--json", "--no-worker"];
    let settings = [BEYOND_LOOPBACK, settings::LOG_INFO];
    let command = lmn_on(&database.url(), &arguments, &settings);
    let replica = Process::run_with_log(command, log.reopen().unwrap());
    for (path, status) in [
        ("/healthz", 200),
        ("/metrics", 200),
        ("/operator/v1/operators", 404),
        ("/sign-in", 404),
        ("/", 404),
    ] {
        let answer = reqwest::get(format!("{}{path}", replica.operator_url())).await;
        assert_eq!(answer.unwrap().status(), status, "{path}");
    }
    eventually("a warning is logged", async || {
        let said = fs::read_to_string(log.path()).unwrap();
        let warning = "the operator API and the console are off";
        said.contains(warning).then_some(())
    })
    .await;
}

#[tokio::test]
async fn console_restricts_its_cookies_to_tls() {
    let files = CertificateFiles::new();
    files.renew(2100);
    let service = service(&files).await;
    let vera = OperatorApi::add(&service, "vera", Role::Viewer).await;
    let head = "POST /sign-in HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
    let form = format!("token={}", vera.token);
    let signed_in = send(&files, &vera.url, head, &form).await;
    assert!(
        signed_in.starts_with("HTTP/1.1 303 See Other"),
        "{signed_in}"
    );
    let language = send(&files, &vera.url, "GET /language?to=ko HTTP/1.1", "").await;
    let [session, language] = [&signed_in, &language].map(|answer| {
        let mut headers = answer.lines();
        let cookie = headers.find_map(|it| it.strip_prefix("set-cookie: "));
        cookie.unwrap_or_else(|| panic!("no cookie: {answer}"))
    });
    for cookie in [session, language] {
        assert!(cookie.ends_with("; Secure"), "{cookie}");
    }
    let session = session.split(';').next().unwrap();
    let head = format!("GET / HTTP/1.1\r\ncookie: {session}");
    let page = send(&files, &vera.url, &head, "").await;
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(page.contains("vera"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificate_is_presented_to_new_connections_of_the_operator() {
    let (database, files) = (TestDatabase::new().await, CertificateFiles::new());
    let first = files.renew(2100);
    let [certificate, key] = files.settings("OPERATOR");
    let reload = ("OPERATOR__TLS__RELOAD_SECONDS", "1");
    let settings = [certificate, key, reload, settings::LOG_OFF];
    let arguments = ["serve", "--json", "--no-worker"];
    let replica = Process::on(&database.url(), &arguments, &settings);
    let operator = replica.operator_url();
    assert!(operator.starts_with("https://"), "{operator}");
    assert!(replica.url().starts_with("http://"), "{}", replica.url());
    assert_eq!(presented(&files, operator).await, Some(first));

    let second = files.renew(2101);
    eventually("the new certificate is presented", async || {
        (presented(&files, operator).await.as_ref() == Some(&second)).then_some(())
    })
    .await;
    eventually("the metrics show when it expires", async || {
        let metrics = send(&files, operator, "GET /metrics HTTP/1.1", "").await;
        let expiry =
            "lmn_tls_certificate_expiry_timestamp_seconds{listener=\"operator\"} 4133980800";
        metrics.contains(expiry).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_check_uses_tls_and_accepts_the_certificate_while_its_files_change() {
    let (database, files) = (TestDatabase::new().await, CertificateFiles::new());
    files.renew(2100);
    let [certificate, key] = files.settings("OPERATOR");
    let settings = [certificate, key, settings::LOG_OFF];
    let worker = Process::on(&database.url(), &["worker", "--json"], &settings);
    let operator = worker.operator_url();
    assert!(operator.starts_with("https://"), "{operator}");
    let (listen, file) = (address(operator), files.certificate());
    let listen = ("LMN_OPERATOR__LISTEN", listen.as_str());
    let certificate = (
        "LMN_OPERATOR__TLS__CERTIFICATE_FILE",
        file.to_str().unwrap(),
    );
    let check =
        |variables: &[(&str, &str)]| process::run(&["healthcheck", "--live", "--json"], variables);
    let is_healthy = || {
        let checked = check(&[listen, certificate]);
        assert!(checked.status.success(), "{}", words(&checked));
        let said: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(said["url"], format!("{operator}/healthz"));
    };
    is_healthy();
    files.renew(2010);
    is_healthy();
    fs::write(files.key(), "").unwrap();
    is_healthy();
    let plain = check(&[listen]);
    assert_eq!(plain.status.code(), Some(1), "{}", words(&plain));
}
