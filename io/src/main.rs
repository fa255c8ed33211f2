//! `leydend`: a Lightning node, or several to play with.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use leyden_io::config::Flags;
use leyden_io::daemon::{Daemon, Given};
use leyden_io::log::Log;
use leyden_io::playground::{self, Playground};

/// A Lightning node.
#[derive(Parser)]
#[command(
    name = "leydend",
    version,
    about = "A Lightning node: one pure state machine, explainable to the last msat",
    args_conflicts_with_subcommands = true
)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Several nodes with open channels on a chain of their own, to try things out
    Playground(Playground),
}

fn main() -> ExitCode {
    let program = Program::parse();
    let result = match &program.command {
        None => run(&program.flags),
        Some(Command::Playground(flags)) => playground::run(flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("leydend: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), String> {
    let settings = flags.settle().map_err(|error| error.to_string())?;
    Daemon::start(&settings, Given::default(), || Log::new(settings.log.clone()))?.run()
}
