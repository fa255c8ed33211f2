//! Events, commands and times for people.

use std::fmt::Write as _;

use leyden_core::clock::Wall;
use leyden_core::command::{Command, Level, Note, Watch};
use leyden_core::event::{ChainEvent, Event};
use leyden_core::ids::ChannelId;
use leyden_core::recording::RecordedEvent;
use leyden_core::wire::Message;
use leyden_core::wire::codec::Cursor;

const DAY_MS: u64 = 86_400_000;

/// RFC 3339 with milliseconds, UTC.
pub fn time(wall: Wall) -> String {
    let (days, ms) = (wall.0 / DAY_MS, wall.0 % DAY_MS);
    // Civil date from a day count: eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Reads what [`time`] writes; the fraction and the Z may be missing.
pub fn parse_time(text: &str) -> Option<Wall> {
    let (date, clock) = text.trim_end_matches('Z').split_once(['T', ' '])?;
    let mut date = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let second = clock.next().unwrap_or(Some(0))?;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms: u64 = digits.parse().ok()?;
    let plausible = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !plausible || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(Wall(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + ms))
}

/// Hex, cut where nobody reads on.
pub fn hex(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 40;
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_MAX) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN_MAX {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

/// The first digits of an id: enough to find it again.
pub fn short(id: impl std::fmt::Display) -> String {
    let text = id.to_string();
    text.char_indices().nth(12).map_or(text.clone(), |(at, _)| format!("{}…", &text[..at]))
}

/// The beginning of a text that may be long.
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}… ({} more characters)", &text[..at], text[at..].chars().count()),
        None => text.to_owned(),
    }
}

/// What a node is called for short: A, B, … Z, N26, N27, …
pub fn letter(number: usize) -> String {
    match u8::try_from(number) {
        Ok(small @ 0..26) => char::from(b'A' + small).to_string(),
        _ => format!("N{number}"),
    }
}

/// The channel that a message names first, a temporary one too.
pub fn channel_of(message: &[u8]) -> Option<ChannelId> {
    let kind = u16::from_be_bytes(message.get(..2)?.try_into().ok()?);
    let at = match kind {
        // These name their chain first.
        32 | 64 => 34,
        1 | 2 | 17 | 33..=136 | 259 => 2,
        _ => return None,
    };
    let id = ChannelId(message.get(at..at + 32)?.try_into().ok()?);
    (id != ChannelId::ALL).then_some(id)
}

/// A message, with what tells it from others of its kind.
pub fn message(bytes: &[u8]) -> String {
    let decoded = match Message::decode(bytes) {
        Ok(decoded) => decoded,
        Err(error) => return format!("a message that cannot be read ({error:?}): {}", hex(bytes)),
    };
    let mut text = decoded.name().to_owned();
    if let Some(channel) = channel_of(bytes) {
        let _ = write!(text, " channel={}", short(channel));
    }
    let _ = match &decoded {
        Message::UpdateAddHtlc(add) => {
            let (amount, expiry) = (add.amount_msat, add.cltv_expiry);
            write!(text, " id={} amount={amount} expiry={expiry} hash={}", add.id, short(add.payment_hash))
        }
        Message::UpdateFulfillHtlc(fulfill) => {
            write!(text, " id={} hash={}", fulfill.id, short(fulfill.payment_preimage.payment_hash()))
        }
        Message::UpdateFailHtlc(fail) => write!(text, " id={}", fail.id),
        Message::UpdateFailMalformedHtlc(fail) => write!(text, " id={} code={:#06x}", fail.id, fail.failure_code),
        Message::UpdateFee(fee) => write!(text, " feerate_per_kw={}", fee.feerate_per_kw),
        Message::CommitmentSigned(signed) => write!(text, " htlcs={}", signed.htlc_signatures.len()),
        Message::OpenChannel(open) => write!(text, " funding={} push={}", open.funding_satoshis, open.push_msat),
        Message::FundingCreated(created) => {
            write!(text, " funding={}:{}", created.funding_txid, created.funding_output_index)
        }
        Message::ClosingSigned(closing) => write!(text, " fee={}", closing.fee_satoshis),
        Message::ChannelReestablish(again) => {
            let (commitment, revocation) = (again.next_commitment_number, again.next_revocation_number);
            write!(text, " next_commitment={commitment} next_revocation={revocation}")
        }
        Message::Error(error) => write!(text, " {:?}", String::from_utf8_lossy(error.data)),
        Message::Warning(warning) => write!(text, " {:?}", String::from_utf8_lossy(warning.data)),
        Message::Ping(ping) => write!(text, " wants={}", ping.num_pong_bytes),
        _ => Ok(()),
    };
    text
}

