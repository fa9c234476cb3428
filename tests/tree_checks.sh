#!/usr/bin/env bash
# Do layers.sh, house_rules.sh and headers.sh catch what they are there for? A small tree that is in order passes; each
# offence, put into it alone, is found and named.
#
#   tests/tree_checks.sh [CC CXX]
set -euo pipefail
tests=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cc=${1:-cc} cxx=${2:-c++}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
passed=0 failed=0

plant() { # plant FILE LINE...: a file of these lines
    mkdir -p "$tree/$(dirname "$1")"
    printf '%s\n' "${@:2}" >"$tree/$1"
}
sound_tree() {
    rm -rf "${tree:?}"/*
    plant docs/ARCHITECTURE.md '```layers' 'core :' 'comm : core' 'data : core comm' 'launch : core comm data' 'tests : core comm data' '```' \
        '```libraries' 'mpi.h : comm launch' 'dnnl : comm/cpu' '```'
    plant core/text.h ''
    plant core/hash.h '#include "core/text.h"'
    plant comm/comm.h '#include <stdint.h>' '#include "core/hash.h"'
    plant comm/agree.h ''
    plant comm/agree.c '#include <mpi.h>' '#include "comm/agree.h"'
    plant comm/cpu/gemm.c '#include <dnnl.h>'
    plant data/data.h '# include "comm/comm.h"'
    plant launch/main.c '#include "data/data.h"'
    plant tests/test_agree.c '#include "comm/agree.h"'
}
tally() { # tally NAME HOLDS
    if [ "$2" = yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED %s\n' "$1"; fi
}
check() { # check NAME: runs it over the tree
    case $1 in
        headers) "$tests/headers.sh" "$cc" "$cxx" "$tree" 2>&1 ;;
        *)       "$tests/$1.sh" "$tree" ;;
    esac
}
catches() { # catches WORDS FILE LINE...: with that file planted, $which fails and says WORDS about it
    local said
    sound_tree
    plant "${@:2}"
    if said=$(check "$which"); then tally "$1 ($2)" no
    elif grep -qF -- "$1" <<<"$said"; then tally "$1" yes
    else printf '%s\n' "$said"; tally "$1 ($2): found, but not named" no
    fi
}

for which in layers house_rules headers; do
    sound_tree
    if check "$which" >/dev/null; then tally "$which: a sound tree" yes; else check "$which" || true; tally "$which: a sound tree" no; fi
done

which=layers
catches 'core/ may not include "comm/comm.h"'     core/rng.c '#include "comm/comm.h"'
catches 'core/rng.c:2: '                          core/rng.c '' '  #  include   "comm/comm.h"'
catches 'comm/ may not include "data/data.h"'     comm/comm.c '#include "data/data.h" // up'
catches '"comm/agree.h" is private to comm/'      data/pack.c '#include "comm/agree.h"'
catches '"comm/agree.h" is private to comm/'      launch/main.c '#include "comm/agree.h"'
catches '<mpi.h> belongs in'                      data/pack.c '#include <mpi.h>'
catches '<mpi.h> belongs in'                      core/deep/er/x.cu '#include <mpi.h>'
catches '<dnnl_config.h> belongs in comm/cpu/'    comm/gemm.c '#include <dnnl_config.h>'
catches '"hash.h" is not written from the root'   core/hash.c '#include "hash.h"'
catches '"core/none.h" is not written'            core/hash.c '#include "core/none.h"'
catches 'utils/ is not in the layer block'        utils/x.c '#include <stdio.h>'
catches 'core may not name data'                  docs/ARCHITECTURE.md '```layers' 'core : data' 'comm : core' 'data : core comm' '```'
catches 'core stands twice'                       docs/ARCHITECTURE.md '```layers' 'core :' 'core :' '```'
catches 'nothing was checked'                     docs/ARCHITECTURE.md 'no block here'

which=house_rules
catches 'core/x.c:2:'               core/x.c '' 'void f(void) { strcpy(a, b); }'
catches 'core/x.c:1:int n = atoi'   core/x.c 'int n = atoi (s);'
catches 'core/x.c:3:'               core/x.c '/* a comment' '   of lines */' '/* rand( */ int r = rand();'
catches 'read in launch/'           core/x.c 'char *e = getenv("X");'
catches 'core/arena.h'              core/x.c 'void *p = malloc(3);'
catches 'core/file.h'               core/x.c 'int fd = open("x", 0);'
catches 'only launch/ ends'         core/x.c 'void f(void) { if (a) exit(1); }'
catches 'MPI stays behind'          data/x.c 'int m = MPI_Barrier(c);'
catches 'core/log.h'                core/x.c 'void f(void) { printf("x"); }'
catches 'start no processes'        core/x.c 'int k = fork();'
catches '1 offences'                core/x.c 'int k = fork();' '/* atoi(x) */ // rand(' 'const char *s = "gets(x)";' \
    'int ok = io->open(p) + my_open(p) + s.rename(x) + pawl_file_open(x);'

which=headers
catches 'core/text.h as -x c -std=c11'   core/text.h 'size_t n(void);'
catches 'comm/comm.h as -x c++'          comm/comm.h '#ifndef A' '#define A' 'int f(int *restrict p);' '#endif'
catches 'core/text.h as -x c -std=c11'   core/text.h 'struct guard { int missing; };'

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
