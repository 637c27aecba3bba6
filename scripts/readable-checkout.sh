# To be sourced, in the checkout: gets the machine ready, and a checkout that servers can read. As root, servers run as
# the user postgres, who has to read the checkout: the PostgreSQL of npm lies in it, and so does what archive_command
# calls. One below /root is closed to others; then the script goes on in a copy, of links where it can be, which is
# removed after it.

readable_to_postgres() {
  setpriv --reuid=postgres --regid=postgres --clear-groups -- sh -c \
    'cd "$1" && [ -r package.json ] && [ -r src/main.ts ] && [ -x bin/pgrecall ] && [ -x node_modules/node/bin/node ]' \
    sh "$1" 2>/dev/null
}

copy_checkout() { # command that copies its arguments to the directory named last
  for entry in .ci .[!.]*rc.json *; do
    [ "$entry" = dist ] || "$@" "$entry" "$checkout_copy/" || return 1
  done
}

# prepare_checkout SCRIPT [ARGUMENT]…: returns where the checkout will do; else runs the script in the copy and exits.
prepare_checkout() {
  [ -z "${CHECKOUT_IS_COPY:-}" ] || return 0
  sh scripts/setup.sh
  [ "$(id -u)" = 0 ] || return 0
  if readable_to_postgres "$PWD"; then return 0; fi
  checkout_copy=$(mktemp -d /var/tmp/pgrecall.XXXXXX)
  trap 'rm -rf "$checkout_copy"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  echo "setup: the user postgres cannot read $PWD: going on in $checkout_copy" >&2
  chmod 755 "$checkout_copy"
  copy_checkout cp -al 2>/dev/null
  if ! readable_to_postgres "$checkout_copy"; then
    rm -rf "$checkout_copy"/* "$checkout_copy"/.[!.]*
    copy_checkout cp -a
    chmod -R u=rwX,go=rX "$checkout_copy"
  fi
  script=$1
  shift
  status=0
  (cd "$checkout_copy" && CHECKOUT_IS_COPY=yes sh "$script" "$@") || status=$?
  exit "$status"
}
