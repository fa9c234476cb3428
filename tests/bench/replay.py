"""What replay costs a whole run: processor time of one thread a step with `replay` at 25 % and without, in turns.

    PAWL=build/release/pawl PAWL_SOURCE=. PAWL_TESTS=build/release/tests /usr/bin/python3 tests/bench/replay.py [ROUNDS [RANKS]]

Last line: `replay 0.25 RATIO of the tokens/s without`: the median over rounds of time without over time with, of the steps of a second
stage. A first run of each kind prepares the data; what a run takes beside its steps is taken off with a run that stops before them."""
import os, resource, statistics, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from e2e import *

rounds, ranks = (int(sys.argv[i]) if len(sys.argv) > i else d for i, d in ((1, 5), (2, 1)))
where = folder()
STEPS = 20


def write(name, replay, steps):
    stages = [dict(name=n, max_steps=s, datasets=[dict(path=os.path.join(SOURCE, n), domain=n, type="text")]) for n, s in (("docs", 4), ("trainer", steps))]
    settings = dict(sequence_len=128, global_batch_size=16, micro_batch_size=4, learning_rate=1e-3, logging_steps=100, tokenizer="bytes", threads=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=os.path.join(where, name), stages=stages,
                    model=dict(hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
                               max_position_embeddings=128))
    if replay:
        settings["replay"] = dict(ratio=0.25, capacity=2000)
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        json.dump(settings, f)
    return path


def seconds(number, replay, steps):
    name = f"{number}-{replay}-{steps}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, _, err = run(ranks if ranks > 1 else 0, "train", write(name, replay, steps), seconds=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        sys.exit(err)
    shutil.rmtree(os.path.join(where, name))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


ratios = []
for i in range(-1, rounds):
    taken = {(replay, steps): seconds(i, replay, steps) for steps in (2, 2 + STEPS) for replay in (False, True)}
    without, with_replay = (taken[r, 2 + STEPS] - taken[r, 2] for r in (False, True))
    if i >= 0:
        ratios.append(without / with_replay)
        print(f"without {1000 * without / STEPS:.1f} ms a step, with {1000 * with_replay / STEPS:.1f} ms, ratio {ratios[-1]:.3f}", flush=True)
print(f"replay 0.25 {statistics.median(ratios):.3f} of the tokens/s without")
