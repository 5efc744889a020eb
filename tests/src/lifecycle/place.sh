# place.sh WHO ROOT UID GID FOLDER [FROM AT ro|rw]... -- COMMAND...: runs a command where folders stand at their real
# places, in a mount namespace that the caller has made. ROOT is an empty folder. The rest is this machine's.
set -eu
who=$1 root=$2 uid=$3 gid=$4 folder=$5
shift 5
mount -t tmpfs -o mode=755 tmpfs "$root"
for at in /*; do
  case $at in
    /tmp | /cnb | /layers | /workspace | /platform | /lost+found) continue ;;
  esac
  if [ -L "$at" ]; then
    cp -P "$at" "$root$at"
  elif [ -d "$at" ]; then
    mkdir "$root$at"
    mount --rbind "$at" "$root$at"
  fi
done
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
  shift 3
done
shift
mkdir "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
rmdir /.old
cd "$folder"
case $who in
  root) exec setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@" ;;
  *) exec unshare --user --map-user "$uid" --map-group "$gid" -- "$@" ;;
esac
