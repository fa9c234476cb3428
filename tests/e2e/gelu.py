"""gelu_fused: GELU's tanh form computed with the products beside it. On a CPU it changes no bit; on the stand-in for cuBLASLt the products do
all of it, no kernel for it runs, and the bits are the same whatever is computed again. With fp8 they do the backward half."""
import glob, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
GPT2 = """model:
  model_type: gpt2
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 2
  num_attention_heads: 2
  max_position_embeddings: 64
tokenizer: bytes
"""
data = [dict(path=texts(where, "texts", 4), domain="words", license="Apache-2.0")]


def train(name, program, **keys):
    counts, out, ran = os.path.join(where, "counts-" + name), os.path.join(where, name), {}
    yaml = write_run(where, name + ".yaml", output=out, datasets=data, model=GPT2, **{"max_steps": 2, "save_steps": 0, "sequence_len": 32, "sample_packing": "true",
                     "micro_batch_size": 2, "global_batch_size": 4, "val_set_size": 0, "device": "cuda" if program == STANDIN else "cpu", **keys})
    status, stdout, stderr = run(1, "train", yaml, program=program, env=dict(ENV, PAWL_STANDIN_COUNTS=counts))
    check(status == 0, f"{name}: exit 0" + stderr[-600:] * (status != 0))
    for path in glob.glob(counts + ".*"):
        ran.update(line.split() for line in open(path))
    return dict(weights=weights(stdout), losses=[m["loss"] for m in steps(out)], ran={k: v for k, v in ran.items() if "activate" in k})


cpu, fused = train("cpu", PAWL, activation_recompute="norms"), train("cpu_fused", PAWL, activation_recompute="norms", gelu_fused="true")
check(cpu["weights"] == fused["weights"], "on a CPU: the same bits")
# Where it finds nothing to do, a line says so.
idle = write_run(where, "idle.yaml", output=os.path.join(where, "idle"), datasets=data, max_steps=1, save_steps=0, global_batch_size=1, sequence_len=32, val_set_size=0, device="cpu")
status, _, stderr = run(0, "train", idle, "gelu_fused=true")
check(status == 0 and "gelu_fused does nothing here: this model's activation" in stderr, "a model without GELU" + stderr[-300:])
apart = train("two_calls", STANDIN, tune_products="false")
check(set(apart["ran"]) == {"activate_kernel", "activate_backward_kernel"}, f"by kernels of its own: {apart['ran']}")
one = train("fused", STANDIN, gelu_fused="true")
check(not one["ran"] and one["weights"], f"by products: {one['ran']}")
worst = max(abs(x - y) / y for x, y in zip(one["losses"], cpu["losses"]))
check(len(one["losses"]) == 2 and worst < 1e-6, f"the CPU's losses to {worst:.1e}")
for level in ("norms", "block"):
    again = train("fused_" + level, STANDIN, gelu_fused="true", activation_recompute=level)
    check(again["weights"] == one["weights"], f"activation_recompute: {level}: the same bits")

# Products of 8-bit floats end with no activation.
LOW = dict(bf16="true", fp8="true")
cpu, fused = train("cpu8", PAWL, **LOW), train("cpu8_fused", PAWL, activation_recompute="norms", gelu_fused="true", **LOW)
check(cpu["weights"] == fused["weights"], "with fp8, on a CPU: the same bits")
one = train("fused8", STANDIN, gelu_fused="true", **LOW)
check(set(one["ran"]) == {"activate_kernel"}, f"with fp8, forward by a kernel and backward by products: {one['ran']}")
worst = max(abs(x - y) / y for x, y in zip(one["losses"], cpu["losses"]))
check(len(one["losses"]) == 2 and 0 < worst < 1e-4, f"the CPU's losses to {worst:.1e}")
for level in ("norms", "block"):
    again = train("fused8_" + level, STANDIN, gelu_fused="true", activation_recompute=level, **LOW)
    check(again["weights"] == one["weights"], f"with fp8, activation_recompute: {level}: the same bits")
done()
