//! `leyden-sim`: many real nodes in one process, with everything going wrong, from a seed or from a story.

// The tool around the simulator reads files, measures time and spreads seeds over threads; the simulator itself does not.
// Its figures decide nothing.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::float_arithmetic)]

mod cli;

use clap::{Parser, Subcommand};

/// With how it was built: what a simulation tells must not depend on it, and whoever compares two builds wants to know
/// that they are two.
const VERSION: &str = if cfg!(debug_assertions) {
    concat!(env!("CARGO_PKG_VERSION"), ", with debug assertions")
} else {
    concat!(env!("CARGO_PKG_VERSION"), ", without debug assertions")
};

/// Simulates Lightning networks of real Leyden nodes.
#[derive(Parser)]
#[command(name = "leyden-sim", version = VERSION)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draw stories from seeds, tell them, judge them; shrink the first that fails.
    Soak(cli::soak::SoakArgs),
    /// Tell the stories of files, as written or in all variants.
    Run(cli::run::RunArgs),
    /// Make a failing story short.
    Shrink(cli::shrink::ShrinkArgs),
    /// Run flight recordings again and compare what the nodes do.
    Replay(cli::replay::ReplayArgs),
}

fn main() -> std::process::ExitCode {
    let done = match Args::parse().command {
        Command::Soak(args) => cli::soak::main(&args),
        Command::Run(args) => cli::run::main(&args),
        Command::Shrink(args) => cli::shrink::main(&args),
        Command::Replay(args) => cli::replay::main(&args),
    };
    match done {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("leyden-sim: {reason}");
            std::process::ExitCode::from(2)
        }
    }
}
