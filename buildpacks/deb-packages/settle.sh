# shellcheck shell=bash
# Makes unpacked packages work where they lie: links, alternatives, search paths. Sourced by build; LAYER is the folder,
# SCRATCH/archives has the packages.

settle() {
  local triplet
  triplet=$(triplet)
  # Programs of another owner are no programs of that owner here.
  find "$LAYER" -perm /6000 -type f -exec chmod u-s,g-s {} +
  alternatives
  relink
  paths "$triplet"
  programs "$triplet"
}

triplet() {
  case ${CNB_TARGET_ARCH:-$(dpkg --print-architecture)} in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    *) dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu" ;;
  esac
}

# `convert` and the like are made by scripts of the packages. Where such a script says it in one line, it is done here;
# the first of several wins. LINK may be a plain file already.
alternatives() {
  local archive link path
  for archive in "$SCRATCH"/archives/*.deb; do
    dpkg-deb --info "$archive" postinst 2>/dev/null | sed -e ':again' -e '/\\$/N; s/\\\n/ /; t again' |
      sed -nE 's/.*--(install|slave) +(\/[^ $]+) +[^ $]+ +(\/[^ $]+).*/\2 \3/p' || true
  done >"$SCRATCH/alternatives"
  while read -r link path; do
    if [ -e "$LAYER$path" ] && [ ! -e "$LAYER$link" ] && [ ! -L "$LAYER$link" ]; then
      mkdir -p "$(dirname "$LAYER$link")"
      ln -s "$path" "$LAYER$link"
    fi
  done <"$SCRATCH/alternatives"
  # ImageMagick's script is a loop over names.
  for path in "$LAYER"/usr/bin/*-im[67].q16*; do
    link=${path%-im[67].q16*}
    [ -e "$link" ] || ln -s "$(basename "$path")" "$link"
  done
}

# A link to an absolute path means a file of the layer, if the layer has it.
relink() {
  local link target
  find "$LAYER" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
    target=$(readlink -- "$link")
    if [ -e "$LAYER$target" ] || [ -L "$LAYER$target" ]; then
      ln -sfn -- "$(realpath -sm --relative-to="$(dirname -- "$link")" -- "$LAYER$target")" "$link"
    fi
  done
}

# after WHEN NAME DIR...: the folders that exist, after what is there: the base image's own come first, so that its
# security updates are not hidden by an older copy.
after() {
  local when=$1 name=$2 dir all=''
  shift 2
  for dir in "$@"; do
    [ ! -d "$dir" ] || all=${all:+$all:}$dir
  done
  [ -n "$all" ] || return 0
  layer_env "$when" "$name.append" "$all"
  layer_env "$when" "$name.delim" :
}

paths() {
  local usr=$LAYER/usr libs
  after env PATH "$usr/local/bin" "$usr/bin" "$LAYER/bin" "$usr/sbin" "$LAYER/sbin" "$usr/games"
  # Some libraries lie in folders of their own, which an alternative would have named.
  mapfile -t libs < <(find "$usr/lib/$1" "$LAYER/lib/$1" "$usr/lib" -maxdepth 2 \( -name '*.so' -o -name '*.so.*' \) -printf '%h\n' 2>/dev/null | LC_ALL=C sort -u)
  after env LD_LIBRARY_PATH "${libs[@]}"
  after env.build LIBRARY_PATH "$usr/lib/$1" "$usr/lib"
  after env.build CPATH "$usr/include" "$usr/include/$1"
  after env.build PKG_CONFIG_PATH "$usr/lib/$1/pkgconfig" "$usr/lib/pkgconfig" "$usr/share/pkgconfig"
  after env PERL5LIB "$usr/share/perl5" "$usr/lib/$1/perl5" "$LAYER"/usr/lib/"$1"/perl-base
  # A path to be found in these files begins at the root of a system.
  find "$usr/lib" "$usr/share" -path '*/pkgconfig/*.pc' -type f -exec sed -i "s|^prefix=/usr|prefix=$usr|" {} + 2>/dev/null || true
}

# Programs that look for their data at fixed places have a variable for it.
programs() {
  local dir
  for dir in "$LAYER"/usr/share/tesseract-ocr/*/tessdata; do
    layer_env env.launch TESSDATA_PREFIX.default "$dir"
  done
  for dir in "$LAYER"/etc/ImageMagick-*; do
    layer_env env.launch MAGICK_CONFIGURE_PATH.default "$dir"
  done
  for dir in "$LAYER/usr/lib/$1"/ImageMagick-*/modules-*/coders; do
    layer_env env.launch MAGICK_CODER_MODULE_PATH.default "$dir"
  done
  for dir in "$LAYER/usr/lib/$1"/ImageMagick-*/modules-*/filters; do
    layer_env env.launch MAGICK_CODER_FILTER_PATH.default "$dir"
  done
  for dir in "$LAYER"/usr/share/ghostscript/*/Resource; do
    layer_env env.launch GS_LIB.default "$dir/Init:$(dirname "$dir")/lib:$LAYER/usr/share/fonts"
  done
  if [ -d "$LAYER/etc/fonts" ]; then
    layer_env env.launch FONTCONFIG_PATH.default "$LAYER/etc/fonts"
  fi
}
