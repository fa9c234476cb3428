#!/usr/bin/env bash
# Checks every #include against the two blocks of docs/ARCHITECTURE.md: which folder may see which, and which outside
# library's headers may appear where.
#
#   tests/layers.sh [ROOT]     one line per offence; exit 1 when there is one
set -euo pipefail
cd -- "${1:-${PAWL_SOURCE:-.}}"

# The architecture as lines "layer FOLDER MAY..." and "library HEADER FOLDER...", then each include as
# "include FILE:LINE <|\" HEADER".
blocks() {
    awk '/^```(layers|libraries)$/ { kind = $1 == "```layers" ? "layer" : "library"; next }
         /^```/ { kind = "" }
         kind && NF { sub(/:/, " "); print kind, $0 }' docs/ARCHITECTURE.md
}
includes() {
    find . -name build -prune -o -type d -name '.?*' -prune -o -type f \
         \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.inc' \) -print0 |
    xargs -0 -r grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]+[<"]' /dev/null |
    sed -nE 's|^(\./)?([^:]+:[0-9]+):[^<"]*([<"])([^>"]+)[>"].*|include \2 \3 \4|p'
}

{ blocks; includes; } | awk '
function offence(text) { print where ": " text; count++ }
function under(file, folder) { return index(file, folder "/") == 1 }
function exists(path,   line, found) { found = (getline line < path) >= 0; close(path); return found }

$1 == "layer" {
    if (!NF || $2 in layer) { where = "docs/ARCHITECTURE.md"; offence("folder " $2 " stands twice in the layer block") }
    for (i = 3; i <= NF; i++) {
        if (!($i in layer)) { where = "docs/ARCHITECTURE.md"; offence($2 " may not name " $i ": it is not above it in the layer block") }
        may[$2, $i] = 1
    }
    layer[$2] = 1; layers++
}
$1 == "library" {
    libraries[$2] = 1
    for (i = 3; i <= NF; i++) { home[$2, $i] = 1; homes[$2] = homes[$2] " " $i "/" }
}
$1 == "include" {
    where = $2; file = $2; sub(/:[0-9]+$/, "", file); folder = file; sub(/\/.*/, "", folder); seen++
    if (!(folder in layer)) { offence(folder "/ is not in the layer block of docs/ARCHITECTURE.md"); next }
    if ($3 == "<") check_library($4)
    else check_own($4)
}
function check_library(header,   prefix, pair, part, ok) {
    for (prefix in libraries) {
        if (index(header, prefix) != 1) continue
        ok = 0
        for (pair in home) { split(pair, part, SUBSEP); if (part[1] == prefix && under(file, part[2])) ok = 1 }
        if (!ok) offence("<" header "> belongs in" homes[prefix] " only")
    }
}
function check_own(header,   to) {
    to = header; sub(/\/.*/, "", to)
    if (to == header || !exists(header)) { offence("\"" header "\" is not written from the root, or does not exist"); return }
    if (to == folder) return
    if (!((folder, to) in may)) { offence(folder "/ may not include \"" header "\""); return }
    if (to != "core" && folder != "tests" && header != to "/" to ".h")
        offence("\"" header "\" is private to " to "/; its public header is \"" to "/" to ".h\"")
}
END {
    if (!layers || !seen) { where = "docs/ARCHITECTURE.md"; offence("no layer block, or no include found: nothing was checked") }
    printf "%d includes checked, %d against the architecture\n", seen, count
    exit count > 0
}'
