//! `leyden-cli`: one request, one answer.

pub mod client;
mod human;
mod params;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser};
use clap_complete::Shell;
use jsonrpc_core::Value;
use leyden_core::config::Network;

use crate::methods;
use client::Failure;

/// Ask a running Leyden node.
///
/// METHOD is one of the node's methods (`leyden-cli help` lists them), or `completions SHELL`, which prints a
/// completion script for the shell.
#[derive(Parser, Debug)]
#[command(name = "leyden-cli", version, max_term_width = 100)]
struct Arguments {
    /// Folder of the node's files [default: ~/.leyden].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The chain: bitcoin (or mainnet), testnet4, signet or regtest.
    #[arg(long, value_name = "NETWORK", default_value = "bitcoin", value_parser = network)]
    network: Network,

    /// The node's socket [default: DIR/NETWORK/lightning-rpc].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// A node of `leydend playground`: A, B, C, or with `--dir` of the playground the node's folder, such as DIR/A.
    #[arg(long, short = 'p', value_name = "NODE", conflicts_with_all = ["data_dir", "network", "socket"])]
    playground: Option<PathBuf>,

    /// Print tables for people instead of JSON.
    #[arg(long, short = 'H')]
    human: bool,

    /// Read parameters by position even if they look like key=value.
    #[arg(long, short = 'o', conflicts_with = "keywords")]
    order: bool,

    /// Read parameters as key=value, whatever the keys look like.
    #[arg(long, short = 'k')]
    keywords: bool,

    /// What to ask.
    #[arg(value_name = "METHOD", index = 1)]
    method: String,

    /// Parameters, all by position or all as key=value. What is JSON is sent as it is, the rest as a text.
    #[arg(value_name = "PARAMETER", index = 2, trailing_var_arg = true, allow_hyphen_values = true)]
    parameters: Vec<String>,
}

fn network(name: &str) -> Result<Network, String> {
    Network::from_name(name).ok_or_else(|| "expected bitcoin, mainnet, testnet4, signet or regtest".to_owned())
}

/// The node refused, or cannot be reached.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;

/// The whole program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Arguments::command().try_get_matches_from(arguments);
    let arguments = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match answer(&arguments) {
        Ok(text) => print(&text),
        Err((code, message)) => {
            eprintln!("leyden-cli: {message}");
            ExitCode::from(code)
        }
    }
}

/// Prints; a reader that has had enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("leyden-cli: cannot write the answer: {error}");
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn answer(arguments: &Arguments) -> Result<String, (u8, String)> {
    let usage = |message: String| (USAGE, message);
    if arguments.method == "completions" {
        return completions(&arguments.parameters).map_err(usage);
    }
    let params = params::build(&arguments.parameters, style(arguments)).map_err(usage)?;
    let (result, human): (_, fn(&Value) -> String) = if arguments.method == "help" {
        // This program and its node know the same methods, and help is wanted most while there is no node.
        (methods::local::help_text(&params).map_err(|error| (FAILED, error.message))?, human::help)
    } else {
        (ask(arguments, &params).map_err(|failure| (FAILED, failure.to_string()))?, human::render)
    };
    Ok(if arguments.human { human(&result) } else { pretty(&result) })
}

fn style(arguments: &Arguments) -> params::Style {
    match (arguments.order, arguments.keywords) {
        (true, _) => params::Style::Order,
        (false, true) => params::Style::Keywords,
        (false, false) => params::Style::Guess,
    }
}

fn pretty(result: &Value) -> String {
    format!("{result:#}\n")
}

fn socket_path(arguments: &Arguments) -> PathBuf {
    if let Some(path) = &arguments.socket {
        return path.clone();
    }
    let (dir, network) = match &arguments.playground {
        Some(node) => (playground_node(node), Network::Regtest),
        None => (arguments.data_dir.clone().unwrap_or_else(home_folder), arguments.network),
    };
    dir.join(network.name()).join(crate::SOCKET_NAME)
}

fn home_folder() -> PathBuf {
    std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".leyden")
}

/// Where a playground is that was given no folder.
pub fn playground_folder() -> PathBuf {
    home_folder().join("playground")
}

/// A name alone is one of the usual playground's nodes, and they are called by capital letters.
fn playground_node(node: &Path) -> PathBuf {
    match node.to_str() {
        Some(name) if !name.contains('/') => {
            let is_letter = name.len() == 1;
            playground_folder().join(if is_letter { name.to_ascii_uppercase() } else { name.to_owned() })
        }
        _ => node.to_path_buf(),
    }
}

fn ask(arguments: &Arguments, params: &str) -> Result<Value, Failure> {
    let path = socket_path(arguments);
    let mut stream = connect(&path, arguments)?;
    let spinner = spinner(&arguments.method);
    let result = client::call(&mut stream, &arguments.method, params);
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    result
}

fn connect(path: &Path, arguments: &Arguments) -> Result<UnixStream, Failure> {
    UnixStream::connect(path).map_err(|error| {
        let network = arguments.network.name();
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused if arguments.playground.is_some() => {
                "is `leydend playground` running, with a node of this name? One that was started with --dir is called by \
                 its path: -p DIR/A"
                    .to_owned()
            }
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => format!(
                "is leydend running? It was looked for on the network {network}; see --network, --data-dir and --socket"
            ),
            std::io::ErrorKind::PermissionDenied => "only the user that runs leydend may use its socket".to_owned(),
            _ => "see --socket".to_owned(),
        };
        Failure::Unreachable(format!("cannot connect to {}: {error}; {hint}", path.display()))
    })
}

/// Shows that something is going on, once it takes a while, to people alone.
fn spinner(method: &str) -> Option<indicatif::ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = indicatif::ProgressBar::new_spinner().with_message(format!("{method}: waiting for the node"));
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}

fn completions(parameters: &[String]) -> Result<String, String> {
    const SHELLS: &str = "expected one of bash, elvish, fish, powershell or zsh";
    let [shell] = parameters else { return Err(format!("completions needs the name of a shell: {SHELLS}")) };
    let shell: Shell = shell.parse().map_err(|_| format!("'{shell}' is no shell that is known: {SHELLS}"))?;
    // Methods are plain words to the parser, since a newer node may know others. To shells they are sub-commands: not
    // all of them are offered the values of a plain word.
    let flags = Arguments::command();
    let shells = Arg::new("shell").value_parser(clap::value_parser!(Shell));
    let mut command = Command::new("leyden-cli")
        .args(flags.get_arguments().filter(|arg| !arg.is_positional()).cloned())
        .subcommands(methods::summaries().map(|(name, summary)| Command::new(name).about(summary)))
        .subcommand(Command::new("completions").about("Print a completion script for a shell").arg(shells))
        .disable_help_subcommand(true);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "leyden-cli", &mut script);
    String::from_utf8(script).map_err(|_| "the completion script is no text".to_owned())
}

#[cfg(test)]
mod tests;
