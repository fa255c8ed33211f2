//! Which scripts a `shutdown` may name (BOLT 2, "Closing Initiation").

use bitcoin::Script;
use bitcoin::opcodes::all::OP_RETURN;

/// What the negotiated features allow beyond P2WPKH and P2WSH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownRules {
    /// `option_shutdown_anysegwit`: witness versions 1 to 16.
    pub anysegwit: bool,
    /// `option_simple_close`: `OP_RETURN` too.
    pub simple_close: bool,
}

impl ShutdownRules {
    /// Whether a script has a form that these features allow. P2PKH and P2SH are no longer among them.
    pub fn allow(&self, script: &Script) -> bool {
        script.is_p2wpkh()
            || script.is_p2wsh()
            || self.anysegwit && is_segwit_v1_or_later(script.as_bytes())
            || self.simple_close && is_op_return(script.as_bytes())
    }
}

/// `OP_1` to `OP_16`, then one push of 2 to 40 bytes.
fn is_segwit_v1_or_later(script: &[u8]) -> bool {
    matches!(script, [0x51..=0x60, len @ 2..=40, program @ ..] if program.len() == usize::from(*len))
}

/// `OP_RETURN`, then one push of 6 to 75 bytes, or of 76 to 80 by `OP_PUSHDATA1`.
fn is_op_return(script: &[u8]) -> bool {
    let Some((&first, push)) = script.split_first() else { return false };
    first == OP_RETURN.to_u8()
        && match push {
            [len @ 6..=75, data @ ..] => data.len() == usize::from(*len),
            [0x4c, len @ 76..=80, data @ ..] => data.len() == usize::from(*len),
            _ => false,
        }
}
