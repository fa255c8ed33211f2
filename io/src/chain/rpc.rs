//! bitcoind's JSON-RPC: calls into requests, responses into answers, and who we are.

use std::borrow::Cow;
use std::fmt::{self, Write};

use bitcoin::base64::prelude::{BASE64_STANDARD, Engine};
use bitcoin::{Amount, BlockHash, Denomination};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::http::Response;
use crate::config::Auth;

/// Something to ask. A lookup that the node needs later gets its variant here and in [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// What the backend is.
    NetworkInfo,
    /// Which chain it follows, and how far it is.
    ChainInfo,
    /// Its tip.
    BestBlock,
    /// Where a block stands.
    Header(BlockHash),
    /// A whole block.
    Block(BlockHash),
    /// What a confirmation within so many blocks costs.
    EstimateFee(u16),
    /// What the mempool takes at least.
    MempoolInfo,
    /// Broadcast this transaction, given in hexadecimal digits.
    Send(String),
}

impl Call {
    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            Call::NetworkInfo => "getnetworkinfo",
            Call::ChainInfo => "getblockchaininfo",
            Call::BestBlock => "getbestblockhash",
            Call::Header(_) => "getblockheader",
            Call::Block(_) => "getblock",
            Call::EstimateFee(_) => "estimatesmartfee",
            Call::MempoolInfo => "getmempoolinfo",
            Call::Send(_) => "sendrawtransaction",
        }
    }

    /// How long the answer may take. A block may have to be read from a slow disk, and while bitcoind connects blocks
    /// everything waits for its main lock.
    pub fn timeout_ms(&self) -> u64 {
        match self {
            Call::Block(_) => 120_000,
            _ => 60_000,
        }
    }

    /// The request's body.
    pub fn body(&self, id: u64) -> String {
        let mut body = format!(r#"{{"jsonrpc":"1.0","id":{id},"method":"{}","params":["#, self.method());
        let written = match self {
            Call::NetworkInfo | Call::ChainInfo | Call::BestBlock | Call::MempoolInfo => Ok(()),
            Call::Header(hash) => write!(body, r#""{hash}",true"#),
            Call::Block(hash) => write!(body, r#""{hash}",0"#),
            Call::EstimateFee(blocks) => write!(body, "{blocks}"),
            // No ceiling on the feerate: what a transaction may cost was decided before it was signed.
            Call::Send(hex) => write!(body, r#""{hex}",0"#),
        };
        written.expect("writing into a string does not fail");
        body.push_str("]}");
        body
    }
}

/// What the backend says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NetworkInfo {
    /// Its version's name, such as `/Satoshi:29.0.0/`.
    pub subversion: String,
}

/// What the backend says about its chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChainInfo {
    /// The network's name.
    pub chain: String,
    /// The tip's height.
    pub blocks: u32,
    /// The height of the best header.
    pub headers: u32,
    /// The tip.
    #[serde(rename = "bestblockhash")]
    pub best: BlockHash,
    /// Whether it is still in its first download, or was off for long.
    #[serde(rename = "initialblockdownload")]
    pub is_downloading: bool,
}

/// What the backend says about a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HeaderInfo {
    /// One for the tip; −1 for a block that is not part of the best chain.
    pub confirmations: i64,
    /// Its height.
    pub height: u32,
    /// The block before it; the first one has none.
    #[serde(rename = "previousblockhash")]
    pub previous: Option<BlockHash>,
    /// The block behind it in the best chain.
    #[serde(rename = "nextblockhash")]
    pub next: Option<BlockHash>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To [`Call::NetworkInfo`].
    NetworkInfo(NetworkInfo),
    /// To [`Call::ChainInfo`].
    ChainInfo(ChainInfo),
    /// To [`Call::BestBlock`].
    BestBlock(BlockHash),
    /// To [`Call::Header`].
    Header(HeaderInfo),
    /// To [`Call::Block`], in hexadecimal digits.
    Block(Cow<'a, str>),
    /// To [`Call::EstimateFee`], in satoshi per 1,000 weight units, if there is an estimate.
    Fee(Option<u64>),
    /// To [`Call::MempoolInfo`], in the same unit.
    MempoolMinimum(Option<u64>),
    /// To [`Call::Send`].
    Sent,
}

/// The backend's refusal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RpcError {
    /// Its number.
    pub code: i64,
    /// Its words.
    pub message: String,
}

