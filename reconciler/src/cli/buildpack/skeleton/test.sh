#!/usr/bin/env bash
# Calls this buildpack as a lifecycle does: detect and build, as ordinary processes, on the sample and on what is broken.
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
name=$(basename -- "$here")
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# repository SAMPLE: a fresh application's folder; nothing in it where no sample is named.
repository() {
  rm -rf -- "$work/app"
  mkdir -p -- "$work/app" "$work/layers" "$work/platform/env"
  [ -z "${1:-}" ] || cp -R -- "$here/samples/$1/." "$work/app"
}

# call PROGRAM: its exit code is in STATUS, what it says in OUTPUT.
call() {
  : >"$work/plan.toml"
  STATUS=0
  OUTPUT=$(cd -- "$work/app" && env -i PATH="$PATH" HOME="$work" CNB_BUILDPACK_DIR="$here" CNB_PLATFORM_DIR="$work/platform" \
    CNB_BUILD_PLAN_PATH="$work/plan.toml" CNB_BP_PLAN_PATH="$work/plan.toml" CNB_LAYERS_DIR="$work/layers" \
    "$here/bin/$1" 2>&1) || STATUS=$?
}

# claim WHAT COMMAND...: the command has to succeed.
claim() {
  local what=$1
  shift
  if "$@"; then
    printf 'ok    %s\n' "$what"
  else
    printf 'FAIL  %s\n%s\n' "$what" "$OUTPUT"
    exit 1
  fi
}

says() { [[ $OUTPUT == *"$1"* ]]; }

repository
call detect
claim 'an empty repository is not its business' [ "$STATUS" = 100 ]
claim 'and it says what it misses' says "[$name] no $name.txt"

repository hello
call detect
claim 'the sample is its business' [ "$STATUS" = 0 ]
claim 'and the plan names what it provides' grep -q "name = \"$name\"" "$work/plan.toml"

call build
claim 'the sample is built' [ "$STATUS" = 0 ]
claim 'web is a process' grep -q '^type = "web"' "$work/layers/launch.toml"
claim 'the layer has the file' cmp -s "$here/samples/hello/$name.txt" "$work/layers/$name/$name.txt"

cp -- "$work/layers/$name.toml" "$work/before"
call build
claim 'a second build reuses the layer' says 'is as it was'
claim 'under the same key' cmp -s "$work/before" "$work/layers/$name.toml"

repository
: >"$work/app/$name.txt"
call build
claim 'an empty file is an error' [ "$STATUS" = 1 ]
claim 'with a next step' says 'hint: '
