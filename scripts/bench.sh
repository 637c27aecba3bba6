#!/bin/sh
# Measures pgrecall beside other tools (docs/benchmarks.md), on a machine that may have nothing yet. Options: bench/run.ts.
set -eu
cd "$(dirname "$0")/.."
. scripts/readable-checkout.sh
prepare_checkout scripts/bench.sh "$@"
perl bench/measuring/run-steps.pl /dev/null node_modules/node/bin/node bench/run.ts "$@"
