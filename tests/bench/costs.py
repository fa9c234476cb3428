"""What replay and methods cost a step: processor time of one thread beside a run without any, in turns.

    PAWL=build/release/pawl PAWL_SOURCE=. PAWL_TESTS=build/release/tests /usr/bin/python3 tests/bench/costs.py [ROUNDS [METHOD...]]

Steps of a second stage; what a run takes beside its steps (passes at a stage's end, too: der++ makes one of each row that it keeps) is
taken off with a run of two of them. The model has the shape 0.9M (tests/bench/step). A first round, which is not counted, prepares the data. Printed: each round's time of a step
over that without a method in the same round, and the median, whose inverse is the share of tokens/s that is left."""
import os, resource, statistics, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import *

STEPS, FEW = 100, 2
MEMORY = dict(ratio=0, capacity=32)  # few rows: what is done with them at a stage's end is then the same for both lengths
METHODS = {
    "none": {},
    "none again": {},  # what rounds differ by
    "replay 25 %": dict(replay=dict(MEMORY, ratio=0.25)),
    "der++ 25 %": dict(replay=MEMORY, der=dict(alpha=0.3, beta=0.5, top_k=32, ratio=0.25)),  # two draws, half of the rows on top
    "lwf": dict(lwf=dict({"lambda": 1}, temperature=2, top_k=32)),
    "ewc": dict(ewc=dict({"lambda": 1}, samples=16)),
    "si": dict(si=dict(c=0.1, xi=0.1)),
    "mas": dict(mas=dict({"lambda": 1}, samples=16)),
    "l2sp": dict(l2sp={"lambda": 0.01}),
    "agem": dict(replay=MEMORY, agem=dict(rows=16)),
    "sfa": dict(sfa=dict(every=10, beta=0.25)),
}
rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
chosen = ["none"] + [m for m in sys.argv[2:] or METHODS if m != "none"]
where = folder()


def write(name, method, steps):
    stages = [dict(name=n, max_steps=s, datasets=[dict(path=os.path.join(SOURCE, n), domain=n, type="text")]) for n, s in (("docs", 4), ("trainer", steps))]
    settings = dict(sequence_len=128, global_batch_size=16, micro_batch_size=4, learning_rate=1e-3, logging_steps=100, tokenizer="bytes", threads=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=os.path.join(where, name), stages=stages,
                    model=dict(hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
                               max_position_embeddings=128), **METHODS[method])
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        json.dump(settings, f)
    return path


def seconds(number, method, steps):
    name = f"{number}-{list(METHODS).index(method)}-{steps}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, _, err = run(0, "train", write(name, method, steps), seconds=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        sys.exit(err)
    shutil.rmtree(os.path.join(where, name))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


ratios = {method: [] for method in chosen}
for i in range(-1, rounds):
    order = chosen if i % 2 else chosen[::-1]
    taken = {method: seconds(i, method, FEW + STEPS) - seconds(i, method, FEW) for method in order}
    if i >= 0:
        print(f"round {i + 1}: {1000 * taken['none'] / STEPS:.1f} ms a step; " + ", ".join(
            f"{m} {taken[m] / taken['none']:.3f}" for m in chosen[1:]), flush=True)
        for method in chosen:
            ratios[method].append(taken[method] / taken["none"])
for method in chosen[1:]:
    print(f"{method}: {statistics.median(ratios[method]):.3f} of the time without, {1 / statistics.median(ratios[method]):.3f} of the tokens/s")
