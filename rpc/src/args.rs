//! Parameters of a request: matched to a method's names, and read as what they should be.

use jsonrpc_core::Error;
use serde_json::value::RawValue;

use crate::param::Param;
use crate::token::Token;

/// A method's parameters as its usage names them: `id [host] [port]`.
pub(crate) fn names(usage: &'static str) -> impl Iterator<Item = &'static str> {
    usage.split_ascii_whitespace().map(|word| word.trim_matches(['[', ']']))
}

/// The parameters of one request.
pub(crate) struct Args<'a> {
    given: Vec<(&'static str, Token<'a>)>,
    usage: &'static str,
}

impl<'a> Args<'a> {
    /// Matches parameters to names, by position or by name. A `null` is the same as nothing.
    pub(crate) fn new(usage: &'static str, params: &'a RawValue) -> Result<Args<'a>, Error> {
        let mut given = Vec::new();
        match Token::new(params) {
            Some(Token::Array(values)) => {
                let expected = names(usage).count();
                if values.len() > expected {
                    let got = values.len();
                    return Err(invalid(format!("too many parameters: got {got}, expected {expected}")));
                }
                let tokens = names(usage).zip(values);
                given.extend(tokens.filter_map(|(name, raw)| Some((name, Token::new(raw)?))));
            }
            Some(Token::Object(members)) => {
                for (key, raw) in members {
                    let Some(name) = names(usage).find(|name| *name == key) else {
                        return Err(invalid(format!("unknown parameter: {key}; this method takes: {usage}")));
                    };
                    if given.iter().any(|(known, _)| *known == name) {
                        return Err(invalid(format!("duplicate parameter: {name}")));
                    }
                    given.extend(Token::new(raw).map(|token| (name, token)));
                }
            }
            _ => {
                return Err(Error {
                    message: "Expected array or object for params".into(),
                    ..Error::invalid_request()
                });
            }
        }
        Ok(Args { given, usage })
    }

    /// The value of a parameter, if it is given.
    pub(crate) fn token(&self, name: &'static str) -> Option<&Token<'a>> {
        debug_assert!(names(self.usage).any(|known| known == name), "{name} must be in the usage: {}", self.usage);
        self.given.iter().find(|(known, _)| *known == name).map(|(_, token)| token)
    }

    /// A parameter that may be left out.
    pub(crate) fn get<T: Param>(&self, name: &'static str) -> Result<Option<T>, Error> {
        self.get_as(name, T::EXPECTED, T::read)
    }

    /// A parameter that must be given.
    pub(crate) fn need<T: Param>(&self, name: &'static str) -> Result<T, Error> {
        self.get(name)?.ok_or_else(|| missing(name))
    }

    /// A parameter that has a value even if it is not given.
    pub(crate) fn or<T: Param>(&self, name: &'static str, default: T) -> Result<T, Error> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// A parameter that is read in a way of its own.
    pub(crate) fn get_as<T>(
        &self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Token<'a>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(token) = self.token(name) else { return Ok(None) };
        read(token).map(Some).ok_or_else(|| wrong(name, expected, token))
    }

    /// The same, and it must be given.
    pub(crate) fn need_as<T>(
        &self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Token<'a>) -> Option<T>,
    ) -> Result<T, Error> {
        self.get_as(name, expected, read)?.ok_or_else(|| missing(name))
    }

    /// A parameter of Core Lightning's that this node cannot honour: to ignore it would do what was not asked for.
    pub(crate) fn refuse(&self, name: &'static str) -> Result<(), Error> {
        match self.token(name) {
            None => Ok(()),
            Some(Token::Array(items)) if items.is_empty() => Ok(()),
            Some(_) => Err(invalid(format!("{name}: this node does not support it; leave it out"))),
        }
    }

    /// Is it given?
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.token(name).is_some()
    }
}

/// Code -32602.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::invalid_params(message)
}

fn missing(name: &str) -> Error {
    invalid(format!("missing required parameter: {name}"))
}

/// A parameter that is not what it should be.
pub(crate) fn wrong(name: &str, expected: &str, token: &Token<'_>) -> Error {
    const SHOWN_MAX: usize = 80;
    let shown = match token {
        Token::Array(_) => "[…]".to_owned(),
        Token::Object(_) => "{…}".to_owned(),
        Token::Text(text) if text.chars().count() > SHOWN_MAX => {
            text.chars().take(SHOWN_MAX).chain("…".chars()).collect()
        }
        Token::Text(text) => text.to_string(),
        Token::Bare(text) => text.chars().take(SHOWN_MAX).collect(),
    };
    invalid(format!("{name}: should be {expected}: invalid token '{shown}'"))
}
