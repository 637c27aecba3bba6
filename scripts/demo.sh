#!/bin/sh
# The demonstration, on a machine that may have nothing yet.
set -eu
cd "$(dirname "$0")/.."
. scripts/readable-checkout.sh
prepare_checkout scripts/demo.sh "$@"
bin/pgrecall demo "$@"
