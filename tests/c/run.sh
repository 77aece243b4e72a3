#!/usr/bin/env bash
# The C core's tests: plain (with valgrind, if it is there), under the address and undefined-behaviour
# sanitizers, and what has threads under the thread sanitizer.
# usage: tests/c/run.sh FOLDER    (builds there, and writes ctest's JUnit file FOLDER/KIND.xml)
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
command -v make > /dev/null || export CMAKE_GENERATOR=Ninja

run() { # run KIND SANITIZERS TESTS TARGET...
    local build=$folder/$1 kind=$1 sanitizers=$2 tests=$3
    shift 3
    cmake -S "$root" -B "$build" -DLMMLASSO_PYTHON=OFF -DLMMLASSO_C_TESTS=ON \
        -DLMMLASSO_SANITIZE="$sanitizers" > "$build.log" || { cat "$build.log"; exit 1; }
    cmake --build "$build" --target "$@" --parallel 2 >> "$build.log" || { cat "$build.log"; exit 1; }
    echo "C tests: $kind"
    ctest --test-dir "$build" --tests-regex "$tests" --no-tests=error --output-on-failure \
        --output-junit "$build.xml" --test-output-size-passed 100000
}

run plain "" . all
run sanitizers address,undefined . all
run threads thread '^(faults|mapped_files)$' test_faults test_mapped_files
