"""The same bits at any number of ranks and threads; each row computed once; the same first loss for every split."""
import os
from e2e import *

where = folder()
seen = {}
for ranks, threads in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 1), (8, 1)]:
    out = os.path.join(where, f"r{ranks}t{threads}")
    yaml = write_run(where, f"r{ranks}t{threads}.yaml", output=out)
    status, stdout, stderr = run(ranks, "train", yaml, f"threads={threads}")
    check(status == 0, f"{ranks} ranks x {threads} threads: exit 0" + (": " + stderr if status else ""))
    seen[ranks, threads] = (state(out), weights(stdout))
    check(weights(stdout) == pawl_json("show", out)["weights_sha256"], f"{ranks} x {threads}: the last line names the saved weights")
first = seen[1, 1]
for key, value in seen.items():
    check(value == first, f"{key[0]} ranks x {key[1]} threads: state_sha256 {value[0][:16]}")

# Each row is computed by exactly one rank: the ranks' tokens add up to the step's, and no rank sends another its rows.
parameters = sum(t["bytes"] for t in pawl_json("show", os.path.join(where, "r3t1"))["tensors"] if t["name"].startswith("model/"))
one = steps(os.path.join(where, "r1t1"))
for ranks in (2, 3, 4, 8):
    many = steps(os.path.join(where, f"r{ranks}t1"))
    check(all(len(m["tokens_per_rank"]) == ranks and sum(m["tokens_per_rank"]) == m["tokens"] for m in many), f"{ranks} ranks: tokens_per_rank add up to tokens")
    check([m["tokens"] for m in many] == [m["tokens"] for m in one], f"{ranks} ranks: as many tokens a step as one rank")
    check([m["loss"] for m in many] == [m["loss"] for m in one], f"{ranks} ranks: the same loss in every step")
    most = max(m["bytes_sent"] for m in many)
    # all-to-all of at most 3 partial sums a rank, then all-gather: (3 + 1) (ranks - 1) / ranks of the gradient from each rank
    check(parameters < most < 4 * parameters * (ranks - 1) + 100_000 * ranks, f"{ranks} ranks: {most} bytes sent in a step, gradient {parameters}")
check(all(m["bytes_sent"] == 0 for m in one), "1 rank: nothing is sent")

# The first step's loss does not depend on how rows are cut, to 1e-6.
losses = {}
for micro in (1, 2, 3, 8):
    for ranks in (1, 2):
        if ranks > (8 + micro - 1) // micro:
            continue
        out = os.path.join(where, f"m{micro}r{ranks}")
        yaml = write_run(where, f"m{micro}r{ranks}.yaml", output=out, micro_batch_size=micro, max_steps=1, val_set_size=0)
        status, stdout, stderr = run(ranks, "train", yaml)
        check(status == 0, f"micro_batch_size {micro}, {ranks} ranks: exit 0" + (": " + stderr if status else ""))
        losses[micro, ranks] = steps(out)[0]["loss"]
low, high = min(losses.values()), max(losses.values())
check(high - low <= 1e-6 * high, f"first loss of every split: {low:.9f} to {high:.9f}")

# fast: no promise about bits, but the same training.
out = os.path.join(where, "fast")
status, stdout, stderr = run(2, "train", write_run(where, "fast.yaml", output=out, reduction="fast", transport="nccl"))
check(stderr.count("transport: nccl does nothing here") == 1, "transport: nccl says once that it does nothing on CPUs")
check(status == 0 and abs(steps(out)[-1]["loss"] - one[-1]["loss"]) < 1e-3, "reduction: fast trains the same")

# More ranks than lanes: one clear sentence, exit 10.
status, stdout, stderr = run(3, "train", write_run(where, "few.yaml", output=os.path.join(where, "few"), global_batch_size=2))
check(status == 10 and stderr.count("whole lanes") == 1 and "rank" in stderr, "more ranks than lanes are refused once, with exit 10")
done()
