//! `filter`: a request may name the members of the result that it wants.

use jsonrpc_core::{Error, Value};
use serde_json::value::RawValue;

use crate::args::invalid;

/// Longest filter: it is kept until the answer comes.
const FILTER_SIZE_MAX: usize = 4_096;

/// The shape of the result to keep: `true` keeps a value as it is, an object keeps its members, an array of one filter
/// applies that to every item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter(Value);

impl Filter {
    /// Reads a filter.
    pub(crate) fn new(raw: &RawValue) -> Result<Filter, Error> {
        if raw.get().len() > FILTER_SIZE_MAX {
            return Err(invalid(format!("filter: longer than {FILTER_SIZE_MAX} bytes")));
        }
        let shape: Value = serde_json::from_str(raw.get()).map_err(|e| invalid(format!("filter: {e}")))?;
        if !shape.is_object() {
            return Err(invalid("filter: Expected object"));
        }
        check(&shape)?;
        Ok(Filter(shape))
    }

    /// What is left of a result.
    pub(crate) fn apply(&self, result: Value) -> Value {
        keep(result, &self.0).unwrap_or(Value::Null)
    }
}

fn check(shape: &Value) -> Result<(), Error> {
    match shape {
        Value::Bool(true) => Ok(()),
        Value::Object(members) => members.values().try_for_each(check),
        Value::Array(items) if items.len() == 1 => check(&items[0]),
        Value::Array(_) => Err(invalid("filter: an array must hold exactly one filter")),
        _ => Err(invalid("filter: Expected object, array or 'true'")),
    }
}

fn keep(value: Value, shape: &Value) -> Option<Value> {
    match (shape, value) {
        (Value::Bool(_), value) => Some(value),
        (Value::Object(wanted), Value::Object(members)) => {
            let kept = members.into_iter().filter_map(|(name, value)| {
                let value = keep(value, wanted.get(&name)?)?;
                Some((name, value))
            });
            Some(Value::Object(kept.collect()))
        }
        (Value::Array(wanted), Value::Array(items)) => {
            Some(Value::Array(items.into_iter().filter_map(|item| keep(item, &wanted[0])).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jsonrpc_core::serde_json::json;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("the test's JSON is right")
    }

    #[test]
    fn only_what_is_named_stays() {
        let filter = Filter::new(&raw(r#"{"a":[{"x":true}],"b":{"c":true},"d":true}"#)).expect("a good filter");
        let whole = json!({"a":[{"x":1,"y":2},{"y":3}],"b":{"c":[1],"e":0},"d":{"f":1},"g":1});
        assert_eq!(filter.apply(whole), json!({"a":[{"x":1},{}],"b":{"c":[1]},"d":{"f":1}}));
        assert_eq!(filter.apply(json!({"a":1})), json!({}));
    }

    #[test]
    fn bad_filters_are_refused() {
        for text in ["[]", "true", r#"{"a":false}"#, r#"{"a":[]}"#, r#"{"a":[true,true]}"#, r#"{"a":1}"#] {
            assert!(Filter::new(&raw(text)).is_err(), "{text}");
        }
    }
}
