"""What tests/gpu/run does with the program itself on a GPU, a case a process: cases.py NAME. Ends with a line `1 passed, 0 failed`.

From the environment: PAWL, PAWL_SOURCE, PAWL_TESTS as ctest sets them, and PAWL_ON_GPU, the program that computes on a GPU (pawl itself; in a
rehearsal that on stand-ins)."""
import glob, os, shutil, sys
sys.path.insert(0, os.path.join(os.environ["PAWL_SOURCE"], "tests", "e2e"))
from e2e import *

ON_GPU = os.environ.get("PAWL_ON_GPU", PAWL)
REHEARSAL = "PAWL_REHEARSAL" in os.environ
where = folder()
# The small model; a smaller one where kernels are loops.
SIZES = (16, 40, 1, 16) if REHEARSAL else (256, 688, 4, 256)
SMALL = "model:\n" + "".join(f"  {k}: {v}\n" for k, v in dict(hidden_size=SIZES[0], intermediate_size=SIZES[1], num_hidden_layers=SIZES[2],
                                                          num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512).items()) + "tokenizer: bytes\n"
SHORT, RESUME = (2, 2) if REHEARSAL else (4, 24)  # steps of most runs, and of those that are stopped
FILES = 4 if REHEARSAL else 40


def run_yaml(name, **keys):
    path = os.path.join(where, "texts")
    if not os.path.isdir(path):
        texts(where, "texts", FILES)
    return write_run(where, name + ".yaml", model=SMALL, output=os.path.join(where, name), datasets=[dict(path=path, domain="words", license="Apache-2.0")],
                     **{"sequence_len": SIZES[3], "global_batch_size": 4, "max_steps": SHORT, "save_steps": SHORT // 2, "save_total_limit": 9, "val_set_size": 0,
                        "device": "cuda", "tune_products": "false", **keys})  # runs begun apart have the same bits with the library's first answer alone


def train(name, ranks=1, *words, program=ON_GPU, env=None, seconds=150, wrap=(), **keys):
    """One run; None, with a failed check, when it does not end well."""
    line = command(ranks, "train", run_yaml(name, **keys), *words, program=program)
    at = line.index(program)
    line[at:at] = wrap
    p = subprocess.run(line, env=dict(ENV, **(env or {})), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, text=True)
    check(p.returncode == 0, f"{name}: {ranks} ranks: exit 0" + (p.stdout[-300:] + p.stderr[-900:]) * (p.returncode != 0))
    if p.returncode:
        return None
    out = os.path.join(where, name)
    return dict(weights=weights(p.stdout), state=state(out), losses=[m["loss"] for m in steps(out)], out=out, stdout=p.stdout)


def same(a, b, what):
    check(bool(a and b) and (a["weights"], a["state"]) == (b["weights"], b["state"]), what + ": the same bits")


def near(a, b, bound, what):
    apart = max((abs(x - y) / abs(y) for x, y in zip(a["losses"], b["losses"])), default=None) if a and b else None
    check(apart is not None and len(a["losses"]) == len(b["losses"]) and apart < bound, f"{what}: losses differ by {apart}, at most {bound}")


def step_dir(of, step):
    return os.path.join(of["out"], "checkpoints", f"step-{step:09d}")


