"""zero_stage: the same bits on any number of ranks, at any stop, and the memory that each stage says it takes."""
import os, signal
from e2e import *

where = folder()
TIED = MODEL.replace("hidden_size: 32", "hidden_size: 48").replace("  max_position", "  tie_word_embeddings: true\n  max_position")
# Matrices of more than 2^18 numbers, which ranges cut in two.
WIDE = MODEL.replace("intermediate_size: 80", "intermediate_size: 8704")


def train(name, ranks, *words, **keys):
    out = os.path.join(where, name)
    keys = {"max_steps": 4, **keys}
    status, stdout, stderr = run(ranks, "train", write_run(where, name + ".yaml", output=out, **keys), *words)
    return status, (state(out), weights(stdout)) if status == 0 else None, stderr


def the_same(what, expected, runs, **keys):
    """runs: (stage, ranks); each must end with `expected`, and tell the same losses."""
    for stage, ranks in runs:
        status, found, stderr = train(f"{what.replace(' ', '-')}-{stage}-{ranks}", ranks, zero_stage=stage, **keys)
        check(found and found == expected, f"{what}: zero_stage {stage} on {ranks} ranks: the same bits" + stderr[-400:] * (status != 0))


# Each lane is one slot: every stage has the bits of stage 0.
_, expected, _ = train("tied", 2, model=TIED)
the_same("a tied head", expected, [(1, 3), (2, 2), (3, 4)], model=TIED)
_, expected, _ = train("wide", 2, model=WIDE, max_steps=2, sequence_len=16)
the_same("tensors cut in two", expected, [(1, 3), (3, 2)], model=WIDE, max_steps=2, sequence_len=16)

# Eleven slots in four lanes: stages 0 and 1 add lane by lane, 2 and 3 in rounds.
uneven = dict(global_batch_size=11, reduction_lanes=4)
_, lanes, _ = train("lanes", 1, **uneven)
_, rounds, _ = train("rounds", 1, zero_stage=2, **uneven)
check(lanes != rounds and lanes and rounds, "lanes of many slots: rounds have bits of their own")
the_same("uneven lanes", lanes, [(1, 2), (1, 4)], **uneven)
the_same("uneven rounds", rounds, [(2, 3), (3, 4)], **uneven)
first, last = steps(os.path.join(where, "lanes"))[0], steps(os.path.join(where, "uneven-rounds-3-4"))[0]
check(first["loss"] == last["loss"] and abs(first["grad_norm"] - last["grad_norm"]) < 1e-5 * first["grad_norm"],
      "and the same training: one loss, norms that differ by rounding")


# Stops, a killed rank, and other stages and ranks from there on. No resume gathers or deals anything by hand.
def until(name, ranks, stage, end, **keys):
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, zero_stage=stage, max_steps=60, save_steps=10, eval_steps=40, **keys)
    p = start(ranks, "train", yaml)
    wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 14)
    end(p)
    p.communicate(timeout=60)
    return p.returncode, out, yaml


_, expected, _ = train("whole", 2, max_steps=60, eval_steps=40, **uneven)
status, out, yaml = until("stopped", 2, 1, lambda p: p.send_signal(signal.SIGUSR1), **uneven)
check(status == 75, "zero_stage 1: USR1 on 2 ranks: exit 75")
status, stdout, stderr = run(3, "train", yaml, "zero_stage=2")
check(status == 10 and "zero_stage" in stderr and "another order" in stderr, "2 does not go on from 1 where lanes have many slots")
status, stdout, stderr = run(3, "train", yaml, "zero_stage=0")
check((state(out), weights(stdout)) == expected, "0 on 3 ranks does, with the bits of an undisturbed run" + stderr[-400:] * (status != 0))

_, expected, _ = train("whole rounds", 1, max_steps=60, eval_steps=40, zero_stage=2, **uneven)
victims = []


def kill_one(p):
    victims.extend(ranks_of(p))
    os.kill(victims[1], signal.SIGKILL)


status, out, yaml = until("killed", 4, 3, kill_one, **uneven)
wait_for(lambda: not any(alive(pid) for pid in victims)) # mpirun may be gone before the last of them is
check(status != 0 and len(victims) == 4, f"zero_stage 3: kill -9 of one of {len(victims)} ranks ends all (exit {status})")
status, stdout, stderr = run(3, "train", yaml, "zero_stage=2")
check((state(out), weights(stdout)) == expected, "2 on 3 ranks goes on, with the bits of an undisturbed run" + stderr[-400:] * (status != 0))
check([m["eval"] for m in metrics(out) if "eval" in m] == [m["eval"] for m in metrics(os.path.join(where, "whole rounds")) if "eval" in m],
      "evaluations too")
