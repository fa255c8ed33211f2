//! Three daemons, driven through every method by Core Lightning's own client library for Python, unmodified.

use std::path::Path;
use std::process::Command;

use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::Daemon;

#[test]
fn core_lightnings_python_client_drives_every_method() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace");
    let python = root.join(".venv/bin/python");
    assert!(
        python.exists(),
        "no Python with pyln-client at {}: run tests/run.sh, the README's test command, which installs it",
        python.display()
    );
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let start = |name| Daemon::start(name, &bitcoind.url(), &bitcoind.cookie_path(), &[]);
    let daemons = [start("alice"), start("bob"), start("carol")];

    let mut drive = Command::new(python);
    drive.arg(root.join("tests/pyln/drive.py")).arg(bitcoind.url()).arg(bitcoind.cookie_path());
    for daemon in &daemons {
        drive.arg(daemon.socket_path()).arg(daemon.port.to_string());
    }
    let output = drive.output().expect("Python starts");
    assert!(
        output.status.success(),
        "drive.py ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
