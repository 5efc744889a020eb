#!/bin/sh
# Builds the stock lifecycle and launcher into a folder: `build.sh FOLDER`. The tests call it when they need it. The
# phases are one program under several names, as in a builder image.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
module=github.com/buildpacks/lifecycle
version=$(go list -m -f '{{.Version}}' "$module")
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$out/" -ldflags "-s -w -X $module/cmd.Version=${version#v}" \
  "$module/cmd/lifecycle" "$module/cmd/launcher"
for phase in analyzer detector restorer builder exporter rebaser creator; do
  ln -sf lifecycle "$out/$phase"
done
