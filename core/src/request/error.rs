//! Why a request failed, in Core Lightning's numbers: clients decide by them.

use std::fmt;

use super::invoice::{InvoiceInfo, InvoiceStatus};
use super::payment::SendPayInfo;
use crate::ids::{NodeId, ShortChannelId};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct RequestError {
    /// One of this type's constants.
    pub code: i32,
    /// What happened, on what, and what to do next.
    pub message: String,
    /// What a program can use.
    pub data: Option<ErrorData>,
}

/// What a program can use of a failure.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum ErrorData {
    /// Somebody on a payment's route refused it.
    Payment(Box<PaymentFailure>),
    /// A payment failed and nobody could tell where; the encrypted reply, for whoever made the onion.
    OnionReply {
        /// The reply.
        reply: Vec<u8>,
        /// The part that failed.
        part: Option<Box<SendPayInfo>>,
    },
    /// The part of a payment that failed, without a reply.
    Part(Box<SendPayInfo>),
    /// The invoice concerned.
    Invoice(Box<InvoiceInfo>),
    /// An invoice is not in the state that was named.
    InvoiceStatus {
        /// What it is.
        current: InvoiceStatus,
        /// What was named.
        expected: InvoiceStatus,
    },
}

/// Who refused a payment, and how.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PaymentFailure {
    /// BOLT 4's failure code; `None` when we failed it before it left.
    pub failure_code: Option<u16>,
    /// Which hop: 0 is this node.
    pub erring_index: Option<u32>,
    /// Its id.
    pub erring_node: Option<NodeId>,
    /// The channel it refused to use.
    pub erring_channel: Option<ShortChannelId>,
    /// The direction of that channel.
    pub erring_direction: Option<u8>,
    /// The failure message as it came, decrypted.
    pub raw_message: Option<Vec<u8>>,
    /// The part that failed.
    pub part: Option<Box<SendPayInfo>>,
}

impl RequestError {
    /// Anything that has no number of its own.
    pub const GENERIC: i32 = -1;
    /// Not a JSON-RPC 2.0 request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// A parameter is missing, unknown or wrong.
    pub const INVALID_PARAMS: i32 = -32602;

    /// The payment is still on its way.
    pub const PAY_IN_PROGRESS: i32 = 200;
    /// The hash was used with other parameters, or is paid already.
    pub const PAY_RHASH_ALREADY_USED: i32 = 201;
    /// The failure came back unreadable.
    pub const PAY_UNPARSEABLE_ONION: i32 = 202;
    /// The destination refused for good.
    pub const PAY_DESTINATION_PERM_FAIL: i32 = 203;
    /// Another route may work.
    pub const PAY_TRY_OTHER_ROUTE: i32 = 204;
    /// No route.
    pub const PAY_ROUTE_NOT_FOUND: i32 = 205;
    /// Every route costs more than allowed.
    pub const PAY_ROUTE_TOO_EXPENSIVE: i32 = 206;
    /// The invoice has expired.
    pub const PAY_INVOICE_EXPIRED: i32 = 207;
    /// No such payment.
    pub const PAY_NO_SUCH_PAYMENT: i32 = 208;
    /// It failed, with nothing more to say.
    pub const PAY_UNSPECIFIED_ERROR: i32 = 209;
    /// The time for trying is over.
    pub const PAY_STOPPED_RETRYING: i32 = 210;
    /// No answer within the time given; the payment may still succeed.
    pub const PAY_STATUS_UNEXPECTED: i32 = 211;

    /// More than a channel may hold.
    pub const FUND_MAX_EXCEEDED: i32 = 300;
    /// The wallet holds too little.
    pub const FUND_CANNOT_AFFORD: i32 = 301;
    /// An output would be dust.
    pub const FUND_OUTPUT_IS_DUST: i32 = 302;
    /// The chain backend refused the transaction.
    pub const FUNDING_BROADCAST_FAIL: i32 = 303;
    /// The chain is not taken in yet.
    pub const FUNDING_STILL_SYNCING_BITCOIN: i32 = 304;
    /// The peer cannot be reached.
    pub const FUNDING_PEER_NOT_CONNECTED: i32 = 305;
    /// The peer does not know this channel.
    pub const FUNDING_UNKNOWN_PEER: i32 = 306;
    /// It was given up.
    pub const FUNDING_CANCELLED: i32 = 307;

    /// We know no address of the node.
    pub const CONNECT_NO_KNOWN_ADDRESS: i32 = 400;
    /// No address worked.
    pub const CONNECT_ALL_ADDRESSES_FAILED: i32 = 401;

    /// The label is taken.
    pub const INVOICE_LABEL_ALREADY_EXISTS: i32 = 900;
    /// The preimage is taken.
    pub const INVOICE_PREIMAGE_ALREADY_EXISTS: i32 = 901;
    /// The invoice expired while it was waited for.
    pub const INVOICE_EXPIRED_DURING_WAIT: i32 = 903;
    /// The time for waiting is over.
    pub const INVOICE_WAIT_TIMED_OUT: i32 = 904;
    /// No such label.
    pub const INVOICE_NOT_FOUND: i32 = 905;
    /// The invoice is in another state.
    pub const INVOICE_STATUS_UNEXPECTED: i32 = 906;

    /// The chain did not get that high in time (Core Lightning's `WAIT_TIMEOUT`).
    pub const WAIT_TIMEOUT: i32 = 2000;

    /// An error with one of the numbers above.
    pub fn new(code: i32, message: impl Into<String>) -> RequestError {
        RequestError { code, message: message.into(), data: None }
    }

    /// An error that has no number of its own.
    pub fn generic(message: impl Into<String>) -> RequestError {
        RequestError::new(RequestError::GENERIC, message)
    }

    /// A parameter that is well formed and still wrong.
    pub fn invalid_params(message: impl Into<String>) -> RequestError {
        RequestError::new(RequestError::INVALID_PARAMS, message)
    }

    /// With what a program can use.
    pub fn with_data(self, data: ErrorData) -> RequestError {
        RequestError { data: Some(data), ..self }
    }

    /// No channel or connection with this peer. Clients match this text.
    pub fn unknown_peer() -> RequestError {
        RequestError::new(RequestError::FUNDING_UNKNOWN_PEER, "Unknown peer")
    }

    /// We know the peer and are not connected to it. Clients match this text.
    pub fn peer_not_connected() -> RequestError {
        RequestError::new(RequestError::FUNDING_PEER_NOT_CONNECTED, "Peer not connected")
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for RequestError {}
