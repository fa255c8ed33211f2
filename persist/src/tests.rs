//! Stories of a store: what survives, what is noticed, what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::counter::COUNTER_FILE;
use crate::env::DATA_FILE;
use crate::rows::From;
use crate::*;

const CHANNELS: u8 = 1;
const HTLCS: u8 = 2;
const HISTORY: u8 = 63;

/// A directory of its own that goes with the test.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("leyden-persist-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }

    fn store(&self) -> PathBuf {
        self.0.join("node")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn small() -> Options {
    Options { map_bytes: 1 << 20, map_max_bytes: 16 << 20, turn_bytes_max: 256 << 10, counter_file: None }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, small()).unwrap()
}

fn put(store: &mut Store, table: u8, key: &[u8], value: &[u8]) -> u64 {
    let mut turn = store.begin();
    turn.put(table, key, value);
    turn.commit().unwrap().counter
}

fn copy_database(from: &Path, to: &Path) {
    fs::copy(from.join(DATA_FILE), to).unwrap();
}

#[test]
fn a_commit_survives_and_a_dropped_turn_never_happened() {
    let temp = TempDir::new();
    {
        let mut store = open(&temp.store());
        assert_eq!(store.freshness(), Freshness::New);
        let mut turn = store.begin();
        turn.put(CHANNELS, b"a", b"open");
        turn.put_with(HTLCS, b"a1", 3, |room| room.copy_from_slice(b"add"));
        assert_eq!(turn.commit().unwrap().rows, 2);

        let mut crashed = store.begin();
        crashed.put(CHANNELS, b"a", b"closed");
        crashed.delete(HTLCS, b"a1");
        drop(crashed);
    }
    let mut store = open(&temp.store());
    assert_eq!(store.freshness(), Freshness::Current);
    assert_eq!(store.get(CHANNELS, b"a").unwrap().as_deref(), Some(&b"open"[..]));
    assert_eq!(store.get(HTLCS, b"a1").unwrap().as_deref(), Some(&b"add"[..]));

    let mut turn = store.begin();
    turn.delete(HTLCS, b"a1");
    turn.delete(HTLCS, b"was never there");
    turn.put(CHANNELS, b"empty", b"");
    turn.commit().unwrap();
    let mut seen = Vec::new();
    store
        .visit(|row| {
            seen.push((row.table, row.key.to_vec(), row.value.to_vec()));
            Ok::<(), ReadError>(())
        })
        .unwrap();
    assert_eq!(seen, [(CHANNELS, b"a".to_vec(), b"open".to_vec()), (CHANNELS, b"empty".to_vec(), Vec::new())]);
    assert_eq!(store.check(), Ok(2));
}

#[test]
fn a_turn_without_rows_writes_nothing() {
    let temp = TempDir::new();
    let mut store = open(&temp.store());
    let before = store.counter().unwrap();
    let turn = store.begin();
    assert!(turn.is_empty());
    assert_eq!(turn.commit().unwrap(), Committed { rows: 0, bytes: 0, counter: before });
    assert_eq!(put(&mut store, CHANNELS, b"a", b"1"), before + 1);
}

#[test]
fn only_the_owner_may_look() {
    let temp = TempDir::new();
    let _store = open(&temp.store());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(temp.store()), 0o700);
    assert_eq!(mode(temp.store().join(DATA_FILE)), 0o600);
    assert_eq!(mode(temp.store().join(COUNTER_FILE)), 0o600);
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    let temp = TempDir::new();
    let store = open(&temp.store());
    let refused = Store::open(&temp.store(), small()).err().expect("the first one holds the lock");
    let OpenError::InUse { pid, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())));
    drop(store);
    open(&temp.store());
}

/// All keys of a scan, page by page.
fn keys(store: &Store, mut scan: Scan<'_>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut next: Option<Vec<u8>>;
    loop {
        let page = store.scan(scan).unwrap();
        assert!(page.rows.len() <= scan.rows_max);
        keys.extend(page.rows.into_iter().map(|row| row.key));
        next = page.next;
        match &next {
            None => return keys,
            Some(key) => {
                let key: &'static [u8] = key.clone().leak();
                scan.from = From::At(key);
            }
        }
    }
}

