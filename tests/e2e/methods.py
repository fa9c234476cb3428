"""Methods on weights and gradients: the same bits on any number of ranks, at any zero_stage, and where a run is resumed; Fisher information that no
batch enters; what is frozen stays."""
import glob, os, signal
import h5py, numpy as np
from e2e import *

where = folder()
ALL = dict(ewc="{lambda: 1, gamma: 0.9, samples: 10, fisher: 'true'}", si="{c: 0.1}", mas="{lambda: 0.1, samples: 5}", l2sp="{lambda: 0.01}",
           freeze="{embeddings: true, layers: 1}", sfa="{every: 2, beta: 0.25}", reptile="{every: 3}", wise="{alpha: 0.7}", agem="{rows: 5}",
           replay="{ratio: 0.25, capacity: 20}")


def write(name, first=3, second=4, **keys):
    out = os.path.join(where, name)
    stages = [("docs", os.path.join(PAGES, "decisions"), first), ("law", os.path.join(SOURCE, "LICENSE"), second)]
    settings = dict(sequence_len=64, global_batch_size=8, micro_batch_size=1, learning_rate="3e-3", val_set_size=0.1, logging_steps=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=out)
    settings.update(keys)
    text = ("" if "parent_checkpoint" in keys else MODEL) + "".join(f"{k}: {v}\n" for k, v in settings.items()) + "stages:\n"
    for stage, path, length in stages[:1] * (first > 0) + stages[1:] * (second > 0):
        text += f"  - name: {stage}\n    max_steps: {length}\n    datasets:\n      - path: {path}\n        domain: {stage}\n        type: text\n"
    with open(os.path.join(where, name + ".yaml"), "w") as f:
        f.write(text)
    return os.path.join(where, name + ".yaml"), out


def train(name, ranks, **keys):
    yaml, out = write(name, **keys)
    status, stdout, stderr = run(ranks, "train", yaml)
    if status:
        print(stderr[-700:])
    return out, state(out) if status == 0 else None


