# Part of launch/quickstart: SmolLM2-135M-Instruct learns German twice, without and with rows of what it knew before.
# shellcheck shell=bash disable=SC2154  # its functions and variables are the quickstart's

mapfile -t keys < <(elsewhere base_model=SmolLM2-135M-Instruct datasets.0.path=data/german \
                              general_data.0.path=data/python general_data.1.path=data/computing)
mapfile -t there < <([ "$out" = "$default" ] || printf 'output_dir=%s\n' "$out/german")
kept=$out/german-replay

# judged COMMAND...: the gate says by the exit code whether too much was forgotten.
judged() {
    local code=0
    run "$@" || code=$?
    case $code in
        0)  printf 'Exit code 0: what was forgotten is within the budget.\n' ;;
        70) printf 'Exit code 70: more was forgotten than the budget allows. The checkpoints are there all the same.\n' ;;
        *)  die "the run ended with $code" ;;
    esac
}

matrix_of() { "$pawl" retention "$1" | sed -n '1,/^$/p;/^forgetting/p' | sed 's/  below the best.*//' | cut -c1-66; }

step 'German manual pages to learn; Python and a dictionary of computing for what the model knows'
run "${python[@]}" "$here/manuals.py" build/manpages-de/usr/share/man/de "$out/data/german"
run "${python[@]}" "$here/texts.py" excerpts "$out/data/python"
run "${python[@]}" "$here/dictionary.py" computing build/dict-foldoc/usr/share/dictd "$out/data/computing"

step 'Without replay: two ranks, stopped half-way'
stopped_at 6 "$out/german" "${mpirun[@]}" -q -n 2 "$pawl" train "$recipes/quickstart-german.yaml" "${keys[@]}" "${there[@]}"

step 'The same command goes on where it stopped: three ranks now'
judged "${mpirun[@]}" -q -n 3 "$pawl" train "$recipes/quickstart-german.yaml" "${keys[@]}" "${there[@]}"

step 'With replay: a quarter of the rows are of what it knew'
judged "${mpirun[@]}" -q -n 2 "$pawl" train "$recipes/quickstart-german.yaml" "${keys[@]}" "output_dir=$kept" replay.ratio=0.25

step 'What was learnt, what was forgotten: without replay, and with it'
shown "$pawl" retention "$out/german"
shown "$pawl" retention "$kept"
paste -d '\t' <(matrix_of "$out/german") <(matrix_of "$kept") | expand -t 70
run "$pawl" report "$out/german" --compare "$kept" -o "$out/report.html"

where_from "$kept"

step 'Done'
run "$pawl" export "$kept" "$out/german-export"
row "$out/report.html" 'both runs side by side, for a browser'
row "$kept" 'the run: run.yaml, metrics.jsonl, report.html, checkpoints/'
row "$out/german-export" 'the model as a Hugging Face directory, which transformers loads'
