//! Parameters from the command line, as JSON.

use serde_json::value::RawValue;

use crate::encode::writer::{Json, Object};

/// JSON that stands on the command line.
struct Given<'a>(&'a str);

impl Json for Given<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        // Numbers stay as they are written: a hash of decimal digits alone must not lose any.
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => out.extend_from_slice(raw.get().as_bytes()),
            Err(_) => self.0.write(out),
        }
    }
}

/// How parameters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As `key=value` if the first looks so, else by position.
    Guess,
    /// By position.
    Order,
    /// As `key=value`.
    Keywords,
}

/// `key=value`, if it is that: a key is a word.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once('=')?;
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    (!key.is_empty() && key.bytes().all(word)).then_some((key, value))
}

/// The `params` of a request.
pub(super) fn build(parameters: &[String], style: Style) -> Result<String, String> {
    let split = |text| match style {
        Style::Guess => pair(text),
        Style::Order => None,
        Style::Keywords => text.split_once('='),
    };
    let pairs: Vec<_> = parameters.iter().map_while(|text| split(text)).collect();
    let mut out = Vec::new();
    if pairs.is_empty() && style != Style::Keywords {
        out.push(b'[');
        for (i, text) in parameters.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            Given(text).write(&mut out);
        }
        out.push(b']');
    } else if let Some(stray) = parameters.get(pairs.len()) {
        return Err(match style {
            Style::Keywords => format!("'{stray}' is no key=value"),
            _ => format!("'{stray}' is no key=value, as those before it are; use --order if none is meant to be one"),
        });
    } else {
        let mut object = Object::open(&mut out);
        for (key, value) in pairs {
            object.put(key, Given(value));
        }
        object.close();
    }
    String::from_utf8(out).map_err(|_| "the parameters are no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(parameters: &[&str], style: Style) -> Result<String, String> {
        build(&parameters.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), style)
    }

    #[test]
    fn keywords_may_be_asked_for() {
        let build = |parameters: &[&str]| built(parameters, Style::Keywords);
        assert_eq!(build(&[]), Ok("{}".into()));
        assert_eq!(build(&["id=02ab", "amount=all", "n=7"]), Ok(r#"{"id":"02ab","amount":"all","n":7}"#.into()));
        assert_eq!(build(&["a.b=c=d"]), Ok(r#"{"a.b":"c=d"}"#.into()), "whatever the key looks like");
        assert!(build(&["02ab"]).is_err());
        assert!(build(&["id=02ab", "7"]).is_err());
    }

    #[test]
    fn json_goes_as_it_is_and_the_rest_as_text() {
        let digits = "1".repeat(64);
        let cases: [(&[&str], String); 5] = [
            (&[], "[]".into()),
            (&["1000msat", "7", "null", "a b", "[1, 2]"], r#"["1000msat",7,null,"a b",[1, 2]]"#.into()),
            (&[&digits, "007"], format!(r#"[{digits},"007"]"#)),
            (&["id=02ab", "force=true", "text=a=b"], r#"{"id":"02ab","force":true,"text":"a=b"}"#.into()),
            (&["lnbcrt1 x=1"], r#"["lnbcrt1 x=1"]"#.into()),
        ];
        for (parameters, json) in cases {
            assert_eq!(built(parameters, Style::Guess), Ok(json));
        }
        assert_eq!(built(&["a=b"], Style::Order), Ok(r#"["a=b"]"#.into()));
        assert!(built(&["a=b", "c"], Style::Guess).is_err());
        assert_eq!(built(&["c", "a=b"], Style::Guess), Ok(r#"["c","a=b"]"#.into()));
    }
}
