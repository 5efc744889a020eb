# shellcheck shell=bash disable=SC2034 # what it sets is read where it is sourced
# Which folder is served. Sourced by detect and build.

# Sets ROOT; empty where nothing says it.
find_root() {
  local dir
  ROOT=''
  for dir in public public_html www/static .; do
    if [ -f "$dir/index.html" ]; then
      ROOT=$dir
      return
    fi
  done
}

# The folder a Staticfile names: a line `root: folder`. Without that line the folder that has an index.html.
staticfile_root() {
  ROOT=$(tr -d '\r' <Staticfile | sed -nE "s/^root:[[:space:]]*['\"]?([^'\"#]*[^'\"#[:space:]])['\"]?[[:space:]]*(#.*)?\$/\1/; T; p; q")
  [ -n "$ROOT" ] || find_root
}
