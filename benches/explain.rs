//! What PostgreSQL does for a page of the catalogue: the plans of the very statements that the server sends.
//!
//! `cargo bench --bench explain` asks a server for pages as partners do, and prints how PostgreSQL answered each of its
//! statements (`auto_explain`, with buffers). The last output, of two million cars: `docs/explain.md`.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark is a program of its own, and ends where it cannot go on"
)]

mod support;

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use anyhow::ensure;
use support::{browse, database::Database, http::Client, plan::Plan, server::Server};

/// What makes the server's sessions log the plan of each statement.
const EXPLAINED: &str = "?options=-csession_preload_libraries=auto_explain%20-cauto_explain.log_min_duration=0\
                         %20-cauto_explain.log_analyze=on%20-cauto_explain.log_buffers=on%20-cauto_explain.log_timing=off";

/// What is asked, and why it is characteristic.
const QUESTIONS: [(&str, &str); 14] = [
    (
        "the default sort of an auction house, without a filter",
        "source=glovis",
    ),
    (
        "what is to be auctioned",
        "source=glovis,sk,aj,lotte,kcar&auction_status=upcoming",
    ),
    ("a make and model", "make=hyundai&model=grandeur"),
    (
        "a make and model by price",
        "make=hyundai&model=grandeur&sort=price_asc",
    ),
    (
        "a make and model by mileage, which no index begins with",
        "make=hyundai&model=grandeur&sort=mileage_asc",
    ),
    (
        "a range of prices by price",
        "make=kia&price_min_usd=9000&price_max_usd=11000&sort=price_asc",
    ),
    (
        "equipment, all of it",
        "source=glovis&options_include=sunroof,navigation,heated_seats",
    ),
    (
        "a keyword",
        "make=hyundai,kia,genesis&keyword=sorento%202.2",
    ),
    (
        "a keyword that few cars have",
        "source=glovis,sk,aj,lotte,kcar&keyword=ferrari",
    ),
    (
        "a rare combination that nothing matches",
        "make=hyundai&fuel=hydrogen&transmission=manual&color=yellow",
    ),
    (
        "grades, of which dealers' cars have none: they are counted",
        "make=kia&accident_grade=A",
    ),
    (
        "new cars by price, which are far along the walk",
        "make=hyundai,kia&year_min=2025&sort=price_asc",
    ),
    (
        "far driven by mileage, and rare",
        "make=hyundai&fuel=electric&price_max_usd=3000&sort=mileage_asc",
    ),
    ("one car by its id", "ids=encar_38219442"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let plan = Plan::read()?;
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let database = Database::catalogue(plan.catalogue).await?;
    let url = database.url();
    let (base, rest) = url.split_once('?').unwrap_or((&url, ""));
    let url = format!("{base}{EXPLAINED}&{rest}");
    let server = Server::serve(
        &url,
        &[("LMN_CATALOGUE__KEPT_MEBIBYTES", "1")],
        scratch.path(),
    )?;
    let mut log = File::open(database.log())?;
    let mut client = Client::connect(server.address).await?;
    let deep = plan.catalogue / 40;
    eprintln!("walking past {deep} cars");
    let cursor = browse::walk(&mut client, "source=glovis,sk,aj,lotte,kcar", deep).await?;
    println!("PostgreSQL {}, {} cars.", database.version, plan.catalogue);
    for (what, question) in QUESTIONS {
        explain(&mut client, &mut log, what, question).await?;
    }
    let question = format!("source=glovis,sk,aj,lotte,kcar{cursor}");
    let what = format!("the page after {deep} cars");
    explain(&mut client, &mut log, &what, &question).await?;
    server.stop()
}

/// Asks for a page, once to prepare and once to look, and prints what PostgreSQL did for it.
async fn explain(
    client: &mut Client,
    log: &mut File,
    what: &str,
    question: &str,
) -> anyhow::Result<()> {
    browse::read(client, &format!("?{question}")).await?;
    log.seek(SeekFrom::End(0))?;
    // The limit makes it another question, which is not kept.
    let page = browse::read(client, &format!("?{question}&limit=49")).await?;
    let mut said = String::new();
    log.read_to_string(&mut said)?;
    let plans = plans(&said);
    ensure!(
        !plans.is_empty(),
        "PostgreSQL logged no plan of `{question}`: {said}"
    );
    let cars = page["data"].as_array().map_or(0, Vec::len);
    let more = match page["next_cursor"].is_null() {
        true => "the last page",
        false => "and a cursor",
    };
    let shown = question.split("&cursor=").next().unwrap_or_default();
    println!("\n## {what}\n\n`?{shown}`: {cars} cars, {more}.\n");
    for plan in plans {
        println!("```text\n{plan}\n```\n");
    }
    Ok(())
}

/// Picks the plans of the catalogue's statements out of the log.
fn plans(said: &str) -> Vec<String> {
    let mut plans = Vec::new();
    for entry in said.split("LOG:  duration: ").skip(1) {
        let (duration, entry) = entry.split_once("  plan:\n").unwrap_or_default();
        let lines = entry.lines().take_while(|line| line.starts_with('\t'));
        let mut plan = String::new();
        let mut is_text = true;
        for line in lines.map(|line| &line[1..]) {
            // The statement's own text stands before its plan.
            is_text &= !line.contains("(cost=");
            if !is_text {
                let _ = writeln!(plan, "{}", shorten(line));
            }
        }
        if plan.contains("vehicles") && !plan.contains("summary IS NULL") {
            plans.push(format!("{plan}{duration}"));
        }
    }
    plans
}

/// Cuts what is long in a line: a condition with a hundred values says no more than one with ten.
fn shorten(line: &str) -> String {
    const CHARACTERS_MAX: usize = 220;
    let mut short: String = line.chars().take(CHARACTERS_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
