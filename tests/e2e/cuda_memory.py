"""The memory of a GPU: what is planned is what the CUDA backend takes, on stand-ins for NVIDIA's libraries; what lies in the host's memory meanwhile
changes no bit; and plans where there is no GPU."""
import glob, json, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
data = [dict(path=texts(where, "texts", 3), type="text", domain="words")]
short = [dict(path=texts(where, "short", 3), type="text", domain="words")]
for path in glob.glob(os.path.join(where, "short", "*")):
    os.truncate(path, 300)
NO_ARENAS = ("libraries", "workspace", "program", "reading the base", "NCCL's rounding")


def told_of(counts, *keys):
    """What each process asked for at most, or has not given back; added up over keys."""
    told = [dict(line.split() for line in open(path)) for path in glob.glob(counts + ".*")]
    return [sum(int(t[key]) for key in keys) for t in told]


def compare(name, ranks, *words, seed=1, **keys):
    out, counts = os.path.join(where, name), os.path.join(where, name + "-counts")
    yaml = write_run(where, name + ".yaml", output=out, datasets=short, **{"max_steps": 1, "save_steps": 0, "sequence_len": 64, "global_batch_size": 2,
                     "val_set_size": 0.3, "device": "cuda", **keys})
    status, stdout, stderr = run(0, "plan", yaml, "-n", str(ranks), "--json", *words, program=STANDIN)
    check(status == 0, f"{name}: planned" + stderr[-600:] * (status != 0))
    plan = json.loads(stdout)
    status, stdout, stderr = run(ranks, "train", yaml, *words, program=STANDIN, env=dict(ENV, PAWL_STANDIN_COUNTS=counts, PAWL_STANDIN_SEED=str(seed)))
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-600:] * (status != 0))
    if status != 0:
        return None
    told = [m for m in metrics(out) if m.get("event") == "memory"][-1]
    for arenas, side in (("device_arena_bytes", "bytes_per_rank"), ("arena_bytes", "host_bytes_per_rank")):
        planned = sum(v for k, v in plan[side].items() if k not in NO_ARENAS)
        check(max(told[arenas]) == planned, f"  {side}: arenas held {max(told[arenas])}, {planned} planned")
    check(max(told["device_planned_bytes"]) == plan["peak_bytes"] and max(told["planned_bytes"]) == plan["host_peak_bytes"], "  the run plans as the command does")
    left = sum(told_of(counts, "bytes_left_on_device", "bytes_left_pinned"))
    check(left == 0, f"  all is given back, but {left} bytes")
    pinned, planned = max(told_of(counts, "bytes_pinned")), sum(plan["host_bytes_per_rank"].get(key, 0) for key in ("workspace", "gradients", "optimizer", "activations"))
    check(abs(pinned - planned) <= 4096, f"  pinned {pinned}, {planned} planned of what is")
    taken, planned = max(told_of(counts, "bytes_on_device")), plan["peak_bytes"] - plan["bytes_per_rank"]["libraries"]
    check(0 <= planned - taken <= 4096 + planned // 1000, f"  taken from the device {taken}, planned beside libraries {planned}")
    return dict(weights=weights(stdout), state=state(out), taken=taken, activations=plan["bytes_per_rank"]["activations"], optimizer=plan["bytes_per_rank"]["optimizer"])


def beside(name, ranks, seed, **keys):
    """A run, and the same with state and activations in the host's memory."""
    plain, away = compare(name, ranks, **keys), compare(name + "-away", ranks, seed=seed, offload_optimizer="true", offload_activations="true", **keys)
    check(plain and away and (plain["weights"], plain["state"]) == (away["weights"], away["state"]), f"{name}: the same bits, in another order of streams")
    check(plain and away and away["activations"] < plain["activations"], f"{name}: less of the GPU's memory for activations")
    return plain, away


def plan_json(yaml, *words, program=PAWL, mib=None):
    env = dict(ENV, PAWL_STANDIN_GPU_MIB=str(mib)) if mib else ENV
    status, stdout, stderr = run(0, "plan", yaml, "--rate", "1", "--json", *words, program=program, env=env)
    check(status == 0, f"plan {' '.join(words)}" + stderr[-300:] * (status != 0))
    return json.loads(stdout)


deep = MODEL.replace("num_hidden_layers: 2", "num_hidden_layers: 5")
plain, away = beside("full", 1, 2, model=deep, max_steps=2, ema_decay=0.9)
check(plain and away and away["optimizer"] < plain["optimizer"] and away["taken"] < plain["taken"], "and for state; less is taken in all")
beside("shared", 2, 3, model=deep, zero_stage=3, bf16="true", activation_recompute="norms", optimizer="adamw_8bit", val_set_size=0)
beside("lora", 2, 4, model=f"parent_checkpoint: {os.path.join(where, 'full')}\n", adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear",
       bf16="true", load_in_4bit="true", transport="host", activation_recompute="block", val_set_size=0)

# A GPU that is small: auto and advice go by its memory, a run that does not fit there is refused.
yaml = write_run(where, "small.yaml", output=os.path.join(where, "small"), datasets=data, device="cuda", global_batch_size=256, max_steps=1)
rows = plan_json(yaml, "micro_batch_size=32", program=STANDIN)["peak_bytes"] >> 20
check(plan_json(yaml, "micro_batch_size=auto", program=STANDIN)["micro_batch_size"] == 32, "auto: as many rows as fill the processor where there is room")
chosen = plan_json(yaml, "micro_batch_size=auto", program=STANDIN, mib=rows - 2)["micro_batch_size"]
check(1 < chosen < 32, f"fewer on a smaller GPU ({chosen})")
small = plan_json(yaml, "micro_batch_size=32", program=STANDIN, mib=rows - 2)
check(small["fits"] is False and small["nearest"]["change"].startswith("micro_batch_size="), f"what does not fit, and what would {small['nearest']}")
status, _, stderr = run(1, "train", yaml, "micro_batch_size=32", program=STANDIN, env=dict(ENV, PAWL_STANDIN_GPU_MIB=str(rows - 2)))
check(status == 30 and "of its GPU's memory" in stderr and "it fits" in stderr, f"the run is refused with the numbers {stderr[-200:]}")

# Where there is no GPU, plans are for one that is said.
here = plan_json(yaml, "micro_batch_size=32", program=STANDIN)
far = plan_json(yaml, "micro_batch_size=32", "--gpu-memory", "80GiB")
check((far["bytes_per_rank"], far["host_bytes_per_rank"]) == (here["bytes_per_rank"], here["host_bytes_per_rank"]), "the same bytes without a GPU")
check((far["available_bytes"], far["fits"], far["host_available_bytes"]) == (80 << 30, True, None), "compared with the memory that was said")
check(plan_json(yaml, "--gpu-memory", "700MB")["fits"] is False and plan_json(yaml, "--device", "h200", "--gpu-memory", "1GiB")["available_bytes"] == 1 << 30, "in any unit; of a known device, too")
status, stdout, _ = run(0, "plan", yaml, "-n", "2", "--gpu-memory", "600MiB", "--rate", "1")
check(status == 0 and "or GPUs with more memory, or more of them with zero_stage\n" in stdout, "ranks that have a GPU each need larger ones, not fewer ranks on a machine")
behind, in_turn = (plan_json(yaml, "--gpu-memory", "80GiB", "-n", "2", "zero_stage=3", f"ddp_bucket_cap_mb={mib}")["bytes_per_rank"] for mib in (64, 0))
more = [behind[kind] - in_turn[kind] for kind in ("gathered weights", "gradients")]
check(more[0] == more[1] > 0, f"a second place for blocks, where they are exchanged behind a pass ({more})")
unknown = plan_json(yaml)
check((unknown["device"], unknown["fits"], unknown["available_bytes"]) == ("cuda", None, None), "with nothing said, whether it fits is not known")
check(run(0, "plan", yaml, "--gpu-memory", "80")[0] == 10 and run(0, "plan", yaml, "--device", "cpu", "--gpu-memory", "80GiB")[0] == 10, "a size has a unit, and a CPU is no GPU")
on_cpu = [plan_json(yaml, "device=cpu", "micro_batch_size=32", *words)["bytes_per_rank"] for words in ((), ("offload_optimizer=true", "offload_activations=true"))]
check(on_cpu[0] == on_cpu[1], "on a CPU nothing lies elsewhere")
status, stdout, _ = run(0, "plan", yaml, "--gpu-memory", "80GiB", "--rate", "1")
check(status == 0 and "memory of the GPU" in stdout and "memory of the host" in stdout and "of the 80.0 GiB that a rank has" in stdout, "people see both sides")
done()
