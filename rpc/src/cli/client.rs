//! The client's side of the socket.

use std::fmt;
use std::io::{Read, Write};

use jsonrpc_core::Value;

use crate::encode::writer::Json;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// There is no node to ask.
    Unreachable(String),
    /// The connection broke, or what came makes no sense.
    Broken(String),
    /// The node says no.
    Refused {
        /// Core Lightning's number.
        code: i64,
        /// The node's words.
        message: String,
        /// What else it says.
        data: Option<Value>,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable(text) | Failure::Broken(text) => f.write_str(text),
            Failure::Refused { code, message, data } => {
                write!(f, "{message} (code {code})")?;
                data.as_ref().map_or(Ok(()), |data| write!(f, "\n{data:#}"))
            }
        }
    }
}

/// One request and its answer. `params` is JSON.
pub fn call(stream: &mut (impl Read + Write), method: &str, params: &str) -> Result<Value, Failure> {
    let mut request = b"{\"jsonrpc\":\"2.0\",\"id\":\"leyden-cli\",\"method\":".to_vec();
    method.write(&mut request);
    request.extend_from_slice(b",\"params\":");
    request.extend_from_slice(params.as_bytes());
    request.extend_from_slice(b"}\n\n");
    let broken = |error: std::io::Error| Failure::Broken(format!("the connection to the node broke: {error}"));
    stream.write_all(&request).and_then(|()| stream.flush()).map_err(broken)?;

    let mut text = Vec::new();
    // Everything before it holds no end of an answer: long answers come in many pieces.
    let mut searched = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Err(Failure::Broken("the node closed the connection without an answer".into())),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        text.extend_from_slice(&buffer[..count]);
        // The node ends each answer with two newlines, and writes none inside.
        while let Some(end) = text[searched..].windows(2).position(|pair| pair == b"\n\n").map(|at| searched + at) {
            let answer = serde_json::from_slice::<Value>(&text[..end])
                .map_err(|error| Failure::Broken(format!("the node's answer is no JSON: {error}")))?;
            text.drain(..end + 2);
            searched = 0;
            // Progress notes have no id.
            if answer.get("id").is_some() {
                return outcome(answer);
            }
        }
        searched = text.len().saturating_sub(1);
    }
}

fn outcome(mut answer: Value) -> Result<Value, Failure> {
    if let Some(error) = answer.get_mut("error").filter(|error| !error.is_null()) {
        let message = error.get("message").and_then(Value::as_str).unwrap_or("the node gives no reason");
        return Err(Failure::Refused {
            code: error.get("code").and_then(Value::as_i64).unwrap_or(-1),
            message: message.to_owned(),
            data: error.get("data").cloned(),
        });
    }
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(Failure::Broken("the node's answer has neither a result nor an error".into())),
    }
}
