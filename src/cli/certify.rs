//! `lmn certify`: checks a partner's integration from outside, with the partner's own key, in a sandbox.
//!
//! It reads what the integration has done, lets LMN deliver events to its webhook endpoint, and sends forged deliveries
//! to it. [`account`] has the steps about orders and events, [`deliveries`] those that LMN's deliveries answer, and
//! [`receiver`] those that are sent to the endpoint directly.

mod account;
mod api;
mod deliveries;
mod http;
mod receiver;
mod report;

use std::{env, fs, path::PathBuf};

use anyhow::{Context, bail};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use self::{
    api::Api,
    http::Client,
    receiver::Receiver,
    report::{Report, Step},
};
use super::{block_on, print_outcome, say};
use crate::{values::environment::Environment, webhooks::signature::Secret};

/// The variable with the API key.
const KEY: &str = "LMN_API_KEY";
/// The variable with the secret of the webhook endpoint.
const SECRET: &str = "LMN_WEBHOOK_SECRET";

const SANDBOX: Step = Step::required("sandbox");
const ACCEPTED_KEY: Step = Step::required("key");
const ORDERS: Step = Step::required("orders");
const CANCELLATION: Step = Step::optional("cancellation");
const REPORTS: Step = Step::optional("reports");
const FEED: Step = Step::required("feed");
const FAILED_EVENTS: Step = Step::optional("failed_events");
const ENDPOINT: Step = Step::required("endpoint");
const FORGERY: Step = Step::required("forgery");
const TEST_EVENT: Step = Step::required("test_event");
const REDELIVERY: Step = Step::required("redelivery");
/// Required with `--advance`.
const SEQUENCE: Step = Step::optional("sequence");
/// Required with the secret, like the three steps that follow from it.
const SIGNED: Step = Step::optional("signed");
const TAMPERED: Step = Step::optional("tampered");
const STALE: Step = Step::optional("stale");
const REPLAY: Step = Step::optional("replay");

// Key and secret are read from files or variables, because the arguments of a process are visible to other users.
/// The arguments of `lmn certify`.
#[derive(Debug, clap::Args)]
pub(super) struct Certify {
    /// The URL of the sandbox, such as `https://sandbox.example.com`.
    #[arg(long, value_parser = base_url)]
    url: Url,
    /// The file with the API key, such as .lmn/api_key [default: the variable LMN_API_KEY].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The file with the secret of the webhook endpoint, for the checks that need signed deliveries [default: the
    /// variable LMN_WEBHOOK_SECRET].
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// The number of days within which the integration has placed an order.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    days: u16,
    /// Also move one of the integration's open orders to `acquiring` and `secured`, and check its events.
    #[arg(long)]
    advance: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Certify {
    /// Runs the command. It fails unless every required step passes.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let key = read_secret(self.key.as_ref(), KEY)?;
        let key = key.with_context(|| format!("there is no API key: use --key, or set {KEY}"))?;
        check_key(&key)?;
        let secret = read_secret(self.secret.as_ref(), SECRET)?;
        let secret = secret.map(|it| Secret::parse(&it).context(
            "the secret of the webhook endpoint must be `whsec_` and 44 characters, as it was shown",
        ));
        let secret = secret.transpose()?;
        let mut report = Report::new(self.json);
        block_on(async {
            let client = Client::new()?;
            let key = SecretString::from(key);
            let api = Api::new(&client, self.url.as_str(), &key);
            judge_account(&api, self.days, &mut report).await?;
            let steps = Steps {
                api: &api,
                client: &client,
                secret: secret.as_ref(),
                advance: self.advance,
            };
            steps.judge_webhooks(&mut report).await
        })?;
        self.conclude(&report)
    }

    /// Prints the result of all steps.
    fn conclude(&self, report: &Report) -> anyhow::Result<()> {
        let open = report.open();
        if self.json {
            let url = self.url.as_str().trim_end_matches('/');
            print_outcome(json!({"url": url, "passed": open.is_empty(), "steps": report.rows()}))?;
        }
        if !open.is_empty() {
            bail!("the integration does not pass: {}", open.join(", "));
        }
        say("The integration passes.");
        Ok(())
    }
}

/// Judges the key and what the integration has done so far.
async fn judge_account(api: &Api<'_>, days: u16, report: &mut Report) -> anyhow::Result<()> {
    let rest = [ORDERS, CANCELLATION, REPORTS, FEED, FAILED_EVENTS];
    if report.step(SANDBOX, account::sandbox(api)).await?.is_none() {
        report.skip(&[ACCEPTED_KEY], SANDBOX)?;
        return report.skip(&rest, SANDBOX);
    }
    if report
        .step(ACCEPTED_KEY, account::key(api))
        .await?
        .is_none()
    {
        return report.skip(&rest, ACCEPTED_KEY);
    }
    report.step(ORDERS, account::orders(api, days)).await?;
    report
        .step(CANCELLATION, account::cancellation(api))
        .await?;
    report.step(REPORTS, account::reports(api)).await?;
    report.step(FEED, account::feed(api)).await?;
    report
        .step(FAILED_EVENTS, account::failed_events(api))
        .await?;
    Ok(())
}

