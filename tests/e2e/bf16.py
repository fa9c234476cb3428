"""bf16: true: the same bits on any ranks, threads and zero_stage, and after a stop; losses beside those of f32; an evaluation by
hand is the run's own; adapters, also over a base in few bits; DoRA is refused by name."""
import os, signal
from e2e import *

where = folder()


def train(name, ranks, *words, **keys):
    out = os.path.join(where, name)
    keys = {"max_steps": 4, "bf16": "true", **keys}
    status, stdout, stderr = run(ranks, "train", write_run(where, name + ".yaml", output=out, **keys), *words)
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-400:] * (status != 0))
    return (state(out), weights(stdout)) if status == 0 else None


def evals(name):
    return [m for m in metrics(os.path.join(where, name)) if "eval" in m][-1]["eval"]


first = train("one", 1)
for ranks, threads in ((1, 2), (1, 3), (1, 8), (2, 1), (3, 2)):
    check(train(f"r{ranks}t{threads}", ranks, f"threads={threads}") == first, f"{ranks} ranks x {threads} threads: the same bits")
for stage, ranks in ((2, 2), (3, 3)):
    check(train(f"stage{stage}", ranks, zero_stage=stage) == first, f"zero_stage {stage} on {ranks} ranks: the same bits")
check(train("again", 2, activation_recompute="block") == first, "activation_recompute: the same bits")

# Rounding shows in every loss and spoils none.
f32 = train("f32", 1, bf16="false")
losses = [(a["loss"], b["loss"]) for a, b in zip(steps(os.path.join(where, "one")), steps(os.path.join(where, "f32")))]
check(f32 != first and all(a != b and abs(a - b) < 5e-3 * b for a, b in losses), f"losses beside f32: {losses[0]} to {losses[-1]}")
status, stdout, stderr = run(2, "eval", os.path.join(where, "one.yaml"), "--checkpoint", os.path.join(where, "one"), "--json")
measured = {d: s["loss"] for d, s in json.loads(stdout).items()} if status == 0 else stderr
check(measured and all(abs(measured[d] - x) < 1e-9 for d, x in evals("one").items()), f"eval by hand is the run's own: {measured}, {evals('one')}")

# A stop, and another number of ranks from there.
out = os.path.join(where, "stopped")
long = write_run(where, "stopped.yaml", output=out, bf16="true", max_steps=30)
p = start(2, "train", long)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 3)
p.send_signal(signal.SIGUSR1)
p.communicate(timeout=60)
check(p.returncode == 75, f"stopped with 75 (was {p.returncode})")
status, stdout, stderr = run(3, "train", long)
check(status == 0 and (state(out), weights(stdout)) == train("whole", 1, max_steps=30), "gone on with 3 ranks: the bits of an undisturbed run")

# Adapters over a frozen base.
base = os.path.join(where, "base")
check(run(0, "export", os.path.join(where, "one"), base)[0] == 0, "the run is exported as a base")
LORA = dict(model=f"base_model: {base}\n", adapter="lora", lora_r=4, lora_alpha=16, lora_dropout=0.1, lora_target_modules="all-linear", max_steps=2)
for kind, more in (("bf16", {}), ("int8", {"load_in_8bit": "true"}), ("nf4", {"load_in_4bit": "true"})):
    got = train(f"lora-{kind}", 1, **LORA, **more)
    check(got and got == train(f"lora-{kind}-2", 2, **LORA, **more), f"an adapter over a base in {kind}: the same bits on 1 and 2 ranks")
status, _, stderr = run(1, "train", write_run(where, "dora.yaml", output=os.path.join(where, "dora"), bf16="true", peft_use_dora="true", **LORA))
check(status == 10 and "DoRA is computed in float32" in stderr, "DoRA is refused with exit 10")
done()
