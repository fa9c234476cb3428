"""CUDA graphs on the stand-ins: blocks of all kinds of models and methods, packed rows and short ones, evaluated and resumed in between,
end with the bits of the same run without graphs."""
import glob, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
SMALL = MODEL.replace("hidden_size: 32", "hidden_size: 16").replace("intermediate_size: 80", "intermediate_size: 40")
data = [dict(path=texts(where, "texts", 12), domain="words", license="Apache-2.0")]
for path in glob.glob(os.path.join(data[0]["path"], "*")):
    os.truncate(path, 130)
runs = 0


def train(ranks, graphs, *words, output=None, model=SMALL, **keys):
    """The run's state, losses and folder, and how many graphs it launched."""
    global runs
    runs += 1
    counts, out = os.path.join(where, f"counts{runs}"), output or os.path.join(where, f"run{runs}")
    yaml = write_run(where, f"run{runs}.yaml", output=out, model=model, datasets=data, **{"max_steps": 4, "save_steps": 0, "sequence_len": 32,
                     "global_batch_size": 2, "device": "cuda", "tune_products": "false", "cuda_graphs": graphs, **keys})
    env = dict(ENV, PAWL_STANDIN_SEED=str(runs), PAWL_STANDIN_COUNTS=counts)
    status, stdout, stderr = run(ranks if ranks > 1 else 0, "train", yaml, *words, program=STANDIN, env=env)
    if status:
        check(False, f"{yaml} {' '.join(words)}: exit {status} {stderr[-600:]}")
        return None, 0, out
    launched = sum(int(line.split()[1]) for path in glob.glob(counts + ".*") for line in open(path) if line.startswith("cudaGraphLaunch"))
    if "CUDA graphs" in stderr:
        check(False, stderr[-300:])
    return (weights(stdout), state(out), [(m.get("loss"), m.get("eval")) for m in metrics(out)]), launched, out


def same(what, ranks=1, model=SMALL, least=1, most=200, **keys):
    off, none, _ = train(1, "false", model=model, **keys)
    on, launched, out = train(ranks, "true", model=model, **keys)
    check(off is not None and off == on, f"{what}: the same bits on {ranks} ranks")
    check(none == 0 and least <= launched <= most, f"{what}: {launched} graphs launched, {least} to {most}, and {none} without")
    return on, out


def with_family(family, **more):
    lines = "".join(f"  {k}: {v}\n" for k, v in more.items())
    return SMALL.replace("tokenizer", f"  model_type: {family}\n{lines}tokenizer")


# 2 layers, both ways, 2 slots of 4 steps: 32 of them, all but the first two of each kind. Evaluation has shapes of its own.
whole, out = same("all weights, packed rows, evaluated", ranks=2, least=20, eval_steps=2, val_set_size=0.4, save_steps=2, save_total_limit=5)
check(sum(1 for m in whole[2] if m[1]) >= 3, "three evaluations")
again, _, _ = train(1, "true", "resume_from_checkpoint=" + os.path.join(out, "checkpoints", "step-000000002"), output=out, eval_steps=2,
                    val_set_size=0.4, save_steps=2, save_total_limit=5)
check(again and again[:2] == whole[:2], "resumed from step 2 with graphs: the same bits")
short = dict(val_set_size=0)
same("qwen3 in bf16 with a window and cuDNN's attention, blocks computed again, all shared out", ranks=2, bf16="true", attention="cudnn", sequence_len=64,
     sample_packing="false", zero_stage=3, activation_recompute="block",
     model=with_family("qwen3", head_dim=8, sliding_window=8, max_window_layers=0), **short)
same("gpt2, rows of their own lengths", model=with_family("gpt2").replace("  num_key_value_heads: 2\n", ""), sample_packing="false",
     activation_recompute="norms", max_steps=3, **short)
base = os.path.join(where, "base")
check(run(0, "export", out, base)[0] == 0, "a base model")
lora = dict(model=f"base_model: {base}\n", adapter="lora", lora_r=4, lora_alpha=8, lora_target_linear="true", **short)
same("4 bits and LoRA in bf16", ranks=2, least=16, load_in_4bit="true", bf16="true", activation_recompute="block", **lora)
# 16 blocks, of which the first in each of 4 slots tells the GPU its rows.
same("DoRA with a dropout", least=8, most=20, peft_use_dora="true", lora_dropout=0.1, max_steps=2, **lora)
law = os.path.join(where, "law.txt")
with open(law, "w") as f:
    f.write(open(os.path.join(SOURCE, "LICENSE")).read(600))
stages = "".join(f"\n  - {{name: {name}, max_steps: 2, datasets: [{{path: {path}, type: text, domain: {name}}}]}}"
                 for name, path in (("law", law), ("words", data[0]["path"])))
same("stages with methods", ranks=2, max_steps=None, stages=stages, replay="{ratio: 0.25, capacity: 20}", ewc="{lambda: 10, samples: 2}",
     agem="{rows: 2}", **short)
done()
