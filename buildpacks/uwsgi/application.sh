# shellcheck shell=bash disable=SC2034 # what it sets is read where it is sourced
# Where the WSGI application stands. Sourced by detect and build.

# Sets FOUND, why this is a WSGI application (empty: it is none); INI, a uwsgi.ini of the tool's own; and MODULE, the
# file that defines `app`, as a webservice of type python expects it.
find_application() {
  local name
  FOUND='' INI='' MODULE=''
  for name in uwsgi.ini www/python/uwsgi.ini; do
    if [ -z "$INI" ] && named "$name"; then
      INI=$name
    fi
  done
  for name in www/python/src/app.py app.py wsgi.py; do
    if [ -z "$MODULE" ] && named "$name"; then
      MODULE=$name
    fi
  done
  if [ -n "$INI" ]; then
    FOUND=$INI
  elif [ "$MODULE" = www/python/src/app.py ]; then
    FOUND=$MODULE
  elif [[ $(template_type) == python* ]]; then
    FOUND='service.template of a python type'
  fi
}
