# Part of launch/quickstart: a small model learns English from nothing, then Python, and forgets English on the way.
# shellcheck shell=bash disable=SC2154  # its functions and variables are the quickstart's

step 'Texts: six novels by Jane Austen, and the modules of Python itself'
measured=(test_datasets.0.path=texts/english test_datasets.1.path=texts/python) english=()
if unpacked r-cran-janeaustenr; then
    run "${python[@]}" "$here/texts.py" english "$novels" "$out/texts/english"
else
    printf 'The novels cannot be fetched now either, so the licences of Debian stand for English.\n'
    run "${python[@]}" "$here/texts.py" licences "$out/texts/english"
    english=(datasets.0.license=LicenseRef-common-licenses test_datasets.0.license=LicenseRef-common-licenses)
fi
run "${python[@]}" "$here/texts.py" python "$out/texts/python"

step 'A model of 1.8 million parameters learns English from nothing: two ranks'
mapfile -t keys < <(elsewhere output_dir=english datasets.0.path=texts/english "${measured[@]}")
run "${mpirun[@]}" -n 2 "$pawl" train "$recipes/quickstart-english.yaml" "${keys[@]}" "${english[@]}"
run "$pawl" export "$out/english" "$out/english-export"

step 'The same model learns Python: two ranks, stopped half-way'
mapfile -t keys < <(elsewhere output_dir=python base_model=english-export datasets.0.path=texts/python "${measured[@]}")
stopped_at 120 "$out/python" "${mpirun[@]}" -q -n 2 "$pawl" train "$recipes/quickstart-python.yaml" "${keys[@]}" "${english[@]:1}"

step 'The same command goes on where it stopped: three ranks now'
run "${mpirun[@]}" -n 3 "$pawl" train "$recipes/quickstart-python.yaml" "${keys[@]}" "${english[@]:1}"
run "$pawl" export "$out/python" "$out/python-export"

step 'What was learnt, what was forgotten'
run "${python[@]}" "$here/losses.py" "$out/python"

step 'Samples'
run "$pawl" generate "$out/english-export" --prompt 'It is a truth ' --max-tokens 200 --temperature 0.6 --seed 1
run "$pawl" generate "$out/python" --prompt 'def main(' --max-tokens 200 --temperature 0.6 --seed 1

where_from "$out/python"

step 'Done'
row "$out/python" 'the run: run.yaml, metrics.jsonl, checkpoints/'
row "$out/python-export" 'the model as a Hugging Face directory'
