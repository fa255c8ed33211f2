//! The chain model against a real bitcoind: the same stream of transactions, packages and blocks goes to both.

mod pair;
mod stream;
mod wallet;

use pair::Pair;
use stream::Stream;

const TRANSACTIONS: u32 = 1_200;

#[test]
fn the_model_takes_and_refuses_what_bitcoind_does() {
    let mut stream = Stream::new(Pair::start(), 0x1eade);
    while stream.pair.outcomes.values().sum::<u32>() < TRANSACTIONS {
        stream.step();
    }
    let Pair { outcomes, quarrels, .. } = &stream.pair;
    println!("{outcomes:#?}");
    let first = quarrels.iter().take(15).map(|quarrel| format!("{quarrel:.600}\n")).collect::<String>();
    assert!(quarrels.is_empty(), "{} quarrels:\n{first}", quarrels.len());
    stream.pair.compare_coins();
}
