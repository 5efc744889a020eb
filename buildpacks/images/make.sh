#!/usr/bin/env bash
# make.sh FOLDER: the base images `toolforge-buildpack-run` and `toolforge-buildpack-build`, each as an OCI image layout
# in FOLDER. Needs mmdebstrap and Debian's archive; no container engine. README.md tells what is in them and why.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8

here=$(dirname -- "$(realpath -- "$0")")
[ $# -eq 1 ] || { printf 'usage: make.sh FOLDER\n' >&2; exit 2; }
out=$(realpath -m -- "$1")
suite=${SUITE:-bookworm}
# Of whoever builds and of the processes in an image, where the platform does not say another.
user_id=${CNB_USER_ID:-50000}
group_id=${CNB_GROUP_ID:-50000}
[[ $suite =~ ^[a-z]+$ && $user_id =~ ^[1-9][0-9]{0,8}$ && $group_id =~ ^[1-9][0-9]{0,8}$ ]] || {
  printf 'error: SUITE is a word, CNB_USER_ID and CNB_GROUP_ID are numbers above 0\n' >&2
  exit 2
}
# The same packages make the same bytes: nothing in an image is newer than this.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532801}
version=${IMAGE_VERSION:-$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d)}
case $(dpkg --print-architecture) in
  amd64 | arm64) architecture=$(dpkg --print-architecture) ;;
  *) printf 'error: images are made for amd64 and arm64\n' >&2; exit 2 ;;
esac
command -v mmdebstrap >/dev/null || { printf 'error: mmdebstrap is not installed\nhint: apt-get install mmdebstrap\n' >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
# mmdebstrap may read it as another user.
chmod 755 "$work"

packages() { sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$@" | paste -sd,; }

# root_file_system NAME VARIANT PACKAGES OPTION...: NAME.tar in $work.
root_file_system() {
  local name=$1 variant=$2 list=$3
  shift 3
  printf '== %s: root file system\n' "$name"
  # A system user of its own; what identifies one machine, and what is only for reading, stays out.
  mmdebstrap --quiet --variant="$variant" --include="$list" --architectures="$architecture" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='echo "tool:*:'"$user_id:$group_id"':tool:/workspace:/usr/sbin/nologin" >>"$1/etc/passwd"' \
    --customize-hook='echo "tool:*:'"$group_id"':" >>"$1/etc/group"' \
    --customize-hook='install -d -o '"$user_id"' -g '"$group_id"' "$1/workspace" "$1/layers"' \
    --customize-hook='install -d "$1/platform/env" "$1/cnb"' \
    --customize-hook='printf "IMAGE_ID=%s\nIMAGE_VERSION=%s\n" '"$name $version"' >>"$1/etc/os-release"' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/machine-id" "$1"/var/log/*.log' \
    "$@" "$suite" "$work/$name.tar"
  forbidden "$name"
}

# What must not come in by way of a dependency.
forbidden() {
  local found
  tar -xOf "$work/$1.tar" ./var/lib/dpkg/status >"$work/$1.status"
  found=$(sed -n 's/^Package: //p' "$work/$1.status" |
    grep -xE '(lib(nss|pam)-sss|sssd.*|libnss-ldap.*|vim.*|nano|ed|emacs.*|openssh-.*|sudo|docker.*)' | paste -sd' ') || true
  [ -z "$found" ] || { printf 'error: %s would have %s\n' "$1" "$found" >&2; exit 1; }
}

digest() { sha256sum -- "$1" | cut -d' ' -f1; }

# blob FILE: moves it into the layout, and prints its digest.
blob() {
  local sum
  sum=$(digest "$1")
  mv -- "$1" "$layout/blobs/sha256/$sum"
  printf '%s' "$sum"
}

# oci_layout NAME: one layer, its configuration with the labels of a base image, a manifest, an index.
oci_layout() {
  local name=$1 diff layer config config_size manifest size created distribution
  printf '== %s: OCI layout\n' "$name"
  # `blob` moves into it.
  layout=$out/$name
  rm -rf -- "$layout"
  mkdir -p -- "$layout/blobs/sha256"
  created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
  diff=$(digest "$work/$name.tar")
  gzip -n -6 <"$work/$name.tar" >"$work/layer"
  size=$(stat -c %s "$work/layer")
  layer=$(blob "$work/layer")
  distribution=$(tar -xOf "$work/$name.tar" ./usr/lib/os-release | sed -n 's/^VERSION_ID="\{0,1\}\([^"]*\)"\{0,1\}/\1/p')
  printf '{"created":"%s","architecture":"%s","os":"linux","config":{"User":"%s:%s","Env":["PATH=%s","CNB_USER_ID=%s","CNB_GROUP_ID=%s","CNB_STACK_ID=%s"],"WorkingDir":"/workspace","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"%s"}]}' \
    "$created" "$architecture" "$user_id" "$group_id" /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "$user_id" "$group_id" "toolforge.debian.$distribution" \
    "$(labels "$name" "$distribution")" "$diff" "$created" "buildpacks/images/make.sh" >"$work/config"
  config_size=$(stat -c %s "$work/config")
  config=$(blob "$work/config")
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
    "$config" "$config_size" "$layer" "$size" >"$work/manifest"
  size=$(stat -c %s "$work/manifest")
  manifest=$(blob "$work/manifest")
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"%s"}}]}' \
    "$manifest" "$size" "$architecture" "$version" >"$layout/index.json"
  printf '%s sha256:%s %s MiB\n' "$name" "$manifest" "$(du -sm "$layout" | cut -f1)"
}

# A new run image may replace an old one under an image where these say the same distribution and version.
labels() {
  printf '"io.buildpacks.base.distro.name":"debian","io.buildpacks.base.distro.version":"%s",' "$2"
  printf '"io.buildpacks.base.id":"%s","io.buildpacks.base.maintainer":"toolforge",' "$1"
  printf '"io.buildpacks.stack.id":"toolforge.debian.%s",' "$2"
  printf '"org.opencontainers.image.title":"%s","org.opencontainers.image.version":"%s"' "$1" "$version"
}

mkdir -p -- "$out"
run=toolforge-buildpack-run
build=toolforge-buildpack-build
root_file_system $run essential "$(packages "$here/run.packages")"
# The buildpack deb-packages adds what the run image lacks, so the build image knows what that has.
root_file_system $build minbase "$(packages "$here/run.packages" "$here/build.packages")" \
  --customize-hook='install -D -m 644 '"$work/$run.status"' "$1/usr/share/toolforge/run-image/status"'
oci_layout $run
oci_layout $build