def tensors(out, step=None):
    """Of the newest checkpoint, or of a step: {name: numbers}."""
    of = sorted(glob.glob(os.path.join(out, "checkpoints", "step-*" if step is None else f"step-{step:09d}")))[-1]
    found = {}
    for path in sorted(glob.glob(os.path.join(of, "*.h5"))) or [of]:
        with h5py.File(path) as f:
            f.visititems(lambda name, item: found.__setitem__(name.removeprefix("tensors/"), item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def ending(found, prefix):
    return {k[k.index(prefix) + len(prefix):]: v for k, v in found.items() if prefix in k}


# All at once, however the work is shared out.
_, expected = train("all", 1, **ALL)
check(expected, "all methods together, two stages")
for stage, ranks in ((0, 3), (1, 2), (2, 3), (3, 2)):
    out, found = train(f"all-{stage}-{ranks}", ranks, zero_stage=stage, **ALL)
    check(expected and found == expected, f"zero_stage {stage} on {ranks} ranks: the same bits")
yaml, out = write("stopped", second=40, **ALL)
p = start(2, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 12 or p.poll() is not None)
p.send_signal(signal.SIGUSR1)
p.communicate(timeout=60)
check(p.returncode == 75, "stopped inside the second stage")
status, _, stderr = run(3, "train", yaml, "zero_stage=1")
_, whole = train("whole", 2, second=40, **ALL)
check(whole and state(out) == whole, "resumed on 3 ranks with another zero_stage: the bits of an undisturbed run" + stderr[-300:] * (status != 0))
rows = [m for m in steps(out) if m["stage"] == "law"]
check(any(m.get("penalty", 0) > 0 for m in rows), "metrics tell the penalty")

# What is frozen.
before, after = (ending(tensors(train(f"frozen-{n}", 1, first=n, second=0, weight_decay=0.1, freeze="{embeddings: true, layers: 1}")[0]), "model/")
                 for n in (1, 6))
same = {k for k in before if np.array_equal(before[k], after[k])}
check(any("embed" in k for k in same) and any("layers.0." in k for k in same) and not any("layers.1." in k for k in same) and before.keys() != same,
      "frozen tensors keep their bits, the others do not")

# Fisher information: of weights that do not move, whatever the batch.
still = dict(learning_rate=0, second=0, first=2, global_batch_size=16)
first = ending(tensors(train("fisher", 1, ewc="{samples: 12}", **still)[0]), "method/ewc/fisher/")
check(first and all(np.isfinite(v).all() for v in first.values()) and any(v.max() > 0 for v in first.values()), "there is Fisher information")
for micro, ranks, stage in ((4, 2, 0), (16, 1, 0), (1, 4, 2), (2, 3, 3)):
    other = ending(tensors(train(f"fisher-{micro}-{ranks}", ranks, micro_batch_size=micro, zero_stage=stage, ewc="{samples: 12}", **still)[0]), "method/ewc/fisher/")
    check(first.keys() == other.keys() and all(np.array_equal(first[k], other[k]) for k in first),
          f"micro_batch_size {micro} on {ranks} ranks, zero_stage {stage}: the same bits of Fisher information")

# One step of plain descent tells the gradient of its batch: of one row it is what is squared; the square of a mean over rows is not.
def descent(rows):
    keys = dict(optimizer="sgd", max_grad_norm=0, second=0, first=1, global_batch_size=rows, ewc=f"{{samples: {rows}}}")
    moved = tensors(train(f"moved-{rows}", 1, learning_rate="1e-3", **keys)[0])
    at = tensors(train(f"at-{rows}", 1, learning_rate=0, **keys)[0])
    w, w0 = ending(moved, "model/"), ending(at, "model/")
    tokens = sum(m["trained"] if "trained" in m else m["tokens"] for m in steps(os.path.join(where, f"at-{rows}"))[:1])
    naive = sum(float((((w0[k] - w[k]).astype(float) * 1e3 * tokens / rows) ** 2).sum()) for k in w0)
    return naive, sum(float(v.astype(float).sum()) for v in ending(at, "method/ewc/fisher/").values())


naive, fisher = descent(1)
check(abs(naive / fisher - 1) < 0.1, f"of one row it is the squared gradient of its log-probability ({naive:.4g}, {fisher:.4g})")
naive, fisher = descent(8)
check(naive < 0.9 * fisher, f"of rows it is not the square of their mean ({naive:.4g}, {fisher:.4g})")
# What a finished run has found goes on in the one that continues it: gamma of it and the new stage's, as between stages.
FOUND = dict(ewc="{gamma: 0.5, samples: 6}", si="{c: 1, xi: 0.2}", mas="{decay: 0.25, samples: 5}")
parent, bare = train("parent", 2, second=0, **FOUND)[0], train("bare", 1, second=0)[0]
was, none = tensors(parent), tensors(bare)
check(all(np.array_equal(v, was[k]) for k, v in none.items() if k.startswith("model/")), "with nothing to keep, methods change nothing")
heir, expected = train("heir", 1, first=0, second=1, learning_rate=0, parent_checkpoint=parent, **FOUND)
_, shared = train("heir-3", 3, first=0, second=1, learning_rate=0, parent_checkpoint=parent, zero_stage=2, **FOUND)
check(expected and shared == expected, "continued on 1 rank and shared out over 3: the same bits")
now, fresh = tensors(heir), tensors(train("stranger", 2, first=0, second=1, learning_rate=0, parent_checkpoint=bare, **FOUND)[0])
for kind, old, new in (("ewc/fisher", 0.5, 1), ("mas/importance", 0.25, 0.75), ("si/importance", 1, 1), ("ewc/anchor", 1, 0)):
    a, b, c = (ending(x, f"method/{kind}/") for x in (was, fresh, now))
    check(a and any(np.abs(v).max() > 0 for v in a.values()) and all(np.allclose(old * a[k] + new * b[k], c[k], rtol=1e-5, atol=1e-12) for k in a),
          f"{kind} is {old} of the parent's and {new} of the stage's")
yaml, out = write("goes-on", first=0, second=24, parent_checkpoint=parent, **FOUND)
p = start(2, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 6 or p.poll() is not None)
p.send_signal(signal.SIGUSR1)
told, _ = p.communicate(timeout=60)
status, _, stderr = run(1, "train", yaml)
_, whole = train("goes-on-whole", 3, first=0, second=24, parent_checkpoint=parent, **FOUND)
check(p.returncode == 75 and whole and state(out) == whole, "a run that goes on, stopped and resumed: the same bits" + stderr[-300:] * (status != 0))
check("ewc      goes on with what it found before" in told and steps(out)[1]["penalty"] > 0, "and holds weights from its first steps on")
status, told, stderr = run(1, "train", write("other", first=0, second=2, parent_checkpoint=parent, ewc="{samples: 6, fisher: 'true'}", mas="{samples: 5}", l2sp="{}")[0])
check("ewc      begins anew: ewc.fisher was another" in told and "mas      goes on" in told and "si " not in told, f"what was found in another way is left: {stderr[-200:]}")
status, _, stderr = run(1, "train", write("no-memory", agem="{rows: 4}")[0])
check(status == 10 and "replay" in stderr, "A-GEM without a memory is refused")
done()
