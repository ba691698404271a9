# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# shellcheck shell=bash
# System packages for ./dev (sourced, not run).
# Nothing here may start or enable a service: the Redis server is the one program of `redis-tools`
# (Debian's `redis-server` package only adds a link to it and the unit), so that package is all we install.

say() { printf 'dev: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif ! command -v sudo >/dev/null; then return 1
  elif [ -z "${CI:-}" ] && { : </dev/tty; } 2>/dev/null; then sudo "$@" # may ask for a password
  else sudo -n "$@" 2>/dev/null
  fi
}

# Installs the named packages; fails quietly enough for the caller to say what it means.
apt_install() {
  command -v apt-get >/dev/null || return 1
  local get=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
  say "installing with apt: $*"
  as_root "${get[@]}" install --yes --no-install-recommends "$@" >/dev/null 2>&1 </dev/null && return
  as_root "${get[@]}" update >/dev/null </dev/null || return 1
  as_root "${get[@]}" install --yes --no-install-recommends "$@" >/dev/null </dev/null
}

have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

# want PROGRAM=PACKAGE...: installs the packages whose program is missing, all in one call; fails if it cannot.
want() {
  local pair missing=()
  for pair in "$@"; do have "${pair%%=*}" || missing+=("${pair#*=}"); done
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# unpack PLACE PACKAGE...: packages unpacked below PLACE, for programs whose package would start and enable a service.
unpack() {
  local place=$1 part package
  shift
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  say "unpacking below ${place}, not installing: $*"
  part=$(mktemp -d "$place.XXXXXX")
  if (
    cd "$part" || exit 1
    apt-get -qq download "$@" >/dev/null 2>&1 </dev/null \
      || { as_root apt-get -qq update >/dev/null </dev/null && apt-get -qq download "$@" >/dev/null </dev/null; } || exit 1
    for package in ./*.deb; do dpkg-deb -x "$package" . || exit 1; done
    rm -f ./*.deb
  ); then
    chmod 755 "$part" && rm -rf "$place" && mv "$part" "$place"
  else
    rm -rf "$part"
    return 1
  fi
}

server_program() { command -v redis-server || command -v redis-check-rdb; }
