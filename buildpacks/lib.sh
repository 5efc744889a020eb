# shellcheck shell=bash
# What every buildpack here needs: words for people, the build plan, layers that are reused, processes, a bill of
# materials. Each buildpack sees this file as `lib.sh` in its own folder (a link; packing follows it), so that a folder
# is a whole buildpack wherever it is copied.
#
# A lifecycle calls `bin/detect` and `bin/build` in the application's folder and says the rest in `CNB_*`.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8

APP_DIR=$(pwd -P)
# Its folder is named after its version in a builder, so its name is read.
BUILDPACK=$(sed -nE 's|^id = "(.*/)?([^"/]*)"$|\2|; T; p; q' "$CNB_BUILDPACK_DIR/buildpack.toml")
# Processes are this build's; a folder that is used again may hold those of the last one.
[ -z "${CNB_LAYERS_DIR:-}" ] || rm -f -- "$CNB_LAYERS_DIR/launch.toml"

# --- words -----------------------------------------------------------------------------------------------------------

# What happens, for whoever reads the build's log.
say() { printf '[%s] %s\n' "$BUILDPACK" "$*"; }

# Accepted, and worth knowing.
note() { printf '[%s] note: %s\n' "$BUILDPACK" "$*" >&2; }

# fail WHAT HINT: the build ends here, and the second sentence is the next step.
fail() {
  printf '[%s] error: %s\n[%s] hint: %s\n' "$BUILDPACK" "$1" "$BUILDPACK" "$2" >&2
  exit 1
}

# The last line that `bin/detect` prints is its reason, in both cases.
pass() { say "$*"; exit 0; }
not_me() { say "$*"; exit 100; }

# setting NAME DEFAULT: what the platform or the tool says for builds, in the environment or as a file.
setting() {
  if [ -n "${!1:-}" ]; then
    printf '%s' "${!1}"
  elif [ -f "${CNB_PLATFORM_DIR:-}/env/$1" ]; then
    cat "$CNB_PLATFORM_DIR/env/$1"
  else
    printf '%s' "${2:-}"
  fi
}

# A folder for what nobody needs afterwards, and a home in it: where a builder's user has none, npm does not start, and
# where it is the application's folder, what programs leave at home would be in the image.
scratch() {
  SCRATCH=$(mktemp -d)
  trap 'rm -rf -- "$SCRATCH"' EXIT
  export HOME=$SCRATCH/home
  mkdir -- "$HOME"
}

# Most of what one command says that is shown, from its beginning and of its end.
SAID_BYTES=4194304
LAST_BYTES=65536

# bounded LOG: passes on what is said, at once, and writes it down: the beginning, and of too much then only the end.
bounded() {
  dd bs=65536 count=$SAID_BYTES iflag=count_bytes status=none | tee -- "$1"
  tail -c $LAST_BYTES >"$1.end"
  if [ -s "$1.end" ]; then
    { printf '\n[what was said between this and the end is left out]\n'; cat -- "$1.end"; } | tee -a -- "$1"
  fi
}

# run WHAT LOG COMMAND...: shows what the command says as it says it. When it fails: its last lines again, status 1.
run() {
  local what=$1 log=$2
  shift 2
  if "$@" 2>&1 </dev/null | bounded "$log" | sed -u 's/^/    /'; then
    return 0
  fi
  { printf '[%s] %s failed; its last lines:\n' "$BUILDPACK" "$what"; tail -n 15 -- "$log" | sed 's/^/    /'; } >&2
  return 1
}

# --- files of the tool -----------------------------------------------------------------------------------------------

# Is something of that name in the tree, be it a link that leads nowhere? What is wrong with it is said by the build:
# a detect that says "not me" about a broken file would build an image without what the file asks for.
named() { [ -e "$1" ] || [ -L "$1" ]; }

