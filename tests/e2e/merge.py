"""pawl merge: against the oracle's models, over checkpoints and runs, and what it refuses."""
import hashlib, struct
import numpy as np
from e2e import *

where = folder()
FIXTURES = os.path.join(SOURCE, "tests/fixtures/continual/merge")
CASES = json.load(open(os.path.join(FIXTURES, "cases.json")))


def load(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    return {n: np.frombuffer(data[slice(*t["data_offsets"])], kinds[t["dtype"]]).reshape(t["shape"]) for n, t in header.items()}


def model(family, name):
    return os.path.join(FIXTURES, family, name)


def words(case, family, out):
    w = ["merge", "--method", case["method"], "-o", out] + [model(family, m) for m in case["models"]]
    for key in ("density", "lambda", "seed"):
        w += [f"--{key}", str(case[key])] if key in case else []
    w += ["--weights", ",".join(map(str, case["weights"]))] if "weights" in case else []
    return w + ([] if case["method"] == "linear" else ["--base", model(family, "base")])


# The oracle's numbers. An f32 rounding or two apart: 1e-6 relative to the largest number.
for family, names in (("llama", list(CASES)), ("gpt2", ["ties", "dare_ties"])):
    for name in names:
        out = os.path.join(where, "oracle", family, name)
        status, _, err = run(0, *words(CASES[name], family, out))
        check(status == 0, f"{family} {name}" + err * (status != 0))
        expected, found = load(model(family, name + ".safetensors")), load(os.path.join(out, "model.safetensors"))
        check(expected.keys() == found.keys(), f"{family} {name}: tensors")
        worst = max(float(np.abs(expected[n].astype(np.float64) - found[n]).max()) for n in expected)
        check(worst < 1e-6, f"{family} {name}: as the oracle has it, {worst:.1e}")

# The same recipe gives the same bits, and another seed others; both ends of wise are exact; rounding is to nearest.
case = CASES["dare_ties"]
digests = []
for i, seed in enumerate((case["seed"], case["seed"], 1)):
    run(0, *words(dict(case, seed=seed), "llama", f"{where}/again{i}"))
    digests.append(hashlib.sha256(open(f"{where}/again{i}/model.safetensors", "rb").read()).hexdigest())
check(digests[0] == digests[1] != digests[2], "the seed alone says what is dropped")
for end, name in ((0, "base"), (1, "b")):
    status, _, err = run(0, "merge", "--method", "wise", model("llama", "base"), model("llama", "b"), "--lambda", str(end), "-o", f"{where}/end{end}")
    a, b = load(f"{where}/end{end}/model.safetensors"), load(model("llama", name) + "/model.safetensors")
    check(status == 0 and all((a[n] == b[n]).all() for n in a), f"wise at {end} is {name}")
status, _, _ = run(0, *words(CASES["ties"], "llama", f"{where}/half"), "--dtype", "bf16")
low, full = load(f"{where}/half/model.safetensors"), load(f"{where}/oracle/llama/ties/model.safetensors")
back = {n: (x.astype(np.uint32) << 16).view("<f4") for n, x in low.items()}
check(status == 0 and all((np.abs(back[n] - full[n]) <= np.abs(full[n]) / 256 + 1e-30).all() for n in full), "--dtype bf16")

# The record.
record = json.load(open(f"{where}/oracle/llama/ties_weighted/pawl-merge.json"))
sha = hashlib.sha256(open(model("llama", "b") + "/model.safetensors", "rb").read()).hexdigest()
check(record["method"] == "ties" and record["weights"] == [0.5, 2, 1] and record["density"] == 0.55 and record["lambda"] == 1.2, "pawl-merge.json: the recipe")
check([f["sha256"] for f in record["models"][1]["files"] if f["name"] == "model.safetensors"] == [sha], "pawl-merge.json: digests of the files")
check(record["base"]["path"] == os.path.realpath(model("llama", "base")), "pawl-merge.json: the base")

# Runs and checkpoints; a run that starts from a merged model says so in its lineage, and licences come along.
first = write_run(where, "first.yaml", f"{where}/first", max_steps=2)
check(run(1, "train", first)[0] == 0, "a run")
run(0, "export", f"{where}/first", f"{where}/start")
with open(f"{where}/start/README.md", "w") as f:
    f.write("---\nlanguage: en\nlicense: mit\n---\n# A card\n")
for name, seed in (("left", 1), ("right", 2)):
    yaml = write_run(where, name + ".yaml", f"{where}/{name}", model=f"base_model: {where}/start\n", max_steps=2, seed=seed)
    check(run(1, "train", yaml)[0] == 0, f"a run from it: {name}")
newest = sorted(os.path.join(where, "right/checkpoints", n) for n in os.listdir(f"{where}/right/checkpoints") if n.startswith("step"))[-1]
status, stdout, err = run(0, "merge", "--method", "ties", "--base", f"{where}/start", f"{where}/left", newest, "-o", f"{where}/deep/merged/")
check(status == 0, "a run's folder and a checkpoint, into a folder that is made" + err)
record = json.load(open(f"{where}/deep/merged/pawl-merge.json"))
check(record["models"][1]["root_sha256"] == pawl_json("show", newest)["root_sha256"], "the record has a checkpoint's digest")
check(record["licenses"] == ["mit", "Apache-2.0"] and record["models"][0]["licenses"] == ["Apache-2.0"], f"and licences: {record['licenses']}")
check(os.path.exists(f"{where}/deep/merged/tokenizer.json"), "the tokenizer comes along")
check(os.listdir(f"{where}/deep") == ["merged"], "nothing is left beside it")
status, stdout, err = run(0, "generate", f"{where}/deep/merged", "--prompt", "The License", "--max-tokens", "4")
check(status == 0, "it generates" + err)
yaml = write_run(where, "next.yaml", f"{where}/next", model=f"base_model: {where}/deep/merged\n", max_steps=1)
check(run(2, "train", yaml)[0] == 0, "it is trained from")
check(pawl_json("show", f"{where}/next")["lineage"]["base"]["merged"]["method"] == "ties", "lineage says of what")

# An adapter's run stands for its base with the adapter worked in.
lora = write_run(where, "lora.yaml", f"{where}/lora", model=f"base_model: {where}/start\n", max_steps=2, adapter="lora", lora_r=4, lora_alpha=8,
                 lora_target_linear="true")
check(run(1, "train", lora)[0] == 0, "a run with an adapter")
run(0, "merge", "--method", "wise", "--lambda", "1", f"{where}/start", f"{where}/lora", "-o", f"{where}/of_lora")
run(0, "export", f"{where}/lora", f"{where}/exported")
check(open(f"{where}/of_lora/model.safetensors", "rb").read() == open(f"{where}/exported/model.safetensors", "rb").read(), "wise at 1 is what export makes of it")

# What is refused, in one sentence, and nothing is written.
bad = f"{where}/bad"
a, b, base = (model("llama", n) for n in ("a", "b", "base"))
hole = f"{where}/hole"
shutil.copytree(a, hole)
raw = bytearray(open(f"{hole}/model.safetensors", "rb").read())
raw[-4:] = struct.pack("<f", float("nan"))
open(f"{hole}/model.safetensors", "wb").write(raw)
other = f"{where}/other"
shutil.copytree(a, other)
config = json.load(open(f"{other}/config.json"))
json.dump(dict(config, rope_theta=500000.0), open(f"{other}/config.json", "w"))
less = f"{where}/less"
shutil.copytree(a, less)
json.dump(dict(config, num_hidden_layers=1), open(f"{less}/config.json", "w"))
for code, word, given in (
        (10, "expected --method", [a, b]),
        (10, "did you mean ties", ["--method", "tie", a, b]),
        (10, "say with --base", ["--method", "ties", a, b]),
        (10, "--density has no part in", ["--method", "linear", "--density", "0.5", a, b]),
        (10, "--seed has no part in", ["--method", "ties", "--seed", "3", "--base", base, a]),
        (10, "--base has no part in", ["--method", "linear", "--base", base, a, b]),
        (10, "expected 2 numbers", ["--method", "linear", "--weights", "1", a, b]),
        (10, "found more", ["--method", "linear", "--weights", "1,2,3", a, b]),
        (10, "found 'x'", ["--method", "linear", "--weights", "1,x", a, b]),
        (10, "not negative", ["--method", "linear", "--weights=-1,2", a, b]),
        (10, "sum to zero", ["--method", "linear", "--weights", "0,0", a, b]),
        (10, "--density: expected", ["--method", "ties", "--density", "0", "--base", base, a]),
        (10, "one model", ["--method", "wise", "--base", base, a, b]),
        (10, "two models or more", ["--method", "linear", a]),
        (10, "expected f32, bf16 or f16", ["--method", "linear", "--dtype", "int4", a, b]),
        (10, "there is no", ["--method", "linear", a, f"{where}/none"]),
        (10, "model_type", ["--method", "linear", a, model("gpt2", "a")]),
        (10, "rope_theta is 10000", ["--method", "linear", a, other]),
        (10, "num_hidden_layers is 2", ["--method", "ties", "--base", a, less]),
        (20, "does not belong to the model", ["--method", "linear", less, less]),
        (20, "lm_head.weight holds a number that is not finite", ["--method", "ties", "--base", base, hole])):
    status, _, err = run(0, "merge", "-o", bad, *given)
    check(status == code and word in err and err.strip().splitlines()[-1].count(word) >= 1 and not os.path.exists(bad), f"refused: {err.strip()[-200:]}")
status, _, err = run(0, "merge", "--method", "linear", a, b)
check(status == 10 and "say with -o" in err, "no -o")
status, _, err = run(0, "merge", "--method", "linear", a, b, "-o", f"{where}/first")
check(status == 10 and "is not empty" in err, "a folder with something in it")

done()
