#!/usr/bin/env bash
# Compiles every kernel with nvcc, warnings as errors, and fails when one spills registers beyond its budget.
#
#   tests/nvcc_kernels.sh [ARCH...]     compute capabilities, as 80 90; 90 when none is given. Exit 77: there is no nvcc
#
# A budget is a line "KERNEL BYTES" of the table below: bytes of spill stores that are accepted.
#   head_rows_kernel: one address on sm_80; two blocks to a multiprocessor (64 registers a thread) are worth more.
set -euo pipefail
cd -- "${PAWL_SOURCE:-.}"
budgets() {
    cat <<'END'
head_rows_kernel 8
END
}

nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
if [ ! -x "$nvcc" ]; then echo "nvcc_kernels: skipped, there is no nvcc here: kernels were compiled by g++ only"; exit 77; fi
read -ra flags < ops/cuda/nvcc.flags
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export nvcc work
one() { # one ARCH FILE FLAGS...
    local out="$work/$1-$(basename "$2")"
    "$nvcc" "${@:3}" -I. -gencode "arch=compute_$1,code=sm_$1" -Xptxas -v -c "$2" -o "$out.o" >"$out.log" 2>&1 || touch "$out.failed"
}
export -f one
for arch in "${@:-90}"; do
    for file in ops/cuda/*.cu; do printf '%s\0' "$arch" "$file"; done
done | xargs -0 -n 2 -P 2 bash -c 'one "$1" "$2" '"${flags[*]@Q}" _

status=0
for failed in "$work"/*.failed; do
    [ -e "$failed" ] || continue
    grep -v '^ptxas info' "${failed%.failed}.log" || true
    echo "FAILED $(basename "${failed%.failed}")"
    status=1
done
budgets > "$work/budgets"
c++filt < <(cat "$work"/*.log) | awk -v table="$work/budgets" '
    FILENAME == table { budget[$1] = $2; next }
    /Compiling entry function/ { kernel = $0; sub(/.*function ./, "", kernel); sub(/. for .*/, "", kernel)
                                 name = kernel; sub(/[<(].*/, "", name); sub(/.* /, "", name); kernels++ }
    /bytes spill stores/ { spilled = $0; sub(/ bytes spill stores.*/, "", spilled); sub(/.*[ ,]/, "", spilled)
                           if (spilled + 0 > budget[name] + 0) { printf "%s spills %d bytes, its budget is %d\n", kernel, spilled, budget[name]; over++ } }
    / registers/ { used = $0; sub(/ registers.*/, "", used); sub(/.*Used /, "", used); if (used + 0 > most) { most = used + 0; who = name } }
    END { printf "%d kernels, %d over their budget of spills; at most %d registers (%s)\n", kernels, over, most, who
          exit over > 0 || !kernels }' "$work/budgets" - || status=1
exit "$status"
