"""What a run is planned to take is what its process takes: the kernel's VmHWM within 5 % of the plan, on twenty-three configurations
of a few hundred megabytes; and what the arenas held at most, category by category, is the plan's own numbers."""
import os, shutil
from e2e import *

where = folder()
SHAPE = """model:
  hidden_size: 384
  intermediate_size: 1152
  num_hidden_layers: 6
  num_attention_heads: 6
  num_key_value_heads: 6
  max_position_embeddings: 512
tokenizer: bytes
"""
ONE = dict(max_steps=1, sequence_len=64, global_batch_size=2, micro_batch_size=1, warmup_steps=0, val_set_size=0)
yaml = write_run(where, model=SHAPE, **ONE)
parent = os.path.join(where, "parent")
over = write_run(where, "over.yaml", model=f"parent_checkpoint: {parent}\n", **ONE)
DOCS = "datasets: [{path: %s, domain: docs, license: Apache-2.0}]" % PAGES
stages = write_run(where, "stages.yaml", model=SHAPE, stages=f"[{{name: one, {DOCS}}}, {{name: two, {DOCS}}}]", **ONE) # all is in use at the second's end
LORA = [over, "adapter=lora", "lora_r=8", "lora_alpha=16", "lora_target_modules=all-linear"]
LONG = ["sequence_len=512", "micro_batch_size=2"]
CASES = [  # (ranks, words); the first is the base of the adapters
    (1, [yaml]),
    (1, [yaml, "reduction_lanes=1"]),
    (1, [yaml, "reduction=fast", "sequence_len=32"]),
    (1, [yaml, "val_set_size=0.001", "micro_batch_size=2"]),
    (1, [yaml, "activation_recompute=block", *LONG]),
    (1, [yaml, "activation_recompute=norms", "sequence_len=256", "micro_batch_size=2"]),
    (1, [yaml, "optimizer=adamw_8bit"]),
    (1, [yaml, "optimizer=muon"]),
    (1, [yaml, "optimizer=muon", "model.hidden_size=512", "model.intermediate_size=1536", "model.num_attention_heads=8", "model.num_key_value_heads=8"]), # its products' scratch is more than a step's
    (1, [yaml, "optimizer=adafactor"]),
    (1, [yaml, "optimizer=sgd", "ema_decay=0.99"]),
    (1, [yaml, "bf16=true"]),
    (1, [yaml, "bf16=true", "activation_recompute=block", "sequence_len=256", "micro_batch_size=2"]),
    (2, [yaml, "zero_stage=1"]),
    (2, [yaml, "zero_stage=2"]),
    (2, [yaml, "zero_stage=3"]),
    (2, [yaml, "zero_stage=3", "bf16=true"]),
    (1, [stages, "ewc={samples: 8}", "si={c: 0.1}", "mas={samples: 3}", "l2sp={lambda: 0.1}", "wise={alpha: 0.5}"]),
    (2, [stages, "ewc={samples: 8}", "sfa={every: 1}", "lwf={lambda: 1}", "zero_stage=2"]),
    (1, LORA + LONG),
    (1, LORA + ["bf16=true", *LONG]),
    (1, LORA + ["load_in_8bit=true", *LONG]),
    (1, LORA + ["adapter=qlora", "load_in_4bit=true", *LONG]),
]
worst = 0
for i, (ranks, words) in enumerate(CASES):
    out = parent if i == 0 else os.path.join(where, f"out{i}")
    name = f"{ranks} rank{'s' * (ranks > 1)}: {' '.join(words[1:]) or 'all defaults'}"
    status, _, stderr = run(ranks, "train", *words, f"output_dir={out}")
    if status != 0:
        check(False, f"{name}: ended with {status}: {stderr[-300:]}")
        continue
    told = [m for m in metrics(out) if m.get("event") == "memory"][-1]
    planned = pawl_json("plan", *words, "-n", str(ranks), "--rate", "1")
    off = max(abs(taken / plan - 1) for taken, plan in zip(told["peak_bytes"], told["planned_bytes"]))
    worst = max(worst, off)
    check(off < 0.05, f"{name}: {max(told['peak_bytes']) / 2**20:.0f} MiB, planned {max(told['planned_bytes']) / 2**20:.0f}, off by {100 * off:.1f} %")
    check(planned["peak_bytes"] == max(told["planned_bytes"]), "  the same as planned beforehand")
    arenas = [p - planned["bytes_per_rank"]["program"] for p in told["planned_bytes"]]
    check(told["arena_bytes"] == arenas, f"  arenas hold what is planned {told['arena_bytes']} {arenas}")
    outside = max(t - a for t, a in zip(told["peak_bytes"], told["arena_bytes"]))
    check(outside < 150 * 2**20, f"  outside of arenas: {outside / 2**20:.0f} MiB")
    if i: shutil.rmtree(out)
print(f"       off by {100 * worst:.1f} % at most")
done()