check(pawl_json("verify", out)["findings"] == [], "every byte of its checkpoints is whole")

# Whatever the rule keeps, whatever is computed again or in few bits: ranges change no bit.
kinds = dict(adamw_8bit=dict(optimizer="adamw_8bit"), sgd=dict(optimizer="sgd", sgd_momentum=0.9), lion=dict(optimizer="lion", learning_rate=1e-4),
             adafactor=dict(optimizer="adafactor", ema_decay=0.9), muon=dict(optimizer="muon", learning_rate=1e-3),
             recompute=dict(activation_recompute="block"))
for (name, keys), stage in zip(kinds.items(), (3, 1, 2, 3, 2, 3)):
    keys = dict(keys, model=WIDE, max_steps=2, sequence_len=16, global_batch_size=5, reduction_lanes=5, val_set_size=0)
    _, expected, stderr = train(name, 1, **keys)
    check(expected, f"{name} on one rank" + stderr[-400:] * (not expected))
    the_same(name, expected, [(stage, 3)], **keys)

# Weights that come from a directory, a parent, and adapters.
status, stdout, stderr = run(0, "export", os.path.join(where, "tied"), os.path.join(where, "model"))
check(status == 0, "a run is exported" + stderr * (status != 0))
start_from = dict(model=f"base_model: {where}/model\n", sequence_len=16, max_steps=2)
_, expected, stderr = train("base", 1, **start_from)
the_same("a base model", expected, [(3, 3)], **start_from)
parent = dict(start_from, model=f"parent_checkpoint: {where}/base\n")
_, expected, stderr = train("child", 1, **parent)
the_same("a parent", expected, [(3, 2)], **parent)
lora = dict(start_from, adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="[all-linear]")
_, expected, stderr = train("lora", 1, **lora)
the_same("an adapter", expected, [(1, 3), (2, 2)], **lora)
status, _, stderr = train("lora3", 2, zero_stage=3, **lora)
check(status == 10 and "zero_stage: expected at most 2 with an adapter" in stderr, "zero_stage 3 with an adapter is refused")
status, _, stderr = train("fast", 2, zero_stage=1, reduction="fast")
check(status == 10 and "reduction: fast" in stderr, "zero_stage with reduction: fast is refused")


# Memory: what the arenas held at most is the formula of docs/running.md, and the peak of the process is the plan.
def memory(stage, ranks, lanes, parameters, block, outer):
    """(weights, gathered weights, gradients, optimizer) of a rank, in numbers of 4 bytes."""
    share, k = parameters / ranks, lanes // ranks
    alive, waiting, pieces = {1: 1, 2: 2, 4: 3}[k], max(1, {1: 0, 2: 1, 4: 2}[k]), 2 * 2**18
    return {0: (parameters, 0, alive * parameters + pieces * (ranks - 1), 2 * parameters),
            1: (parameters, 0, alive * parameters + pieces * (ranks - 1), 2 * share),
            2: (parameters, 0, waiting * share + outer + block + pieces * (ranks - 1), 2 * share),
            3: (share, outer + block, waiting * share + outer + block + pieces * (ranks - 1), 2 * share)}[stage]


D, F, L = 64, 8192, 4
big = MODEL.replace("hidden_size: 32", f"hidden_size: {D}").replace("intermediate_size: 80", f"intermediate_size: {F}") \
    .replace("num_hidden_layers: 2", f"num_hidden_layers: {L}")
block, outer = 3 * D * F + 3 * D * D + 2 * D, 260 * D
for stage, ranks, slots in ((0, 2, 4), (1, 2, 2), (2, 4, 4), (3, 2, 4)):
    name = f"memory of stage {stage}, {ranks} ranks, {slots} lanes"
    keys = dict(model=big, zero_stage=stage, max_steps=1, sequence_len=8, global_batch_size=slots, val_set_size=0)
    status, found, stderr = train(name, ranks, **keys)
    check(status == 0, f"{name}: exit 0" + stderr[-400:] * (status != 0))
    told = next((m for m in metrics(os.path.join(where, name)) if m.get("event") == "memory"), None) if status == 0 else None
    if not told:
        continue
    formula = memory(stage, ranks, slots, L * block + 2 * outer, block, outer)
    for category, numbers in zip(("weights", "gathered weights", "gradients", "optimizer"), formula):
        held = told["arenas"].get(category, 0)
        check(abs(held - 4 * numbers) <= 0.02 * 4 * numbers + 2**17, f"{name}: {category}: {held} bytes, by the formula {4 * numbers:.0f}")
    off = max(abs(a - p) / p for a, p in zip(told["peak_bytes"], told["planned_bytes"]))
    check(off < 0.05, f"{name}: the processes' peaks are within {100 * off:.1f} % of their plans")
done()
