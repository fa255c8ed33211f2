//! Answers for people: tables and aligned lines.

use jsonrpc_core::Value;
use jsonrpc_core::serde_json::Map;

/// Longest text of a cell that holds more than a plain value.
const NESTED_LEN_MAX: usize = 40;

/// Lists become tables, everything else lines of a name and a value.
pub(super) fn render(result: &Value) -> String {
    let Value::Object(members) = result else { return format!("{}\n", cell(result)) };
    let (lists, plain): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| rows(value).is_some());
    let mut text = String::new();
    if !plain.is_empty() {
        lines(&mut text, &plain);
    }
    for (name, value) in &lists {
        // A heading is needed only where there is more than one thing to tell apart.
        if members.len() > 1 {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("{name}:\n"));
        }
        table(&mut text, rows(value).unwrap_or_default());
    }
    text
}

/// Commands with what they do: their parameters are too long for a table.
pub(super) fn help(result: &Value) -> String {
    let entries = result["help"].as_array().map_or(&[][..], Vec::as_slice);
    entries.iter().map(|entry| format!("{}\n    {}\n", cell(&entry["command"]), cell(&entry["description"]))).collect()
}

/// The rows of a list of objects; an empty list is one as well.
fn rows(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    value.as_array()?.iter().map(Value::as_object).collect()
}

fn lines(text: &mut String, members: &[(&String, &Value)]) {
    let width = members.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in members {
        text.push_str(&format!("{name:width$}  {}\n", cell(value)));
    }
}

fn table(text: &mut String, rows: Vec<&Map<String, Value>>) {
    if rows.is_empty() {
        text.push_str("(none)\n");
        return;
    }
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(|row| row.keys()) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let shown = |row: &Map<String, Value>, name: &String| row.get(name).map_or(String::new(), short);
    let width = |name: &&String| {
        let longest = rows.iter().map(|row| shown(row, name).chars().count()).max().unwrap_or(0);
        longest.max(name.chars().count())
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    // Numbers are compared by their last digit.
    let numeric = |name: &&String| rows.iter().all(|row| row.get(*name).is_none_or(Value::is_number));
    let right: Vec<bool> = columns.iter().map(numeric).collect();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let padded: Vec<String> = cells
            .zip(widths.iter().zip(&right))
            .map(|(cell, (width, right))| if *right { format!("{cell:>width$}") } else { format!("{cell:width$}") })
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut columns.iter().map(|name| name.to_string()));
    for row in &rows {
        line(&mut columns.iter().map(|name| shown(row, name)));
    }
}

fn cell(value: &Value) -> String {
    match value {
        // Nothing that a node or its peers say shall steer the terminal.
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        other => other.to_string(),
    }
}

fn short(value: &Value) -> String {
    let text = cell(value);
    if (value.is_object() || value.is_array()) && text.chars().count() > NESTED_LEN_MAX {
        return text.chars().take(NESTED_LEN_MAX - 1).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use jsonrpc_core::serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table() {
        let result = json!({"peers": [
            {"id": "02aa", "connected": true, "num_channels": 1},
            {"id": "03bbbb", "connected": false, "num_channels": 12, "note": "a\u{1b}[31m"},
        ]});
        assert_eq!(
            render(&result),
            "id      connected  num_channels  note\n\
             02aa    true                  1\n\
             03bbbb  false                12  a\u{fffd}[31m\n"
        );
    }

    #[test]
    fn an_object_is_lines_and_several_lists_have_headings() {
        assert_eq!(render(&json!({"id": "02aa", "blockheight": 7})), "id           02aa\nblockheight  7\n");
        assert_eq!(render(&json!({"outputs": [], "channels": [{"a": 1}]})), "outputs:\n(none)\n\nchannels:\na\n1\n");
        assert_eq!(render(&json!("Shutdown complete")), "Shutdown complete\n");
        assert_eq!(render(&json!({"invoices": []})), "(none)\n");
    }
}
