#!/usr/bin/env bash
# Every test that README names as the keeper of a promise is registered, so that it runs.
#
#   tests/promises.sh README BUILD_FOLDER
set -euo pipefail
readme=$1 build=$2

registered=$(ctest --test-dir "$build" -N | sed -nE 's/^ *Test +#[0-9]+: ([A-Za-z0-9_]+).*/\1/p')
# The last column of the table of promises; a test on ranks has its name with _ranks_N behind it.
named=$(awk -F'|' '/^\| promise \|/ { in_table = 1; next } !/^\|/ { in_table = 0 } in_table { print $(NF - 1) }' "$readme" |
        grep -oE '`[a-z0-9_]+`' | tr -d '`' | sort -u)
missing=0 count=0
for name in $named; do
    count=$((count + 1))
    grep -qE "^$name(_ranks_[0-9]+)?\$" <<<"$registered" && continue
    printf 'README names %s, which is no registered test\n' "$name"
    missing=$((missing + 1))
done
printf '%d tests named, %d of them not registered\n' "$count" "$missing"
[ "$count" -gt 0 ] && [ "$missing" -eq 0 ]
