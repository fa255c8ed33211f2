//! Log lines: one format everywhere, a level per part.
//!
//! `2026-01-31T12:00:00.123Z INFO  channel 02ab…: funding confirmed`

use std::fmt::{self, Write as _};
use std::io::Write as _;

use leyden_core::clock::Wall;
use leyden_core::command::{Level, Note};

/// Which notes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    default: Level,
    parts: Vec<(String, Level)>,
}

fn parse_level(text: &str) -> Result<Level, String> {
    match text {
        "error" => Ok(Level::Error),
        "warn" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        "trace" => Ok(Level::Trace),
        _ => Err(format!("unknown log level '{text}'; known are error, warn, info, debug and trace")),
    }
}

impl Filter {
    /// `info`, or `info,channel=debug,peer=trace`.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let mut filter = Filter { default: Level::Info, parts: Vec::new() };
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('=') {
                Some((part, level)) => filter.parts.push((part.to_owned(), parse_level(level)?)),
                None => filter.default = parse_level(item)?,
            }
        }
        Ok(filter)
    }

    /// Is a note of this part at this level written?
    pub fn passes(&self, part: &str, level: Level) -> bool {
        let wanted = self.parts.iter().find(|(name, _)| name == part).map_or(self.default, |(_, level)| *level);
        level >= wanted
    }
}

/// Writes what passes the filter, through a buffer that is kept.
pub struct Log {
    filter: Filter,
    line: String,
    /// `None` is standard error.
    file: Option<std::fs::File>,
}

impl Log {
    /// A log on standard error.
    pub fn new(filter: Filter) -> Log {
        Log { filter, line: String::new(), file: None }
    }

    /// A log in a file, which is open for appending: several logs may share it.
    pub fn to_file(filter: Filter, file: std::fs::File) -> Log {
        Log { filter, line: String::new(), file: Some(file) }
    }

    /// Writes one note.
    pub fn note(&mut self, wall: Wall, note: &Note<'_>) {
        if !self.filter.passes(note.part, note.level) {
            return;
        }
        self.line.clear();
        let level = match note.level {
            Level::Error => "ERROR",
            Level::Warn => "WARN ",
            Level::Info => "INFO ",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        };
        let written = write!(self.line, "{} {level} {}", Timestamp(wall), note.part)
            .and_then(|()| note.peer.map_or(Ok(()), |peer| write!(self.line, " {peer}")))
            .and_then(|()| write!(self.line, ": {}", Escaped(note.text)));
        if written.is_ok() {
            self.line.push('\n');
            // A log that cannot be written must not stop a node that holds money.
            let _ = match &mut self.file {
                Some(file) => file.write_all(self.line.as_bytes()),
                None => std::io::stderr().write_all(self.line.as_bytes()),
            };
        }
    }

    /// Writes one line of the daemon itself.
    pub fn say(&mut self, wall: Wall, level: Level, part: &'static str, text: fmt::Arguments<'_>) {
        self.note(wall, &Note { level, part, peer: None, text });
    }
}

/// Text of peers can stand in a note: what could forge a line or drive a terminal is escaped, and length is capped.
struct Escaped<'a>(fmt::Arguments<'a>);

const LINE_CHARS_MAX: usize = 2_000;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'b> {
            f: &'a mut fmt::Formatter<'b>,
            left: usize,
        }
        impl fmt::Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for c in text.chars() {
                    if self.left == 0 {
                        return Ok(());
                    }
                    self.left -= 1;
                    if self.left == 0 {
                        self.f.write_str("…")?;
                    } else if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                        write!(self.f, "{}", c.escape_default())?;
                    } else {
                        self.f.write_char(c)?;
                    }
                }
                Ok(())
            }
        }
        fmt::write(&mut Escape { f, left: LINE_CHARS_MAX }, self.0)
    }
}

/// RFC 3339 with milliseconds, UTC.
struct Timestamp(Wall);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, seconds) = (self.0.0 % 1000, self.0.0 / 1000);
        let (day_seconds, days) = (seconds % 86_400, seconds / 86_400);
        // Civil date from a day count: eras of 400 years that begin on the first of March.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (day_seconds / 3_600, day_seconds / 60 % 60, day_seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_own_level() {
        let filter = Filter::parse("warn,channel=trace").expect("good");
        assert!(filter.passes("channel", Level::Trace));
        assert!(filter.passes("peer", Level::Warn));
        assert!(!filter.passes("peer", Level::Info));
        assert!(Filter::parse("shout").is_err());
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(Timestamp(Wall(0)).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(Wall(951_782_400_123)).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(Timestamp(Wall(1_798_761_599_999)).to_string(), "2026-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_peer_cannot_forge_a_line() {
        let text = "alias\n2026-01-01 ERROR \u{1b}[31m";
        let shown = Escaped(format_args!("{text}")).to_string();
        assert!(!shown.contains('\n') && !shown.contains('\u{1b}'), "{shown}");
        let long = "x".repeat(10_000);
        assert!(Escaped(format_args!("{long}")).to_string().chars().count() <= LINE_CHARS_MAX);
    }
}
