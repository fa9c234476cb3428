"""pawl train --profile: the same bits, sums that add up, counts that are the shapes', and a trace that viewers can nest."""
import collections, json, os, re, signal
from e2e import *

where = folder()
DEPTH, HIDDEN, INNER, TOKENS, STEPS = 2, 32, 80, 64, 8


def prepare(name, **keys):
    out = os.path.join(where, name)
    return write_run(where, name + ".yaml", output=out, max_steps=STEPS, **keys), out


def load(out, name):
    with open(os.path.join(out, name)) as f:
        return json.load(f)


def trouble_in(events):
    """Every complete event inside the one around it, none of negative length: the first that is not, or None."""
    rows = collections.defaultdict(list)
    for e in events:
        if e["ph"] == "X":
            if e["dur"] < 0 or e["ts"] < 0:
                return e
            rows[e["pid"], e["tid"]].append(e)
    for row in rows.values():
        around = []
        for e in sorted(row, key=lambda e: (e["ts"], -e["dur"])):
            while around and around[-1]["ts"] + around[-1]["dur"] <= e["ts"] + 1e-6:
                around.pop()
            if around and e["ts"] + e["dur"] > around[-1]["ts"] + around[-1]["dur"] + 1e-6:
                return e
            around.append(e)
    return None


def check_trace(out, ranks, threads, what):
    trace = load(out, "trace.json")
    events = trace["traceEvents"]
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    processes = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    complete = [e for e in events if e["ph"] == "X"]
    check(processes == {r: f"rank {r}" for r in range(ranks)}, f"{what}: a process for each rank")
    check({e["ph"] for e in events} == {"X", "M"} and all((e["pid"], e["tid"]) in named for e in complete), f"{what}: every row has its name")
    check(trouble_in(events) is None, f"{what}: every event lies inside its parent {trouble_in(events) or ''}")
    check(min(e["ts"] for e in complete) < 1e5, f"{what}: times begin near zero")
    pool = [e for e in complete if named[e["pid"], e["tid"]].startswith("pool")]
    check(bool(pool) == (threads > 1), f"{what}: rows of the pool's threads")
    steps_of = [[e for e in complete if e["pid"] == r and e["name"] == "step"] for r in range(ranks)]
    errors = {e["pid"]: e["args"]["error_us"] for e in events if e["ph"] == "M" and e["name"] == "clock"}
    check(len({len(s) for s in steps_of}) == 1 and len(errors) == ranks, f"{what}: as many steps on each rank, and the error of each clock")
    # A step ends with all ranks hearing of each other: none can end before another began.
    check(all(a["ts"] < b["ts"] + b["dur"] + errors[0] + errors[r] for r in range(ranks) for a, b in zip(steps_of[r], steps_of[0])), f"{what}: clocks agree")
    linear = next(e for e in complete if e["name"] == "linear")
    check(set("NOI") <= set(linear["args"]) and linear["args"]["flops"] == 2 * linear["args"]["N"] * linear["args"]["O"] * linear["args"]["I"], f"{what}: an op says its shape and work")
    return complete