# own_file PATH MAX_BYTES: a regular file inside the application's folder, of a bearable size, or the build ends.
own_file() {
  local real size
  if ! real=$(realpath -e -- "$1" 2>/dev/null); then
    fail "$1 is a link that leads nowhere" "Put the file itself into the repository."
  fi
  case $real in
    "$APP_DIR"/*) ;;
    *) fail "$1 is a link out of the repository" "Put the file itself into the repository." ;;
  esac
  [ -f "$real" ] || fail "$1 is not a file" "Make it a regular file."
  size=$(stat -c %s -- "$real")
  [ "$size" -le "$2" ] || fail "$1 has $size bytes; at most $2 are read" "Make the file smaller."
}

# toml_value FILE TABLE KEY: a text in quotes on one line, which is how versions are written; else nothing.
toml_value() {
  awk -v table="[$2]" -v key="$3" '
    { sub(/\r$/, "") }
    /^[ \t]*\[/ { line = $0; gsub(/[ \t]|#.*/, "", line); inside = line == table; next }
    inside && match($0, /^[ \t]*[A-Za-z0-9_-]+[ \t]*=[ \t]*/) {
      name = substr($0, 1, RLENGTH); gsub(/[ \t=]/, "", name)
      rest = substr($0, RLENGTH + 1); quote = substr(rest, 1, 1)
      if (name == key && (quote == "\"" || quote == "\047")) {
        rest = substr(rest, 2); end = index(rest, quote)
        if (end) { print substr(rest, 1, end - 1); exit }
      }
    }' "$1"
}

# The `type` of service.template, where today's webservice says its language.
template_type() {
  [ -f service.template ] || return 0
  sed -nE "s/\r\$//; s/^type:[[:space:]]*['\"]?([A-Za-z0-9._-]*)['\"]?[[:space:]]*(#.*)?\$/\1/; T; p; q" service.template
}

# Does the Procfile say how `web` runs? Then no buildpack needs to guess it.
procfile_has_web() { [ -f Procfile ] && grep -qE '^[[:space:]]*web[[:space:]]*:' Procfile; }

# --- the build plan --------------------------------------------------------------------------------------------------

plan_provides() { printf '[[provides]]\nname = %s\n\n' "$(toml_text "$1")" >>"$CNB_BUILD_PLAN_PATH"; }

