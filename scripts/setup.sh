#!/bin/sh
# Makes .venv ready: what WeasyPrint needs from the system, the virtual environment, the tested versions, this package.
#
#   scripts/setup.sh                       does nothing (and needs no network) where all of it is done
#   PYTHON=python3.12 scripts/setup.sh     with this interpreter instead of the first one found that is new enough
#   TORCH_INDEX=URL scripts/setup.sh       torch and torchvision from this package index (PyTorch's own index of CPU
#                                          builds, say, which are ten times smaller); remembered for later calls
#
# A set-up that broke off half-way is begun again from an empty .venv by the next call.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd -P)
venv=$root/.venv
ready=$venv/set-up-ready
begun=$venv/set-up-begun

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Place and content of everything that decides what is installed. A moved .venv does not work: its scripts hold its path.
identity() {
    printf '%s\n' "$root"
    cat pyproject.toml constraints.txt scripts/setup.sh | cksum
}

remembered_identity() { sed -n 1,2p "$ready" 2>/dev/null || true; }
remembered_index() { cat "$begun" 2>/dev/null || sed -n 3p "$ready" 2>/dev/null || true; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1 | tail -n 1) || true
    fail "expected Python 3.11 or newer, got ${found:-none} (install python3.11 or newer, or name one: make setup PYTHON=/path/to/python3)"
}

# The shared libraries that WeasyPrint opens at run time, under Linux's and macOS's names.
libraries_missing() {
    "$1" - <<'PYTHON'
import ctypes

LIBRARIES = ("gobject-2.0", "pango-1.0", "pangoft2-1.0", "harfbuzz", "harfbuzz-subset", "fontconfig")

def opens(name):
    for file in (f"lib{name}.so.0", f"lib{name}.so.1", f"lib{name}.dylib", f"lib{name}.0.dylib", f"lib{name}.1.dylib"):
        try:
            ctypes.CDLL(file)
            return True
        except OSError:
            pass
    return False

print(*(name for name in LIBRARIES if not opens(name)))
PYTHON
}

venv_missing() { ! "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

apt_install() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif ! command -v sudo >/dev/null 2>&1; then
        return 1
    elif [ -t 0 ]; then
        as_root=sudo
    else
        as_root="sudo -n"
    fi
    say "installing $* with apt-get"
    # An update that fails in part (another vendor's list, say) need not matter; the installation tells.
    $as_root apt-get update -qq </dev/null >/dev/null 2>&1 || true
    output=$($as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

# Installs what the system lacks, and nothing where it lacks nothing.
prepare_system() {
    python=$1
    libraries=$(libraries_missing "$python")
    packages=
    lacking=
    if [ -n "$libraries" ]; then
        packages="libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"
        lacking="the libraries $libraries, which WeasyPrint needs"
    fi
    if venv_missing "$python"; then
        name=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')
        packages="${packages:+$packages }$name"
        lacking="${lacking:+$lacking, and }Python's own venv and ensurepip"
    fi
    [ -n "$packages" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "this system lacks $lacking (install them with its package manager: dnf install pango, brew install pango, ...; Debian's names are: $packages)"
    fi
    # shellcheck disable=SC2086  # the names are words of their own
    if ! apt_install $packages || [ -n "$(libraries_missing "$python")" ] || venv_missing "$python"; then
        fail "this system lacks $lacking (install as root: apt-get install $packages)"
    fi
}

begin() {
    mkdir -p "$venv"
    printf '%s\n' "$index" >"$begun"
}

make_environment() {
    if [ ! -e "$begun" ] && [ -z "$moved" ] && new_enough "$venv/bin/python"; then
        prepare_system "$venv/bin/python"
        begin
        return
    fi
    # None yet, our own half-made one, one made elsewhere or from another index, or its interpreter is gone: anew.
    python=$(find_python)
    prepare_system "$python"
    begin
    find "$venv/" -mindepth 1 -maxdepth 1 ! -name "$(basename "$begun")" -exec rm -rf {} +
    say "creating .venv with $("$python" --version)"
    "$python" -m venv "$venv"
}

install_packages() {
    quiet=--quiet
    [ ! -t 2 ] || quiet=
    set -- "$venv/bin/python" -m pip install --disable-pip-version-check --no-input $quiet -c constraints.txt
    say "installing the tested versions of all packages (the first time they are downloaded)"
    "$@" setuptools wheel
    if [ -n "$index" ]; then
        "$@" --no-deps --index-url "$index" torch torchvision
    fi
    "$@" --no-build-isolation -e '.[dev]'
}

index=${TORCH_INDEX-$(remembered_index)}
if [ -e "$ready" ] && [ ! -e "$begun" ] && [ "$(remembered_identity)" = "$(identity)" ] &&
    [ "$(remembered_index)" = "$index" ] && new_enough "$venv/bin/python"; then
    exit 0
fi
moved=
if [ -e "$ready" ] && { [ "$(sed -n 1p "$ready")" != "$root" ] || [ "$(remembered_index)" != "$index" ]; }; then
    moved=yes
fi
make_environment
install_packages
"$venv/bin/python" -W ignore -c 'import weasyprint' || fail "WeasyPrint cannot be imported; see the lines above"
{
    identity
    printf '%s\n' "$index"
} >"$ready.new"
mv "$ready.new" "$ready"
rm -f "$begun"
say "ready"
