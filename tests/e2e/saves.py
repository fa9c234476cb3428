"""Saves that fail, saves by the clock, and stops among evaluations."""
import os, shutil, signal
from e2e import *

SLOW = os.path.join(TESTS, "slow_pawl")
where = folder()
settings = dict(max_steps=60, save_steps=20, val_set_size=0)
whole = os.path.join(where, "whole")
status, stdout, _ = run(2, "train", write_run(where, "whole.yaml", output=whole, **settings))
expected = state(whole)


def full(name, saves, stop=False, **more):
    """A run whose first saves find no room for the manifest; optionally stopped."""
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, **dict(settings, **more))
    p = start(2, "train", yaml, program=SLOW, env=dict(ENV, PAWL_FULL=str(saves)))
    if stop:
        wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 5)
        p.send_signal(signal.SIGUSR1)
    stdout, stderr = p.communicate(timeout=60)
    return out, yaml, p.returncode, stdout, stderr


out, yaml, status, stdout, stderr = full("once", 1)
check(status == 0 and stderr.count("could not be written") == 1 and "No space left" in stderr, f"one failed save is a warning with its cause, exit {status}")
check(state(out) == expected and len(pawl_json("log", out)) == 2, "the run goes on and ends with the same bits, without that checkpoint")
check([m["event"] for m in metrics(out) if "error" in m] == ["save"], "metrics tell of it")

out, yaml, status, stdout, stderr = full("twice", 2)
check(status == 40 and stderr.count("rank 0: ") == 1 and "No space left" in stderr, f"two in a row stop the run: exit {status}, told once")
check(not [f for f in os.listdir(os.path.join(out, "checkpoints")) if f.endswith(".part")], "nothing is left over")

out, yaml, status, stdout, stderr = full("stop", 1, stop=True, max_steps=100000, save_steps=0)
check(status == 75 and pawl_json("show", out)["step"] > 0, "a stop whose first save fails tries again, and saves")
out, yaml, status, stdout, stderr = full("never", 9, stop=True, max_steps=100000, save_steps=0)
check(status == 40 and "saved" not in stdout.splitlines()[-1] and "No space left" in stderr, f"a stop that cannot save says so: exit {status}")

out = os.path.join(where, "clock")
status, _, _ = run(2, "train", write_run(where, "clock.yaml", output=out, max_steps=1500, save_minutes=0.005, val_set_size=0))
check(status == 0 and len(pawl_json("log", out)) >= 2, f"save_minutes saves by the clock: {[k['step'] for k in pawl_json('log', out)]}")

# Evaluations at every step, a stop and a resume among them: the same evaluations as without.
settings = dict(max_steps=40, eval_steps=1)
whole = os.path.join(where, "evals")
run(2, "train", write_run(where, "evals.yaml", output=whole, **settings))
wanted = [(m["step"], m["eval"]) for m in metrics(whole) if "eval" in m]
out = os.path.join(where, "among")
yaml = write_run(where, "among.yaml", output=out, **settings)
stops = 0
while stops < 6:
    before = count_lines(os.path.join(out, "metrics.jsonl"))
    p = start(1 + stops % 3, "train", yaml)
    wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > before + 4 or p.poll() is not None)
    p.send_signal(signal.SIGUSR1)
    p.communicate(timeout=60)
    if p.returncode == 0:
        break
    check(p.returncode == 75, f"stop {stops + 1} among evaluations")
    stops += 1
status, _, stderr = run(2, "train", yaml)
check(status == 0 and stops > 0 and state(out) == state(whole), f"{stops} stops among evaluations: the same bits" + stderr[-300:] * (status != 0))
check([(m["step"], m["eval"]) for m in metrics(out) if "eval" in m] == wanted, "and the same evaluations, each once")
got = [(e["step"], e["scores"]) for e in pawl_json("show", out)["lineage"]["evaluations"]]
check([s for s, _ in got] == [s for s, _ in wanted], "in the lineage too")

# Killed before its first checkpoint and started again: no line stands twice.
out = os.path.join(where, "early")
yaml = write_run(where, "early.yaml", output=out, max_steps=50)
p = start(1, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 5)
os.kill(ranks_of(p)[0], signal.SIGKILL)
p.communicate(timeout=30)
run(1, "train", yaml)
lines = metrics(out)
check([m["step"] for m in lines if "loss" in m] == list(range(1, 51)) and [m["step"] for m in lines if "eval" in m] == [0, 50], "killed before the first checkpoint: metrics begin anew")

# A lineage that lacks what it should have is refused, not stumbled over.
import hashlib, json


def without(text, key):
    """Canonical JSON text without the first member of that name."""
    at = text.index(f'"{key}":')
    _, end = json.JSONDecoder().raw_decode(text, at + len(key) + 3)
    return text[:at] + text[end + 1:] if text[end] == "," else text[:at].rstrip(",") + text[end:]


k = os.path.join(out, "checkpoints", "step-000000050", "manifest.json")
for key in ("datasets", "configuration", "tokenizer", "topology"):
    text = open(k).read()
    lineage = text.index('"lineage":')
    text = text[:lineage] + without(text[lineage:], key)
    rest = without(text, "root_sha256")
    root = hashlib.sha256(rest.encode()).hexdigest()
    text = text.replace(json.loads(open(k).read())["root_sha256"], root)
    copy = os.path.join(where, "lacks-" + key)
    shutil.copytree(out, copy)
    open(os.path.join(copy, "checkpoints", "step-000000050", "manifest.json"), "w").write(text)
    open(os.path.join(copy, "checkpoints", "LATEST"), "w").write(f"step-000000050 {root}\n")
    status, _, stderr = run(1, "train", yaml, f"output_dir={copy}")
    check(status in (10, 20) and stderr, f"a lineage without {key}: exit {status}: {stderr.strip().splitlines()[0][:100] if stderr else ''}")
done()