#[test]
fn history_is_read_in_pages_both_ways() {
    let temp = TempDir::new();
    let mut store = open(&temp.store());
    let mut turn = store.begin();
    for number in 0..10u8 {
        turn.put(HISTORY, &[7, number], &[number; 100]);
        turn.put(HISTORY, &[255, 255, number], b"other");
    }
    turn.put(HISTORY, &[8], b"behind");
    turn.put(HISTORY - 1, &[7, 3], b"another table");
    turn.commit().unwrap();

    let scan = |prefix: &'static [u8], direction, rows_max, bytes_max| Scan {
        table: HISTORY,
        prefix,
        from: From::Edge,
        direction,
        rows_max,
        bytes_max,
    };
    let forward: Vec<Vec<u8>> = (0..10).map(|number| vec![7, number]).collect();
    let backward: Vec<Vec<u8>> = forward.iter().rev().cloned().collect();
    assert_eq!(keys(&store, scan(&[7], Direction::Forward, 3, 1 << 20)), forward);
    assert_eq!(keys(&store, scan(&[7], Direction::Backward, 3, 1 << 20)), backward);
    // By bytes: two rows of 102 bytes fit, and a row that is too long on its own comes alone.
    assert_eq!(store.scan(scan(&[7], Direction::Forward, 100, 210)).unwrap().rows.len(), 2);
    assert_eq!(store.scan(scan(&[7], Direction::Forward, 100, 1)).unwrap().rows.len(), 1);
    assert_eq!(keys(&store, scan(&[7], Direction::Backward, 100, 1)), backward);
    // A prefix of all ones has no successor within its table.
    assert_eq!(keys(&store, scan(&[255, 255], Direction::Backward, 4, 1 << 20)).len(), 10);
    assert_eq!(keys(&store, scan(&[], Direction::Backward, 4, 1 << 20)).len(), 21);
    assert_eq!(keys(&store, scan(&[9], Direction::Backward, 4, 1 << 20)).len(), 0);
    // Begin in the middle, at a key that is not there.
    let first = |from, direction| {
        let scan = Scan { from, ..scan(&[7], direction, 1, 1 << 20) };
        store.scan(scan).unwrap().rows[0].key[1]
    };
    assert_eq!(first(From::At(&[7, 4, 1]), Direction::Forward), 5);
    assert_eq!(first(From::At(&[7, 4, 1]), Direction::Backward), 4);
    assert_eq!(first(From::Past(&[7, 4, 1]), Direction::Forward), 5);
    assert_eq!(first(From::Past(&[7, 4, 1]), Direction::Backward), 4);
    assert_eq!(first(From::At(&[7, 4]), Direction::Forward), 4);
    assert_eq!(first(From::Past(&[7, 4]), Direction::Forward), 5);
    assert_eq!(first(From::Past(&[7, 4]), Direction::Backward), 3);
    assert_eq!(store.scan(Scan { table: 5, ..scan(&[], Direction::Backward, 1, 1) }).unwrap(), Page::default());
}

#[test]
fn a_flipped_bit_is_named_by_table_and_key() {
    let temp = TempDir::new();
    let marker = b"remember this value for ever";
    {
        let mut store = open(&temp.store());
        put(&mut store, CHANNELS, b"good", b"unharmed");
        put(&mut store, HTLCS, b"\x0b\xad", marker);
    }
    let data = temp.store().join(DATA_FILE);
    let mut bytes = fs::read(&data).unwrap();
    let places: Vec<usize> = (0..bytes.len() - marker.len()).filter(|at| bytes[*at..].starts_with(marker)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 3] ^= 1;
    }
    fs::write(&data, bytes).unwrap();

    let store = open(&temp.store());
    let corrupt = ReadError::Corrupt { table: HTLCS, key: b"\x0b\xad".to_vec() };
    assert_eq!(store.get(HTLCS, b"\x0b\xad"), Err(corrupt.clone()));
    assert_eq!(store.check(), Err(corrupt.clone()));
    assert!(corrupt.to_string().starts_with("the row 0bad of table 2 is damaged"));
    assert_eq!(store.get(CHANNELS, b"good").unwrap().as_deref(), Some(&b"unharmed"[..]));
    assert!(store.backup(&temp.0.join("copy")).is_err());
    assert!(!temp.0.join("copy").exists());
}

#[test]
fn the_map_grows_between_turns_and_a_full_one_is_seen_before_a_turn() {
    let temp = TempDir::new();
    let mut store = open(&temp.store());
    let value = vec![7; 100 << 10];
    let mut number = 0u32;
    let mut seen_low_at = None;
    loop {
        let headroom = store.headroom().unwrap();
        assert!(headroom.map_bytes <= 16 << 20);
        match headroom.level() {
            Level::Ample => assert_eq!(seen_low_at, None),
            Level::Low => _ = seen_low_at.get_or_insert(number),
            Level::Exhausted => break,
        }
        number += 1;
        put(&mut store, HISTORY, &number.to_be_bytes(), &value);
    }
    assert!(seen_low_at.is_some_and(|low| low > 100 && low < number));
    // Nobody stopped: the commit fails, and nothing of the turn is there.
    let mut turn = store.begin();
    turn.put(CHANNELS, b"small", b"too");
    turn.put(CHANNELS, b"big", &vec![0; 16 << 20]);
    turn.put(CHANNELS, b"after", b"ignored");
    assert_eq!(turn.commit(), Err(Fatal::MapFull { map_bytes: 16 << 20 }));
    assert_eq!(store.get(CHANNELS, b"small"), Ok(None));
    // Deleting makes room again.
    let mut turn = store.begin();
    for number in 1..number {
        turn.delete(HISTORY, &number.to_be_bytes());
    }
    turn.commit().unwrap();
    assert_eq!(store.headroom().unwrap().level(), Level::Ample);
}

