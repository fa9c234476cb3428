"""DER++ and LwF in runs of two stages: the same bits on 1, 2 and 3 ranks, in every zero_stage and gone on with; what a loss says of them."""
import os, shutil
from e2e import *

where = folder()
DER = "der: {alpha: 0.5, beta: 0.5, top_k: 8, ratio: 0.3}\nreplay: {ratio: 0.25, capacity: 24}\n"
LWF = "lwf: {lambda: 0.7, temperature: 2, top_k: 8}\n"
STAGES = f"""stages:
  - name: law
    max_steps: 4
    datasets:
      - path: {SOURCE}/LICENSE
        domain: law
        type: text
  - name: docs
    max_steps: 6
    datasets:
      - path: {texts(where, 'pages')}
        domain: docs
        type: text
"""


def yaml_of(name, methods, model=MODEL, **keys):
    settings = dict(sequence_len=48, global_batch_size=6, micro_batch_size=1, learning_rate="3e-3", val_set_size=0.1, logging_steps=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=os.path.join(where, name))
    settings.update(keys)
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        f.write(model + methods + STAGES + "".join(f"{k}: {v}\n" for k, v in settings.items()))
    return path, settings["output_dir"]


def train(name, ranks, methods, *words, **keys):
    yaml, out = yaml_of(name, methods, **keys)
    status, _, stderr = run(ranks, "train", yaml, *words)
    check(status == 0, f"{name} runs" + stderr[-600:] * (status != 0))
    return pawl_json("show", out)["state_sha256"] if status == 0 else None, out


def same(what, methods, others, **keys):
    """others: (ranks, keys that must not change a bit). Returns the folder of the run on one rank."""
    expected, first = train(f"{what}-1", 1, methods, **keys)
    for i, (ranks, more) in enumerate(others):
        found, _ = train(f"{what}-{i}-{ranks}", ranks, methods, **{**keys, **more})
        check(expected and found == expected, f"{what}: {ranks} ranks {more or ''}: the same bits")
    return first


# Six lanes: 6 rows of the batch, and in the second stage up to two towards records and two towards labels.
out = same("dark", DER, [(2, dict(threads=2)), (3, dict(zero_stage=1))])
lines = steps(out)
check(all("distill_loss" not in m for m in lines[:4]), "nothing is in the memory in the first stage")
check(any(m.get("distill_loss", -1) >= 0 for m in lines[4:]), "the second stage tells its loss to records")
same("dark-rounds", DER, [(3, dict(zero_stage=3))], zero_stage=2)
yaml, _ = yaml_of("dark-on", DER, zero_stage=2, resume_from_checkpoint=out)
status, _, stderr = run(2, "train", yaml)
check(status == 10 and "another order" in stderr, "what is replayed makes lanes of several slots, so zero_stage 2 does not go on from 0")
same("low", DER + LWF, [(3, {})], bf16="true", micro_batch_size=2)

out = same("teacher", LWF, [(3, dict(zero_stage=1))])
lines = steps(out)
check(all("distill_loss" not in m for m in lines[:4]), "a model from scratch has no teacher in the first stage")
check(abs(lines[4].get("distill_loss", 0)) < 1e-6 and lines[9]["distill_loss"] > 1e-5, "the teacher is the model of the stage's start: its loss begins at 0 and rises")

# Gone on with inside the second stage: memory, records and teacher come from the checkpoint.
expected, whole = train("undisturbed", 1, DER + LWF, save_steps=1, save_total_limit=20)
yaml, out = yaml_of("gone-on", DER + LWF, save_steps=1, save_total_limit=20)
shutil.copytree(whole, out)
for step in range(7, 11):
    shutil.rmtree(os.path.join(out, "checkpoints", f"step-{step:09d}"))
status, _, stderr = run(3, "train", yaml, "zero_stage=1", "resume_fallback=true")
check(status == 0 and state(out) == expected, "from the sixth step on, on 3 ranks: the same bits" + stderr[:400] * (status != 0))

yaml, _ = yaml_of("narrower", DER.replace("top_k: 8", "top_k: 4"), model=f"parent_checkpoint: {whole}\n")
status, _, stderr = run(2, "train", yaml)
check(status == 10 and "memory/der/" in stderr and "top_k" in stderr, f"a parent's records of another top_k are refused: {stderr[-300:]}")

# An adapter's teacher is the adapter of the stage's start, over the same base.
base = os.path.join(where, "base")
check(run(0, "export", whole, base)[0] == 0, "a model for an adapter")
LORA = "adapter: lora\nlora_r: 4\nlora_alpha: 8\nlora_target_modules: all-linear\nlora_dropout: 0.1\n"
out = same("adapter", LORA + LWF, [(2, {})], model=f"base_model: {base}\n")
check(abs(steps(out)[0].get("distill_loss", 1)) < 1e-6 and steps(out)[3]["distill_loss"] > 1e-6, "a model that was given teaches in the first stage, too")

status, _, stderr = run(0, "plan", yaml_of("refused", LWF, zero_stage=3)[0])
check(status == 10 and "lwf" in stderr and "zero_stage" in stderr, "LwF with zero_stage 3 is refused by name")
status, _, stderr = run(0, "plan", yaml_of("refused", "der: {}\n")[0])
check(status == 10 and "replay" in stderr, "DER without a memory is refused by name")
done()
