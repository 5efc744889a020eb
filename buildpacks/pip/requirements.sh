# shellcheck shell=bash disable=SC2034 # what it sets is read where it is sourced
# What a requirements.txt depends on, and what pip's words mean for whoever wrote it.

MAX_FILES=50

# requirement_files FILE: path and content of it and of every file it names by -r or -c, one after the other. The ones
# it names must be the tool's own too.
requirement_files() {
  local -a open=("$1")
  local -A seen=()
  local path line name
  while [ ${#open[@]} -gt 0 ]; do
    path=${open[0]}
    open=("${open[@]:1}")
    [ -z "${seen[$path]:-}" ] || continue
    seen[$path]=1
    [ ${#seen[@]} -le $MAX_FILES ] || fail "$1 names more than $MAX_FILES files by -r and -c" 'Put them together.'
    own_file "$path" 1048576
    printf 'file %s\n' "$path"
    tr -d '\r\0' <"$path"
    printf '\n'
    while IFS= read -r line || [ -n "$line" ]; do
      if [[ ${line%$'\r'} =~ ^[[:space:]]*(-r|-c|--requirement|--constraint)[[:space:]=]*([^[:space:]#][^#]*) ]]; then
        name=${BASH_REMATCH[2]}
        name=${name%"${name##*[![:space:]]}"}
        case $name in
          *://*) ;;
          *) open+=("$(dirname -- "$path")/$name") ;;
        esac
      fi
    done < <(tr -d '\0' <"$path")
  done
}

# movable TEXT: the first line whose content is decided elsewhere: a folder, a repository, an address.
movable() {
  grep -vE '^[[:space:]]*#' <<<"$1" | grep -m 1 -E '^[[:space:]]*(-e|--editable|\.|/)|(git|hg|svn|bzr)\+|^[[:space:]]*[^#]*@[[:space:]]*(file|https?):|^[[:space:]]*(https?|file):|^[[:space:]]*-[rc][[:space:]]*https?:'
}

# advise LOG: sets ABOUT, what failed, and HINT, the next step.
advise() {
  local name
  ABOUT='' HINT='Read the last lines above, correct requirements.txt, try `pip install -r requirements.txt` at home, and push.'
  if name=$(found "$1" 's/.*No matching distribution found for \([^ ]*\).*/\1/p'); then
    ABOUT="no release of $name fits"
    HINT="Check the spelling of $name and its version: the package index has none that fits this Python."
  elif name=$(found "$1" 's/.*\(Invalid requirement: .*\)/\1/p'); then
    ABOUT=$name
    HINT='Correct that line: a requirement reads `name==1.2.3`.'
  elif name=$(found "$1" "s/.*fatal error: \(.*\): No such file or directory.*/\1/p"); then
    ABOUT="the C header $name is missing"
    HINT="Add the Debian package that has $name (its name ends in -dev) under \`build.packages\`, or use a release that comes as a wheel."
  elif name=$(found "$1" 's/.*\(pg_config\|mysql_config\|pkg-config\)\(: not found\|.*not found\).*/\1/p'); then
    ABOUT="the program $name is missing"
    HINT="Add the Debian package that has $name under \`build.packages\`, or use a release that comes as a wheel."
  elif grep -qE 'THESE PACKAGES DO NOT MATCH THE HASHES' "$1"; then
    ABOUT='a package is not the one whose hash is written down'
    HINT='Do not change the hash before you know why: a release that changes after it was published is suspect.'
  elif grep -qE 'ResolutionImpossible|conflicting dependencies' "$1"; then
    ABOUT='its packages ask for different versions of one another'
    HINT='Loosen one of the versions that pip names above.'
  elif grep -qE 'NewConnectionError|Temporary failure in name resolution|Read timed out|Max retries exceeded' "$1"; then
    ABOUT='the package index could not be reached'
    HINT='Build again in a while; if it stays, tell the operators.'
  elif grep -qE 'No space left on device|Disk quota exceeded' "$1"; then
    ABOUT='the disk of the build is full'
    HINT='Ask for fewer or smaller packages, or ask the operators for room.'
  fi
}

found() {
  local text
  text=$(sed -n "$2" "$1" | head -n 1 | cut -c1-200)
  [ -n "$text" ] && printf '%s' "$text"
}
