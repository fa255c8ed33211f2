//! Recordings of several nodes as one page, read in a browser as an operator does after an incident.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use leyden_core::amount::Msat;
use leyden_core::clock::{Clock, Mono, Wall};
use leyden_core::command::{self, Level, Note};
use leyden_core::event::Event;
use leyden_core::ids::{ChannelId, ConnId, NodeId, Preimage};
use leyden_core::recording::RecordedEvent;
use leyden_core::wire::{Message, UpdateAddHtlc};
use leyden_sim::replay::timeline::{Collector, merge};
use leyden_sim::replay::{At, Step, Watcher, html, text};
use leyden_tests::browser::{Browser, key};
use leyden_tests::daemon::{Daemon, TempDir, program_path};
use leyden_tests::line::{Line, invoice, wait_until_quiet};
use serde_json::json;

/// "12 of 345 entries".
fn counts(browser: &Browser) -> (usize, usize) {
    let told = browser.text_of("#count");
    let numbers: Vec<usize> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [shown, all] = numbers[..] else { panic!("{told}") };
    (shown, all)
}

/// Waits until the page has drawn what a filter lets through, and returns how much that is.
fn drawn(browser: &Browser) -> usize {
    browser.wait(
        "the rows to be drawn",
        "const sizes = [...document.querySelectorAll('#rows .row')].map((row) => row.getAttribute('aria-setsize'));
         const told = document.getElementById('count').textContent;
         return sizes.length > 0 && sizes.every((size) => told.startsWith(size + ' of '));",
    );
    counts(browser).0
}

fn set(browser: &Browser, selector: &str, text: &str) {
    let input = browser.find(selector);
    browser.clear(&input);
    browser.keys(&input, text);
}

fn field(browser: &Browser, name: &str) -> String {
    browser.text_of(&format!("#fields td[data-field={name}]"))
}

fn fact(browser: &Browser, name: &str) -> String {
    browser.text(&browser.find_xpath(&format!("//dt[.='{name}']/following-sibling::dd[1]")))
}

