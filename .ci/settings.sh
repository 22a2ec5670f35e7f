# Settings and functions that the steps in this folder share. Sourced, never run.
# shellcheck shell=bash disable=SC2034  # the steps read what is set here
set -euo pipefail

ci=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$ci")
step=$(basename "$0")
umask 022 # in an image, others than root read files too

export HOME=${HOME:-~} # Go too wants one
# Where the suite itself keeps what it builds (platformdirs' user_cache_path); the steps have a folder of their own in it.
cache=$(realpath --canonicalize-missing "${RBAC_MATRIX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rbac-matrix}")
host=$cache/host

# content FILE-OR-FOLDER...: 12 hex digits that change with the files, whose paths are below the checkout, and with Go.
content() {
  (cd "$root" && { find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum && go version; } | sha256sum | cut -c1-12)
}

# A tag names everything that goes into its image, so an image that has the tag never needs to be built again.
kubernetes=rbac_matrix/programs/modules/kubernetes
kubernetes_version=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' "$root/$kubernetes/module.json")
suite=bookworm # its systemd is the last that boots on cgroup v1 as well as v2
node_image=rbac-matrix/node:$kubernetes_version-$(content .ci/settings.sh .ci/node-image .ci/node \
  .ci/modules/containerd .ci/modules/coredns "$kubernetes" rbac_matrix/programs/modules/etcd)
probe_base=rbac-matrix/python:$suite-$(content .ci/settings.sh .ci/probe-image)
programs=$host/programs-$(content .ci/settings.sh .ci/kind .ci/modules/kind "$kubernetes") # kind and kubectl

say() {
  printf '%s: %s\n' "$step" "$*"
}

# ready TEXT: the last line of each step.
ready() {
  printf '%s ready in %d s: %s\n' "$step" "$SECONDS" "$*"
}

# logged NAME COMMAND...: runs COMMAND; what it prints is shown only if it fails.
logged() {
  local log=$host/log/$1.log
  shift
  mkdir -p "$host/log"
  "$@" >"$log" 2>&1 || {
    printf '%s: this failed: %s\nThe end of %s:\n' "$step" "$*" "$log" >&2
    tail -n 30 "$log" >&2
    return 1
  }
}

# debian_packages NAME...: installs those that are missing.
debian_packages() {
  local found install=(env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@")
  found=$(dpkg-query --show --showformat '${db:Status-Status}\n' "$@" 2>/dev/null | grep -cx installed || true)
  ((found < $#)) || return 0
  say "installing Debian's $*"
  # The lists of a fresh host are absent, those of an old one name packages that the mirror no longer has.
  logged apt "${install[@]}" 2>/dev/null || {
    logged apt apt-get update
    logged apt "${install[@]}"
  }
}

# debian_sources: the lines of a sources.list for the mirrors that apt uses here; none before the first apt-get update.
debian_sources() {
  # shellcheck disable=SC2016  # apt's own variables
  apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Origin: Debian' 'Created-By: Packages' |
    grep " $suite" || true
}

# debian_root FILE OPTION...: writes a tar archive of Debian packages.
debian_root() {
  local file=$1 sources
  shift
  sources=$(debian_sources)
  if [[ -z $sources ]]; then
    logged apt apt-get update
    sources=$(debian_sources)
  fi
  if [[ -z $sources ]]; then
    say "apt has no mirror of Debian $suite here; add one to its sources" >&2
    return 1
  fi
  mapfile -t sources <<<"$sources"
  logged mmdebstrap mmdebstrap --mode=root --dpkgopt=path-exclude='/usr/share/doc/*' \
    --dpkgopt=path-exclude='/usr/share/man/*' --dpkgopt=path-exclude='/usr/share/locale/*' "$@" "$suite" "$file" "${sources[@]}"
}

# engine_answers: whether a container engine is up.
engine_answers() {
  command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1
}

# has_image TAG: whether the engine has this image.
has_image() {
  docker image inspect "$1" >/dev/null 2>&1
}

# forget_old_images NAME: removes images of this name that nothing uses and no run of the last day can be about to use.
forget_old_images() {
  docker image prune --all --force --filter "label=rbac-matrix=$1" --filter until=24h >/dev/null
}

# build_programs FOLDER MODULE [--tool NAME]...: builds the Go programs of a module folder and links them in FOLDER.
build_programs() {
  local into=$1 python=$host/python path
  shift
  if ! "$python/bin/python" -c 'import filelock, platformdirs' 2>/dev/null; then
    logged python python3 -m venv --clear "$python"
    logged python "$python/bin/python" -m pip install filelock==4.2.11 platformdirs==4.14.7
  fi
  mkdir -p "$into"
  PYTHONPATH=$root RBAC_MATRIX_CACHE=$cache "$python/bin/python" -m rbac_matrix.programs.go_build "$@" >"$into/.built"
  while read -r path; do
    ln -sfn "$path" "$into/$(basename "$path")"
  done <"$into/.built"
}
