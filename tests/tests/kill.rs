//! Daemons are killed at any moment under traffic, and no money is lost, doubled or stuck.
//!
//! The moments are counted in answers that the clients have got, not in time, and drawn from a seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use leyden_tests::daemon::{Client, Daemon, wait_for};
use leyden_tests::line::{CAPACITY_SAT, Line, channels, live_channels, msat, wait_until_quiet};
use serde_json::{Value, json};

const KILLS: u32 = 200;
/// Answers between two kills: none at all, or up to so many.
const ANSWERS_MAX: u64 = 12;
/// For each direction.
const CLIENTS: usize = 2;

/// Calls to pay one invoice.
const ATTEMPTS: u32 = 40;

/// Leaves the processors to the daemons for a while; nothing depends on how long.
fn breathe() {
    std::thread::park_timeout(Duration::from_millis(5));
}

/// xorshift64*, so that a seed names a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// What all threads see.
struct Stage {
    daemons: [RwLock<Daemon>; 3],
    answers: AtomicU64,
    over: AtomicBool,
    successes: Mutex<Vec<(usize, usize, String)>>,
}

impl Stage {
    /// A call as long as the daemon lives; nothing if it dies meanwhile, or is dead.
    fn call(&self, daemon: usize, method: &str, params: &Value) -> Option<Result<Value, i64>> {
        // The lock is not held during the call: the daemon shall die in the middle of it.
        let path = self.daemons[daemon].read().expect("no thread panicked").socket_path();
        let mut client = Client::connect(&path).ok()?;
        client.send(method, params).ok()?;
        let answer = client.receive().ok()?.1;
        // Refusals while the line is broken are many and cheap; they are no measure of what was done.
        if answer.is_ok() {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        Some(answer.map_err(|error| error.code))
    }

    /// Makes invoices at one daemon and pays them from another one until it is over.
    fn traffic(&self, payer: usize, payee: usize, client: usize) {
        let mut dice = Dice(0x5eed + (payer * 100 + payee * 10 + client) as u64);
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            // Some are dust, and have no output in a commitment.
            let amount_msat = 100_000 + dice.below(2_000_000);
            let label = format!("{payer}-{payee}-{client}-{number}");
            let ask = json!({"amount_msat": amount_msat, "label": label, "description": "x"});
            let Some(Ok(made)) = self.call(payee, "invoice", &ask) else {
                breathe();
                continue;
            };
            // Again and again, as a user would: it may have failed, or succeeded and nobody was left to tell.
            for _ in 0..ATTEMPTS {
                let (method, ask) = match dice.below(2) {
                    0 => ("pay", json!({"bolt11": made["bolt11"], "retry_for": 2})),
                    _ => ("xpay", json!({"invstring": made["bolt11"], "retry_for": 2})),
                };
                if let Some(Ok(_)) = self.call(payer, method, &ask) {
                    let hash = made["payment_hash"].as_str().expect("a hash").to_owned();
                    self.successes.lock().expect("no thread panicked").push((payer, payee, hash));
                    break;
                }
                breathe();
            }
        }
    }

    /// Kills, and starts again.
    fn murder(&self, seed: u64) {
        let mut dice = Dice(seed);
        for kill in 0..KILLS {
            let at = self.answers.load(Ordering::Relaxed) + dice.below(ANSWERS_MAX + 1);
            wait_for(&format!("traffic before kill {kill}"), || {
                (self.answers.load(Ordering::Relaxed) >= at).then_some(())
            });
            let victim = dice.below(3) as usize;
            self.daemons[victim].write().expect("no thread panicked").restart();
            // Sometimes the next one dies before this one has its connections back.
            if dice.below(4) > 0 {
                wait_for(&format!("the line to be whole after kill {kill} of {victim}"), || {
                    self.is_whole().then_some(())
                });
            }
        }
    }

    fn is_whole(&self) -> bool {
        [(0, 1), (1, 0), (1, 2), (2, 1)].iter().all(|(one, other)| {
            let (one, other) = (&self.daemons[*one], &self.daemons[*other]);
            let (one, other) = (one.read().expect("no thread panicked"), other.read().expect("no thread panicked"));
            !live_channels(&one, &other).is_empty()
        })
    }
}

/// The complete payments of a daemon by their hashes: what arrived, what was sent for it.
fn complete_pays(daemon: &Daemon) -> BTreeMap<String, (u64, u64)> {
    let answer = daemon.call("listpays", json!({}));
    let mut found = BTreeMap::new();
    for pay in answer["pays"].as_array().expect("a list") {
        assert_ne!(pay["status"], "pending", "nothing is under way any more: {pay}");
        if pay["status"] == "complete" {
            let hash = pay["payment_hash"].as_str().expect("a hash").to_owned();
            let before = found.insert(hash, (msat(pay, "amount_msat"), msat(pay, "amount_sent_msat")));
            assert!(before.is_none(), "paid twice: {pay}");
        }
    }
    found
}

