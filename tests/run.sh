#!/usr/bin/env bash
# Installs what the tests need below the checkout, then runs every check: format, lints, all tests.
set -euo pipefail
cd "$(dirname "$0")/.."

# A real bitcoind and a real Core Lightning client, both in folders of their own.
if [ -z "${LEYDEN_BITCOIND:-}" ]; then
  tests/install-bitcoind.sh .bitcoind
fi
if ! .venv/bin/python -c 'import pyln.client' 2>/dev/null; then
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check 'pyln-client>=24.11'
fi

# A browser, for the page that `leyden-sim replay --html` writes.
if [ ! -x "${LEYDEN_CHROMIUM:-/usr/bin/chromium}" ] || [ ! -x "${LEYDEN_CHROMEDRIVER:-/usr/bin/chromedriver}" ]; then
  as_root=(env DEBIAN_FRONTEND=noninteractive)
  if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo -n "${as_root[@]}")
  fi
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium chromium-driver; }; then
    echo "tests/run.sh: Chromium and its driver are missing and cannot be installed from here." >&2
    echo "Install them (apt-get install --no-install-recommends chromium chromium-driver), or name yours in" >&2
    echo "LEYDEN_CHROMIUM and LEYDEN_CHROMEDRIVER." >&2
    exit 1
  fi
fi

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo build --workspace --bins --locked

# What a simulation tells depends neither on the process nor on how it was built: the other build.
cargo build -p leyden-sim --bin leyden-sim --profile determinism --locked
LEYDEN_SIM_OTHER="${CARGO_TARGET_DIR:-target}/determinism/leyden-sim"
LEYDEN_SIM_OTHER=$(realpath "$LEYDEN_SIM_OTHER")
export LEYDEN_SIM_OTHER

cargo test --workspace --locked

# That the scenarios can fail: the same nodes with seeded bugs.
cargo clippy -p leyden-core -p leyden-sim --all-targets --features leyden-sim/mutations --locked -- -D warnings
cargo test -p leyden-sim --features mutations --test mutations --locked
