#!/bin/sh
# Compiles src/ into dist/, which is what is published, and makes sure that it starts. With --check, compiles into a
# temporary directory and leaves dist/ alone.
set -eu
cd "$(dirname "$0")/.."
node=node_modules/node/bin/node
out=dist
if [ "${1:-}" = --check ]; then
  # Below node_modules, so that what is compiled finds its dependencies.
  mkdir -p node_modules/.cache
  work=$(mktemp -d node_modules/.cache/build-XXXXXX)
  trap 'rm -rf "$work"' EXIT
  out=$work/dist
fi

rm -rf "$out"
"$node" node_modules/typescript/bin/tsc -p tsconfig.build.json --outDir "$out"
"$node" "$out/main.js" --version >/dev/null

# Threads are started by a path that no compiler checks.
grep -rno --include='*.js' "workerModule('[^']*'" "$out" | while IFS=: read -r file line call; do
  name=${call#*\'}
  worker=$(dirname "$file")/${name%\'}.js
  [ -f "$worker" ] || { echo "$file:$line: starts the thread $worker, which is missing" >&2; exit 1; }
done
