#!/usr/bin/env bash
# Compiles every public header alone, as C11 and as C++20 (later backends are C++): each includes what it uses.
#
#   tests/headers.sh CC CXX [ROOT]     one line per header that fails; exit 1 when there is one
set -euo pipefail
cc=$1 cxx=$2
cd -- "${3:-${PAWL_SOURCE:-.}}"
warnings=(-Wall -Wextra -Wshadow -Wundef -Wvla -Werror)
passed=0 failed=0

alone() { # alone HEADER COMPILER FLAGS...: the header is the whole program, included twice
    if printf '#include "%s"\n#include "%s"\n' "$1" "$1" | "${@:2}" "${warnings[@]}" -D_GNU_SOURCE -I. -fsyntax-only -; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s as %s\n' "$1" "${*:3}"
    fi
}

for folder in */; do
    folder=${folder%/}
    public=("$folder/$folder.h")
    [ "$folder" != core ] || public=(core/*.h)
    for header in "${public[@]}"; do
        [ -f "$header" ] || continue
        alone "$header" "$cc" -x c -std=c11 -Wstrict-prototypes
        alone "$header" "$cxx" -x c++ -std=c++20
    done
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
