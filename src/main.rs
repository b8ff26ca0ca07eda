//! The `lmn` binary: parses the command line, runs the command, and exits with its code.

use std::process::ExitCode;

use clap::Parser;
use lmn_partner_api::cli::Lmn;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Lmn::parse().run()
}