# plan_requires NAME [KEY VALUE]...: the pairs are the entry's metadata.
plan_requires() {
  {
    printf '[[requires]]\nname = %s\n' "$(toml_text "$1")"
    shift
    [ $# -eq 0 ] || printf '[requires.metadata]\n'
    while [ $# -gt 0 ]; do
      printf '%s = %s\n' "$1" "$(toml_text "$2")"
      shift 2
    done
    printf '\n'
  } >>"$CNB_BUILD_PLAN_PATH"
}

# A TOML basic string.
toml_text() {
  local text=$1 code escaped
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\t'/\\t}
  text=${text//$'\n'/\\n}
  text=${text//$'\r'/\\r}
  if [[ $text == *[[:cntrl:]]* ]]; then
    for code in {1..31} 127; do
      printf -v escaped '\\u%04x' "$code"
      printf -v code '\\x%02x' "$code"
      printf -v code '%b' "$code"
      text=${text//"$code"/$escaped}
    done
  fi
  printf '"%s"' "$text"
}

# --- layers ----------------------------------------------------------------------------------------------------------

# What a layer with binaries in it depends on besides its own inputs: the distribution, the processor, the path that
# scripts carry in their first line, and the buildpack itself.
surroundings() {
  local name version
  # shellcheck source=/dev/null
  name=${CNB_TARGET_DISTRO_NAME:-$(. /etc/os-release && printf '%s' "${ID:-}")}
  # shellcheck source=/dev/null
  version=${CNB_TARGET_DISTRO_VERSION:-$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")}
  printf '%s\n' "$name" "$version" "${CNB_TARGET_ARCH:-$(uname -m)}" "$CNB_LAYERS_DIR"
  (cd -- "$CNB_BUILDPACK_DIR" && find -L . -type f ! -name README.md ! -path './samples/*' -print0 | sort -z |
    xargs -0 sha256sum)
}

# Of standard input, as a key.
key_of() { { surroundings; cat; } | sha256sum | cut -c1-64; }

# layer_reuse NAME KEY: is the layer still here, made from the same inputs? If not, LAYER is empty and new.
layer_reuse() {
  local toml="$CNB_LAYERS_DIR/$1.toml"
  LAYER="$CNB_LAYERS_DIR/$1"
  if [ -d "$LAYER" ] && [ -f "$toml" ] && grep -qE "^[[:space:]]*key[[:space:]]*=[[:space:]]*[\"']$2[\"']" "$toml"; then
    return 0
  fi
  rm -rf -- "$LAYER" "$toml" "$LAYER".sbom.*
  mkdir -p -- "$LAYER"
  return 1
}

# layer_done NAME KEY TYPE...: TYPE is launch, build or cache. Written last: a layer without this file is none.
layer_done() {
  local name=$1 key=$2
  shift 2
  {
    printf '[types]\n'
    printf '%s = true\n' "$@"
    printf '\n[metadata]\nkey = "%s"\n' "$key"
  } >"$CNB_LAYERS_DIR/$name.toml"
}

# layer_env WHEN FILE VALUE: WHEN is env, env.build or env.launch; FILE is NAME, NAME.default, NAME.prepend, NAME.delim.
layer_env() {
  mkdir -p -- "$LAYER/$1"
  printf '%s' "$3" >"$LAYER/$1/$2"
}

# layer_bill NAME: standard input has a purl type with its namespace, a name and a version a line, tabs between. In
# CycloneDX, sorted, without a time or a serial number: the same layer has the same bill.
layer_bill() {
  LC_ALL=C sort -u | awk -F '\t' '
    function quoted(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/[\001-\037]/, " ", s); return "\"" s "\"" }
    function purl(s) { gsub(/%/, "%25", s); gsub(/@/, "%40", s); gsub(/\+/, "%2B", s); gsub(/:/, "%3A", s)
                       gsub(/ /, "%20", s); return s }
    BEGIN { printf "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\"components\":[" }
    NF == 3 {
      printf "%s{\"type\":\"library\",\"name\":%s,\"version\":%s,\"purl\":%s}", comma, quoted($2), quoted($3),
        quoted("pkg:" $1 "/" purl($2) "@" purl($3))
      comma = ","
    }
    END { print "]}" }' >"$CNB_LAYERS_DIR/$1.sbom.cdx.json"
}

# --- processes -------------------------------------------------------------------------------------------------------

# process TYPE FOLDER WORD...: how it is started, as an argument vector. `web` is what starts by default. FOLDER is
# empty where it is the application's.
process() {
  local type=$1 folder=$2 word comma=''
  shift 2
  {
    printf '[[processes]]\ntype = %s\ncommand = [' "$(toml_text "$type")"
    for word in "$@"; do
      printf '%s%s' "$comma" "$(toml_text "$word")"
      comma=', '
    done
    printf ']\n'
    [ -z "$folder" ] || printf 'working-dir = %s\n' "$(toml_text "$folder")"
    [ "$type" != web ] || printf 'default = true\n'
    printf '\n'
  } >>"$CNB_LAYERS_DIR/launch.toml"
}

# --- virtual environments --------------------------------------------------------------------------------------------

# A virtual environment in LAYER, after everything was installed: bytecode, environment and bill. SCRATCH/packages lists
# what is in it.
venv_done() {
  # An image's files have no times of their own, so bytecode that is judged by them would be thrown away at each start.
  # Packages may carry files for other versions of Python: those that do not compile are nobody's trouble.
  PYTHONHASHSEED=0 "$LAYER/bin/python" -I -m compileall -qq --invalidation-mode unchecked-hash "$LAYER/lib" >/dev/null || true
  layer_env env VIRTUAL_ENV "$LAYER"
  "$LAYER/bin/python" -I -c '
from importlib.metadata import distributions
for d in distributions():
    name = (d.metadata["Name"] or "").lower().replace("_", "-")
    if name:
        print("pypi", name, d.version, sep="\t")
' >"$SCRATCH/packages"
  layer_bill "$1" <"$SCRATCH/packages"
}
