"""The whole CUDA path without a GPU: pawl with the CUDA backend on stand-ins for NVIDIA's libraries (tests/cuda_on_cpu), beside pawl on
the CPU backend. Losses agree; ranks, the order in which streams get on, and a resume change no bit, nor is any in a checkpoint that is
copied beside the next step; checkpoints go from one device to the other and back."""
import glob, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
data = [dict(path=texts(where, "texts", 4), domain="words", license="Apache-2.0")]
counts = os.path.join(where, "counts")


def settings(name, program=STANDIN, **keys):
    return write_run(where, name + ".yaml", output=os.path.join(where, name), datasets=data, **{"max_steps": 4, "save_steps": 1, "save_total_limit": 5, "sequence_len": 32,
                     "global_batch_size": 4, "val_set_size": 0, "device": "cuda" if program == STANDIN else "cpu", **keys})


def train(name, ranks, *words, program=STANDIN, seed=1, **keys):
    out, yaml = os.path.join(where, name), settings(name, program, **keys)
    env = dict(ENV, PAWL_STANDIN_SEED=str(seed), PAWL_STANDIN_COUNTS=counts)
    status, stdout, stderr = run(ranks, "train", yaml, *words, program=program, env=env)
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-600:] * (status != 0))
    saves = {m["saved_step"]: m["state_sha256"] for m in metrics(out) if "saved_step" in m} if status == 0 else None
    return dict(weights=weights(stdout), state=state(out), saves=saves, losses=[m["loss"] for m in steps(out)], out=out, stdout=stdout) if status == 0 else None


