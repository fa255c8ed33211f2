//! What the playground asks its nodes, as anybody would: over their control sockets.

use std::os::unix::net::UnixStream;
use std::path::Path;

use leyden_rpc::cli::client;
use serde_json::Value;

/// One request and its answer, on a connection of its own. `params` is JSON.
pub(super) fn call(control: &Path, method: &str, params: &str) -> Result<Value, String> {
    let mut stream =
        UnixStream::connect(control).map_err(|e| format!("cannot connect to {}: {e}", control.display()))?;
    client::call(&mut stream, method, params).map_err(|failure| format!("{method}: {failure}"))
}
