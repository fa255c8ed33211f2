//! Time as the core sees it: an argument.

/// Milliseconds since the process started. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Mono(pub u64);

/// Milliseconds since the Unix epoch. May jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Wall(pub u64);

/// One reading, shared by all events of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Clock {
    /// For deadlines.
    pub mono: Mono,
    /// For what people and other nodes see.
    pub wall: Wall,
}

impl Mono {
    /// The moment `ms` later.
    pub fn plus_ms(self, ms: u64) -> Mono {
        Mono(self.0.saturating_add(ms))
    }
}

impl Wall {
    /// Whole seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0 / 1000
    }
}
