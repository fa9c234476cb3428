#!/usr/bin/env bash
# Calls that have no place in pawl, or only one place. A rule is a row: what, where it is allowed, what to do instead.
# Comments and text between quotes are not looked at.
#
#   tests/house_rules.sh [ROOT]     one line per offence; exit 1 when there is one
set -euo pipefail
cd -- "${1:-${PAWL_SOURCE:-.}}"

sources=$(find . -name build -prune -o -type d -name '.?*' -prune -o -type f \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.inc' \) -print |
          sed 's|^\./||' | sort)

# FILE:LINE:code, without comments and string contents.
code() {
    # shellcheck disable=SC2086  # one argument a file: names here hold no spaces
    awk 'FNR == 1 { inside = 0 }
         { line = $0
           gsub(/\\./, "", line); gsub(/"[^"]*"/, "\"\"", line); gsub(/\047.\047/, "0", line)
           if (inside) { if (!sub(/^.*\*\//, "", line)) next; inside = 0 }
           gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", line); sub(/\/\/.*/, "", line)
           if (sub(/\/\*.*/, "", line)) inside = 1
           if (line ~ /[^ \t]/) print FILENAME ":" FNR ":" line }' $sources
}

stripped=$(code)
# checkpoints/verify_h5.c looks into a damaged file in a child process of its own: it forks, limits and _exits.
rules=0 offences=0
rule() { # rule FUNCTIONS ALLOWED ADVICE: FUNCTIONS a regular expression of names, ALLOWED one of paths (may be empty)
    local found
    rules=$((rules + 1))
    found=$(grep -E "^[^:]+:[0-9]+:(.*[^A-Za-z0-9_.>])?($1)[[:space:]]*\(" <<<"$stripped" || true)
    [ -z "$2" ] || found=$(grep -vE "^($2)" <<<"$found" || true)
    [ -n "$found" ] || return 0
    awk -v advice="$3" '{ print $0 "    <- " advice }' <<<"$found"
    offences=$((offences + $(wc -l <<<"$found")))
}

rule 'strcpy|strcat|sprintf|vsprintf|gets|strtok'     ''              'writes past its end or keeps hidden state: snprintf, pawl_text'
rule 'atoi|atol|atoll|atof'                           'tests/'        'cannot tell a bad number: core/text.h'
rule 'rand|srand|random|drand48|rand_r'               'tests/'        'random numbers are counted: core/rng.h'
rule 'getenv|secure_getenv'                           'launch/|tests/' 'the environment is read in launch/ only'
rule 'malloc|calloc|realloc|posix_memalign|aligned_alloc|strdup' 'core/arena\.c|tests/' 'every byte goes through core/arena.h'
rule 'fopen|fread|fwrite|open|openat|pread|pwrite|rename|fsync|mkdir|unlink' 'core/file\.|tests/|checkpoints/verify_h5\.c' 'file I/O goes through core/file.h, where faults can be injected'
rule 'exit|_exit|abort|_Exit'                         'launch/|tests/|core/status\.c|checkpoints/(verify|compare)_h5\.c' 'libraries return a status; only launch/ ends the program'
rule 'MPI_[A-Za-z_]+'                                 'comm/|launch/|tests/' 'MPI stays behind comm/comm.h'
rule 'printf|puts|putchar|perror'                     'launch/|tests/|trainer/screen\.c' 'libraries speak through core/log.h'
rule 'fork|system|popen|setenv|putenv'                'launch/|tests/|checkpoints/' 'libraries start no processes'

rule '__shfl[a-z_]*|__ballot_sync|__any_sync|__all_sync|__syncwarp|__activemask' 'ops/cuda/launch\.h|tests/' 'lanes speak through ops/cuda/launch.h, all 32 of them'
rule 'cudaMemcpy|cudaMemset|cudaStreamCreate|cudaEventCreate|cudaMallocManaged|cudaDeviceReset|cudaThreadSynchronize' 'tests/' 'waits for all streams, or is on the default one: the calls that name a stream and flags'

if [ -z "$stripped" ]; then printf 'no source was found\n'; offences=1; fi
printf '%d rules, %d offences\n' "$rules" "$offences"
[ "$offences" -eq 0 ]
