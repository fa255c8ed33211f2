//! `leyden-cli`: asks a running node.

use std::process::ExitCode;

fn main() -> ExitCode {
    leyden_rpc::cli::run(std::env::args_os())
}
