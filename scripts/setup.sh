#!/bin/sh
# Makes sure of everything that the demo and the tests need: the packages of npm, a PostgreSQL 15, a Patroni and an etcd of
# Debian where they can be installed, and a user to run servers as. Takes no time when nothing is missing. What it does goes
# to stderr.
set -eu
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }

# Installed packages are told from package-lock.json by a copy of it beside them, or, where npm ci was run by
# hand, by npm's own list of what it installed, which is then the newer of the two.
stamp=node_modules/.installed-package-lock.json
packages_are_there() {
  [ -x node_modules/node/bin/node ] || return 1
  cmp -s package-lock.json "$stamp" && return 0
  [ ! -f "$stamp" ] && [ -n "$(find node_modules/.package-lock.json -newer package-lock.json 2>/dev/null)" ]
}

install_packages() {
  command -v npm >/dev/null || { say "npm is missing: apt-get install npm"; exit 1; }
  say "installing the packages of npm (npm ci)"
  npm ci --ignore-scripts=false --no-audit --no-fund --loglevel=error >&2
  [ -x node_modules/node/bin/node ] || { say "npm ci did not bring Node: node_modules/node/bin/node is missing"; exit 1; }
  cp package-lock.json "$stamp"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"; }

# Debian's package makes a cluster and starts it, unless told not to before it is installed; nobody asked for one.
no_main_cluster=/etc/postgresql-common/createcluster.d/pgrecall-setup.conf
install_postgres() {
  say "installing PostgreSQL 15 (apt-get install postgresql-15)"
  log=$(mktemp)
  trap 'rm -f "$log"; as_root rm -f "$no_main_cluster"' EXIT
  {
    apt update && apt install -y --no-install-recommends postgresql-common &&
      as_root mkdir -p "${no_main_cluster%/*}" &&
      echo 'create_main_cluster = false' | as_root tee "$no_main_cluster" &&
      apt install -y --no-install-recommends postgresql-15
  } >"$log" 2>&1 || { tail -n 5 "$log" >&2; say "apt-get could not install postgresql-15"; }
  as_root rm -f "$no_main_cluster"
  rm -f "$log"
  trap - EXIT
}

# Debian's packages start what they bring, unless this script of the administrator's says no; where there is none, ours does.
may_start=/usr/sbin/policy-rc.d
install_patroni() {
  say "installing Patroni and etcd (apt-get install patroni etcd-server)"
  log=$(mktemp)
  ours=no
  if [ ! -e "$may_start" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$may_start" >/dev/null
    as_root chmod 755 "$may_start"
  fi
  trap 'rm -f "$log"; [ "$ours" = no ] || as_root rm -f "$may_start"' EXIT
  { apt update && apt install -y --no-install-recommends patroni etcd-server; } >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; say "apt-get could not install patroni and etcd-server"; }
  # Nor when the machine starts: only the tests want them.
  as_root systemctl disable etcd patroni >/dev/null 2>&1 || true
  [ "$ours" = no ] || as_root rm -f "$may_start"
  rm -f "$log"
  trap - EXIT
}

packages_are_there || install_packages

if [ ! -x /usr/lib/postgresql/15/bin/postgres ]; then
  if command -v apt-get >/dev/null && can_be_root; then install_postgres; fi
  [ -x /usr/lib/postgresql/15/bin/postgres ] ||
    say "no PostgreSQL 15 here: the demo takes one of npm, tests of 15 fail; as root: apt-get install postgresql-15"
fi

if [ ! -x /usr/bin/patroni ] || [ ! -x /usr/bin/etcd ]; then
  if command -v apt-get >/dev/null && can_be_root; then install_patroni; fi
  [ -x /usr/bin/patroni ] && [ -x /usr/bin/etcd ] ||
    say "no Patroni and etcd here: tests with them are skipped; as root: apt-get install patroni etcd-server"
fi

if [ "$(id -u)" = 0 ] && ! id postgres >/dev/null 2>&1; then
  say "making the user postgres, since PostgreSQL does not run as root"
  useradd --system --user-group --create-home --home-dir /var/lib/postgresql --shell /bin/sh postgres
fi
