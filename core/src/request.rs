//! What control clients ask, and what they get: plain data.

/// A request of a control client.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Request {
    /// Who are we?
    Getinfo,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing to tell but success.
    Done,
}

/// Why a request failed, with Core Lightning's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Core Lightning's number.
    pub code: i32,
    /// What happened, on what, and what to do next.
    pub message: String,
}
