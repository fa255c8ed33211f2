use leyden_core::amount::Msat;
use leyden_core::config::Network;

use leyden_core::address::NetAddr;
use leyden_core::ids::PaymentHash;
use leyden_core::request::graph::GraphNode;
use leyden_core::request::invoice::{InvoiceInfo, InvoiceStatus};
use leyden_core::request::wallet::AddressKind;

use super::*;

fn view() -> View {
    View {
        version: "v0".into(),
        data_dir: "/var/lib/leyden".into(),
        network: Network::Regtest,
        binding: vec![NetAddr::Ip4([127, 0, 0, 1], 19_846)],
        settings: Vec::new(),
    }
}

fn take(session: &mut Session) -> String {
    let text = String::from_utf8(session.output().to_vec()).expect("answers are text");
    session.written(text.len());
    text
}

/// All requests that a text holds, and what is answered at once.
fn talk(session: &mut Session, text: &str) -> (Vec<(Token, Request)>, String) {
    session.received(text.as_bytes());
    let requests = std::iter::from_fn(|| session.next_request(&view())).collect();
    (requests, take(session))
}

fn invoice(label: &str) -> InvoiceInfo {
    InvoiceInfo {
        label: label.into(),
        description: Some("tea \"for two\"".into()),
        payment_hash: PaymentHash([0xab; 32]),
        status: InvoiceStatus::Unpaid,
        expires_at_s: 1_700_000_000,
        amount_msat: Some(Msat(1_000)),
        bolt11: None,
        created_index: 1,
        updated_index: None,
        held: None,
        paid: None,
    }
}