/// The steps about the webhook endpoint.
struct Steps<'a> {
    api: &'a Api<'a>,
    client: &'a Client,
    secret: Option<&'a Secret>,
    advance: bool,
}

impl Steps<'_> {
    /// Judges the endpoint, its deliveries, and the receiver behind it.
    async fn judge_webhooks(&self, report: &mut Report) -> anyhow::Result<()> {
        let sequence = SEQUENCE.required_if(self.advance);
        let signed = [SIGNED, TAMPERED, STALE, REPLAY];
        let signed = signed.map(|it| it.required_if(self.secret.is_some()));
        let found = match report.passed(ACCEPTED_KEY) {
            true => {
                report
                    .step(ENDPOINT, deliveries::endpoint(self.api))
                    .await?
            }
            false => {
                report.skip(&[ENDPOINT], ACCEPTED_KEY)?;
                None
            }
        };
        let Some(url) = found else {
            report.skip(&[TEST_EVENT, REDELIVERY, sequence, FORGERY], ENDPOINT)?;
            return report.skip(&signed, ENDPOINT);
        };
        let test = deliveries::test_event(self.api);
        match report.step(TEST_EVENT, test).await? {
            Some(event) => {
                let again = deliveries::redelivery(self.api, &event);
                report.step(REDELIVERY, again).await?;
                let moved = deliveries::sequence(self.api, self.advance);
                report.step(sequence, moved).await?;
            }
            None => report.skip(&[REDELIVERY, sequence], TEST_EVENT)?,
        }
        let receiver = Receiver::new(self.api, self.client, url);
        report.step(FORGERY, receiver.forgery()).await?;
        self.judge_signed(&receiver, signed, report).await
    }

    /// Judges the steps that need the secret of the endpoint.
    async fn judge_signed(
        &self,
        receiver: &Receiver<'_>,
        [signed, tampered, stale, replay]: [Step; 4],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let rest = [tampered, stale, replay];
        let first = report.step(signed, receiver.signed(self.secret)).await?;
        let (Some(delivery), Some(secret)) = (first, self.secret) else {
            return report.skip(&rest, signed);
        };
        report.step(tampered, receiver.tampered(&delivery)).await?;
        report.step(stale, receiver.stale(secret)).await?;
        report.step(replay, receiver.replay(&delivery)).await?;
        Ok(())
    }
}

/// Parses the base URL of the API.
fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain {
        true => Ok(url),
        false => {
            Err("expected an http or https URL without a user name, query and fragment".to_owned())
        }
    }
}

/// Reads a secret from a file, or without one from a variable.
fn read_secret(file: Option<&PathBuf>, variable: &str) -> anyhow::Result<Option<String>> {
    let text = match file {
        // A secret given in place of the file's name is not repeated.
        Some(file) if is_secret(&file.to_string_lossy()) => {
            bail!(
                "expected the name of a file that contains the key or secret, not the key or secret itself"
            )
        }
        Some(file) => {
            let text = fs::read_to_string(file);
            Some(text.with_context(|| format!("cannot read {}", file.display()))?)
        }
        None => env::var(variable).ok(),
    };
    let text = text.map(|it| it.trim().to_owned());
    Ok(text.filter(|it| !it.is_empty()))
}

/// Returns whether a text has the form of a key or a secret.
fn is_secret(text: &str) -> bool {
    let prefixes = ["whsec_", "lmn_stg_", "lmn_prd_"];
    prefixes.iter().any(|it| text.starts_with(it))
}

/// Refuses a key of production, which is never sent to a sandbox, and text that cannot be a header.
fn check_key(key: &str) -> anyhow::Result<()> {
    if key.starts_with(Environment::Production.key_prefix()) {
        bail!(
            "this is a key for production; use the key for the sandbox, which begins with `lmn_stg_`"
        );
    }
    if !key.bytes().all(|it| it.is_ascii_graphic()) {
        bail!("the API key must be one line of ASCII characters without spaces");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_has_no_user_name_query_or_fragment() {
        for text in ["http://localhost:8080", "https://a.example/lmn/"] {
            assert!(base_url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "localhost:8080",
            "a.example",
            "ftp://a.example",
            "https://",
            "https://kim@a.example",
            "https://a.example?b",
            "https://a.example#c",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_accepted_in_place_of_the_name_of_a_file() {
        for text in ["lmn_stg_x", "lmn_prd_x", "whsec_x"] {
            let error = read_secret(Some(&text.into()), "LMN_NOTHING").unwrap_err();
            assert!(!format!("{error:#}").contains(text), "{error:#}");
        }
    }

    #[test]
    fn key_of_production_is_never_sent() {
        assert!(check_key("lmn_stg_0123456789abcdefghijklmnopqr").is_ok());
        for key in [
            "lmn_prd_0123456789abcdefghijklmnopqr",
            "lmn_stg_a b",
            "lmn_stg_\u{e4}",
        ] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
