//! `leyden-sim`: simulate nodes, and replay what they recorded.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
