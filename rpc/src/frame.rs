//! Splits a stream of bytes into JSON objects, as they come.
//!
//! Clients put any white space, or nothing, between their requests, so that only the brackets tell where one ends. The
//! splitter counts them and leaves everything else to the JSON parser: what it cuts out may still be nonsense.

/// Longest request. A PSBT with all the transactions that it spends is the longest honest one.
pub const REQUEST_SIZE_MAX: usize = 4 * 1024 * 1024;

/// One thing found in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Text that begins with `{` and ends with the bracket that closes it.
    Object(&'a [u8]),
    /// The same with `[`: JSON, and not a request.
    Array,
    /// Text that cannot be part of JSON between two values. What follows has no known beginning: the stream is over.
    Garbage,
    /// A request above [`REQUEST_SIZE_MAX`]. The stream is over.
    TooLong,
}

/// The state of a stream.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Everything before it has been given out.
    start: usize,
    /// Everything before it has been looked at.
    scanned: usize,
    /// Open brackets.
    depth: u32,
    /// Inside a string?
    quoted: bool,
    /// Right behind a backslash?
    escaped: bool,
    /// Nothing more can be found.
    over: bool,
}

impl Splitter {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.over {
            return;
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            (self.start, self.scanned) = (0, 0);
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete object, if it is there.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        if self.over {
            return None;
        }
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            if self.scanned - self.start > REQUEST_SIZE_MAX {
                return Some(self.end(Frame::TooLong));
            }
            if self.escaped {
                self.escaped = false;
            } else if self.quoted {
                match byte {
                    b'\\' => self.escaped = true,
                    b'"' => self.quoted = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'{' | b'[' => self.depth += 1,
                    b'"' if self.depth > 0 => self.quoted = true,
                    b'}' | b']' if self.depth > 1 => self.depth -= 1,
                    b'}' | b']' if self.depth == 1 => {
                        self.depth = 0;
                        let begin = std::mem::replace(&mut self.start, self.scanned);
                        let text = &self.buffer[begin..self.scanned];
                        return Some(if text[0] == b'{' { Frame::Object(text) } else { Frame::Array });
                    }
                    b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => self.start = self.scanned,
                    _ if self.depth == 0 => return Some(self.end(Frame::Garbage)),
                    _ => {}
                }
            }
        }
        None
    }

    /// Is the stream over, because nothing more can be found in it?
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self, frame: Frame<'static>) -> Frame<'static> {
        self.over = true;
        self.buffer = Vec::new();
        (self.start, self.scanned) = (0, 0);
        frame
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(frame) = splitter.next_frame() {
                found.push(match frame {
                    Frame::Object(text) => String::from_utf8_lossy(text).into_owned(),
                    other => format!("{other:?}"),
                });
            }
        }
        found
    }

    #[test]
    fn brackets_alone_separate_requests() {
        let text = br#" {"a":"}{\"]"}{"b":[{}]}
        [1,{"c":2}] {}"#;
        let expected = [r#"{"a":"}{\"]"}"#, r#"{"b":[{}]}"#, "Array", "{}"];
        assert_eq!(split(&[text]), expected);
    }

    #[test]
    fn garbage_ends_the_stream_and_does_not_come_twice() {
        assert_eq!(split(&[b"{} xyz {}", b"{}"]), ["{}", "Garbage"]);
        assert_eq!(split(&[b"]"]), ["Garbage"]);
        assert_eq!(split(&[b"\"{\"{}"]), ["Garbage"]);
    }

    #[test]
    fn an_endless_request_ends_the_stream() {
        let mut splitter = Splitter::default();
        splitter.push(b"{\"");
        let piece = vec![b'x'; 1 << 16];
        let mut pushed = 0;
        while splitter.next_frame().is_none() {
            assert!(pushed <= REQUEST_SIZE_MAX + piece.len(), "the bound must bite");
            splitter.push(&piece);
            pushed += piece.len();
        }
        assert!(splitter.is_over());
        assert_eq!(splitter.buffer.capacity(), 0);
    }

    quickcheck! {
        fn any_cut_gives_the_same_objects(cuts: Vec<u8>) -> bool {
            let text: &[u8] = br#"{"id":1,"m":"\\\"{"} {"id":2,"p":[[],{"x":"]"}]}{}[{}]  {"z":"\u00e9"}"#;
            let whole = split(&[text]);
            let mut pieces = Vec::new();
            let mut rest = text;
            for cut in cuts {
                let (piece, tail) = rest.split_at(usize::from(cut).min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            pieces.push(rest);
            split(&pieces) == whole
        }

        fn no_bytes_panic(pieces: Vec<Vec<u8>>) -> bool {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            split(&pieces);
            true
        }
    }
}
