//! About the flight recorder: the daemon answers, not the core.

use std::path::PathBuf;

use super::{Action, Method, Outcome};
use crate::args::{Args, invalid};
use crate::daemon::DaemonRequest;
use crate::view::View;

pub(super) const METHODS: &[Method] = &[
    Method { name: "recorder", usage: "", summary: "Show how the flight recorder is", run: recorder },
    Method {
        name: "dumprecording",
        usage: "minutes path",
        summary: "Copy the last minutes of the flight recording into one file",
        run: dumprecording,
    },
];

fn recorder(_: &Args<'_>, _: &View) -> Outcome {
    Ok(Action::Daemon(DaemonRequest::Recorder))
}

fn dumprecording(args: &Args<'_>, _: &View) -> Outcome {
    let path = PathBuf::from(args.need::<String>("path")?);
    // The client's folder is not the daemon's.
    if !path.is_absolute() {
        return Err(invalid(format!("path: should be absolute, from /: '{}'", path.display())));
    }
    Ok(Action::Daemon(DaemonRequest::DumpRecording { minutes: args.need("minutes")?, path }))
}
