//! Which kinds of faults and of traffic a seed has at all.

use crate::draw::{Domain, Draw, Stream};

/// Which faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// None.
    None,
    /// Those that the seed's swarm draws.
    Swarm,
    /// All of them.
    All,
}

/// What a seed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// Connections are cut at messages.
    pub cuts: bool,
    /// Nodes crash at the end of turns.
    pub crashes: bool,
    /// Nodes stay off for a while.
    pub outages: bool,
    /// Connections stand still.
    pub stalls: bool,
    /// Two cannot reach each other for a while.
    pub parts: bool,
    /// Stores are slow.
    pub slow_stores: bool,
    /// Blocks come late, backends fall silent.
    pub chain: bool,
    /// Feerates move.
    pub fees: bool,
    /// Clocks jump.
    pub clocks: bool,
    /// Some payments are far below what becomes an output.
    pub dust: bool,
    /// Some payments are as large as channels.
    pub large: bool,
    /// Some payments fail at their destination: what they pay for is unknown there, or made up by their payer.
    pub probes: bool,
    /// The second half of some payments never comes.
    pub halves: bool,
    /// Most payments concern the same two nodes.
    pub hot: bool,
    /// Payments come in bursts.
    pub bursts: bool,
    /// Channels are opened meanwhile.
    pub churn: bool,
    /// Blocks are replaced by others.
    pub reorgs: bool,
    /// Nodes pay themselves, over others and back.
    pub circles: bool,
    /// Some payments are held for long by whoever is paid, and then settled, given back, or forgotten.
    pub holds: bool,
    /// What is held when all else is over stays so until its HTLCs are about to end.
    pub forgets: bool,
    /// Most payments go to the same node.
    pub spot: bool,
}

impl Swarm {
    fn of(faults: Faults, stream: &mut Stream) -> Swarm {
        let mut fault = |percent: u64| match faults {
            Faults::None => false,
            Faults::Swarm => stream.chance(percent),
            Faults::All => true,
        };
        Swarm {
            cuts: fault(60),
            crashes: fault(60),
            outages: fault(30),
            stalls: fault(40),
            parts: fault(30),
            slow_stores: fault(30),
            chain: fault(30),
            fees: fault(40),
            clocks: fault(20),
            churn: fault(20),
            reorgs: fault(30),
            dust: stream.chance(50),
            large: stream.chance(50),
            probes: stream.chance(50),
            halves: stream.chance(30),
            hot: stream.chance(30),
            bursts: stream.chance(50),
            circles: stream.chance(40),
            holds: stream.chance(40),
            forgets: stream.chance(50),
            spot: stream.chance(30),
        }
    }

    /// What a seed has.
    pub fn of_seed(seed: u64, faults: Faults) -> Swarm {
        Swarm::of(faults, &mut Draw::new(seed).stream(Domain::Swarm, 0))
    }
}
