#!/bin/sh
# Everything that has to hold: what can be said about the sources without running them, then all tests. Everything is run
# even where something fails; the last line says what did.
#   sh scripts/test.sh [FILE]…    only the tests in these files, and nothing else
set -eu
cd "$(dirname "$0")/.."
. scripts/readable-checkout.sh
prepare_checkout scripts/test.sh "$@"

PATH=$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH
export PATH
failed=

step() { # name command…
  name=$1
  shift
  echo "== $name"
  "$@" || failed="$failed${failed:+, }$name"
}

# Two files at a time: on two cores, each with a server, more are no faster and some tests wait for moments.
tests() { node --test --test-concurrency=2 --test-timeout=600000 "$@"; }

if [ $# -gt 0 ]; then
  step tests tests "$@"
else
  step format oxfmt --check src test scripts bench
  step lint oxlint --type-aware
  step types tsc --noEmit
  step 'unused code' knip
  step kernels sh scripts/build-kernels.sh --check
  step build sh scripts/build.sh --check
  step tests tests 'src/**/*.test.ts' 'test/**/*.test.ts' 'bench/**/*.test.ts'
fi

[ -z "$failed" ] || { echo "FAILED: $failed" >&2; exit 1; }
echo 'all passed'
