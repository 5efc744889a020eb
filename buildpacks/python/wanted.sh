# shellcheck shell=bash disable=SC2034 # what it sets is read where it is sourced
# Which Python the tool asks for. Sourced by detect, which says it, and by build, which chooses.

# Sets WANTED, a constraint (empty: any), and SOURCE, where it stands. The first of these that says something counts.
wanted_python() {
  local type value
  WANTED='' SOURCE=''
  type=$(template_type)
  case $type in
    python[0-9]*) WANTED=${type#python} SOURCE='service.template' && return ;;
  esac
  if [ -f .python-version ]; then
    # Only the first line counts; `pyenv` writes `3.11.4`, some write `python-3.11` or a name of their own.
    value=$(head -c 4096 .python-version | tr -d '\r' | grep -vE '^[[:space:]]*(#|$)' | head -n 1 | tr -d '[:space:]') || true
    WANTED=${value#python-} SOURCE='.python-version'
    [ -z "$WANTED" ] || return 0
  fi
  if [ -f pyproject.toml ]; then
    WANTED=$(toml_value pyproject.toml project requires-python) SOURCE='requires-python in pyproject.toml'
    [ -z "$WANTED" ] || return 0
    WANTED=$(toml_value pyproject.toml tool.poetry.dependencies python) SOURCE='python in pyproject.toml'
    [ -z "$WANTED" ] || return 0
  fi
  SOURCE=''
}

# satisfies MAJOR.MINOR CONSTRAINT: only these two numbers are compared. Patch releases are the distribution's: an
# image gets them by a rebase, so a third number is no choice a tool has. Status 2: the constraint is none.
satisfies() {
  local alternative part status
  local -a parts alternatives
  IFS='|' read -ra alternatives <<<"${2//||/|}"
  for alternative in "${alternatives[@]}"; do
    IFS=',' read -ra parts <<<"$alternative"
    for part in "${parts[@]}"; do
      status=0
      satisfies_one "$1" "${part//[[:space:]]/}" || status=$?
      [ $status -ne 2 ] || return 2
      [ $status -eq 0 ] || continue 2
    done
    return 0
  done
  return 1
}

satisfies_one() {
  local operator=${2%%[0-9*]*} version major minor patch have want fixed
  version=${2#"$operator"}
  [ "$version" != '*' ] || return 0
  IFS=. read -r major minor patch _ <<<"$version"
  [ "$minor" != '*' ] || minor=''
  [[ $major =~ ^[0-9]{1,3}$ && ${minor:-0} =~ ^[0-9]{1,3}$ ]] || return 2
  have=$((${1%.*} * 1000 + ${1#*.}))
  want=$((major * 1000 + ${minor:-0}))
  # `3` means every 3.x, where `3.11` means 3.11.
  fixed=1000
  [ -z "$minor" ] || fixed=1
  case $operator in
    '' | '=' | '==' | '===' | '~') [ $((have / fixed)) -eq $((want / fixed)) ] ;;
    '!=') [[ $patch =~ ^[0-9]+$ ]] || [ $((have / fixed)) -ne $((want / fixed)) ] ;;
    '>=') [ "$have" -ge "$want" ] ;;
    '>') if [[ ${patch:-0} == 0 ]]; then [ "$have" -gt "$want" ]; else [ "$have" -ge "$want" ]; fi ;;
    '<=') [ "$have" -le "$want" ] ;;
    '<') if [[ ${patch:-0} == 0 ]]; then [ "$have" -lt "$want" ]; else [ "$have" -le "$want" ]; fi ;;
    '~=') if [ -n "$patch" ]; then [ "$have" -eq "$want" ]; else [ "$have" -ge "$want" ] && [ $((have / 1000)) -eq "$major" ]; fi ;;
    '^') [ "$have" -ge "$want" ] && [ $((have / 1000)) -eq "$major" ] ;;
    *) return 2 ;;
  esac
}
