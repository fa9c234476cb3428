# Part of launch/quickstart: SmolLM2-135M-Instruct learns to answer as a medical dictionary does, by LoRA.
# shellcheck shell=bash disable=SC2154  # its functions and variables are the quickstart's

model=$out/SmolLM2-135M-Instruct
words=(myocarditis diplopia phlebotomist) # tested, so never trained

# answers MODEL
answers() {
    local word
    for word in "${words[@]}"; do
        run "$pawl" generate "$1" --chat --prompt "What does \"$word\" mean in medicine?" --max-tokens 50
    done
}

step 'Questions and answers: the medical entries of a dictionary; and pages of novels, for what the model knew before'
run "${python[@]}" "$here/dictionary.py" medical build/dict-gcide/usr/share/dictd "$out/data/medical"
run "${python[@]}" "$here/texts.py" excerpts "$novels" "$out/data/general"

step 'What it answers before'
answers "$model"

step 'LoRA: two ranks, stopped half-way'
mapfile -t keys < <(elsewhere output_dir=medical base_model=SmolLM2-135M-Instruct datasets.0.path=data/medical \
                              test_datasets.0.path=data/medical test_datasets.1.path=data/general)
stopped_at 12 "$out/medical" "${mpirun[@]}" -q -n 2 "$pawl" train "$recipes/quickstart-medical.yaml" "${keys[@]}"

step 'The same command goes on where it stopped: three ranks now'
run "${mpirun[@]}" -n 3 "$pawl" train "$recipes/quickstart-medical.yaml" "${keys[@]}"

step 'What was learnt, what was forgotten'
run "${python[@]}" "$here/losses.py" "$out/medical"

step 'What it answers now'
answers "$out/medical"

where_from "$out/medical"

step 'Done'
run "$pawl" export "$out/medical" "$out/medical-export" --merged
row "$out/medical" 'the run: run.yaml, metrics.jsonl, checkpoints/'
row "$out/medical-export" 'the model as a Hugging Face directory, adapters merged'
printf 'Where transformers is installed, this loads it:\n'
cat <<EOF
  from transformers import AutoModelForCausalLM, AutoTokenizer
  tokenizer, model = (kind.from_pretrained("$out/medical-export") for kind in (AutoTokenizer, AutoModelForCausalLM))
  question = [{"role": "user", "content": 'What does "${words[0]}" mean in medicine?'}]
  ids = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
  print(tokenizer.decode(model.generate(**ids, max_new_tokens=50)[0]))
EOF
