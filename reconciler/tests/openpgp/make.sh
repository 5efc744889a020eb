#!/bin/sh
# Made once with GnuPG 2.2: public keys, and commits that their owners signed. The secret keys are gone with the folder
# they were made in. The commits are of the tree that holds `toolforge.yaml` with the text `one`.
set -e
here=$(cd "$(dirname "$0")" && pwd)
home=$(mktemp -d)
trap 'gpgconf --homedir "$home" --kill all; rm -rf "$home"' EXIT
export GNUPGHOME="$home"
gpg="gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase= --faked-system-time"

blob=$(printf one | git hash-object --stdin)
repo="$home/repo"; git init -q "$repo"
tree=$(printf '100644 blob %s\ttoolforge.yaml\n' "$blob" | git -C "$repo" mktree --missing)
payload="$home/payload"
printf 'tree %s\nauthor Ada Lovelace <ada@example.org> 1767225600 +0000\ncommitter Ada Lovelace <ada@example.org> 1767225600 +0000\n\na commit\n' "$tree" > "$payload"

# commit NAME KEY [OPTION...]: the commit, signed
commit() {
  name=$1; key=$2; shift 2
  $gpg 20260101T000000 "$@" --armor --local-user "$key" --detach-sign --output "$home/sig" --yes "$payload"
  { sed -n '1,3p' "$payload"; printf 'gpgsig '; sed 's/^/ /; 1s/^ //' "$home/sig"; printf '\na commit\n'; } > "$here/$name.commit"
}
fingerprint() { gpg --batch --with-colons --list-keys "$1" | awk -F: '$1 == "fpr" {print $10}' | sed -n "$2p"; }
export_key() { gpg --batch --armor --export "$1" > "$here/$2.asc"; }

$gpg 20250101T000000 --quick-generate-key 'Ada <ada@example.org>' ed25519 sign,cert never
ada=$(fingerprint ada@example.org 1)
$gpg 20250101T000000 --quick-add-key "$ada" ed25519 sign never
sub=$(fingerprint ada@example.org 2)
export_key "$ada" ada
commit ada "$ada!"
commit ada-subkey "$sub!"

$gpg 20250101T000000 --quick-generate-key 'Bob <bob@example.org>' rsa2048 sign,cert 2026-06-01
bob=$(fingerprint bob@example.org 1)
export_key "$bob" bob
commit bob "$bob!"
commit bob-sha1 "$bob!" --digest-algo SHA1

$gpg 20250101T000000 --quick-generate-key 'Eve <eve@example.org>' rsa1024 sign,cert never
export_key eve@example.org eve
commit eve eve@example.org

# Short by 32 bits; with its exponent and lengths it takes as many bytes as 2048 bits.
$gpg 20250101T000000 --quick-generate-key 'Fay <fay@example.org>' rsa2016 sign,cert never
export_key fay@example.org fay
commit fay fay@example.org

# Ada gives her subkey up, and Bob his whole key.
printf 'key 1\nrevkey\ny\n0\n\ny\nsave\n' | gpg --quiet --no-tty --pinentry-mode loopback --passphrase= --faked-system-time 20260102T000000 --command-fd 0 --status-fd 2 --edit-key "$ada" 2> /dev/null
export_key "$ada" ada-subkey-revoked
sed 's/^:-----/-----/' "$home/openpgp-revocs.d/$bob.rev" | gpg --batch --quiet --import
export_key "$bob" bob-revoked
