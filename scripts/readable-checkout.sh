# To be sourced, in the checkout. As root, servers run as the user postgres, who has to read this checkout: the PostgreSQL
# of npm lies in it, and so does what archive_command calls. A checkout below /root is closed to others; then the
# script goes on in a copy (of links where it can be), which is removed after it.

readable_to_postgres() {
  setpriv --reuid=postgres --regid=postgres --clear-groups -- \
    sh -c 'cd "$1" && [ -r package.json ] && [ -x node_modules/node/bin/node ]' sh "$1" 2>/dev/null
}

# in_readable_checkout SCRIPT [ARGUMENT]…: returns where the checkout will do; else runs the script in the copy and exits.
in_readable_checkout() {
  [ "$(id -u)" = 0 ] || return 0
  if readable_to_postgres "$PWD"; then return 0; fi
  checkout_copy=$(mktemp -d /var/tmp/pgrecall.XXXXXX)
  trap 'rm -rf "$checkout_copy"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  echo "setup: the user postgres cannot read $PWD: going on in $checkout_copy" >&2
  tar -c --exclude=./.git --exclude=./dist . | tar -x --no-same-owner -C "$checkout_copy"
  chmod -R u=rwX,go=rX "$checkout_copy"
  script=$1
  shift
  status=0
  (cd "$checkout_copy" && sh "$script" "$@") || status=$?
  exit "$status"
}
