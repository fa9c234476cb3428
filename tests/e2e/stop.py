"""Stopping on purpose, and going on at other numbers of ranks with the same bits."""
import os, signal
from e2e import *

where = folder()
whole = os.path.join(where, "whole")
status, stdout, _ = run(2, "train", write_run(where, "whole.yaml", output=whole, max_steps=60, eval_steps=25))
check(status == 0, "an undisturbed run ends with 0")
expected, expected_weights = state(whole), weights(stdout)


def stop_with(name, ranks, send, expect=(75,)):
    """Stops a run after some steps by send(process); it must exit 75 with a checkpoint at the step it names."""
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, max_steps=60, eval_steps=25)
    p = start(ranks, "train", yaml)
    wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 6)
    send(p)
    stdout, stderr = p.communicate(timeout=60)
    check(p.returncode in expect, f"{name}: exit {p.returncode}" + ("" if p.returncode in expect else ": " + stderr))
    saved = pawl_json("show", out)["step"]
    check(0 < saved < 60 and f"stopped at step {saved}" in stdout, f"{name}: stopped and saved at step {saved}")
    return out, yaml, saved


out, yaml, saved = stop_with("usr1", 2, lambda p: p.send_signal(signal.SIGUSR1))
status, stdout, stderr = run(3, "train", yaml)
check(status == 0 and weights(stdout) == expected_weights and state(out) == expected, "USR1 on 2 ranks, resumed on 3: the bits of an undisturbed run" + stderr[-300:] * (status != 0))
lines = metrics(out)
check([m["step"] for m in lines if "loss" in m] == list(range(1, 61)), "metrics.jsonl has every step once")
check([m["loss"] for m in steps(out)] == [m["loss"] for m in steps(whole)], "and every step's loss is that of an undisturbed run")
check([m["eval"] for m in lines if "eval" in m] == [m["eval"] for m in metrics(whole) if "eval" in m], "evaluations too")
check([m["event"] for m in lines if "event" in m and m["event"] != "save"] == ["stop", "resume", "memory"], "stop, resume and the memory of the end are in it")
chain = pawl_json("log", out)
check(len(chain) == 2 and chain[0]["parent"] == chain[1]["root_sha256"] and chain[1]["parent"] is None, "pawl log: each checkpoint names its parent")
shown = pawl_json("show", out)
check(shown["lineage"]["resumes"][0]["ranks"] == 3 and shown["lineage"]["resumes"][0]["step"] == saved, "the lineage tells of the resume")

out, yaml, _ = stop_with("term", 3, lambda p: os.kill(ranks_of(p)[1], signal.SIGTERM))
status, stdout, stderr = run(1, "train", yaml)
check(status == 0 and state(out) == expected, "TERM at one of 3 ranks, resumed on 1: the same bits" + stderr[-300:] * (status != 0))

# Another start finds the finished run and changes nothing.
status, stdout, _ = run(2, "train", yaml)
check(status == 0 and weights(stdout) == expected_weights and len(pawl_json("log", out)) == 2, "a finished run is left as it is")

# A changed configuration is refused with what changed; what may change is not.
status, _, stderr = run(2, "train", yaml, "learning_rate=1e-3")
check(status == 10 and "learning_rate: 0.003 -> 0.001" in stderr, "a changed learning_rate is refused by name")
status, _, _ = run(2, "train", yaml, "logging_steps=5", "save_steps=7")
check(status == 0, "logging_steps and save_steps may change")

# none refuses a used folder; a path takes that checkpoint.
status, _, stderr = run(1, "train", yaml, "resume_from_checkpoint=none")
check(status == 10 and "has checkpoints already" in stderr, "none refuses a used output_dir")
path = os.path.join(where, "usr1", "checkpoints", f"step-{saved:09d}")
again = os.path.join(where, "again")
status, stdout, stderr = run(2, "train", os.path.join(where, "usr1.yaml"), f"resume_from_checkpoint={path}", f"output_dir={again}")
check(status == 0 and weights(stdout) == expected_weights, "a path resumes from that checkpoint into another folder" + stderr[-300:] * (status != 0))

# Changed data are refused.
data = os.path.join(where, "text.txt")
open(data, "w").write("The quick brown fox jumps over the lazy dog. " * 200)
one = [dict(path=data, domain="fox")]
out = os.path.join(where, "data")
yaml = write_run(where, "data.yaml", output=out, datasets=one, val_set_size=0, save_steps=4, max_steps=8)
run(2, "train", yaml)
open(data, "a").write("And once more.")
import shutil
shutil.rmtree(os.path.join(out, "checkpoints", "step-000000008"))
status, _, stderr = run(2, "train", yaml, f"resume_from_checkpoint={out}/checkpoints/step-000000004")
check(status == 10 and "datasets" in stderr, "changed data are refused on resume")
done()
