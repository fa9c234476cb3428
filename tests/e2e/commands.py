"""The commands on a trained run: eval, generate, show, log, verify, export, and the way back in through base_model."""
import os, json, math
from e2e import *

where = folder()
out = os.path.join(where, "out")
yaml = write_run(where, max_steps=30, save_steps=10, save_total_limit=2)
status, stdout, stderr = run(2, "train", yaml)
check(status == 0, "train" + stderr[-500:] * (status != 0))
check(stdout.count("weights_sha256") == 1 and "memory" in stdout and "plan" in stdout, "start screen and summary on stdout")
check(sorted(os.listdir(os.path.join(out, "checkpoints")))[:2] == ["LATEST", "step-000000020"], "save_total_limit 2 keeps the last two")
for name in ("run.yaml", "resolved.yaml", "metrics.jsonl"):
    check(os.path.isfile(os.path.join(out, name)), f"{name} is there")
check(open(os.path.join(out, "run.yaml")).read() == open(yaml).read(), "run.yaml is the file as given")
status, _, stderr = run(0, "config", "check", os.path.join(out, "resolved.yaml"))
check(status == 0, "resolved.yaml passes config check" + stderr)

shown = pawl_json("show", out)
for key in "step stage weights_sha256 state_sha256 memory_sha256 root_sha256 parent created pawl_version ranks reduction_lanes tokens datasets licenses tensors lineage".split():
    check(key in shown, f"show --json has {key}")
check(shown["step"] == 30 and shown["ranks"] == 2 and shown["reduction_lanes"] == 8 and shown["licenses"] == ["Apache-2.0"], "and the values are the run's")
check(set(shown["tokens"]) == {"docs", "law"} and sum(shown["tokens"].values()) == steps(out)[-1]["tokens_total"], "tokens per domain add up")

# Evaluation: the same figures from the run, from eval on 1 and 2 ranks, and from the exported model.
last = [m for m in metrics(out) if "eval" in m][-1]["eval"]
exported = os.path.join(where, "exported")
status, stdout, stderr = run(0, "export", out, exported)
check(status == 0, "export" + stderr)
for ranks, what in ((1, out), (2, out), (2, exported)):
    status, stdout, stderr = run(ranks, "eval", yaml, "--checkpoint", what, "--json")
    check(status == 0, f"eval on {ranks} ranks" + stderr[-300:] * (status != 0))
    scores = json.loads(stdout)
    check(all(abs(scores[d]["loss"] - last[d]) < 1e-9 for d in last), f"eval of {os.path.basename(what)} on {ranks} ranks gives the run's losses")
    check(all(abs(s["perplexity"] - math.exp(s["loss"])) < 1e-6 * s["perplexity"] and abs(s["bits_per_byte"] - s["loss"] * s["tokens"] / s["bytes"] / math.log(2)) < 1e-9 for s in scores.values()), "perplexity and bits per byte follow from the loss")

# Generation: greedy is a function of the model; a seed fixes a sample; the export says the same.
a = pawl_json("generate", out, "--prompt", "The License", "--max-tokens", "24")
b = pawl_json("generate", exported, "--prompt", "The License", "--max-tokens", "24")
check(a == b and len(a["tokens"]) <= 24 and a["stop"] in ("length", "end"), f"greedy: {a['text']!r}, the same from the export")
s = [pawl_json("generate", out, "--prompt", "The", "--max-tokens", "24", "--temperature", "1", "--top-p", "0.9", "--seed", seed)["tokens"] for seed in ("1", "1", "2")]
check(s[0] == s[1] and s[0] != s[2], "a seed fixes the sample")
status, stdout, _ = run(0, "generate", out, "--prompt", "The License", "--max-tokens", "8")
check(status == 0 and stdout.startswith("The License"), "plain output begins with the prompt")

# A model that was exported is a base model.
second = os.path.join(where, "second")
base = write_run(where, "second.yaml", output=second, model=f"base_model: {exported}\n", max_steps=3)
status, stdout, stderr = run(2, "train", base)
check(status == 0, "train from the export" + stderr[-300:] * (status != 0))
first = [m for m in metrics(second) if "eval" in m][0]["eval"]
check(all(abs(first[d] - last[d]) < 1e-9 for d in last), "it begins where the first run ended")
check([f["name"] for f in pawl_json("show", second)["lineage"]["base"]["files"]] == ["config.json", "model.safetensors"] or "model.safetensors" in json.dumps(pawl_json("show", second)["lineage"]["base"]), "and its lineage names the base model's files")

# parent_checkpoint continues a finished run; the chain goes on.
third = os.path.join(where, "third")
newest = os.path.join(out, "checkpoints", "step-000000030")
child = write_run(where, "third.yaml", output=third, model=f"parent_checkpoint: {newest}\n", max_steps=3)
status, stdout, stderr = run(2, "train", child)
check(status == 0, "train from a parent checkpoint" + stderr[-300:] * (status != 0))
check(pawl_json("show", third)["parent"] == shown["root_sha256"], "its checkpoint names the parent's root digest")

# A finished run's last checkpoint, taken into another folder, is saved there.
elsewhere = os.path.join(where, "elsewhere")
status, stdout, stderr = run(2, "train", yaml, f"resume_from_checkpoint={newest}", f"output_dir={elsewhere}")
check(status == 0 and pawl_json("show", elsewhere)["weights_sha256"] == shown["weights_sha256"], "the last checkpoint taken into another folder is saved there" + stderr[-300:] * (status != 0))

# Exports do not write over what is there; nor does a run over a stranger's files.
status, _, stderr = run(0, "export", out, exported)
check(status == 10 and "not empty" in stderr, "an export over a model is refused")
os.mkdir(os.path.join(where, "mine"))
open(os.path.join(where, "mine", "metrics.jsonl"), "w").write("mine\n")
status, _, stderr = run(1, "train", yaml, f"output_dir={os.path.join(where, 'mine')}")
check(status == 10 and "metrics.jsonl" in stderr, "a run over a stranger's metrics.jsonl is refused")

# Verify: whole; then one flipped bit is found and named.
status, stdout, _ = run(0, "verify", out)
check(status == 0, "verify: whole")
file = os.path.join(newest, "checkpoint.h5")
t = next(t for t in shown["tensors"] if t["name"].endswith("lm_head.weight") and t["name"].startswith("model/"))
manifest = json.load(open(os.path.join(newest, "manifest.json")))
offset = next(x["offset"] for x in manifest["tensors"] if x["name"] == t["name"])
with open(file, "r+b") as f:
    f.seek(offset + 5)
    byte = f.read(1)[0]
    f.seek(offset + 5)
    f.write(bytes([byte ^ 1]))
status, stdout, _ = run(0, "verify", newest)
check(status == 20 and "lm_head.weight" in stdout and "checkpoint.h5" in stdout, "verify names the tensor of a flipped bit")
status, _, stderr = run(0, "generate", newest, "--prompt", "x")
check(status == 20 and "lm_head.weight" in stderr, "a damaged checkpoint is not used")
status, _, stderr = run(2, "train", yaml, "max_steps=30")
check(status == 20 and "lm_head.weight" in stderr, "resuming stops at the damage and names it")
status, stdout, stderr = run(2, "train", yaml, "resume_fallback=true")
check(status == 0 and "10 steps" in stderr and weights(stdout) == shown["weights_sha256"], "resume_fallback goes back, says what is lost, and ends with the same bits" + stderr[-300:] * (status != 0))
done()
