#!/bin/sh
# Compiles the AssemblyScript kernels into TypeScript modules that hold them as base64. With --check, only
# compares what the sources compile to with what is stored.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build() { # source module
  node_modules/node/bin/node node_modules/assemblyscript/bin/asc.js "$1" -o "$work/kernel.wasm" \
    --runtime stub --use abort= --noAssert -O3 --enable simd --enable relaxed-simd --memoryBase 32768 --initialMemory 2
  {
    echo "/** Compiled from $1 by scripts/build-kernels.sh; do not edit. */"
    printf "export const wasm =\n  '%s';\n" "$(base64 -w0 "$work/kernel.wasm")"
  } >"$work/module.ts"
  if [ "${check:-no}" = yes ]; then
    cmp -s "$work/module.ts" "$2" || { echo "$2 is not what $1 compiles to: run npm run kernels" >&2; exit 1; }
  else
    cp "$work/module.ts" "$2"
  fi
}
[ "${1:-}" = --check ] && check=yes
build src/postgres/assembly/page-kernel.ts src/postgres/page-kernel.wasm.ts
build src/wal/assembly/record-kernel.ts src/wal/record-kernel.wasm.ts