/// The bytes of a message.
pub fn message_bytes(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut Cursor::new(&mut bytes)).expect("as long as it said");
    bytes
}

/// An event.
pub fn event(event: &RecordedEvent<'_>) -> String {
    event.with(|event| match event {
        None => "the node starts".to_owned(),
        Some(Event::Received { conn, message: bytes }) => format!("received on {conn}: {}", message(bytes)),
        Some(Event::Request { id, request }) => format!("request {id}: {request:?}"),
        Some(Event::Chain(ChainEvent::BlockConnected { tip, matches, .. })) => {
            let txids: Vec<String> = matches.iter().map(|found| found.tx.compute_txid().to_string()).collect();
            let what = if txids.is_empty() { "nothing for us".to_owned() } else { txids.join(", ") };
            format!("block {} {}: {what}", tip.height, short(tip.hash))
        }
        Some(Event::Chain(event)) => format!("chain: {event:?}"),
        Some(Event::Loaded { query, rows }) => format!("{} rows for query {query}", rows.len()),
        Some(event) => format!("{event:?}"),
    })
}

/// A command.
pub fn command(command: &Command<'_>) -> String {
    match command {
        Command::Send { conn, message: sent } => format!("send on {conn}: {}", message(&message_bytes(sent))),
        Command::Disconnect { conn, reason } => format!("disconnect {conn}: {reason}"),
        Command::Dial { dial, peer, address } => format!("dial {dial}: {peer} at {address:?}"),
        Command::Put { table, key, value } => {
            let mut bytes = Vec::new();
            value.write(&mut bytes);
            format!("put {table:?} {} = {}", hex(key), hex(&bytes))
        }
        Command::Delete { table, key } => format!("delete {table:?} {}", hex(key)),
        Command::Load { query, table, range, limit } => format!("load {query}: {table:?} {range:?}, at most {limit}"),
        Command::Broadcast { tx, purpose } => format!("broadcast {}: {purpose}", tx.compute_txid()),
        Command::Watch(Watch::Spend(outpoint)) => format!("watch for a spend of {outpoint}"),
        Command::Watch(Watch::Unspend(outpoint)) => format!("watch no longer for a spend of {outpoint}"),
        Command::Watch(Watch::Script(script)) => format!("watch for payments to {}", hex(script.as_bytes())),
        Command::Reply { id, result: Ok(response) } => {
            let text = format!("{response:?}");
            let name = text.split(['(', '{', ' ']).next().unwrap_or_default();
            format!("reply to request {id}: {name}")
        }
        Command::Reply { id, result: Err(error) } => format!("reply to request {id}: refused: {}", error.message),
        Command::Note(given) => note(given),
        Command::Stop => "stop".to_owned(),
    }
}

/// A note, as the log has it, without the time.
pub fn note(note: &Note<'_>) -> String {
    let mut text = format!("{:<5} {}", level(note.level), note.part);
    if let Some(peer) = note.peer {
        let _ = write!(text, " {peer}");
    }
    let _ = write!(text, ": {}", note.text);
    // Text of peers can stand in a note: it must not drive a terminal.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The name of a level, as flags and logs have it.
pub fn level(level: Level) -> &'static str {
    match level {
        Level::Trace => "TRACE",
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warn => "WARN",
        Level::Error => "ERROR",
    }
}