/// Numbers of refusals, as bitcoind's `rpc/protocol.h` has them.
pub mod code {
    /// Anything; a block that is not on disk, for one.
    pub const MISC: i64 = -1;
    /// No such block.
    pub const NOT_FOUND: i64 = -5;
    /// The transaction's outputs are in the chain already.
    pub const ALREADY_IN_CHAIN: i64 = -27;
    /// It is starting.
    pub const WARMING_UP: i64 = -28;
}

/// Why a response is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The credentials are not accepted.
    Unauthorized,
    /// The address we come from is not allowed.
    Forbidden,
    /// Too many requests wait in the backend.
    Busy,
    /// Something else.
    Nonsense(String),
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResponseError::Unauthorized => write!(f, "the credentials are not accepted"),
            ResponseError::Forbidden => write!(f, "this machine's address is not allowed (rpcallowip)"),
            ResponseError::Busy => write!(f, "its work queue is full"),
            ResponseError::Nonsense(reason) => write!(f, "{reason}"),
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct FeeEstimate<'a> {
    #[serde(borrow)]
    feerate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MempoolInfo<'a> {
    #[serde(borrow)]
    mempoolminfee: Option<&'a RawValue>,
    #[serde(borrow)]
    minrelaytxfee: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the answer to `call` out of a response.
pub fn read<'a>(call: &Call, id: u64, response: &'a Response) -> Result<Result<Answer<'a>, RpcError>, ResponseError> {
    match response.status {
        401 => return Err(ResponseError::Unauthorized),
        403 => return Err(ResponseError::Forbidden),
        503 => return Err(ResponseError::Busy),
        // Refusals come with 500 or 404 and a body like any other.
        200 | 400 | 404 | 500 => {}
        status => return Err(ResponseError::Nonsense(format!("HTTP status {status}"))),
    }
    let nonsense = |error: serde_json::Error| ResponseError::Nonsense(error.to_string());
    let envelope: Envelope<'a> = serde_json::from_slice(&response.body).map_err(nonsense)?;
    if envelope.id != Some(id) {
        return Err(ResponseError::Nonsense(format!("it answers request {:?}, not {id}", envelope.id)));
    }
    if let Some(error) = envelope.error {
        return Ok(Err(error));
    }
    let result = envelope.result.ok_or_else(|| ResponseError::Nonsense("it has no result".to_owned()))?.get();
    Ok(Ok(answer(call, result).map_err(nonsense)?))
}

fn answer<'a>(call: &Call, result: &'a str) -> Result<Answer<'a>, serde_json::Error> {
    Ok(match call {
        Call::NetworkInfo => Answer::NetworkInfo(serde_json::from_str(result)?),
        Call::ChainInfo => Answer::ChainInfo(serde_json::from_str(result)?),
        Call::BestBlock => Answer::BestBlock(serde_json::from_str(result)?),
        Call::Header(_) => Answer::Header(serde_json::from_str(result)?),
        Call::Block(_) => Answer::Block(serde_json::from_str::<Text<'a>>(result)?.0),
        Call::EstimateFee(_) => {
            let estimate: FeeEstimate<'a> = serde_json::from_str(result)?;
            Answer::Fee(estimate.feerate.and_then(|feerate| sat_per_kw(feerate.get())))
        }
        Call::MempoolInfo => {
            let info: MempoolInfo<'a> = serde_json::from_str(result)?;
            let feerates = [info.mempoolminfee, info.minrelaytxfee];
            Answer::MempoolMinimum(feerates.into_iter().flatten().filter_map(|rate| sat_per_kw(rate.get())).max())
        }
        Call::Send(_) => Answer::Sent,
    })
}

