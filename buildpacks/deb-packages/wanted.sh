# shellcheck shell=bash disable=SC2034 # what it sets is read where it is sourced
# Which Debian packages the tool asks for. Sourced by detect and build.

# Sets SOURCES, the places that name packages, for people.
package_sources() {
  local -a all=()
  [ -z "$(setting BP_DEB_PACKAGES '')" ] || all+=('build.packages')
  ! named Aptfile || all+=('Aptfile')
  if [ -f project.toml ] && grep -qE '^[[:space:]]*\[+com\.heroku\.buildpacks\.deb-packages' project.toml; then
    all+=('project.toml')
  fi
  SOURCES=$(printf '%s, ' "${all[@]}")
  SOURCES=${SOURCES%, }
}

# The names, one a line, each with its place before it: `PLACE<tab>NAME`.
wanted_packages() {
  setting BP_DEB_PACKAGES '' | tr -s ' ,\t\n' '\n' | awk 'NF { print "build.packages\t" $0 }'
  if named Aptfile; then
    tr -d '\r' <Aptfile | awk '{ sub(/#.*/, ""); gsub(/^[ \t]+|[ \t]+$/, "") } $0 != "" { print "Aptfile line " NR "\t" $0 }'
  fi
  if [ -f project.toml ]; then
    # The list may stand on several lines. Tables in it carry options that do not exist here, and are told by build.
    tr -d '\r' <project.toml | awk '
      { line = $0 }
      /^[ \t]*\[/ && !open { name = line; gsub(/[ \t]|#.*/, "", name); inside = name == "[com.heroku.buildpacks.deb-packages]" }
      inside && !open && line ~ /^[ \t]*install[ \t]*=/ { open = 1; sub(/^[^=]*=[ \t]*\[?/, "", line) }
      open {
        while (match(line, /"[^"]*"|\047[^\047]*\047|[{#\]]/)) {
          part = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
          if (part == "#") break
          if (part == "]") { open = 0; break }
          if (part == "{") { print "project.toml line " NR "\t{"; open = 0; break }
          print "project.toml line " NR "\t" substr(part, 2, length(part) - 2)
        }
      }'
  fi
}
