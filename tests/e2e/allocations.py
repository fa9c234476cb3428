"""Nothing is allocated inside a step, by calls that the linker can tell from those of libraries. What libraries allocate is said."""
import glob, json, os, random, re
from e2e import *

COUNTED = os.path.join(TESTS, "counted_pawl")
where = folder()
GPT2 = """model:
  model_type: gpt2
  hidden_size: 32
  intermediate_size: 80
  num_hidden_layers: 2
  num_attention_heads: 4
  max_position_embeddings: 128
tokenizer: bytes
"""
LORA = dict(adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear", lora_dropout=0.1)
RUNS = [
    ("f32 on one rank", 1, MODEL, {}),
    ("two ranks that save behind their steps", 2, MODEL, dict(save_steps=1, eval_steps=3)),
    ("three ranks, fast sums", 3, MODEL, dict(reduction="fast", threads=2)),
    ("padding and short rows", 1, MODEL, dict(sample_packing="false", micro_batch_size=3, threads=2)),
    ("gpt2", 2, GPT2, dict(micro_batch_size=2)),
    ("stage 1", 2, MODEL, dict(zero_stage=1, save_steps=2)),
    ("stage 3 by blocks that are computed again, in bf16", 3, MODEL, dict(zero_stage=3, activation_recompute="block", bf16="true", save_steps=2)),
    ("stage 2, muon and an average", 2, MODEL, dict(zero_stage=2, optimizer="muon", ema_decay=0.9)),
    ("muon on products that are moved before they are read", 1, MODEL.replace("hidden_size: 32", "hidden_size: 512").replace("intermediate_size: 80", "intermediate_size: 1536"), dict(optimizer="muon", max_steps=6, sequence_len=64)),
    ("8-bit state and noise", 1, MODEL, dict(optimizer="adamw_8bit", neftune_noise_alpha=5)),
    ("adafactor", 2, MODEL, dict(zero_stage=1, optimizer="adafactor")),
    ("bf16, padding and noise", 1, MODEL, dict(bf16="true", sample_packing="false", micro_batch_size=3, threads=2, neftune_noise_alpha=5)),
    ("gpt2 in bf16, a rank without a slot in the last turn", 3, GPT2, dict(bf16="true", zero_stage=2, micro_batch_size=2, neftune_noise_alpha=5, save_steps=2)),
]


def counted(name, ranks, model, keys, datasets=None):
    out = os.path.join(where, name.replace(" ", "-"))
    yaml = write_run(where, output=out, model=model, datasets=datasets, **{**dict(max_steps=6), **keys})
    status, _, stderr = run(ranks, "train", yaml, program=COUNTED, env=dict(ENV, PAWL_COUNTS=out + ".counts"))
    check(status == 0, f"{name}: runs {stderr[-500:] * (status != 0)}")
    files = sorted(glob.glob(out + ".counts.*"))
    check(len(files) == ranks, f"{name}: every rank counted")
    libraries = {}
    for path in files:
        with open(path) as f:
            text = f.read()
        check(text.startswith("steps 6\n"), f"{name}: all steps were seen")
        own = [(int(s), int(n)) for s, n in re.findall(r"^(\d+) own (\d+)", text, re.M) if int(n)]
        check(not own, f"{name}: nothing of pawl's own" + (f": {own}\n{text}" if own else ""))
        for library, calls in re.findall(r"^(\S+\.so\S*) (\d+)$", text, re.M):
            libraries[library] = libraries.get(library, 0) + int(calls)
    print(f"       {name}: libraries allocate {libraries} times in 6 steps of {ranks} ranks")


for each in RUNS:
    counted(*each)
base = os.path.join(where, "f32-on-one-rank")
model = os.path.join(where, "base")
check(run(0, "export", base, model)[0] == 0, "a model for adapters to stand on")
for name, keys in (("LoRA", {}), ("a rank above all widths", dict(lora_r=512)),
                   ("DoRA over 4 bits", dict(peft_use_dora="true", load_in_4bit="true")),
                   ("LoRA over 8 bits, in bf16, blocks computed again", dict(load_in_8bit="true", bf16="true", activation_recompute="block"))):
    counted(name, 2, f"base_model: {model}\n", {**LORA, **keys})

# How many positions are trained is another number in every slot, so products come in ever new shapes.
rows = os.path.join(where, "rows.jsonl")
dice = random.Random(1)
with open(rows, "w") as f:
    for i in range(200):
        f.write(json.dumps({"prompt": "q" * dice.randint(1, 30), "completion": "a" * dice.randint(1, 30)}) + "\n")
counted("answers of many lengths", 1, MODEL, dict(threads=2, val_set_size=0), [dict(path=rows, domain="qa", type="prompt_completion")])
done()
