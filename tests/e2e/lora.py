"""LoRA, from a base model to its export: the same bits for any ranks and after a stop, adapters in PEFT's form and back, merged
weights that say the same, parents with adapters, and a base that is gone or has changed."""
import os, shutil, struct
from e2e import *

where = folder()


def at(name):
    return os.path.join(where, name)


def train(ranks, yaml, *words):
    status, stdout, stderr = run(ranks, "train", yaml, *words)
    check(status == 0, f"train {os.path.basename(yaml)} {' '.join(words)} on {ranks}" + (": " + stderr[-400:] if status else ""))
    return weights(stdout)


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return {k: (v["dtype"], tuple(v["shape"]), data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in head.items()}


def evals(out, last=-1):
    return [m for m in metrics(out) if "eval" in m][last]["eval"]


def close(a, b, limit=1e-5):
    return set(a) == set(b) and all(abs(a[k] - b[k]) < limit for k in a)


def evaluate(what, *words):
    status, stdout, stderr = run(1, "eval", adapted, "--checkpoint", what, "--json", *words)
    check(status == 0, f"eval {os.path.basename(what)}" + (": " + stderr[-300:] if status else ""))
    return {d: s["loss"] for d, s in json.loads(stdout).items()}


def refused(status, sentence, *words, ranks=0):
    got, _, stderr = run(ranks, *words)
    check(got == status and all(part in stderr for part in sentence), f"refused with {status}: {' ... '.join(sentence)}" + ("" if got == status else f" (was {got}: {stderr[-300:]})"))


# A base model.
train(2, write_run(where, "base.yaml", output=at("scratch"), max_steps=60, learning_rate="1e-2"))
base = at("base")
check(run(0, "export", at("scratch"), base)[0] == 0, "the base model is exported")

LORA = dict(adapter="lora", lora_r=4, lora_alpha=16, lora_dropout=0.1, lora_target_modules="[q_proj, v_proj, down_proj]", learning_rate="2e-2")
on_base = f"base_model: {base}\n"
adapted = write_run(where, "lora.yaml", output=at("lora1"), model=on_base, **LORA)

# The same bits on any number of ranks and threads; dropout belongs to rows, not to ranks.
first = train(1, adapted)
for ranks, threads in ((2, 1), (3, 2)):
    check(train(ranks, adapted, f"output_dir={at(f'lora{ranks}')}", f"threads={threads}") == first, f"{ranks} ranks: the same weights_sha256")
check(state(at("lora3")) == state(at("lora1")), "and the same state")
# Not the same bits, since sums are cut otherwise, but the same masks: the loss of every step agrees closely.
train(2, adapted, f"output_dir={at('micro')}", "micro_batch_size=2")
check(all(abs(a["loss"] - b["loss"]) < 1e-4 for a, b in zip(steps(at("lora1")), steps(at("micro")))), "dropout does not depend on micro-batches")
train(1, adapted, f"output_dir={at('undropped')}", "lora_dropout=0")
check(max(abs(a["loss"] - b["loss"]) for a, b in zip(steps(at("undropped")), steps(at("lora1")))) > 1e-3, "and it does something")

shown = pawl_json("show", at("lora1"))
names = [t["name"] for t in shown["tensors"] if t["name"].startswith("model/")]
check(len(names) == 2 * 3 * 2 and all(".lora_A." in n or ".lora_B." in n for n in names), "a checkpoint holds the adapters and nothing else of the model")
check(shown["lineage"]["base"]["path"] == os.path.realpath(base) and shown["lineage"]["adapter"]["r"] == 4, "its lineage names base and adapter")
scores = [m["eval"] for m in metrics(at("lora1")) if "eval" in m]
# What the base has not learnt.
terms = [dict(path=texts(where, "terms", 40), domain="terms", type="text", license="Apache-2.0")]
train(1, write_run(where, "terms.yaml", output=at("terms-run"), model=on_base, datasets=terms, **LORA))
told = [m["eval"] for m in metrics(at("terms-run")) if "eval" in m]
check(told[-1]["terms"] < told[0]["terms"] - 0.02, f"it learns: {told[0]} to {told[-1]}")
check(close(scores[0], evals(at("scratch")), 1e-6), "it begins as the base model is")

# Stop, and go on with other ranks.
stopped = train(2, adapted, f"output_dir={at('stopped')}", "max_steps=12", "save_steps=5")
shutil.rmtree(at("stopped/checkpoints/step-000000012"))
shutil.rmtree(at("stopped/checkpoints/step-000000010"))
check(train(3, adapted, f"output_dir={at('stopped')}", "max_steps=12", "save_steps=5", f"resume_from_checkpoint={at('stopped/checkpoints/step-000000005')}") == first, "resumed from step 5 on 3 ranks: the same bits")
refused(10, ["lora_alpha"], "train", adapted, f"output_dir={at('stopped')}", "lora_alpha=4", "save_steps=5", ranks=1)

# A project's folder that is moved as a whole: paths in it are relative, and digests say that nothing else has changed.
os.mkdir(at("project"))
shutil.copytree(base, at("project/base"))
os.chdir(at("project"))
moving = write_run(".", "run.yaml", output="out", model="base_model: base\n", save_steps=5, **LORA)
check(train(2, moving) == first, "with relative paths: the same bits")
os.chdir(where)
os.rename(at("project"), at("removed"))
os.chdir(at("removed"))
for step in (10, 12):
    shutil.rmtree(f"out/checkpoints/step-{step:09}")
check(train(3, moving, "resume_from_checkpoint=out/checkpoints/step-000000005") == first, "and moved elsewhere, resumed from step 5: the same bits")
check(pawl_json("show", "out")["lineage"]["base"]["path"] == os.path.realpath("base"), "lineage says where the base is now")
with open("base/model.safetensors", "r+b") as f:
    f.seek(-4, 2)
    f.write(b"\0\0\0\0")
refused(10, ["base: the base model's files have changed"], "train", moving, ranks=1)
os.chdir(where)

# Out and in again.
out = evals(at("lora1"))
check(close(evaluate(at("lora1")), out), "eval of the checkpoint gives the run's losses")
check(run(0, "export", at("lora1"), at("merged"))[0] == 0 and close(evaluate(at("merged")), out), "so does the merged export")
check(run(0, "export", at("lora1"), at("peft"), "--adapter")[0] == 0 and close(evaluate(at("peft")), out), "and the exported adapter")
check(sorted(os.listdir(at("peft"))) == ["adapter_config.json", "adapter_model.safetensors"], "in PEFT's two files")
config = json.load(open(at("peft/adapter_config.json")))
check(config["target_modules"] == ["q_proj", "v_proj", "down_proj"] and config["base_model_name_or_path"] == os.path.realpath(base), "with the modules by name, and the base")
check(run(0, "export", at("peft"), at("peft2"), "--adapter")[0] == 0 and open(at("peft2/adapter_model.safetensors"), "rb").read() == open(at("peft/adapter_model.safetensors"), "rb").read(), "read and written again: the same bytes")
answers = [pawl_json("generate", at(what), "--prompt", "The License", "--max-tokens", "24") for what in ("lora1", "merged", "peft")]
check(answers[0] == answers[1] == answers[2], f"generate says the same with all three: {answers[0]['text']!r}")
check(set(read_safetensors(at("merged/model.safetensors"))) == set(read_safetensors(os.path.join(base, "model.safetensors"))), "the merged model has the base's tensors")

# An adapter to start from.
train(1, write_run(where, "again.yaml", output=at("again"), model=on_base, adapter="lora", lora_model_dir=at("peft"), max_steps=2))
check(close(evals(at("again"), 0), out), "lora_model_dir: begins where the adapter ended")

check({f["name"] for f in pawl_json("show", at("again"))["lineage"]["adapter_start"]["files"]} == {"adapter_config.json", "adapter_model.safetensors"}, "and lineage has its digests")

# A parent with an adapter: the same adapter goes on; another one, or none, begins from the merged weights.
parent = f"parent_checkpoint: {at('lora1/checkpoints/step-000000012')}\n"
train(2, write_run(where, "child.yaml", output=at("child"), model=parent, max_steps=2, **{k: v for k, v in LORA.items() if k == "adapter"}))
check(close(evals(at("child"), 0), out), "the parent's adapter goes on")
lineage = pawl_json("show", at("child"))["lineage"]
check(lineage["base"]["path"] == os.path.realpath(base) and lineage["parent"]["root_sha256"] == shown["root_sha256"], "on the parent's base, with the parent named")
train(2, write_run(where, "other.yaml", output=at("other"), model=parent, max_steps=2, **dict(LORA, lora_r=2)))
check(close(evals(at("other"), 0), out), "another adapter begins from the parent, merged")
check(close(evaluate(at("other")), evals(at("other"))), "and opens it again")
train(2, write_run(where, "full.yaml", output=at("full"), model=parent, max_steps=2))
check(close(evals(at("full"), 0), out), "so does full fine-tuning")
train(1, write_run(where, "over.yaml", output=at("over"), model=f"parent_checkpoint: {at('full')}\n", max_steps=2, **LORA))
check(close(evals(at("over"), 0), evals(at("full"))) and close(evaluate(at("over")), evals(at("over"))), "and an adapter over a checkpoint of full fine-tuning")

# DoRA and rsLoRA.
dora = dict(LORA, lora_target_modules="all-linear", peft_use_dora="true", peft_use_rslora="true")
yaml = write_run(where, "dora.yaml", output=at("dora1"), model=on_base, max_steps=6, **dora)
one = train(1, yaml)
check(train(2, yaml, f"output_dir={at('dora2')}") == one, "DoRA on 2 ranks: the same weights_sha256")
check(close(evals(at("dora1"), 0), scores[0], 1e-5), "it begins as the base model is")
check(run(0, "export", at("dora1"), at("dora-merged"))[0] == 0 and close(evaluate(at("dora-merged")), evals(at("dora1"))), "its merged export says the same")
check(run(0, "export", at("dora1"), at("dora-peft"), "--adapter")[0] == 0 and close(evaluate(at("dora-peft")), evals(at("dora1"))), "and its adapter")

# A base in few bits: the same bits on any ranks, resumed too; the export is worked into the base as it is.
for key, adapter, limit in (("load_in_8bit", "lora", 0.02), ("load_in_4bit", "qlora", 0.2)):
    few = write_run(where, f"{key}.yaml", output=at(key), model=on_base, **dict(LORA, adapter=adapter, save_steps=4, **{key: "true"}))
    one = train(1, few)
    check(one != first and train(3, few, f"output_dir={at(key + '3')}", "threads=2") == one, f"{key}: 3 ranks end with the same weights_sha256")
    check(close(evals(at(key), 0), scores[0], limit) and not close(evals(at(key), 0), scores[0], 1e-7), f"{key}: the base is nearly itself: {evals(at(key), 0)}")
    check(run(0, "export", at(key), at(key + "-merged"))[0] == 0 and close(evaluate(at(key + "-merged")), evals(at(key)), limit), f"{key}: merged into the base as it was")
    if adapter == "lora":
        continue
    train(2, few, f"output_dir={at(key + '2')}")
    shutil.rmtree(at(key + "2/checkpoints/step-000000012"))
    check(train(1, few, f"output_dir={at(key + '2')}", f"resume_from_checkpoint={at(key + '2/checkpoints/step-000000008')}") == one, f"{key}: and so does a resumed run")
plans = {code: pawl_json("plan", write_run(where, "plan.yaml", model=on_base, **dict(LORA, **code_keys)))["bytes_per_rank"]["base weights"]
         for code, code_keys in dict(f32={}, int8=dict(load_in_8bit="true"), nf4=dict(adapter="qlora", load_in_4bit="true")).items()}
check(plans["nf4"] < plans["int8"] < plans["f32"], f"the plan shows what is saved: {plans}")
refused(10, ["cannot be trained"], "config", "check", write_run(where, "bad.yaml", model=on_base, load_in_4bit="true"))
refused(10, ["found both"], "config", "check", write_run(where, "bad.yaml", model=on_base, **dict(LORA, load_in_4bit="true", load_in_8bit="true")))
refused(10, ["load_in_4bit: true"], "config", "check", write_run(where, "bad.yaml", model=on_base, **dict(LORA, adapter="qlora")))

# What PEFT wrote, read and written again: the same bytes, and the same choice of modules.
fixtures = os.path.join(SOURCE, "tests/fixtures/hf")
for name in sorted(os.listdir(fixtures)):
    theirs, ours = os.path.join(fixtures, name, "lora"), at("round-" + name)
    if os.path.isdir(theirs):
        status, _, stderr = run(0, "export", theirs, ours, "--adapter")
        same = status == 0 and open(os.path.join(ours, "adapter_model.safetensors"), "rb").read() == open(os.path.join(theirs, "adapter_model.safetensors"), "rb").read()
        a, b = (json.load(open(os.path.join(d, "adapter_config.json"))) for d in (theirs, ours if same else theirs))
        check(same and all(a[k] == b[k] for k in ("r", "lora_alpha", "use_dora", "use_rslora", "fan_in_fan_out")), f"{name}: PEFT's file, read and written again" + stderr)

# The plan.
full, lora = (pawl_json("plan", write_run(where, "plan.yaml", model=on_base, **more)) for more in ({}, LORA))
check(lora["bytes_per_rank"]["optimizer"] < full["bytes_per_rank"]["optimizer"] / 4 and lora["bytes_per_rank"]["base weights"] > 0, "the plan knows that the base has no optimizer state")
check(lora["flops"] < full["flops"], "nor gradients")

# What cannot be.
refused(10, ["qq_proj", "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"], "train", adapted, f"output_dir={at('no')}", "lora_target_modules=[qq_proj]", ranks=1)
refused(10, ["lora_r"], "config", "check", write_run(where, "bad.yaml", model=on_base, lora_r=4))
refused(10, ["lora_alpha is missing"], "config", "check", write_run(where, "bad.yaml", model=on_base, adapter="lora", lora_r=4, lora_target_linear="true"))
refused(10, ["base_model or parent_checkpoint"], "config", "check", write_run(where, "bad.yaml", **LORA))
refused(10, ["has no adapter"], "export", base, at("none"), "--adapter")
refused(10, ["found both"], "export", at("lora1"), at("none"), "--adapter", "--merged")
refused(10, ["lora_model_dir"], "train", write_run(where, "bad.yaml", output=at("no"), model=f"base_model: {at('peft')}\n"), ranks=1)
json.dump(dict(config, modules_to_save=["lm_head"]), open(at("peft2/adapter_config.json"), "w"))
refused(20, ["modules_to_save is not supported"], "export", at("peft2"), at("none"))
os.rename(base, at("moved"))
refused(10, [base, "not there any more", "--base"], "generate", at("lora1"), "--prompt", "x")
status, stdout, stderr = run(0, "generate", at("lora1"), "--prompt", "The License", "--max-tokens", "24", "--json", "--base", at("moved"))
check(status == 0 and json.loads(stdout) == answers[0], "with --base it is found again" + stderr)
status, stdout, stderr = run(0, "eval", adapted, "--checkpoint", at("lora1"), "--json", "--base", at("moved"))
check(status == 0 and close({d: s["loss"] for d, s in json.loads(stdout).items()}, out), "and by eval, whose run names it where it was" + stderr)
with open(at("moved/model.safetensors"), "r+b") as f:
    f.seek(-4, 2)
    f.write(b"\0\0\0\0")
refused(10, ["model.safetensors", "has another SHA-256"], "export", at("lora1"), at("none"), "--base", at("moved"))
done()
