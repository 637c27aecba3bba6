#!/bin/sh
# The demonstration, on a machine that may have nothing yet.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
. scripts/readable-checkout.sh
in_readable_checkout scripts/demo.sh "$@"
bin/pgrecall demo "$@"
