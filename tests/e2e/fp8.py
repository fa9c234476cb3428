"""fp8: true: losses beside those of bf16, and not the same; the same bits on any ranks and threads, with activations computed again and
after a resume; the same under an adapter; evaluation is in bf16; the CUDA backend on stand-ins keeps beside the CPU's; what cannot be is
refused by name."""
import os
from e2e import *

where = folder()
data = [dict(path=texts(where, "texts", 8), domain="words", license="Apache-2.0")]
STEPS = 16


def train(name, ranks, *words, program=PAWL, **keys):
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, **{"datasets": data, "max_steps": 4, "sequence_len": 32, "bf16": "true", "fp8": "true",
                     "device": "cpu" if program == PAWL else "cuda", **keys})
    status, stdout, stderr = run(ranks, "train", yaml, *words, program=program)
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-500:] * (status != 0))
    return dict(bits=(state(out), weights(stdout)), losses=[m["loss"] for m in steps(out)], out=out, yaml=yaml) if status == 0 else None


def apart(a, b):
    return [abs(x - y) / y for x, y in zip(a["losses"], b["losses"])]


def beside(low, one, least):
    apart_, mean = apart(one, low), [sum(r["losses"][-4:]) / 4 for r in (one, low)]
    check(min(apart_) > 0 and max(apart_) < 3e-3, f"losses differ from bf16's, by at most 0.3 %: {max(apart_)}")
    check(abs(mean[0] / mean[1] - 1) < 2e-3 and mean[0] < one["losses"][0] - least, f"at the end by at most 0.2 %: {mean}")


def same_bits(short, runs):
    for name, ranks, words, keys in runs:
        other = train(name, ranks, *words, **keys)
        check(other and (other["bits"], other["losses"]) == (short["bits"], short["losses"]), f"{name}: the same bits")


# Parity of losses: every step's within 0.3 %, the last four's mean within 0.2 % of bf16's; both learn. Were nothing rounded they would be equal.
low, one = train("bf16", 1, max_steps=STEPS, fp8="false"), train("one", 1, max_steps=STEPS, save_steps=8)
beside(low, one, 0.2)

short = train("short", 1)
same_bits(short, (("ranks", 3, ["threads=1"], {}), ("threads", 1, ["threads=3"], {}), ("zero", 2, [], dict(zero_stage=3)),
                  ("again", 2, [], dict(activation_recompute="block"))))
check(train("slots", 1, micro_batch_size=4)["bits"] != short["bits"], "a slot's rows share a scale: another micro_batch_size has other bits")
again = train("one", 2, "resume_from_checkpoint=" + os.path.join(one["out"], "checkpoints", "step-000000008"), max_steps=STEPS, save_steps=8)
check(again and again["bits"] == one["bits"], "resumed from step 8 on 2 ranks: the same bits")

# Evaluation says the same whether its run has fp8 or not.
said = [run(1, "eval", one["yaml"], "--checkpoint", one["out"], "--json", "fp8=" + x)[1] for x in ("true", "false")]
check(said[0] == said[1] and json.loads(said[0]), "evaluation is in bf16")

# A model with sides that are no multiples of 16: nothing of it is in 8 bits.
ODD = """model: {hidden_size: 40, intermediate_size: 72, num_hidden_layers: 1, num_attention_heads: 5}
tokenizer: bytes
"""
check(train("odd", 1, model=ODD, max_steps=2)["bits"] == train("odd16", 1, model=ODD, max_steps=2, fp8="false")["bits"], "other sides are multiplied in bf16")

cuda = train("cuda", 2, program=os.path.join(TESTS, "standin_pawl"), max_steps=2)
check(cuda and max(apart(cuda, short)) < 1e-5, f"CUDA on stand-ins, 2 ranks: losses differ by {max(apart(cuda, short))}, at most 1e-5")

# Under an adapter: its base's products.
with open(os.path.join(where, "again.txt"), "w") as f:
    f.write("pawls and ratchets " * 400)
adapted = dict(datasets=[dict(path=os.path.join(where, "again.txt"), domain="again", license="Apache-2.0", type="text")], val_set_size=0,
               model=f"base_model: {one['out']}\n", adapter="lora", lora_r=4, lora_alpha=8, lora_dropout=0.1, lora_target_modules="all-linear", learning_rate="2e-2")
low, over = (train("lora" + x, 1, max_steps=STEPS, **adapted, fp8=x) for x in ("false", "true"))
beside(low, over, 0.03)
short = train("lora", 1, **adapted)
same_bits(short, (("lora_ranks", 3, ["threads=1"], adapted), ("lora_zero", 2, ["threads=3"], dict(adapted, zero_stage=2)),
                  ("lora_norms", 1, [], dict(adapted, activation_recompute="norms")), ("lora_block", 2, [], dict(adapted, activation_recompute="block"))))
cuda = train("lora_cuda", 2, program=os.path.join(TESTS, "standin_pawl"), max_steps=2, **adapted)
check(cuda and max(apart(cuda, short)) < 1e-5, f"the adapter's, too: {max(apart(cuda, short))}")
for keys, named in ((dict(bf16="false"), "without bf16: true"), (dict(adapted, load_in_8bit="true"), "expected false with load_in_8bit: true"),
                    (dict(adapted, adapter="qlora", load_in_4bit="true"), "expected false with load_in_4bit: true")):
    status, _, stderr = run(0, "config", "check", write_run(where, "bad.yaml", **{"datasets": data, "bf16": "true", "fp8": "true", **keys}))
    check(status == 10 and named in stderr, f"refused by name: {named}")
done()