def resume():
    """Twice the same run, and once killed and gone on with: the same bits. In f32, in bf16, and with norms computed again."""
    kinds = dict(bf16=dict(bf16="true")) if REHEARSAL else dict(f32={}, bf16=dict(bf16="true"), norms=dict(bf16="true", activation_recompute="norms"))
    for kind, keys in kinds.items():
        length = dict(max_steps=RESUME, save_steps=RESUME // 2, **keys)
        whole = train(kind, **length)
        same(train(kind + "-again", **length), whole, f"{kind}: run again")
        p = start(1, "train", run_yaml(kind + "-killed", **length), program=ON_GPU, stdin=subprocess.DEVNULL)
        latest = os.path.join(where, kind + "-killed", "checkpoints", "LATEST")
        wait_for(lambda: os.path.exists(latest) or p.poll() is not None, seconds=120)
        for pid in ranks_of(p):
            os.kill(pid, signal.SIGKILL)
        p.communicate(timeout=60)
        same(train(kind + "-killed", **length), whole, f"{kind}: killed after a checkpoint and gone on with")
    tuned = dict(max_steps=RESUME, save_steps=RESUME // 2, bf16="true", tune_products="true")
    whole = train("tuned", **tuned)
    same(whole and train("tuned", 1, "resume_from_checkpoint=" + step_dir(whole, RESUME // 2), **tuned), whole, "with algorithms that were timed: gone on with")


def devices():
    """CPU -> GPU -> CPU: a checkpoint of either goes on on the other; what they compute is near (sums have other orders, and AdamW's first steps
    make much of small differences), and each says what it was computed on."""
    cpu, gpu = train("cpu", program=PAWL, device="cpu"), train("gpu")
    check(gpu and "cuda" in gpu["stdout"], "the run says what it computes on")
    near(gpu, cpu, 1e-4, "f32 beside the CPU backend")
    there = train("cpu", 1, "device=cuda", "resume_from_checkpoint=" + step_dir(cpu, SHORT // 2)) if cpu else None
    near(there, cpu, 1e-4, "a CPU's checkpoint gone on with on the GPU")
    back = train("gpu", 1, "device=cpu", "resume_from_checkpoint=" + step_dir(gpu, SHORT // 2), program=PAWL) if gpu else None
    near(back, gpu, 1e-4, "a GPU's checkpoint gone on with on the CPU")
    for out in (run_ for run_ in (there, back) if run_):
        check(run(0, "verify", out["out"])[0] == 0, "pawl verify finds nothing")
    near(train("gpu16", bf16="true"), train("cpu16", program=PAWL, device="cpu", bf16="true"), 2e-2, "bf16 beside the CPU backend")


def commands():
    """eval and generate on the GPU say what they say on the CPU."""
    trained = train("trained")
    told, said = [], []
    for program, device in ((PAWL, "cpu"), (ON_GPU, "cuda")) if trained else ():
        status, stdout, stderr = run(1, "eval", run_yaml("eval", val_set_size=0.5), "--checkpoint", trained["out"], "--json", "device=" + device, program=program)
        told.append(json.loads(stdout)["words"]["loss"] if status == 0 else stderr)
        said.append(run(0, "generate", trained["out"], "--prompt", "The", "--max-tokens", "8", "--device", device, "--json", program=program)[:2])
    check(len(told) == 2 and all(isinstance(t, float) for t in told) and abs(told[0] - told[1]) < 1e-5 * told[0], f"eval: {told}")
    check(len(said) == 2 and said[0] == said[1] and said[0][0] == 0, f"generate: the same tokens {said}")


# Keys that change how a GPU computes: by how much losses of bf16 may differ then from the defaults'; None: not a bit.
KNOBS = [("cuda_graphs", "true", None), ("offload_optimizer", "true", None), ("offload_activations", "true", None), ("attention", "own", 2e-2), ("attention", "cudnn", 2e-2),
         ("fp8", "true", 5e-2), ("master_weights", "false", 2e-2)]


def knobs():
    """Each knob of the GPU turned once. In a rehearsal the first; each has a test of its own on stand-ins."""
    known, base = run(0, "config", "reference")[1], train("defaults", bf16="true")
    for key, value, bound in KNOBS[:1] if REHEARSAL else KNOBS:
        if f"`{key}`" not in known:
            print(f"       this pawl has no {key}")
        else:
            turned = train(f"{key}-{value}", bf16="true", **{key: value})
            same(turned, base, f"{key}: {value}") if bound is None else near(turned, base, bound, f"{key}: {value}")


def two_ranks(transport, env, wrap=()):
    keys = dict(max_steps=2, save_steps=0, reduction_lanes=4)  # a slot each: so zero_stage 3 adds in the same order
    one = train("one", **keys)
    two = train("two", 2, transport=transport, env=env, wrap=wrap, seconds=110, **keys)
    same(two, one, f"two ranks on one GPU, transport {transport}")
    shared = train("zero", 2, transport=transport, env=env, wrap=wrap, seconds=110, zero_stage=3, **keys)
    same(shared, one, f"all shared out, transport {transport}")


def nccl():
    """NCCL takes two processes on one GPU for two machines when each has a NCCL_HOSTID of its own; over the loopback, so slow."""
    env = dict(NCCL_SOCKET_IFNAME="lo", NCCL_MAX_CTAS="2", NCCL_NVLS_ENABLE="0", NCCL_PROTO="Simple", NCCL_ALGO="Ring", NCCL_DEBUG="WARN",
               NCCL_IB_DISABLE="1")
    two_ranks("nccl", env, ("env-of-rank",))


def host():
    two_ranks("host", {})


def env_of_rank():
    """A program that gives each rank a NCCL_HOSTID, where `env-of-rank` stands on a command line."""
    path = os.path.join(where, "env-of-rank")
    with open(path, "w") as f:
        f.write('#!/bin/sh\nNCCL_HOSTID=pawl-rank-$OMPI_COMM_WORLD_RANK\nexport NCCL_HOSTID\nexec "$@"\n')
    os.chmod(path, 0o755)
    ENV["PATH"] = where + ":" + ENV["PATH"]


def sanitizer(tool):
    """compute-sanitizer over two steps of the small model, in f32 and in bf16."""
    sanitize = os.environ["PAWL_SANITIZER"]
    keys = dict(max_steps=2, save_steps=0, sequence_len=64, logging_steps=1)
    options = ["--tool", tool, "--error-exitcode", "99", "--target-processes", "all", "--print-limit", "20"]
    options += dict(memcheck=["--leak-check", "no"], initcheck=["--track-unused-memory", "no"]).get(tool, [])
    for kind, more in dict(f32={}, bf16=dict(bf16="true")).items():
        env = dict(ENV, OMPI_MCA_ess_singleton_isolated="1")  # no other process beside
        p = subprocess.run([sanitize, *options, ON_GPU, "train", run_yaml(tool + kind, **keys, **more)], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
        lines = [line for line in p.stdout.splitlines() if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
        check(p.returncode == 0 and bool(lines), f"{tool}, {kind}: exit {p.returncode}, {lines}" + p.stdout[-3000:] * (p.returncode != 0))


CASES = dict(resume=resume, devices=devices, knobs=knobs, commands=commands, nccl=nccl, host=host)
if __name__ == "__main__":
    name, _, tool = sys.argv[1].partition(":")
    env_of_rank()
    if name == "sanitizer":
        sanitizer(tool)
    else:
        CASES[name]()
    done()
