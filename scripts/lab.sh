#!/bin/sh
# A practice (npm run lab -- sql-dump), on a machine that may have nothing yet.
set -eu
cd "$(dirname "$0")/.."
. scripts/readable-checkout.sh
prepare_checkout scripts/lab.sh "$@"
bin/pgrecall lab "$@"
