//! The daemon's own answers.

use leyden_core::clock::Wall;

use super::writer::Object;
use crate::daemon::{DaemonResponse, RecorderInfo};

/// Writes an answer's `result`.
pub(crate) fn daemon_response(out: &mut Vec<u8>, response: &DaemonResponse) {
    let mut object = Object::open(out);
    match response {
        DaemonResponse::Recorder(info) => recorder(&mut object, info),
        DaemonResponse::RecordingDumped(dumped) => {
            object.put("path", &dumped.path);
            object.put("segments", dumped.segments);
            object.put("bytes", dumped.bytes);
            object.put_some("from", dumped.from.map(Wall::unix_s));
        }
    }
    object.close();
}

fn recorder(object: &mut Object<'_>, info: &RecorderInfo) {
    object.put("status", if info.on { "on" } else { "off" });
    object.put_some("reason", info.reason.as_ref());
    object.put("dir", &info.dir);
    object.put("segments", info.segments);
    object.put("bytes", info.bytes);
    object.put("bytes_max", info.bytes_max);
    object.put("turns", info.turns);
    object.put("events", info.events);
    object.put_some("oldest", info.oldest.map(Wall::unix_s));
    object.put("build", &info.build);
}
