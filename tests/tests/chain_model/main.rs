//! The chain model against a real bitcoind: the same stream of transactions, packages and blocks goes to both.

mod pair;
mod stream;
mod wallet;

use leyden_sim::chain::Policy;
use pair::Pair;
use stream::Stream;

const TRANSACTIONS: u32 = 1_200;

#[test]
fn the_model_takes_and_refuses_what_bitcoind_does() {
    let mut stream = Stream::new(Pair::start(Policy::default()), 0x1eade);
    while stream.pair.outcomes.values().sum::<u32>() < TRANSACTIONS {
        stream.step();
    }
    stream.pair.check(20);
}

#[test]
fn a_full_mempool_throws_out_the_same() {
    let policy = Policy { max_mempool_bytes: 5_000_000, ..Policy::default() };
    let mut stream = Stream::new(Pair::start(policy), 0xf011);
    for _ in 0..90 {
        stream.large();
        stream.pair.compare_minimum();
        stream.pair.compare("after a large one");
    }
    stream.pair.check(2);
}
