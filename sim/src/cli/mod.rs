//! The command line: one file for each sub-command.

mod replay;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Many Leyden nodes in one process, and recorded ones again.
#[derive(Parser, Debug)]
#[command(name = "leyden-sim", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run flight recordings again and compare what the nodes do.
    Replay(replay::Arguments),
}

/// The whole program.
pub(crate) fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Replay(arguments) => replay::run(&arguments),
    }
}
