"""Prompts that are not trained, on the stand-ins for a GPU: the output head multiplies as many rows as it has to, counted by the stand-in for cuBLASLt,
and learns what the CPU backend learns; ranks, orders of streams, and what is computed again change no bit. With algorithms that were timed no
product is left out, whatever number of rows a slot has; soft targets, labels that are drawn and records of logits stay with their positions."""
import glob, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
WORDS = "ratchet pawl wheel tooth step lane".split()
prompts, more = os.path.join(where, "prompts.jsonl"), os.path.join(where, "more.jsonl")
for path, shift in ((prompts, 0), (more, 3)):
    with open(path, "w") as f:
        for n in range(60):  # 62 tokens with their end, of which 23 at most are trained
            row = dict(prompt=f"{n:3} what does a {WORDS[n % 6]:8} do to it now?:", completion=f" the {WORDS[(n + shift) % 5]:7}"[:8 + n % 12] + ".")
            f.write(json.dumps(row) + "\n")
asked = dict(path=prompts, type="prompt_completion", domain="asked", license="CC0-1.0")
texts(where, "texts", 4)
ROWS, STEP, STEPS, SLOTS = 2 * 64, 64, 2, 2  # positions of a slot, and what numbers of rows are multiples of
V, D = 260, 32


def train(name, ranks, program=STANDIN, seed=1, datasets=(asked,), **keys):
    out, counts = os.path.join(where, name), os.path.join(where, "counts-" + name)
    yaml = write_run(where, name + ".yaml", output=out, model=MODEL.replace("num_hidden_layers: 2", "num_hidden_layers: 1"), datasets=list(datasets), **{"max_steps": STEPS, "save_steps": 0, "sequence_len": 64, "micro_batch_size": 2,
                     "global_batch_size": 4, "sample_packing": "true", "val_set_size": 0, "tune_products": "false", "device": "cuda" if program == STANDIN else "cpu", **keys})
    status, stdout, stderr = run(ranks, "train", yaml, program=program, env=dict(ENV, PAWL_STANDIN_SEED=str(seed), PAWL_STANDIN_COUNTS=counts))
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-600:] * (status != 0))
    ran = {}
    for path in glob.glob(counts + ".*"):
        for line, times in map(str.split, open(path)):
            ran[line] = ran.get(line, 0) + int(times)
    return dict(weights=weights(stdout), losses=[m["loss"] for m in steps(out)], ran=ran, out=out)


def near(a, b, bound, what):
    worst = max((abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"])), default=1)
    check(len(a["losses"]) == len(b["losses"]) and worst < bound, f"{what}: losses differ by {worst}, at most {bound}")


cpu, one = train("cpu", 1, program=PAWL), train("one", 1)
near(one, cpu, 1e-6, "f32 beside the CPU backend")
other = train("other", 2, seed=3, activation_recompute="block", zero_stage=2)
check(other["weights"] == one["weights"], "2 ranks that share state and compute again, streams in another order: the same bits")

# Three products for each slot, of half as many rows as where all but the last are trained.
whole = train("whole", 1, datasets=[dict(path=os.path.join(where, "texts"), domain="words", license="Apache-2.0")])
saved, most = (run["ran"]["products_terms"] for run in (whole, one)), STEPS * SLOTS * 3 * ROWS * V * D
saved = next(saved) - next(saved)
check(saved == most // 2, f"{saved} terms of products less, of the head's {most}")
check(one["ran"]["head_gather_kernel"] == STEPS * SLOTS and "head_gather_kernel" not in whole["ran"], "gathered once a slot; not where that is not worth it")

low16, cpu16 = train("low", 1, bf16="true", tune_products="true"), train("cpu16", 1, program=PAWL, bf16="true")
near(low16, cpu16, 1e-4, "bf16 beside the CPU backend")
check(low16["ran"]["products_restored"] > 0 and low16["ran"]["products_by_heuristic"] == 0, "every number of rows was timed")
stages = "".join(f"\n  - {{name: {name}, max_steps: 1, datasets: [{{path: {path}, type: prompt_completion, domain: {name}}}]}}" for name, path in (("asked", prompts), ("more", more)))
course = dict(max_steps=None, val_set_size=0.2, stages=stages, replay="{ratio: 0.25, capacity: 20}", ewc="{lambda: 10, samples: 4, fisher: 'true'}",
              der="{alpha: 0.3, beta: 0.5, top_k: 8, ratio: 0.25}", lwf="{lambda: 0.5, top_k: 4}")
near(train("course", 1, **course), train("cpu_course", 1, program=PAWL, **course), 1e-6, "stages with methods")
done()
