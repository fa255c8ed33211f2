use std::os::unix::fs::PermissionsExt;

use leyden_core::clock::Mono;
use leyden_core::command::Sink;
use leyden_core::event::Event;
use leyden_core::recording::{Frame, FrameReader, RecordedTurn};
use leyden_core::signer::{KeysSigner, Signer};

use super::*;
use crate::log::Filter;

/// Counts, and draws a secret for each count.
struct Counter(u64);

impl Machine for Counter {
    fn start(&mut self, _: Clock, _: &mut dyn Signer, _: &mut dyn Sink) {}

    fn step(&mut self, _: Clock, _: Event<'_>, signer: &mut dyn Signer, _: &mut dyn Sink) {
        signer.draw();
        self.0 += 1;
        assert!(self.0 < 100_000, "the machine breaks");
    }

    fn next_deadline(&self) -> Option<Mono> {
        None
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn emit(&mut self, _: leyden_core::command::Command<'_>) {}
}

struct Scene {
    dir: PathBuf,
    machine: Counter,
    recorder: Recorder,
    signer: KeysSigner,
    log: Log,
    ms: u64,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Scene {
    fn new(name: &str, segment_size: u64, segments: u64) -> Scene {
        let dir = std::env::temp_dir().join(format!("leyden-recorder-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let signer = KeysSigner::new([7; 64], bitcoin::Network::Regtest, [8; 32]);
        let about = About { network: Network::Regtest, node_id: signer.node_id(), config_hash: 9, run: Wall(1_000) };
        let recorder = Recorder::new(&dir, RecorderSettings { on: true, segment_size, segments }, about);
        let log = Log::new(Filter::parse("error,recorder=error").expect("levels"));
        Scene { dir, machine: Counter(0), recorder, signer, log, ms: 0 }
    }

    fn clock(&self) -> Clock {
        Clock { mono: Mono(self.ms), wall: Wall(60_000 + self.ms) }
    }

    fn begin(&mut self) {
        let clock = self.clock();
        self.recorder.begin(&self.machine, clock, &mut self.log);
    }

    fn turn(&mut self, events: usize) {
        self.ms += 1;
        let clock = self.clock();
        let mut taped = Taped::new(&mut self.machine, &mut self.recorder, clock);
        for _ in 0..events {
            taped.step(clock, Event::Deadline, &mut self.signer, &mut Nowhere);
        }
        self.recorder.end_turn(&self.machine, clock, &mut self.log);
    }

    fn flush(&mut self) {
        let clock = self.clock();
        self.recorder.flush(clock, &mut self.log);
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(&self.dir).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

/// The numbers of a file's turns, how many steps they have, and the count in its snapshot.
fn read(path: &Path) -> (u64, Vec<u64>, usize) {
    let bytes = std::fs::read(path).expect("a file");
    let mut reader = FrameReader::new(&bytes);
    let (mut snapshot, mut turns, mut steps) = (0, Vec::new(), 0);
    while let Some(frame) = reader.next_frame().expect("undamaged") {
        match frame {
            Frame::Header(body) => assert!(Header::decode(body).expect("a header").is_of_this_build()),
            Frame::Snapshot(body) => snapshot = u64::from_be_bytes(body.try_into().expect("a count")),
            Frame::Turn(body) => {
                let turn = RecordedTurn::decode(body).expect("a turn");
                turns.push(turn.number);
                steps += turn.steps.len();
            }
        }
    }
    (snapshot, turns, steps)
}

#[test]
fn segments_follow_one_another_and_the_oldest_go() {
    let mut scene = Scene::new("ring", 1_000, 4);
    scene.begin();
    for _ in 0..200 {
        scene.turn(2);
        scene.turn(0);
    }
    scene.flush();
    let files = scene.files();
    let info = scene.recorder.info();
    assert!(info.on);
    assert_eq!((info.turns, info.events), (200, 400));
    assert_eq!(info.segments, files.len() as u64);
    assert!(info.bytes <= info.bytes_max && (2..=4).contains(&files.len()), "{info:?}");
    let mode = |path: &PathBuf| path.metadata().expect("a file").permissions().mode() & 0o777;
    assert!(files.iter().all(|path| mode(path) == 0o600));
    // What is left is whole and without gaps; each begins with what the machine was then.
    let all: Vec<_> = files.iter().map(|path| read(path)).collect();
    for (snapshot, turns, steps) in &all {
        assert_eq!(*snapshot, turns.first().copied().unwrap_or(200) * 2);
        assert_eq!(turns.len() * 2, *steps);
    }
    let turns: Vec<u64> = all.into_iter().flat_map(|(_, turns, _)| turns).collect();
    assert!(turns.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(turns.last(), Some(&199));
}

#[test]
fn a_full_buffer_and_a_second_write() {
    let mut scene = Scene::new("buffer", 1 << 30, 4);
    scene.begin();
    scene.turn(1);
    let size = |scene: &Scene| scene.files()[0].metadata().expect("a file").len();
    let before = size(&scene);
    scene.turn(10_000);
    assert!(size(&scene) > before, "the buffer was full");
    let before = size(&scene);
    scene.turn(1);
    assert_eq!(size(&scene), before);
    scene.ms += BUFFER_MS;
    scene.turn(1);
    assert!(size(&scene) > before, "a second is over");
}

#[test]
fn trouble_turns_it_off_and_the_machine_goes_on() {
    let mut scene = Scene::new("gone", 1 << 30, 4);
    scene.begin();
    scene.turn(1);
    std::fs::remove_dir_all(&scene.dir).expect("it was there");
    scene.flush();
    let info = scene.recorder.info();
    assert!(!info.on && info.reason.as_ref().is_some_and(|reason| reason.contains("removed")), "{info:?}");
    assert_eq!((info.turns, info.events), (1, 1));
    scene.turn(3);
    assert_eq!(scene.machine.0, 4);

    // A file stands where the folder should be.
    let mut scene = Scene::new("file", 1 << 30, 4);
    std::fs::write(&scene.dir, "in the way").expect("the temporary folder can be written");
    scene.begin();
    assert!(!scene.recorder.info().on);
    scene.turn(1);
    std::fs::remove_file(&scene.dir).expect("it was just written");

    // The disk is full.
    let mut scene = Scene::new("full", 1 << 30, 4);
    scene.begin();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("the system has it");
    *scene.recorder.on.as_ref().expect("on").black_box.file.borrow_mut() = full;
    scene.turn(10_000);
    let info = scene.recorder.info();
    assert!(!info.on && info.reason.as_ref().is_some_and(|reason| reason.contains("space")), "{info:?}");
    scene.turn(1);
    assert_eq!(scene.machine.0, 10_001);
}

#[test]
fn a_panic_saves_the_turn_that_led_to_it() {
    let mut scene = Scene::new("panic", 1 << 30, 4);
    scene.begin();
    scene.turn(1);
    scene.machine.0 = 99_998;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.turn(2)));
    assert!(result.is_err());
    let bytes = std::fs::read(&scene.files()[0]).expect("a file");
    let mut reader = FrameReader::new(&bytes);
    let mut last = None;
    while let Some(frame) = reader.next_frame().expect("undamaged") {
        last = Some(frame);
    }
    let Some(Frame::Turn(body)) = last else { panic!("a turn is last: {last:?}") };
    let turn = RecordedTurn::decode(body).expect("a turn");
    assert_eq!(turn.digest, None);
    assert_eq!(turn.steps.len(), 2);
    assert!(turn.steps[0].digest.is_some() && turn.steps[1].digest.is_none());
    assert_eq!(turn.steps[1].answers.len(), 1);
}

#[test]
fn a_turn_that_could_not_be_committed_is_kept() {
    let mut scene = Scene::new("fatal", 1 << 30, 4);
    scene.begin();
    scene.turn(1);
    let clock = scene.clock();
    let mut taped = Taped::new(&mut scene.machine, &mut scene.recorder, clock);
    taped.step(clock, Event::Deadline, &mut scene.signer, &mut Nowhere);
    scene.recorder.close();
    let (_, turns, steps) = read(&scene.files()[0]);
    assert_eq!((turns, steps), (vec![0, 1], 2));
}

#[test]
fn a_dump_reaches_back_as_far_as_asked() {
    let mut scene = Scene::new("dump", 1_000, 100);
    scene.begin();
    for _ in 0..100 {
        scene.ms += 6_000;
        scene.turn(1);
    }
    let (all, some) = (scene.dir.join("all"), scene.dir.join("some"));
    let clock = scene.clock();
    for (id, minutes, path) in [(1, 60, &all), (2, 1, &some), (3, 1, &some)] {
        let begun = scene.recorder.begin_dump(RequestId(id), minutes, path, clock, &mut scene.log);
        assert_eq!(begun.is_ok(), id < 3, "nothing is overwritten");
    }
    let mut ends = Vec::new();
    while scene.recorder.is_dumping() {
        ends.extend(scene.recorder.step_dump());
    }
    let [(RequestId(1), Ok(first)), (RequestId(2), Ok(second))] = &ends[..] else { panic!("two copies: {ends:?}") };
    assert_eq!(first.from, Some(Wall(60_000)));
    assert!(second.bytes < first.bytes && second.from.is_some_and(|from| from.0 <= clock.wall.0 - 60_000));
    let (_, turns, _) = read(&all);
    assert_eq!(turns, (0..100).collect::<Vec<u64>>());
    let (_, turns, _) = read(&some);
    assert!((10..40).contains(&turns.len()), "{turns:?}");
    assert_eq!(turns.last(), Some(&99));
}