#[test]
fn an_old_copy_that_is_put_back_is_recognised() {
    let temp = TempDir::new();
    let dir = temp.store();
    let old = temp.0.join("old");
    let branch = temp.0.join("branch");
    {
        let mut store = open(&dir);
        put(&mut store, CHANNELS, b"a", b"1");
        copy_database(&dir, &old);
        put(&mut store, CHANNELS, b"a", b"2");
    }
    assert_eq!(open(&dir).freshness(), Freshness::Current);
    copy_database(&dir, &branch);

    fs::copy(&old, dir.join(DATA_FILE)).unwrap();
    {
        let mut store = open(&dir);
        assert_eq!(store.freshness(), Freshness::RolledBack { store: 2, reached: 3 });
        // It goes on in this state for long, so by number alone it would look current.
        for number in 0..5u8 {
            put(&mut store, CHANNELS, b"b", &[number]);
        }
    }
    {
        let mut store = open(&dir);
        assert_eq!(store.freshness(), Freshness::Unproven(Unknown::SuspectBefore));
        store.accept_as_current().unwrap();
        assert_eq!(store.freshness(), Freshness::Current);
        put(&mut store, CHANNELS, b"b", b"trusted");
    }
    assert_eq!(open(&dir).freshness(), Freshness::Current);
    // The state that was the latest once belongs to another branch of history now.
    fs::copy(&branch, dir.join(DATA_FILE)).unwrap();
    assert!(matches!(open(&dir).freshness(), Freshness::RolledBack { store: 3, .. }));
}

#[test]
fn a_store_that_nothing_vouches_for_is_unproven() {
    let temp = TempDir::new();
    let dir = temp.store();
    let counter = dir.join(COUNTER_FILE);
    put(&mut open(&dir), CHANNELS, b"a", b"1");

    fs::remove_file(&counter).unwrap();
    assert_eq!(open(&dir).freshness(), Freshness::Unproven(Unknown::Missing));
    open(&dir).accept_as_current().unwrap();
    assert_eq!(open(&dir).freshness(), Freshness::Current);

    // Each start writes the other slot; one torn slot does no harm, two do.
    let whole = fs::read(&counter).unwrap();
    for slot in [20, 512 + 20] {
        let mut torn = whole.clone();
        torn[slot] ^= 1;
        fs::write(&counter, torn).unwrap();
        assert!(matches!(open(&dir).freshness(), Freshness::Current));
    }
    fs::write(&counter, b"nothing of the kind").unwrap();
    assert_eq!(open(&dir).freshness(), Freshness::Unproven(Unknown::Damaged));
    open(&dir).accept_as_current().unwrap();

    let other = temp.0.join("other");
    drop(open(&other));
    fs::copy(other.join(COUNTER_FILE), &counter).unwrap();
    assert_eq!(open(&dir).freshness(), Freshness::Unproven(Unknown::OtherStore));

    // The database is gone altogether, but there was one.
    open(&dir).accept_as_current().unwrap();
    fs::remove_file(dir.join(DATA_FILE)).unwrap();
    assert!(matches!(open(&dir).freshness(), Freshness::RolledBack { store: 0, .. }));
}

#[test]
fn a_backup_holds_all_rows_and_knows_that_it_is_a_copy() {
    let temp = TempDir::new();
    let copy = temp.0.join("copy");
    let again = temp.0.join("again");
    let counter;
    {
        let mut store = open(&temp.store());
        let mut turn = store.begin();
        for number in 0..200u32 {
            turn.put(HISTORY, &number.to_be_bytes(), &vec![3; (number * 20) as usize]);
        }
        turn.commit().unwrap();
        counter = put(&mut store, CHANNELS, b"a", b"1");
        assert!(matches!(store.backup(&temp.store()), Err(backup::BackupError::Exists(_))));
        let copied = store.backup(&copy).unwrap();
        assert_eq!((copied.rows, copied.counter), (201, counter));
    }
    assert_eq!(backup::copy(&temp.store(), &again).unwrap().counter, counter);
    for copy in [copy, again] {
        let store = open(&copy);
        assert_eq!(store.freshness(), Freshness::Unproven(Unknown::Missing));
        assert_eq!(store.check(), Ok(201));
        assert_eq!(store.counter(), Ok(counter));
    }
    assert!(backup::copy(&temp.0.join("nowhere"), &temp.0.join("x")).is_err());
}

#[test]
fn a_foreign_file_is_not_overwritten() {
    let temp = TempDir::new();
    let dir = temp.store();
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(DATA_FILE), vec![b'x'; 16384]).unwrap();
    let refused = Store::open(&dir, small()).err().expect("this is no store");
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused}");
}
