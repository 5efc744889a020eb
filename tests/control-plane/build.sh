#!/bin/sh
# Builds the control plane into a folder: `build.sh FOLDER`. The tests call it
# when they need it. Always this one command: other flags (also `go vet` and
# `go test`) compile all of Kubernetes again, 12 minutes of CPU time.
set -eu
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
into=k8s.io/component-base/version
CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$out/control-plane" -ldflags "-s -w \
  -X $into.gitVersion=$version -X $into.gitMajor=1 -X $into.gitMinor=${minor%%.*} -X $into.gitTreeState=clean" .
# Go cannot embed another module's files: its CRDs lie beside the binary.
gateway=$(go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
mkdir -p "$out/gateway-api"
cp "$gateway"/config/crd/standard/gateway.networking.k8s.io_*.yaml "$out/gateway-api/"
chmod -R u+w "$out/gateway-api"
