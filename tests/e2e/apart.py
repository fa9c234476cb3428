"""A device whose memory the host can neither read nor write (apart_memory.c): every kind of run ends with the bits of the plain program, and
either program goes on where the other was stopped."""
import os, shutil
from e2e import *

APART = os.path.join(TESTS, "apart_pawl")
where = folder()


def at(name):
    return os.path.join(where, name)


def train(program, ranks, yaml, *words):
    status, stdout, stderr = run(ranks, "train", yaml, *words, program=program)
    if status:
        print(stderr[-2000:])
    return status, weights(stdout)


def both(what, ranks, *words, **keys):
    """The same run with each of the two; returns where the one apart is."""
    found = []
    for program in (PAWL, APART):
        out = at(what.replace(" ", "-") + os.path.basename(program))
        status, said = train(program, ranks, write_run(where, os.path.basename(out) + ".yaml", output=out, **{"max_steps": 3, **keys}), *words)
        evals = [m["eval"] for m in metrics(out) if "eval" in m] if status == 0 else None
        found.append((status, said, status == 0 and state(out), evals))
    check(found[0][0] == 0 and found[0] == found[1], f"{what} on {ranks} ranks: the same bits, the same evaluations")
    return out


base = both("all weights", 2, micro_batch_size=2)
both("in ranges", 2, zero_stage=3, bf16="true", activation_recompute="block", optimizer="muon", weight_decay=0.1)
both("summed part by part", 2, zero_stage=2, optimizer="adamw_8bit", ema_decay=0.9)
both("a state in ranges", 2, zero_stage=1, neftune_noise_alpha=5, optimizer="adafactor")
both("sums of MPI", 2, reduction="fast")

# An adapter on base weights in few bits, with magnitudes of its own, and dropout.
check(run(0, "export", base, at("model"))[0] == 0, "a base model is exported")
lora = dict(model=f"base_model: {at('model')}\ntokenizer: bytes\n", adapter="qlora", load_in_4bit="true", lora_r=4, lora_alpha=8, lora_dropout=0.1,
            lora_target_linear="true", peft_use_dora="true")
adapter = both("an adapter", 2, **lora)

# Stages with a memory, soft targets and penalties; stopped by one program and gone on with by the other, on other ranks.
stages = ("\n  - {name: one, max_steps: 3, datasets: [{path: %s, type: text, domain: law}]}"
          "\n  - {name: two, max_steps: 3, datasets: [{path: %s, domain: docs}]}" % (os.path.join(SOURCE, "LICENSE"), PAGES))
course = dict(max_steps=None, learning_rate="3e-3", stages=stages, replay="{ratio: 0.25, capacity: 20}", ewc="{lambda: 10, samples: 4, fisher: 'true'}",
              der="{alpha: 0.3, beta: 0.5, top_k: 8, ratio: 0.25}", lwf="{lambda: 0.5, top_k: 4}", si="{c: 0.1}", agem="{rows: 2}")
whole = both("stages with methods", 2, **course)
both("an adapter a stage", 2, max_steps=None, learning_rate="3e-3", stages=stages, lora_stages="orthogonal", olora="{lambda: 0.5, lambda2: 0.1}",
     **dict(lora, adapter="lora", load_in_4bit=None, peft_use_dora=None))
cut = at("cut")
yaml = write_run(where, "cut.yaml", output=cut, **course)
for program, ranks, words in ((APART, 3, ("--until", "one")), (PAWL, 1, ())):
    check(train(program, ranks, yaml, *words)[0] == 0, f"{os.path.basename(program)} on {ranks} ranks takes its part of a run")
check(state(cut) == state(whole), "taken in turns by the two: the undisturbed bits")

# What is read from a checkpoint, and from an adapter over its base.
for what in (base, adapter):
    said = [run(0, "generate", what, "--prompt", "The ", "--max-tokens", "12", "--json", program=p) for p in (PAWL, APART)]
    check(said[0][:2] == said[1][:2] and said[0][0] == 0, f"generate {os.path.basename(what)}: the same text")
    yaml = at(os.path.basename(what) + ".yaml")
    said = [run(2, "eval", yaml, "--checkpoint", what, "--json", program=p) for p in (PAWL, APART)]
    check(said[0][:2] == said[1][:2] and said[0][0] == 0, f"eval {os.path.basename(what)}: the same losses" + said[1][2][-500:] * (said[0][:2] != said[1][:2]))
done()