/// bitcoind names feerates in bitcoin per 1,000 vbytes, which are 4,000 weight units. Read as decimal digits, because
/// money does not go through floating point. Rounded up: what is meant as a minimum has to stay one.
fn sat_per_kw(btc_per_kvb: &str) -> Option<u64> {
    let sat_per_kvb = Amount::from_str_in(btc_per_kvb, Denomination::Bitcoin).ok()?.to_sat();
    Some(sat_per_kvb.div_ceil(4))
}

/// The `Authorization` header's value. A cookie is read from its file each time, because bitcoind writes it anew at
/// each start.
pub fn authorization(auth: &Auth) -> Result<String, String> {
    let credentials = match auth {
        Auth::Password { user, password } => format!("{user}:{password}"),
        Auth::Cookie(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("its cookie {} cannot be read ({error}): does it run?", path.display()))?,
    };
    Ok(format!("Basic {}", BASE64_STANDARD.encode(credentials.trim_end_matches(['\r', '\n']))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec(), is_last: false }
    }

    #[test]
    fn feerates_become_satoshi_per_kilo_weight() {
        let fee = |body: &str| {
            let body = format!(r#"{{"result":{body},"error":null,"id":4}}"#);
            match read(&Call::EstimateFee(6), 4, &response(200, &body)) {
                Ok(Ok(Answer::Fee(fee))) => fee,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(fee(r#"{"feerate":0.00001000,"blocks":6}"#), Some(250));
        assert_eq!(fee(r#"{"feerate":0.00001001,"blocks":6}"#), Some(251));
        assert_eq!(fee(r#"{"feerate":0.5,"blocks":6}"#), Some(12_500_000));
        assert_eq!(fee(r#"{"feerate":-1,"blocks":6}"#), None);
        assert_eq!(fee(r#"{"errors":["Insufficient data or no feerate found"],"blocks":6}"#), None);
    }

    #[test]
    fn refusals_are_answers_and_nonsense_is_not() {
        let call = Call::Send("00".to_owned());
        let refusal = r#"{"result":null,"error":{"code":-26,"message":"dust"},"id":7}"#;
        let error = RpcError { code: -26, message: "dust".to_owned() };
        assert_eq!(read(&call, 7, &response(500, refusal)), Ok(Err(error)));
        assert_eq!(read(&call, 7, &response(401, "")), Err(ResponseError::Unauthorized));
        assert_eq!(read(&call, 7, &response(503, "Work queue depth exceeded")), Err(ResponseError::Busy));
        assert!(matches!(read(&call, 8, &response(500, refusal)), Err(ResponseError::Nonsense(_))));
        assert!(matches!(read(&call, 7, &response(200, "<html>")), Err(ResponseError::Nonsense(_))));
        assert!(matches!(read(&call, 7, &response(302, "")), Err(ResponseError::Nonsense(_))));
        let wrong_type = r#"{"result":17,"error":null,"id":7}"#;
        assert!(matches!(read(&Call::BestBlock, 7, &response(200, wrong_type)), Err(ResponseError::Nonsense(_))));
    }

    #[test]
    fn requests_are_json() {
        let hash: BlockHash = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206".parse().unwrap();
        for call in [
            Call::NetworkInfo,
            Call::Header(hash),
            Call::Block(hash),
            Call::EstimateFee(2),
            Call::Send("0200".to_owned()),
        ] {
            let body: serde_json::Value = serde_json::from_str(&call.body(3)).unwrap();
            assert_eq!(body["method"], call.method());
            assert_eq!(body["id"], 3);
        }
    }

    #[test]
    fn credentials_are_encoded() {
        let auth = Auth::Password { user: "alice".to_owned(), password: "secret".to_owned() };
        assert_eq!(authorization(&auth).unwrap(), "Basic YWxpY2U6c2VjcmV0");
        let missing = authorization(&Auth::Cookie("/nowhere/.cookie".into())).unwrap_err();
        assert!(missing.contains("/nowhere/.cookie"));
    }
}
