"""Bad input and bad luck: one clear sentence, the right exit code, every rank ends."""
import os, signal, time
from e2e import *

where = folder()
cases = [
    ("no command", 0, [], 10, ""),
    ("unknown command", 0, ["trian"], 10, "did you mean train"),
    ("unknown option", 0, ["show", "x", "--jsno"], 10, "did you mean --json"),
    ("missing file", 2, ["train", where + "/none.yaml"], 10, "none.yaml"),
    ("not a checkpoint", 0, ["show", where], 20, where),
    ("not a model", 0, ["generate", where, "--prompt", "x"], 10, where + " is no model"),
    ("a file that is no model", 0, ["generate", __file__, "--prompt", "x"], 10, "is no model"),
    ("a name of the hub", 0, ["generate", "owner/model", "--prompt", "x"], 10, "a model of the hub is downloaded first"),
    ("a key with dashes", 0, ["train", "x.yaml", "--learning-rate", "1"], 10, "keys have no dashes before them: learning_rate=VALUE"),
    ("a verb left out", 0, ["config", __file__], 10, "try: pawl config check " + __file__),
    ("a folder for a GGUF file", 0, ["import", where, where + "/m"], 10, "is a folder"),
]
for name, ranks, words, expect, text in cases:
    status, stdout, stderr = run(ranks, *words)
    check(status == expect and text in stderr, f"{name}: exit {status}" + (": " + stderr if status != expect or text not in stderr else ""))
status, stdout, stderr = run(3, "train", "--bogus")
check(status == 10 and stderr.count("unknown option --bogus") == 1, "a wrong command line on 3 ranks is told once")
status, stdout, stderr = run(3, "eval", "x.yaml")
check(status == 10 and stderr.count("--checkpoint is missing") == 1, "so is a missing option")
for words in (["--help"], ["train", "--help"], ["generate", "--help"]):
    status, stdout, _ = run(0, *words)
    check(status == 0 and "usage: pawl" in stdout, f"pawl {' '.join(words)} exits 0")

# All errors of a YAML at once, once, from any number of ranks.
yaml = write_run(where, "bad.yaml", learning_rat="1", max_steps="many", val_set_size=7)
status, _, stderr = run(3, "train", yaml)
check(status == 10 and stderr.count("bad.yaml:") == stderr.count(" error: ") >= 3 and "learning_rate" in stderr, "three errors of a file, each once, with position and suggestion")

# A bad row names file and line.
data = os.path.join(where, "rows.jsonl")
open(data, "w").write('{"text": "a good row of text"}\n{"txt": "x"}\n')
yaml = write_run(where, "rows.yaml", datasets=[dict(path=data, domain="rows")])
status, _, stderr = run(2, "train", yaml)
check(status == 20 and "rows.jsonl:2:" in stderr and stderr.count("rows.jsonl") == 1, "a bad row: FILE:LINE, once, exit 20")

# Rows in which nobody is trained: what says who is.
odd = os.path.join(where, "odd.jsonl")
open(odd, "w").write('{"messages": [{"role": "user", "content": "a"}, {"role": "assistnt", "content": "b"}]}\n')
status, _, stderr = run(0, "train", write_run(where, "odd.yaml", datasets=[dict(path=odd, domain="odd", type="chat")]), "chat_template=chatml")
check(status == 20 and "roles_to_train say whose messages are trained" in stderr, "rows without a trained token: roles are named")

# A run inside its own data would learn its own files when it is started again.
inside = os.path.join(where, "inside")
os.mkdir(inside)
open(os.path.join(inside, "a.txt"), "w").write("a text")
yaml = write_run(where, "inside.yaml", output=os.path.join(inside, "run"), datasets=[dict(path=inside, domain="texts")])
status, _, stderr = run(2, "train", yaml)
check(status == 10 and "choose another output_dir" in stderr and os.listdir(inside) == ["a.txt"], f"output_dir inside the data: exit {status}, nothing is made")

# A pipe where a file is expected is refused, not waited for.
pipe = os.path.join(where, "pipe.jsonl")
os.mkfifo(pipe)
status, _, stderr = run(2, "train", write_run(where, "pipe.yaml", datasets=[dict(path=pipe, domain="pipe")]), seconds=30)
check(status in (10, 20) and "pipe.jsonl" in stderr, f"a pipe as a dataset: exit {status}")
os.mkdir(os.path.join(where, "model"))
os.mkfifo(os.path.join(where, "model", "config.json"))
status, _, stderr = run(0, "generate", os.path.join(where, "model"), "--prompt", "x", seconds=30)
check(status == 20 and "config.json" in stderr, f"a pipe as config.json: exit {status}")

# Two jobs on one output directory: the second refuses.
out = os.path.join(where, "two")
yaml = write_run(where, "two.yaml", output=out, max_steps=100000)
p = start(1, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 3)
status, _, stderr = run(1, "train", yaml)
check(status == 10 and out in stderr, f"the second job refuses: {stderr.strip().splitlines()[0] if stderr else ''}")
p.send_signal(signal.SIGUSR1)
p.communicate(timeout=60)
check(p.returncode == 75, "and the first goes on undisturbed until it is stopped")

# A rank that is stopped: the others give it up after the time allowed, and all is over.
out = os.path.join(where, "stuck")
yaml = write_run(where, "stuck.yaml", output=out, max_steps=100000, watchdog_seconds=2, phase_seconds=4)
p = start(2, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 5)
os.kill(ranks_of(p)[1], signal.SIGSTOP)
stdout, stderr = p.communicate(timeout=30)
check(p.returncode != 0 and "waited" in stderr and "training step" in stderr, f"a stopped rank: the other says what it waited for, exit {p.returncode}")

# A killed mpirun leaves no orphans.
out = os.path.join(where, "orphans")
p = start(2, "train", write_run(where, "orphans.yaml", output=out, max_steps=100000))
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 3)
ranks = ranks_of(p)
p.kill()
p.communicate(timeout=30)

wait_for(lambda: not any(alive(r) for r in ranks), seconds=5)
check(len(ranks) == 2, "kill -9 of mpirun: no rank is left after 5 s")

# Losses that are not finite: all ranks skip alike, name the rows, and stop after ten.
out = os.path.join(where, "diverged")
yaml = write_run(where, "diverged.yaml", output=out, max_steps=40, learning_rate=10, max_grad_norm=0, warmup_steps=0, lr_scheduler="constant",
                 model=MODEL.replace("tokenizer", "  initializer_range: 10\ntokenizer"), adam_beta2=0, adam_epsilon=0)
states = []
for ranks in (1, 3):
    status, stdout, stderr = run(ranks, "train", yaml, f"output_dir={out}{ranks}")
    skips = [m for m in metrics(out + str(ranks)) if m.get("event") == "skip"]
    states.append((status, [(m["step"], m["rows"]) for m in skips]))
    if skips:
        check(skips[0]["bad_rows"] > 0 and ("docs" in skips[0]["rows"][0] or "law" in skips[0]["rows"][0]), f"{ranks} ranks: skipped rows are named: {skips[0]['rows'][:1]}")
check(states[0] == states[1] and len(states[0][1]) > 0, f"1 and 3 ranks skip alike ({len(states[0][1])} skips, exit {states[0][0]})")
done()
