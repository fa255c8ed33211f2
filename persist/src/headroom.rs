//! Room for rows, looked at before a turn: a full store found at the commit would end the process.

use crate::env::{Env, EnvError};
use std::path::Path;

/// What is left of the map and of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Bytes of the map at its present size.
    pub map_bytes: u64,
    /// Bytes of the map that were ever used; the file is about so long.
    pub used_bytes: u64,
    /// Bytes in those pages that are free again. Only counted when the rest is low, otherwise zero.
    pub free_list_bytes: u64,
    /// The size that the map may grow to.
    pub map_max_bytes: u64,
    /// What the file system has left for us.
    pub disk_free_bytes: u64,
    /// What one turn may take at most.
    pub turn_bytes_max: u64,
}

/// What the room allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Go on.
    Ample,
    /// Refuse new work, keep resolving old.
    Low,
    /// The next turn may already fail.
    Exhausted,
}

/// Below so many full turns' room, new work is refused: what is under way still needs rows to end.
const LOW_TURNS: u64 = 8;

impl Headroom {
    pub(crate) fn look(env: &Env, dir: &Path, map_max_bytes: u64, turn_bytes_max: u64) -> Result<Headroom, EnvError> {
        let (map_bytes, used_bytes) = env.map_use()?;
        // A file system that does not tell is not a reason to refuse; a full one still fails at the commit.
        let disk_free_bytes =
            rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let mut headroom =
            Headroom { map_bytes, used_bytes, free_list_bytes: 0, map_max_bytes, disk_free_bytes, turn_bytes_max };
        if headroom.level() != Level::Ample {
            headroom.free_list_bytes = env.free_list_bytes()?;
        }
        Ok(headroom)
    }

    /// Bytes that can still be written.
    pub fn room_bytes(&self) -> u64 {
        let growth = self.map_max_bytes.saturating_sub(self.used_bytes).min(self.disk_free_bytes);
        growth.saturating_add(self.free_list_bytes)
    }

    /// What that allows.
    pub fn level(&self) -> Level {
        match self.room_bytes() {
            room if room < self.turn_bytes_max => Level::Exhausted,
            room if room < self.turn_bytes_max.saturating_mul(LOW_TURNS) => Level::Low,
            _ => Level::Ample,
        }
    }

    /// The size that the map should have now, if not its present one: it doubles while less than two turns fit.
    pub(crate) fn wanted_map_bytes(&self) -> Option<u64> {
        let needed = self.used_bytes.saturating_add(self.turn_bytes_max.saturating_mul(2));
        if self.map_bytes >= needed || self.map_bytes >= self.map_max_bytes {
            return None;
        }
        Some(self.map_bytes.saturating_mul(2).max(needed).min(self.map_max_bytes))
    }
}
