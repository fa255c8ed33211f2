//! Values in requests. Core Lightning reads numbers, ids and words alike whether they are quoted or not, since its
//! command line client cannot know; so does this.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value, looked at no deeper than needed.
#[derive(Clone, Debug)]
pub(crate) enum Token<'a> {
    /// A text, without its quotes.
    Text(Cow<'a, str>),
    /// A number, `true` or `false`, as it stands.
    Bare(&'a str),
    /// `[…]`.
    Array(Vec<&'a RawValue>),
    /// `{…}`.
    Object(Vec<(String, &'a RawValue)>),
}

impl<'a> Token<'a> {
    /// Looks at a value; `None` for `null`.
    pub(crate) fn new(raw: &'a RawValue) -> Option<Token<'a>> {
        let text = raw.get();
        // The text was parsed as JSON before, so that reading its outermost layer again succeeds.
        const PARSED: &str = "a raw value is valid JSON";
        Some(match text.as_bytes()[0] {
            b'"' => match serde_json::from_str::<&str>(text) {
                Ok(plain) => Token::Text(Cow::Borrowed(plain)),
                // Escapes: lone surrogates fail even then, and become a text that nothing accepts.
                Err(_) => Token::Text(Cow::Owned(serde_json::from_str(text).unwrap_or_default())),
            },
            b'[' => Token::Array(serde_json::from_str(text).expect(PARSED)),
            b'{' => Token::Object(serde_json::from_str::<Pairs<'_>>(text).expect(PARSED).0),
            b'n' => return None,
            _ => Token::Bare(text),
        })
    }

    /// A text or a bare value.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match self {
            Token::Text(text) => Some(text),
            Token::Bare(text) => Some(text),
            Token::Array(_) | Token::Object(_) => None,
        }
    }
}

/// An object's members in their order.
pub(crate) struct Pairs<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<String, &'de RawValue>()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