#[test]
fn answers_go_out_in_the_order_of_the_core_with_the_ids_as_they_were() {
    let mut session = Session::default();
    let (requests, text) = talk(
        &mut session,
        r#"{"jsonrpc":"2.0","id":1.50,"method":"newaddr","params":[]}{"jsonrpc":"2.0","id":"\u0061","method":"getinfo","params":{}}
           {"params":[],"method":"stop","id":null,"jsonrpc":"2.0"}"#,
    );
    assert_eq!(text, "");
    let [first, second, third] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(first.1, Request::NewAddr(AddressKind::P2tr));
    assert_eq!(session.in_flight().count(), 3);

    session.reply(third.0, &Ok(Response::Stopping), &view());
    session.reply(first.0, &Ok(Response::Done), &view());
    session.reply(second.0, &Err(RequestError::generic("no")), &view());
    assert_eq!(
        take(&mut session),
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":\"Shutdown complete\"}\n\n\
         {\"jsonrpc\":\"2.0\",\"id\":1.50,\"result\":{}}\n\n\
         {\"jsonrpc\":\"2.0\",\"id\":\"\\u0061\",\"error\":{\"code\":-1,\"message\":\"no\"}}\n\n"
    );
    assert_eq!(session.in_flight().count(), 0);
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_stays() {
    let mut session = Session::default();
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"getinfo"}"#, r#""id":1,"error":{"code":-32600,"message":"No params"}"#),
        (
            r#"{"jsonrpc":"2.0","method":"getinfo","params":[]}"#,
            r#""id":null,"error":{"code":-32600,"message":"No id"}"#,
        ),
        (
            r#"{"id":1,"method":"getinfo","params":[]}"#,
            r#""id":null,"error":{"code":-32600,"message":"jsonrpc: \"2.0\" must be specified in the request"}"#,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"params":[]}"#, r#""id":1,"error":{"code":-32600,"message":"No method"}"#),
        (
            r#"{"jsonrpc":"2.0","id":[1],"method":"getinfo","params":[]}"#,
            r#""id":null,"error":{"code":-32600,"message":"Expected string/primitive for id"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#,
            r#""id":1,"error":{"code":-32601,"message":"Unknown command 'x'"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"getinfo","params":3}"#,
            r#""id":1,"error":{"code":-32600,"message":"Expected array or object for params"}"#,
        ),
        ("[1]", r#""id":null,"error":{"code":-32600,"message":"Expected {} for json command"}"#),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"getinfo","params":[],"filter":[]}"#,
            r#""id":1,"error":{"code":-32602,"message":"filter: Expected object"}"#,
        ),
    ];
    for (request, answer) in cases {
        let (requests, text) = talk(&mut session, request);
        assert!(requests.is_empty(), "{request}");
        assert_eq!(text, format!("{{\"jsonrpc\":\"2.0\",{answer}}}\n\n"), "{request}");
        assert!(session.wants_read());
    }
    let (_, text) = talk(&mut session, r#"{"jsonrpc":}"#);
    assert!(text.contains("-32600") && session.wants_read());
}

#[test]
fn garbage_ends_the_connection_once_all_is_answered() {
    let mut session = Session::default();
    session.received(br#"{"jsonrpc":"2.0","id":1,"method":"getinfo","params":[]}xyz"#);
    let (token, _) = session.next_request(&view()).expect("the request in front of it counts");
    assert!(session.next_request(&view()).is_none());
    assert!(!session.wants_read());
    assert!(!session.is_finished());
    session.reply(token, &Ok(Response::Done), &view());
    take(&mut session);
    assert!(session.is_finished());
}

#[test]
fn a_filter_keeps_what_it_names() {
    let mut session = Session::default();
    let (requests, _) = talk(
        &mut session,
        r#"{"jsonrpc":"2.0","id":0,"method":"listinvoices","params":[],"filter":{"invoices":[{"label":true}]}}"#,
    );
    session.reply(requests[0].0, &Ok(Response::Invoices(vec![invoice("a"), invoice("b")])), &view());
    assert_eq!(
        take(&mut session),
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"invoices\":[{\"label\":\"a\"},{\"label\":\"b\"}]}}\n\n"
    );
}

#[test]
fn a_flood_of_requests_waits() {
    let mut session = Session::default();
    let one = r#"{"jsonrpc":"2.0","id":0,"method":"getinfo","params":[]}"#;
    let (requests, _) = talk(&mut session, &one.repeat(IN_FLIGHT_MAX + 1));
    assert_eq!(requests.len(), IN_FLIGHT_MAX);
    assert!(!session.wants_read());
    session.reply(requests[7].0, &Ok(Response::Done), &view());
    assert!(session.wants_read());
    assert!(session.next_request(&view()).is_some());
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let mut session = Session::default();
    session.received(r#"{"jsonrpc":"2.0","id":0,"method":"help","params":[]}"#.repeat(1_000).as_bytes());
    assert!(session.next_request(&view()).is_none());
    assert!(!session.wants_read());
    let held = session.output().len();
    assert!((OUTPUT_SIZE_MAX..OUTPUT_SIZE_MAX + 100_000).contains(&held));
    // As the socket takes it, the rest is answered.
    let mut answers = 0;
    while !session.output().is_empty() {
        answers += take(&mut session).matches("\n\n").count();
        assert!(session.next_request(&view()).is_none());
    }
    assert_eq!(answers, 1_000);
    assert!(session.wants_read());
}

#[test]
fn progress_is_told_to_those_who_asked() {
    let mut session = Session::default();
    let get = r#"{"jsonrpc":"2.0","id":"q","method":"getinfo","params":[]}"#;
    let (requests, _) = talk(&mut session, get);
    session.progress(requests[0].0, Level::Info, "working");
    assert_eq!(take(&mut session), "");
    let enable = r#"{"jsonrpc":"2.0","id":1,"method":"notifications","params":{"enable":true}}"#;
    assert_eq!(talk(&mut session, enable).1, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n");
    session.progress(requests[0].0, Level::Info, "working");
    assert_eq!(
        take(&mut session),
        "{\"jsonrpc\":\"2.0\",\"method\":\"message\",\"params\":{\"id\":\"q\",\"level\":\"info\",\"message\":\"working\"}}\n\n"
    );
}

#[test]
fn an_unknown_signer_proves_nothing() {
    let mut session = Session::default();
    let zbase =
        "d9tigy6xd5uqa6dy7bbd9t1xq5pcoiqk44w9wm6u6r1n8w45qjm4h8q8a66mwe6erz3hqsjkmtkp1cnr8y9oc9k6fpn3orhnopsgcnsk";
    let ask =
        format!(r#"{{"jsonrpc":"2.0","id":0,"method":"checkmessage","params":["is this compatible?","{zbase}"]}}"#);
    let (requests, text) = talk(&mut session, &ask);
    let [(token, Request::ListNodes { id: Some(signer) })] = requests[..] else {
        // Not every signature leads to a key: then it is refused at once.
        assert!(text.contains("-32602"), "{text}");
        return;
    };
    let node = GraphNode { id: signer, announcement: None };
    session.reply(token, &Ok(Response::Nodes(vec![node])), &view());
    assert!(take(&mut session).contains(&format!("\"verified\":true,\"pubkey\":\"{signer}\"")));
    let (requests, _) = talk(&mut session, &ask);
    session.reply(requests[0].0, &Ok(Response::Nodes(Vec::new())), &view());
    assert!(take(&mut session).contains("\"code\":1301"));
}

quickcheck::quickcheck! {
    fn no_bytes_panic(pieces: Vec<Vec<u8>>) -> bool {
        let mut session = Session::default();
        for piece in pieces {
            session.received(b"{\"id\":");
            session.received(&piece);
            session.received(b"}");
            while session.next_request(&view()).is_some() {}
        }
        true
    }
}

#[test]
fn what_the_daemon_answers_itself_never_reaches_the_core() {
    let mut session = Session::default();
    let text = r#"{"jsonrpc":"2.0","id":"a","method":"recorder","params":[]}
        {"jsonrpc":"2.0","id":"b","method":"dumprecording","params":[5,"/tmp/incident"]}
        {"jsonrpc":"2.0","id":"c","method":"dumprecording","params":[5,"incident"]}"#;
    let (requests, answered) = talk(&mut session, text);
    assert!(requests.is_empty());
    assert!(answered.contains("path: should be absolute"), "{answered}");
    let (first, request) = session.next_daemon_request().expect("the first");
    assert_eq!(request, DaemonRequest::Recorder);
    let (second, request) = session.next_daemon_request().expect("the second");
    assert_eq!(request, DaemonRequest::DumpRecording { minutes: 5, path: "/tmp/incident".into() });
    assert_eq!(session.next_daemon_request(), None);
    assert_eq!(session.in_flight().count(), 2);

    session.reply_daemon(second, &Err(RequestError::generic("the disk is full")));
    assert!(take(&mut session).contains(r#""id":"b","error":{"code":-1,"message":"the disk is full""#));
    let info = crate::daemon::RecorderInfo {
        on: false,
        reason: Some("the disk is full".into()),
        dir: "/x".into(),
        segments: 2,
        bytes: 3,
        bytes_max: 4,
        turns: 5,
        events: 6,
        oldest: Some(leyden_core::clock::Wall(7_999)),
        build: "b".into(),
    };
    session.reply_daemon(first, &Ok(DaemonResponse::Recorder(info)));
    let answer = take(&mut session);
    assert!(answer.contains(r#""result":{"status":"off","reason":"the disk is full","dir":"/x","segments":2"#));
    assert!(answer.contains(r#""oldest":7,"build":"b"}"#), "{answer}");
    assert!(session.is_finished() || session.in_flight().next().is_none());
}