def check_profile(out, ranks, slots, count, first, what):
    p = load(out, "profile.json")
    check((p["ranks"], p["steps"]["count"], p["steps"]["first"]) == (ranks, count, first), f"{what}: the steps that were asked for")
    phase = {x["path"]: x for x in p["phases"]}
    need = ["step", "step/rows", "step/forward", "step/head", "step/backward", "step/norm", "step/optimizer"] + (["step/reduction", "step/agreement"] if ranks > 1 else [])
    check(all(n in phase for n in need), f"{what}: every phase of a step: {[n for n in need if n not in phase]}")
    inside = lambda path: sum(x["seconds"] for x in p["phases"] if x["path"].rpartition("/")[0] == path)
    check(all(inside(x["path"]) <= x["seconds"] * (1 + 1e-9) for x in p["phases"]), f"{what}: phases fit into what they are parts of")
    check(all(abs(sum(x["seconds_of_ranks"]) - x["seconds"]) < 1e-9 for x in p["phases"]), f"{what}: ranks add up")
    check(abs(phase["step"]["seconds"] - p["step_seconds_of_all_ranks"]) < 1e-9, f"{what}: a step is all of a step")
    check(sum(o["seconds"] for o in p["ops"]) <= phase["step"]["seconds"], f"{what}: ops fit into steps")
    op = {o["name"]: o for o in p["ops"]}
    # Products of a layer: qkv, out, gate and up, down; one slot is micro x 64 positions.
    kv = HIDDEN // 2
    weights = DEPTH * (HIDDEN * (HIDDEN + 2 * kv) + HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    for name in ("linear", "linear_dx", "linear_dw"):
        check(op[name]["calls"] == 4 * DEPTH * slots * count, f"{what}: {op[name]['calls']} calls of {name}")
        check(op[name]["flops"] == 2 * weights * TOKENS * 8 * count, f"{what}: the products' FLOPs of {name}")
    check(all(abs(sum(s[k] for s in o["shapes"]) / max(o[k], 1e-30) - 1) < 1e-9 or o[k] == 0 for o in p["ops"] for k in ("calls", "flops", "bytes")), f"{what}: shapes add up to ops")
    check(all(o["roofline_share"] > 0 for o in p["ops"]), f"{what}: every op has a share of the roofline")
    check(all(r["gemm_f32_flops_per_second"] > 1e8 and r["memory_bytes_per_second"] > 1e8 for r in p["per_rank"]), f"{what}: the machine was measured")
    check(all(r["allocations_inside_steps"] == 0 for r in p["per_rank"]), f"{what}: nothing is allocated inside a step")
    check(all(0 < r["arena_high_water_bytes"]["weights"] <= p["planned_bytes"]["weights"] for r in p["per_rank"]), f"{what}: weights took what was planned")
    check(all(r["arena_high_water_bytes"]["all"] < r["resident_high_water_bytes"] * 4 for r in p["per_rank"]), f"{what}: high-water marks")
    return p


yaml, calm = prepare("calm", micro_batch_size=2, save_steps=3, eval_steps=3)
check(run(1, "train", yaml, "threads=1")[0] == 0, "an undisturbed run")
for ranks, threads in ((1, 2), (2, 1)):
    what = f"{ranks} ranks x {threads} threads"
    yaml, out = prepare(f"ranks{ranks}", micro_batch_size=2, save_steps=3, eval_steps=3)
    status, stdout, stderr = run(ranks, "train", "--profile", yaml, f"threads={threads}")
    check(status == 0 and weights(stdout) is not None, f"{what}: runs, and the weights' digest is the last line {stderr[-300:] * (status != 0)}")
    check(state(out) == state(calm), f"{what}: profiled, it has the same bits")
    check_profile(out, ranks, slots=4, count=STEPS - 1, first=2, what=what)
    complete = check_trace(out, ranks, threads, what)
    names = {e["name"] for e in complete}
    check({"step", "evaluation", "save: begin", "save: write", "attention", "attention_backward", "adamw"} <= names, f"{what}: saves and evaluations are there, too")
    check("roofline" in stdout and "high-water" in stdout and ("slowest" in stdout) == (ranks > 1), f"{what}: tables for people")

# Stages 2 and 3 communicate inside passes; a rank that has no slot in a turn takes part all the same.
yaml, out = prepare("sharded", micro_batch_size=2, save_steps=3, eval_steps=3)
status, _, stderr = run(3, "train", "--profile", yaml, "zero_stage=3", "activation_recompute=block")
check(status == 0 and state(out) == state(calm), f"weights in parts, blocks computed again: the same bits {stderr[-300:] * (status != 0)}")
paths = {x["path"] for x in load(out, "profile.json")["phases"]}
check({"step/forward/exchange", "step/backward/recomputation/feed-forward", "step/a turn of others/exchange", "step/spread"} <= paths, "what ranks do for each other is told")
check(trouble_in(load(out, "trace.json")["traceEvents"]) is None, "and that trace nests")

# In bf16, profiled or not: the same bits, and as much work.
yaml, out = prepare("bf16", micro_batch_size=2, bf16="true")
yaml2, reference = prepare("bf16calm", micro_batch_size=2, bf16="true")
check(run(1, "train", yaml2)[0] == 0 and run(2, "train", "--profile", yaml)[0] == 0 and state(out) == state(reference), "bf16: profiled, it has the same bits")
check_profile(out, 2, slots=4, count=STEPS - 1, first=2, what="bf16")
check(all(r["gemm_bf16_flops_per_second"] > 1e8 for r in load(out, "profile.json")["per_rank"]), "bf16: the rate of such products was measured")

yaml, out = prepare("some", micro_batch_size=1)
check(run(2, "train", "--profile-steps", "3:5", yaml)[0] == 0, "some steps only, which is a profile without saying so")
p = check_profile(out, 2, slots=8, count=3, first=3, what="steps 3 to 5")
check(p["steps"]["last"] == 5 and load(out, "profile.json")["slowest_rank"] in (0, 1), "the last of them, and the slowest rank")
status, stdout, _ = run(1, "train", "--profile", "--profile-steps", "50:", *prepare("none")[:1])
check(status == 0 and "no step was recorded" in stdout and not os.path.exists(os.path.join(where, "none", "profile.json")), "steps that the run does not have")
for words in (["--profile", "--profile-steps", "5:3"], ["--profile", "--profile-steps", "0:3"], ["--profile", "--profile-steps", "x"]):
    status, _, stderr = run(0, "train", *words, yaml)
    check(status == 10 and "--profile" in stderr, f"{' '.join(words)} is refused")

# A stop writes the profile of what was done; the resumed run makes its own, and ends as if nothing had happened.
yaml, out = prepare("long", micro_batch_size=2)
yaml2, reference = prepare("longcalm", micro_batch_size=2)
p = start(2, "train", "--profile", yaml, "max_steps=400")
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 6)
p.send_signal(signal.SIGUSR1)
p.communicate(timeout=60)
stopped_at = steps(out)[-1]["step"]
check(p.returncode == 75 and load(out, "profile.json")["steps"]["last"] == stopped_at, "a run that is stopped leaves its profile")
status, _, stderr = run(3, "train", "--profile", yaml, "max_steps=400")
check(status == 0 and load(out, "profile.json")["steps"] ["first"] == stopped_at + 2, f"a resumed run is profiled from its second step on {stderr[-300:] * (status != 0)}")
check(trouble_in(load(out, "trace.json")["traceEvents"]) is None, "and its trace nests")
run(1, "train", yaml2, "max_steps=400")
check(state(out) == state(reference), "to the same bits")
done()