fn names_of_messages(browser: &Browser) -> Vec<String> {
    let names = browser.script("return [...document.querySelectorAll('#rows .row .label')].map((l) => l.textContent);");
    let names = names.as_array().expect("a list").iter();
    let mut names: Vec<String> = names.map(|name| name.as_str().expect("text").to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_payment_of_three_daemons_is_found_and_read() {
    let line = Line::start(&[]);
    let (funding_txid, funding_vout) = line.funding_ab.clone();
    let Line { bitcoind: _bitcoind, a, b, c, .. } = line;
    let mut hashes = Vec::new();
    for (label, amount_msat) in [("bread", 150_000_u64), ("butter", 250_000)] {
        let (bolt11, hash) = invoice(&c, amount_msat, label);
        assert_eq!(a.call("pay", json!({"bolt11": bolt11}))["status"], "complete");
        hashes.push(hash);
    }
    wait_until_quiet(&[&a, &b, &c]);
    let mut daemons = [a, b, c];
    daemons.iter_mut().for_each(|daemon| assert!(daemon.terminate().success()));

    let folder = TempDir::new("timeline");
    let path = folder.path().join("incident.html");
    export(&daemons.each_ref(), &path);
    let mode = std::fs::metadata(&path).expect("it is written").permissions().mode();
    assert_eq!(mode & 0o077, 0, "it is as private as the recordings");

    let browser = Browser::start();
    browser.open(&path);
    let all = counts(&browser);
    assert!(all.0 == all.1 && all.0 > 100, "{all:?}");
    let lanes = browser.text_of("#lanes");
    let places = daemons.each_ref().map(|daemon| lanes.find(&daemon.id[..12]).expect("it has a lane"));
    assert!(places.is_sorted(), "the order is that of the arguments: {lanes}");

    // The payment, and nothing else.
    set(&browser, "#payment", &hashes[1]);
    let of_payment = drawn(&browser);
    assert!(of_payment < all.0 / 2, "{of_payment} of {}", all.0);
    let (add, fulfill) = ("update_add_htlc", "update_fulfill_htlc");
    assert_eq!(names_of_messages(&browser), [add, add, fulfill, fulfill]);
    let arrows = browser.script("return document.querySelectorAll('#rows path.arrow').length;");
    assert_eq!(arrows, 4);
    // The request of the payer is about it, and so is the answer.
    for kind in ["request", "reply"] {
        browser.find(&format!("#rows .row.{kind}"));
    }

    // A click on an arrow chooses it, and so does one on the message's name; the panel tells what it says.
    browser.click(&browser.find("#rows path.reach"));
    browser.find("#rows .row.sent[aria-selected=true]");
    browser.click(&browser.find("#close"));
    browser.find("#panel[hidden]");
    browser.click(&browser.find_xpath("//*[@class='label'][.='update_add_htlc']"));
    assert_eq!(browser.text_of("#name"), add);
    assert_eq!(field(&browser, "payment_hash"), hashes[1]);
    let amount_msat: u64 = field(&browser, "amount_msat").trim_end_matches(" msat").parse().expect("an amount");
    assert!(amount_msat > 250_000, "B wants a fee: {amount_msat}");
    assert_eq!(field(&browser, "id"), "1");
    assert!(field(&browser, "onion_routing_packet").starts_with("00"), "the onion's version");
    assert_eq!(fact(&browser, "kind"), "message, sent");
    assert_eq!(fact(&browser, "node"), format!("A = {}", daemons[0].id));
    assert_eq!(fact(&browser, "to"), format!("B = {}", daemons[1].id));
    let channel_id = field(&browser, "channel_id");
    let outpoint = format!("{funding_txid}:{funding_vout}").parse().expect("an outpoint");
    assert_eq!(channel_id, ChannelId::from_funding(outpoint).to_string());
    // At its other end it is the same message.
    browser.click(&browser.find("#end"));
    assert_eq!(fact(&browser, "kind"), "message, received");
    assert_eq!(field(&browser, "payment_hash"), hashes[1]);

    // The channel, from its opening on: that was under another id.
    browser.clear(&browser.find("#payment"));
    set(&browser, "#channel", &channel_id[..20]);
    let of_channel = drawn(&browser);
    assert!(of_payment < of_channel && of_channel < all.0, "{of_channel}");
    browser.keys(&browser.find("#rows"), key::HOME);
    browser.find_xpath("//*[@class='label'][.='open_channel']");
    let bogus = "ff".repeat(32);
    set(&browser, "#channel", &bogus);
    assert_eq!(browser.attribute(&browser.find("#channel"), "aria-invalid").as_deref(), Some("true"));
    browser.find("#nothing:not([hidden])");
    browser.clear(&browser.find("#channel"));
    assert_eq!(drawn(&browser), all.0);

    // A search goes from match to match, and looks into fields too.
    set(&browser, "#search", "per_commitment_secret");
    browser.keys(&browser.find("#search"), key::ENTER);
    assert_eq!(browser.text_of("#name"), "revoke_and_ack");
    assert_eq!(field(&browser, "per_commitment_secret").len(), 64);
    let matches = browser.text_of("#matches");
    assert!(matches.starts_with("1 of "), "{matches}");
    browser.click(&browser.find("#next"));
    assert!(browser.text_of("#matches").starts_with("2 of "));
    browser.find("#rows .row.hit[aria-selected=true]");

    // Kinds can be left out.
    let commits = browser.text(&browser.find_xpath("//label[input[@id='kind-commits']]"));
    let commits: usize = commits.split(['(', ')']).nth(1).and_then(|count| count.parse().ok()).expect("a count");
    assert!(commits > 20, "{commits}");
    browser.click(&browser.find("#kind-commits"));
    assert_eq!(drawn(&browser), all.0 - commits);
    browser.click(&browser.find("#kind-messages"));
    drawn(&browser);
    assert_eq!(names_of_messages(&browser), Vec::<String>::new());

    // One recording is enough to see what its node said, and to whom.
    export(&[&daemons[1]], &path);
    browser.open(&path);
    drawn(&browser);
    let lanes = browser.text_of("#lanes");
    assert_eq!(lanes.matches("not recorded").count(), 2, "{lanes}");
    set(&browser, "#payment", &hashes[0]);
    drawn(&browser);
    browser.click(&browser.find("#rows .row.sent.lonely .label"));
    assert_eq!(browser.text_of("#name"), add);
    assert_eq!(fact(&browser, "other end"), "not in the recordings");
    assert!(fact(&browser, "to").contains(&daemons[2].id));

    // Both schemes, and no complaint of any kind.
    let background = || browser.script("return getComputedStyle(document.body).backgroundColor;");
    browser.prefer("light");
    let light = background();
    browser.prefer("dark");
    assert_ne!(background(), light);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// `leyden-sim replay` of some nodes' recordings.
fn export(daemons: &[&Daemon], path: &Path) {
    let mut replay = Command::new(program_path("leyden-sim"));
    replay.arg("replay").args(daemons.iter().map(|daemon| daemon.node_dir().join("recorder")));
    let output = replay.arg("--html").arg(path).output().expect("leyden-sim can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    let expected = format!("entries of {} nodes", daemons.len());
    assert!(output.status.success() && said.contains(&expected), "{said}");
}

const CONN: ConnId = ConnId { slot: 0, generation: 1 };
const ROUNDS: u64 = 12_500;

/// Two nodes that talk for long: four entries a round.
fn write_long(path: &Path) {
    let mut ends = [0, 1].map(|node| Collector::whole(node, Wall(0), Level::Info));
    for turn in 0..ROUNDS {
        let add = UpdateAddHtlc {
            channel_id: ChannelId([7; 32]),
            id: turn,
            amount_msat: Msat(1_000 + turn),
            payment_hash: Preimage([(turn % 200) as u8; 32]).payment_hash(),
            cltv_expiry: 500,
            onion_routing_packet: &[0; 1366],
            blinded_path: None,
        };
        let (at, message) = (At { turn, step: 0 }, Message::from(add));
        let bytes = text::message_bytes(&message);
        let wall = Wall(1_700_000_000_000 + 1_000 * turn);
        let clock = Clock { mono: Mono(1_000 * turn), wall };
        let [a, b] = &mut ends;
        a.step(&Step { at, clock, event: &RecordedEvent::Plain(Event::Deadline) });
        a.command(at, &command::Command::Send { conn: CONN, message: &message });
        let event = RecordedEvent::Plain(Event::Received { conn: CONN, message: &bytes });
        b.step(&Step { at, clock, event: &event });
        for end in [a, b] {
            let note = Note { level: Level::Info, part: "channel", peer: None, text: format_args!("round {turn}") };
            end.command(at, &command::Command::Note(note));
        }
    }
    let timeline = merge(vec![NodeId([2; 33]), NodeId([3; 33])], ends.map(Collector::finish).into());
    assert_eq!(timeline.entries.len() as u64, 4 * ROUNDS);
    std::fs::write(path, html::page(&timeline)).expect("the folder can be written");
}

#[test]
fn fifty_thousand_entries_are_read_with_the_keyboard() {
    let folder = TempDir::new("long");
    let path = folder.path().join("long.html");
    write_long(&path);
    let browser = Browser::start();
    browser.open(&path);
    let all = 4 * ROUNDS as usize;
    assert_eq!((drawn(&browser), counts(&browser).1), (all, all));
    let rows_in_document = || browser.script("return document.querySelectorAll('#rows .row').length;").as_u64();

    let rows = browser.find("#rows");
    browser.keys(&rows, key::END);
    let last = format!("#entry-{}[aria-selected=true]", all - 1);
    browser.find(&last);
    assert_eq!(fact(&browser, "turn"), format!("{}, event 0", ROUNDS - 1));
    assert_eq!(browser.attribute(&rows, "aria-activedescendant"), Some(format!("entry-{}", all - 1)));
    // What is in sight is in the document, and little more.
    assert!(rows_in_document() < Some(120), "{:?}", rows_in_document());

    // Up to the message, and from it to its other end.
    let read = |name: &str| browser.script(&format!("return document.getElementById('{name}').textContent;"));
    for _ in 0..4 {
        browser.keys(&rows, key::UP);
        if read("facts").as_str().is_some_and(|facts| facts.starts_with("kindmessage, received")) {
            break;
        }
    }
    assert_eq!(field(&browser, "amount_msat"), format!("{} msat", 999 + ROUNDS));
    browser.keys(&rows, 'o');
    assert_eq!(fact(&browser, "kind"), "message, sent");
    browser.keys(&rows, key::ESCAPE);
    browser.find("#panel[hidden]");

    // To the search and back to the first match; the fields are searched.
    browser.keys(&rows, '/');
    browser.wait("the search to have the focus", "return document.activeElement.id === 'search';");
    set(&browser, "#search", "7777 msat");
    assert_eq!(browser.text_of("#matches"), "2 found", "both ends");
    browser.keys(&browser.find("#search"), key::ENTER);
    assert_eq!(field(&browser, "id"), "6777");

    // One payment hash of two hundred, and its messages alone.
    let hash = field(&browser, "payment_hash");
    browser.click(&browser.find_xpath(&format!("//dd/button[.='{hash}']")));
    assert_eq!(drawn(&browser) as u64, 2 * (6777 % 200..ROUNDS).step_by(200).count() as u64);
    browser.keys(&rows, key::HOME);
    assert_eq!(field(&browser, "payment_hash"), hash);
    assert_eq!(field(&browser, "id"), (6777 % 200).to_string());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
