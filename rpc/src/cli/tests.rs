use std::io::Read;
use std::thread;

use super::*;
use crate::session::Session;
use crate::view::View;
use leyden_core::request::{Request, RequestError, Response};

fn parse(arguments: &[&str]) -> Arguments {
    Arguments::try_parse_from(std::iter::once("leyden-cli").chain(arguments.iter().copied())).expect("it is right")
}

/// A node that answers what it is asked with `reply`, over a real socket.
fn serve(mut socket: UnixStream, reply: fn(&Request) -> Result<Response, RequestError>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let view = View {
            version: "v0".into(),
            data_dir: String::new(),
            network: Network::Regtest,
            binding: Vec::new(),
            settings: Vec::new(),
        };
        let mut session = Session::default();
        let mut buffer = [0; 7];
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            session.received(&buffer[..count]);
            while let Some((token, request)) = session.next_request(&view) {
                session.reply(token, &reply(&request), &view);
            }
            // In small pieces, as a slow node would.
            while !session.output().is_empty() {
                let count = session.output().len().min(5);
                socket.write_all(&session.output()[..count]).expect("the client reads");
                session.written(count);
            }
        }
    })
}

#[test]
fn a_request_and_its_answer() {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let node = serve(server, |request| match request {
        Request::SignMessage { message } if message == "hi" => {
            Ok(Response::BlockHeight(leyden_core::ids::BlockHeight(7)))
        }
        Request::Getinfo => Err(RequestError::generic("not now")),
        other => panic!("{other:?}"),
    });
    let params = params::build(&["message=hi".to_owned()], params::Style::Guess).expect("good parameters");
    let result = client::call(&mut client, "signmessage", &params).expect("an answer");
    assert_eq!(result.to_string(), r#"{"blockheight":7}"#);
    let failure = client::call(&mut client, "getinfo", "[]").expect_err("a refusal");
    assert_eq!(failure.to_string(), "not now (code -1)");
    let failure = client::call(&mut client, "getinfo", "[1]").expect_err("a refusal");
    assert_eq!(failure.to_string(), "too many parameters: got 1, expected 0 (code -32602)");
    drop(client);
    node.join().expect("the node is content");
}

#[test]
fn progress_notes_and_silence() {
    let (mut client, mut server) = UnixStream::pair().expect("a pair of sockets");
    server
        .write_all(
            b"{\"method\":\"message\",\"params\":{}}\n\n{\"jsonrpc\":\"2.0\",\"id\":\"leyden-cli\",\"result\":{}}\n\n",
        )
        .expect("it fits");
    assert_eq!(client::call(&mut client, "stop", "[]").map(|result| result.to_string()), Ok("{}".to_owned()));
    server.shutdown(std::net::Shutdown::Write).expect("it is open");
    assert!(matches!(client::call(&mut client, "stop", "[]"), Err(Failure::Broken(_))));
}

#[test]
fn the_socket_is_looked_for_where_the_node_puts_it() {
    let path = |arguments: &[&str]| socket_path(&parse(arguments)).display().to_string();
    assert_eq!(path(&["--data-dir", "/d", "getinfo"]), "/d/bitcoin/lightning-rpc");
    assert_eq!(path(&["--data-dir", "/d", "--network", "mainnet", "getinfo"]), "/d/bitcoin/lightning-rpc");
    assert_eq!(path(&["--data-dir", "/d", "--network", "regtest", "getinfo"]), "/d/regtest/lightning-rpc");
    assert_eq!(path(&["--socket", "/s", "getinfo"]), "/s");
    assert!(path(&["getinfo"]).ends_with(".leyden/bitcoin/lightning-rpc"));
    assert!(path(&["-p", "A", "getinfo"]).ends_with(".leyden/playground/A/regtest/lightning-rpc"));
    assert!(path(&["-p", "c", "getinfo"]).ends_with(".leyden/playground/C/regtest/lightning-rpc"));
    assert_eq!(path(&["-p", "/d/A", "getinfo"]), "/d/A/regtest/lightning-rpc");
    assert_eq!(path(&["-p", "./A", "getinfo"]), "./A/regtest/lightning-rpc");
}

#[test]
fn a_node_that_is_not_there_is_asked_after() {
    let arguments = parse(&["--socket", "/nonexistent/lightning-rpc", "getinfo"]);
    let (code, message) = answer(&arguments).expect_err("nobody is there");
    assert_eq!(code, FAILED);
    assert!(message.contains("is leydend running?") && message.contains("/nonexistent/"), "{message}");
}

#[test]
fn help_needs_no_node() {
    let text = answer(&parse(&["--human", "help", "ping"])).expect("help");
    assert!(text.contains("ping id [len] [pongbytes]"), "{text}");
    assert_eq!(answer(&parse(&["help", "nosuch"])).expect_err("no such method").0, FAILED);
}

#[test]
fn completions_know_the_methods() {
    for shell in ["bash", "zsh", "fish"] {
        let script = completions(&[shell.to_owned()]).expect("a script");
        assert!(script.contains("listpeerchannels"), "{shell}");
    }
    assert!(completions(&[]).is_err());
    assert!(completions(&["cmd".to_owned()]).is_err());
}

#[test]
fn parameters_may_look_like_flags() {
    let arguments = parse(&["--network", "regtest", "invoice", "any", "-x", "--human"]);
    assert_eq!(arguments.parameters, ["any", "-x", "--human"]);
    assert!(!arguments.human);
}
