"""Between GPUs, on stand-ins: exchange behind what passes compute changes no bit, whatever its buckets and zero_stage, nor does registered memory;
and no rank hangs when another dies, a link breaks, or messages do not come."""
import glob
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
data = [dict(path=texts(where, "texts", 8), domain="words", license="Apache-2.0")]
for path in glob.glob(os.path.join(where, "texts", "*")):
    os.truncate(path, 300)


def settings(name, **keys):
    return write_run(where, name + ".yaml", output=os.path.join(where, name), datasets=data, **{"max_steps": 2, "save_steps": 0, "sequence_len": 16,
                     "global_batch_size": 4, "val_set_size": 0, "device": "cuda", "transport": "nccl", "tune_products": "false", **keys})


strict = dict(ENV, PAWL_STANDIN_NCCL_STRICT="1")  # all that goes between GPUs has to be of registered memory


def train(name, ranks, seed=1, lazy=False, **keys):
    """lazy: what is done aside is as late as may be, so that a wait for it which is not there is missed."""
    env = dict(ENV if keys.get("register_buffers") == "false" else strict, PAWL_STANDIN_SEED=str(seed), PAWL_STANDIN_LAZY=str(int(lazy)))
    status, stdout, stderr = run(ranks, "train", settings(name, **keys), program=STANDIN, env=env)
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-600:] * (status != 0))
    return weights(stdout), [m["loss"] for m in steps(os.path.join(where, name))]


# Buckets of a few kilobytes: one a part of the model. Blocks enough for their places to be used again and again.
small = dict(ddp_bucket_cap_mb=0.01)
deep = dict(model=MODEL.replace("num_hidden_layers: 2", "num_hidden_layers: 4"))
after = train("after", 2, ddp_bucket_cap_mb=0, register_buffers="false", **deep)
check(train("behind", 2, seed=2, **small, **deep) == after, "exchange behind the backward pass: the bits of exchange after it")
check(train("shared", 3, seed=3, zero_stage=1, **small, **deep) == after, "on 3 ranks, optimizer state shared out: the same")
check(train("all_shared", 2, seed=4, lazy=True, zero_stage=3, **deep) == after, "with weights and gradients shared out, too: the same")

# What is made of weights that come behind an update, part by part; whoever else reads them waits for all.
low = dict(model=deep["model"].replace("  max_position", "  tie_word_embeddings: true\n  max_position"), bf16="true", val_set_size=0.3,
           max_steps=3, save_steps=1, eval_steps=2)  # saved behind the first step's update, evaluated behind the second's


def told_on_the_way(name):
    return [[m[key] for m in metrics(os.path.join(where, name)) if key in m] for key in ("eval", "state_sha256")]


alone = train("alone", 1, **low)
check(list(map(len, told_on_the_way("alone"))) == [3, 3], "three evaluations and three saves")
for stage, ranks in ((1, 2), (2, 3), (3, 3)):
    check(train(f"low{stage}", ranks, seed=4 + stage, lazy=stage < 3, zero_stage=stage, **low) == alone, f"bf16, evaluated and saved on the way, zero_stage {stage} on {ranks} ranks: the bits of one rank")
    check(told_on_the_way(f"low{stage}") == told_on_the_way("alone"), "  of evaluations and of what was saved, too")


def fails(name, env, **keys):
    began = time.monotonic()
    status, stdout, stderr = run(3, "train", settings(name, max_steps=50, **keys), program=STANDIN, env=dict(ENV, **env), seconds=60)
    return status, stderr, time.monotonic() - began


# Rank 1's communicator says that a link is broken.
status, stderr, _ = fails("link", dict(PAWL_STANDIN_NCCL_FAIL="12"), zero_stage=2)
check(status == 50 and "rank 1: " in stderr and "there was a network error" in stderr, f"a broken link: exit 50, and said ({status}: {stderr[-1500:]})")

status, stderr, _ = fails("early", dict(PAWL_STANDIN_NCCL_FAIL="0"), **small)
check(status == 50 and "the ranks' GPUs could not be connected" in stderr, f"one that is broken from the start: said there ({status}: {stderr[-800:]})")

# The GPU of rank 1 breaks: what others' GPUs wait for does not come, and nor do their hosts to a meeting. That rank says what it was, and ends all.
# So it is by MPI, where others wait for weights inside a pass.
for fault, ways in ((84, dict(zero_stage=1, cuda_graphs="true")), (76, dict(zero_stage=3, transport="host"))):
    broken = os.path.join(where, f"broken{fault}")
    with open(broken, "w") as to:
        to.write(f'#!/bin/sh\n[ "$OMPI_COMM_WORLD_RANK" = 1 ] && export PAWL_STANDIN_FAULT={fault}\nexec {STANDIN} "$@"\n')
    os.chmod(broken, 0o755)
    status, _, stderr = run(2, "train", settings(f"breaks{ways['zero_stage']}", max_steps=50, watchdog_seconds=20, **ways, **small), program=broken, env=dict(ENV, PAWL_STANDIN_SEED="5"), seconds=60)
    check(status == 60 and re.search("rank 1: .*an illegal memory access", stderr), f"a GPU that breaks: exit 60, and said ({ways}: {status}: {stderr[-800:]})")

# No message comes any more: every rank gives up before its watchdog does, and says what it waited for.
status, stderr, took = fails("stuck", dict(PAWL_STANDIN_NCCL_STALL="12"), watchdog_seconds=8, zero_stage=1)
said = [r for r in range(3) if f"rank {r}: waited for the GPU or other ranks' in a training step for as long as is allowed, 8 s" in stderr]
check(status == 75 and said, f"messages that do not come: exit 75 ({status}), said by ranks {said} after {took:.1f} s: {stderr[-2500:]}")

# A rank dies while all are inside an exchange. Where messages go from memory to memory nothing but its end shows it.
for stage in (0, 3):
    told = os.path.join(where, f"told{stage}")
    with open(told, "w") as to:
        p = subprocess.Popen(command(3, "train", settings("killed", max_steps=50, watchdog_seconds=60, zero_stage=stage, **small), program=STANDIN), stdout=subprocess.DEVNULL,
                             stderr=to, env=dict(ENV, PAWL_STANDIN_NCCL_STALL="12"), start_new_session=True)
    wait_for(lambda: open(told).read().count("a group will not be through") == 3 or p.poll() is not None)
    time.sleep(2)  # until all hosts wait for it
    pids = ranks_of(p)
    os.kill(pids[1], signal.SIGKILL)
    killed = time.monotonic()
    p.wait(timeout=30)
    stderr = open(told).read()
    took = time.monotonic() - killed
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=5)
    check(p.returncode != 0 and took < 5, f"zero_stage {stage}: a rank is killed inside an exchange: the job ends after {took:.1f} s")
    check(f"(process {pids[1]}) has ended, and its part of what goes between GPUs will not come" in stderr, "and the others say why: " + stderr[-500:])
done()