def near(a, b, bound, what):
    worst = max(abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"])) if a and b else None
    check(worst is not None and len(a["losses"]) == len(b["losses"]) and worst < bound, f"{what}: losses differ by {worst}, at most {bound}")


# Sums are made in another order than on the CPU, in f32: a few last places after some steps.
cpu, one = train("cpu", 1, program=PAWL), train("one", 1)
check("cuda stand-in" in one["stdout"], "the run says what it computes on")
near(one, cpu, 1e-6, "f32 beside the CPU backend")
for ranks, seed in ((2, 2), (4, 3)):
    other = train(f"ranks{ranks}", ranks, seed=seed)
    check(other and (other["weights"], other["saves"]) == (one["weights"], one["saves"]), f"{ranks} ranks, streams in another order: the same bits")
check(sorted(one["saves"]) == [1, 2, 3, 4] and one["saves"][4] == one["state"], "in the checkpoint of each step")
short = dict(max_steps=2, save_steps=0)
other = train("host", 2, transport="host", zero_stage=3, **short)
check(other and other["losses"] == one["losses"][:2], "by way of the hosts, all shared out: the same losses")
cpu16, low = train("cpu16", 1, program=PAWL, bf16="true", **short), train("low", 2, bf16="true", **short)
near(low, cpu16, 1e-4, "bf16 beside the CPU backend")
check("cudnn 9.19.0" in low["stdout"] and "cudnn" not in one["stdout"], "the run says in bf16 whose attention it has")
again, own = train("low_again", 1, bf16="true", seed=7, **short), train("own", 1, bf16="true", attention="own", **short)
check(again and (again["weights"], again["state"]) == (low["weights"], low["state"]), "cuDNN's attention on 1 rank, streams in another order: the same bits")
near(own, low, 1e-4, "cuDNN's attention beside our own kernel")

# A resume from the second step's checkpoint is the same run.
step2 = os.path.join(one["out"], "checkpoints", "step-000000002")
again = train("one", 2, "resume_from_checkpoint=" + step2, seed=4)
check(again and (again["weights"], again["state"]) == (one["weights"], one["state"]), "resumed from step 2 on 2 ranks: the same bits")

# Every step is saved, and copied beside the next: of state that ranks share out or the host's memory holds, of bfloat16, of an adapter.
away = dict(zero_stage=1, offload_optimizer="true")
other = train("away", 2, seed=5, **away)
check(other and other["saves"] == one["saves"], "optimizer state shared out, in the host's memory: the same checkpoints")
low_rank = dict(model=f"parent_checkpoint: {one['out']}\n", adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear")
for name, keys in dict(halves=dict(bf16="true", master_weights="false"), adapter=low_rank).items():
    alone, other = train(name, 1, max_steps=3, seed=6, **keys), train(name + "_away", 2, max_steps=3, seed=7, **keys, **away)
    check(alone and other and len(alone["saves"]) == 3 and other["saves"] == alone["saves"], f"{name}: the same checkpoints, too")
    again = train(name, 1, "resume_from_checkpoint=" + os.path.join(alone["out"], "checkpoints", "step-000000001"), max_steps=3, seed=8, **keys)
    check(again and alone and again["state"] == alone["state"], f"{name}: resumed from step 1: the same bits")

# A rank is killed while a checkpoint is written that was copied beside the step.
out = os.path.join(where, "killed")
p = start(2, "train", settings("killed"), program=STANDIN, env=dict(ENV, PAWL_STANDIN_SEED="9"))
wait_for(lambda: glob.glob(out + "/checkpoints/step-*[0-9]") and glob.glob(out + "/checkpoints/*.part") or p.poll() is not None, pause=0.001)
os.kill(ranks_of(p)[1], signal.SIGKILL)
p.communicate(timeout=30)
check(p.returncode != 0, "killed inside a save")
again = train("killed", 1, seed=10)
check(again and (again["weights"], again["state"]) == (one["weights"], one["state"]), "and gone on with: the same bits")

# From the CPU to the GPU, and back.
there = train("cpu", 1, "device=cuda", "resume_from_checkpoint=" + os.path.join(cpu["out"], "checkpoints", "step-000000002"))
near(there, cpu, 1e-6, "a CPU's checkpoint gone on with on the GPU")
back = train("one", 1, "device=cpu", "resume_from_checkpoint=" + step2, program=PAWL)
near(back, one, 1e-6, "a GPU's checkpoint gone on with on the CPU")

# Stages with a memory, soft targets and penalties; evaluation and generation.
stages = "".join(f"\n  - {{name: {name}, max_steps: 2, datasets: [{{path: {path}, type: text, domain: {name}}}]}}"
                 for name, path in (("law", os.path.join(SOURCE, "LICENSE")), ("words", data[0]["path"])))
course = dict(max_steps=None, save_steps=0, stages=stages, replay="{ratio: 0.25, capacity: 20}", ewc="{lambda: 10, samples: 4, fisher: 'true'}",
              der="{alpha: 0.3, beta: 0.5, top_k: 8, ratio: 0.25}", lwf="{lambda: 0.5, top_k: 4}", si="{c: 0.1}", agem="{rows: 2}")
cpu_course, course = train("cpu_course", 1, program=PAWL, **course), train("course", 2, **course)
near(course, cpu_course, 1e-6, "stages with methods on 2 ranks")
yaml, told, texts_of = write_run(where, "eval.yaml", datasets=data, sequence_len=32, val_set_size=0.3), [], []
for program, device in ((PAWL, "cpu"), (STANDIN, "cuda")):
    status, stdout, stderr = run(1, "eval", yaml, "--checkpoint", course["out"], "--json", "device=" + device, program=program)
    told.append(json.loads(stdout)["words"]["loss"] if status == 0 else stderr)
    texts_of.append(run(0, "generate", course["out"], "--prompt", "The", "--max-tokens", "4", "--device", device, "--json", program=program)[:2])
check(abs(told[0] - told[1]) < 1e-6 * told[0], f"eval: {told}")
check(texts_of[0] == texts_of[1] and texts_of[0][0] == 0, f"generate: the same tokens, {texts_of[0]}")

ran = {}
for path in glob.glob(counts + ".*"):
    for line in open(path):
        name, times = line.split()
        ran[name] = ran.get(name, 0) + int(times)
of_a_step = """adamw add attend attend_keys attend_mean attend_queries cast column_sums dot embedding embedding_dw head_rows norm
    norm_backward ragged rope swiglu swiglu_backward zero""".split()
missing = [k for k in of_a_step if not ran.get(k + "_kernel")]
check(not missing, f"{len(ran)} kernels have run, {missing} of those of a step have not")
done()
