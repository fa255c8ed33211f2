//! Methods that are answered without the core.

use jsonrpc_core::serde_json::json;
use jsonrpc_core::{Error, Value};
use leyden_core::ids::NodeId;
use leyden_core::invoice::message;

use super::{Action, Method, Outcome, all, find};
use crate::args::{Args, invalid};
use crate::encode::writer::Object;
use crate::view::{SettingValue, View};

pub(super) const METHODS: &[Method] = &[
    Method { name: "help", usage: "[command]", summary: "Show all commands, or one", run: help },
    Method { name: "listconfigs", usage: "[config]", summary: "Show the settings in force", run: listconfigs },
    Method {
        name: "notifications",
        usage: "enable",
        summary: "Send progress notes on this connection, or stop",
        run: |args, _| Ok(Action::Notifications(args.need("enable")?)),
    },
    Method {
        name: "checkmessage",
        usage: "message zbase [pubkey]",
        summary: "Check who signed a text",
        run: checkmessage,
    },
];

/// Builds a `result`.
fn answer(fill: impl FnOnce(&mut Object<'_>)) -> Outcome {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    fill(&mut object);
    object.close();
    Ok(Action::Answer(out))
}

fn help(args: &Args<'_>, _: &View) -> Outcome {
    let methods = selected(args)?;
    answer(|result| {
        result.list("help", methods, |method, entry| {
            entry.put("command", format!("{} {}", method.name, method.usage).trim_end());
            entry.put("description", method.summary);
        });
    })
}

/// The methods to tell of.
fn selected(args: &Args<'_>) -> Result<Vec<&'static Method>, Error> {
    let mut methods: Vec<&Method> = match args.get::<String>("command")? {
        Some(name) => vec![find(&name)?],
        None => all().collect(),
    };
    methods.sort_unstable_by_key(|method| method.name);
    Ok(methods)
}

/// The same answer for a client that has no node to ask. `params` is JSON.
pub(crate) fn help_text(params: &str) -> Result<Value, Error> {
    let params = serde_json::from_str(params).map_err(|error| invalid(error.to_string()))?;
    let entry = |method: &Method| {
        let command = format!("{} {}", method.name, method.usage);
        json!({"command": command.trim_end(), "description": method.summary})
    };
    let entries: Vec<Value> = selected(&Args::new("[command]", params)?)?.into_iter().map(entry).collect();
    Ok(json!({"help": entries}))
}

fn listconfigs(args: &Args<'_>, view: &View) -> Outcome {
    let only: Option<String> = args.get("config")?;
    if let Some(name) = &only
        && !view.settings.iter().any(|setting| setting.name == *name)
    {
        return Err(invalid(format!("config: Unknown config option '{name}'")));
    }
    answer(|result| {
        result.object("configs", |configs| {
            for setting in view.settings.iter().filter(|s| only.as_ref().is_none_or(|name| s.name == *name)) {
                configs.object(&setting.name, |entry| {
                    match &setting.value {
                        SettingValue::Flag(set) => entry.put("set", set),
                        SettingValue::Text(text) => entry.put("value_str", text),
                        SettingValue::Number(number) => entry.put("value_int", number),
                        SettingValue::Texts(texts) => entry.values("values_str", texts),
                    }
                    match &setting.value {
                        SettingValue::Texts(texts) => entry.values("sources", texts.iter().map(|_| &setting.source)),
                        _ => entry.put("source", &setting.source),
                    }
                });
            }
        });
    })
}

fn checkmessage(args: &Args<'_>, _: &View) -> Outcome {
    let text: String = args.need("message")?;
    let expected: Option<NodeId> = args.get("pubkey")?;
    let found = args
        .need_as("zbase", "a signature in zbase32", |token| message::recover(text.as_bytes(), token.scalar()?).ok())?;
    match expected {
        // Any signature leads to some key. Without one to compare, it proves something only if the network knows it.
        None => Ok(Action::AskSigner(found)),
        Some(expected) => answer(|result| {
            result.put("verified", expected == found);
            result.put("pubkey", expected);
        }),
    }
}
