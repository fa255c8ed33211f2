//! Files become runs: the segments of one process of one node, in order.

use std::collections::BTreeMap;

use leyden_core::clock::Wall;
use leyden_core::ids::NodeId;
use leyden_core::recording::{Damage, DamageKind, Frame, FrameReader, Header, HeaderError, RecordedTurn};

/// A file's name and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// For people.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A segment: it can be replayed alone.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// The file that holds it.
    pub file: &'a str,
    /// What it says of itself.
    pub header: Header,
    /// The node before its first turn; `None` if damage has taken it.
    pub snapshot: Option<&'a [u8]>,
    /// Its turns, not decoded.
    pub turns: Vec<&'a [u8]>,
    /// What ends it early.
    pub damage: Option<Damage>,
}

/// What one process of one node recorded.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Whose it is.
    pub node_id: NodeId,
    /// When the process started.
    pub started: Wall,
    /// In order, each once; there may be gaps.
    pub segments: Vec<Segment<'a>>,
}

impl Run<'_> {
    /// When it ends: the last turn that can be read.
    pub fn last_wall(&self) -> Wall {
        let turns = self.segments.iter().rev().flat_map(|segment| segment.turns.iter().rev());
        let last = turns.filter_map(|body| RecordedTurn::decode(body).ok()).next();
        last.map_or(self.started, |turn| turn.clock.wall)
    }
}

/// Finds the runs in files. What cannot be used is told to `complain`, and left out.
pub fn runs<'a>(sources: &[Source<'a>], mut complain: impl FnMut(String)) -> Vec<Run<'a>> {
    let mut found: BTreeMap<(NodeId, Wall), BTreeMap<u32, Segment<'a>>> = BTreeMap::new();
    for source in sources {
        for segment in segments(source, &mut complain) {
            let run = found.entry((segment.header.node_id, segment.header.run)).or_default();
            // The same segment may come from the ring and from a copy; the one that has more is taken.
            let known = run.get(&segment.header.sequence).map_or(0, |known| known.turns.len() + 1);
            if known < segment.turns.len() + 1 {
                run.insert(segment.header.sequence, segment);
            }
        }
    }
    let run = |((node_id, started), segments): ((NodeId, Wall), BTreeMap<u32, Segment<'a>>)| Run {
        node_id,
        started,
        segments: segments.into_values().collect(),
    };
    found.into_iter().map(run).collect()
}

fn segments<'a>(source: &Source<'a>, complain: &mut impl FnMut(String)) -> Vec<Segment<'a>> {
    let name = source.name;
    let mut reader = FrameReader::new(source.bytes);
    let mut segments: Vec<Segment<'a>> = Vec::new();
    // Frames behind a header that cannot be used belong to nobody.
    let mut orphaned = true;
    loop {
        let at = reader.at();
        match reader.next_frame() {
            Ok(None) => break,
            Ok(Some(Frame::Header(body))) => match Header::decode(body) {
                Ok(header) => {
                    orphaned = false;
                    segments.push(Segment { file: name, header, snapshot: None, turns: Vec::new(), damage: None });
                }
                Err(error) => {
                    orphaned = true;
                    complain(format!("{name}: {error}"));
                }
            },
            Ok(Some(_)) if at == 0 => complain(format!("{name}: {}: no header is first", HeaderError::NoRecording)),
            Ok(Some(frame)) => match (segments.last_mut().filter(|_| !orphaned), frame) {
                (Some(segment), Frame::Snapshot(body)) => segment.snapshot = Some(body),
                (Some(segment), Frame::Turn(body)) => segment.turns.push(body),
                _ => {}
            },
            Err(damage) => {
                if at == 0 && matches!(damage.kind, DamageKind::Kind(_)) {
                    complain(format!("{name}: {}", HeaderError::NoRecording));
                } else {
                    complain(format!("{name}: {damage}"));
                }
                if let Some(segment) = segments.last_mut().filter(|_| !orphaned) {
                    segment.damage = Some(damage);
                }
                orphaned = true;
                if !reader.skip_to_header() {
                    break;
                }
                complain(format!("{name}: the recording goes on at byte {}, with the next segment", reader.at()));
            }
        }
    }
    segments
}