/// The paid invoices of a daemon by their hashes.
fn paid_invoices(daemon: &Daemon) -> BTreeMap<String, u64> {
    let answer = daemon.call("listinvoices", json!({}));
    let paid = answer["invoices"].as_array().expect("a list").iter().filter(|invoice| invoice["status"] == "paid");
    paid.map(|invoice| {
        (invoice["payment_hash"].as_str().expect("a hash").to_owned(), msat(invoice, "amount_received_msat"))
    })
    .collect()
}

#[test]
fn killed_at_any_moment() {
    let seed = std::env::var("LEYDEN_KILL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_251);
    let Line { bitcoind: _bitcoind, a, b, c, .. } = Line::start(&[]);
    let total = |daemon: &Daemon| -> u64 {
        let all = daemon.call("listpeerchannels", json!({}));
        all["channels"].as_array().expect("a list").iter().map(|channel| msat(channel, "to_us_msat")).sum()
    };
    let before = [total(&a), total(&b), total(&c)];
    let stage = Stage {
        daemons: [RwLock::new(a), RwLock::new(b), RwLock::new(c)],
        answers: AtomicU64::new(0),
        over: AtomicBool::new(false),
        successes: Mutex::new(Vec::new()),
    };
    /// Ends the traffic even when the thread that kills gives up.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        for (payer, payee) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
            for client in 0..CLIENTS {
                let stage = &stage;
                scope.spawn(move || stage.traffic(payer, payee, client));
            }
        }
        let _over = Over(&stage.over);
        stage.murder(seed);
    });

    let Stage { daemons, answers, successes, .. } = stage;
    let daemons = daemons.map(|daemon| daemon.into_inner().expect("no thread panicked"));
    let [a, b, c] = &daemons;
    for (one, other) in [(a, b), (b, a), (b, c), (c, b)] {
        wait_for("the line to be whole at the end", || (!live_channels(one, other).is_empty()).then_some(()));
        assert_eq!(channels(one, other).len(), 1, "no channel was closed or doubled");
        assert_eq!(channels(one, other)[0]["state"], "CHANNELD_NORMAL");
    }
    wait_until_quiet(&[a, b, c]);
    wait_for("payments to end", || {
        daemons
            .iter()
            .all(|daemon| {
                daemon.call("listpays", json!({"status": "pending"}))["pays"].as_array().is_some_and(Vec::is_empty)
            })
            .then_some(())
    });

    // What a payer has a proof of is what a payee was paid, and the other way round.
    let pays = daemons.each_ref().map(complete_pays);
    let paid: BTreeMap<String, u64> = daemons.iter().flat_map(paid_invoices).collect();
    let mut proofs = BTreeMap::new();
    for (hash, (arrived, _)) in pays.iter().flatten() {
        assert!(proofs.insert(hash.clone(), *arrived).is_none(), "{hash} was paid by two");
    }
    assert_eq!(proofs, paid);
    let successes = successes.into_inner().expect("no thread panicked");
    for (payer, _, hash) in &successes {
        assert!(pays[*payer].contains_key(hash), "the client was told that {hash} is paid");
    }

    // Both ends agree, and each daemon has what it had, less what it paid, plus what it got and earned.
    for (one, other) in [(a, b), (b, c)] {
        let (ours, theirs) = (&channels(one, other)[0], &channels(other, one)[0]);
        assert_eq!(msat(ours, "to_us_msat") + msat(theirs, "to_us_msat"), CAPACITY_SAT * 1000);
    }
    let sent = pays.each_ref().map(|pays| pays.values().map(|(_, sent)| sent).sum::<u64>());
    let received = daemons.each_ref().map(|daemon| paid_invoices(daemon).values().sum::<u64>());
    let fees = sent.iter().sum::<u64>() - received.iter().sum::<u64>();
    let earned = [0, fees, 0];
    for (i, daemon) in daemons.iter().enumerate() {
        assert_eq!(total(daemon) + sent[i], before[i] + received[i] + earned[i], "the balance of {}", daemon.name);
    }
    let forwards = b.call("listforwards", json!({"status": "settled"}));
    let told: u64 = forwards["forwards"].as_array().expect("a list").iter().map(|one| msat(one, "fee_msat")).sum();
    assert_eq!(told, fees, "B tells what it has earned");
    assert!(successes.len() > 50, "there was traffic");
    println!("{} answers, {} payments, {} of them told", answers.into_inner(), proofs.len(), successes.len());
}
