#!/bin/sh
# Puts a real bitcoind below a folder, for the end-to-end tests. Nothing outside of the folder is touched.
#
# usage: tests/install-bitcoind.sh DIR      makes DIR/bin/bitcoind and DIR/bin/bitcoin-cli
#
# Debian carries bitcoin-knots in trixie-backports. An older Debian's C library is too old for it, so the package is
# unpacked together with the libraries it was built for and started through their loader. The mirror is the one that
# this machine's apt already uses, and apt checks the signatures as always. Running the script again does nothing.
set -eu

if [ $# -ne 1 ]; then
  echo "usage: $0 DIR" >&2
  exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)

runs() { [ -x "$dir/bin/$1" ] && "$dir/bin/$1" --version >/dev/null 2>&1; }
if runs bitcoind && runs bitcoin-cli; then
  exit 0
fi

if [ "$(dpkg --print-architecture)" != amd64 ]; then
  echo "$0: only amd64 is supported; point LEYDEN_BITCOIND at a bitcoind of your own" >&2
  exit 1
fi
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 debian) || {
  echo "$0: apt knows no Debian mirror" >&2
  exit 1
}

# A world of its own for apt: its lists, its cache, and a status file in which nothing is installed.
work=$dir/unpack
rm -rf "$work" "$dir/root"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/etc/apt/preferences.d" "$work/etc/apt/apt.conf.d" "$work/state/lists/partial" \
  "$work/cache/archives/partial" "$work/debs" "$dir/root" "$dir/bin"
: >"$work/status"
for suite in trixie trixie-backports; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
done >"$work/sources.list"
apt() {
  apt-get -q -o Dir::Etc="$work/etc/apt" -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}
apt update
cd "$work/debs"
apt download bitcoin-knots/trixie-backports libc6 libgcc-s1 libstdc++6 \
  libevent-core-2.1-7t64 libevent-extra-2.1-7t64 libevent-pthreads-2.1-7t64 libsqlite3-0 zlib1g \
  libzmq5 libnorm1t64 libpgm-5.3-0t64 libsodium23 libbsd0 libmd0 libsystemd0 libcap2 libzstd1 \
  libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libcom-err2 libkeyutils1 libssl3t64
for deb in *.deb; do
  dpkg-deb -x "$deb" "$dir/root"
done

libraries=$dir/root/usr/lib/x86_64-linux-gnu
for program in bitcoind bitcoin-cli; do
  cat >"$dir/bin/$program" <<END
#!/bin/sh
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$dir/root/usr/bin/$program" "\$@"
END
  chmod +x "$dir/bin/$program"
done
"$dir/bin/bitcoind" --version | head -n 1
