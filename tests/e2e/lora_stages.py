"""An adapter for each stage: O-LoRA's numbers beside PyTorch's; the same bits on any ranks, at any zero_stage, killed, resumed and continued; the base with the
finished ones worked in is what exports, generation and evaluation say it is; other methods beside it; the plan; what cannot be."""
import glob, os, signal, struct
import h5py, numpy as np
from e2e import *

where = folder()
FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "continual")
BASE = os.path.join(FIXTURES, "methods", "model")


def at(name):
    return os.path.join(where, name)


def train(ranks, yaml, *words):
    status, stdout, stderr = run(ranks, "train", yaml, *words)
    check(status == 0, f"train {' '.join([os.path.basename(yaml), *(os.path.basename(w) for w in words)])} on {ranks}" + (": " + stderr[-500:] if status else ""))
    return weights(stdout)


def refused(sentence, *words, ranks=0):
    status, _, stderr = run(ranks, *words)
    check(status == 10 and all(part in stderr for part in sentence), f"refused: {' ... '.join(sentence)}" + (f" (was {status}: {stderr[-300:]})" if status != 10 else ""))


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + n])
    head.pop("__metadata__", None)
    return {k: np.frombuffer(data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], np.float32).reshape(v["shape"]).astype(float) for k, v in head.items()}


def tensors(checkpoint):
    """{name: numbers} of what is under model/, wherever in the run's files it lies."""
    found = {}
    shown = {t["name"] for t in pawl_json("show", checkpoint)["tensors"]}
    for path in sorted(glob.glob(os.path.join(os.path.dirname(checkpoint), "step-*", "*.h5"))):
        if os.path.dirname(path) > checkpoint:
            break
        with h5py.File(path) as f:
            f.visititems(lambda name, item: found.__setitem__(name, item[()].astype(float)) if isinstance(item, h5py.Dataset) and name in shown and "model/" in name[:6] else None)
    return found


def newest(out):
    return sorted(glob.glob(os.path.join(out, "checkpoints", "step-*")))[-1]


def evals(out):
    return [m["eval"] for m in metrics(out) if "eval" in m]


def evaluate(what, yaml):
    status, stdout, stderr = run(1, "eval", yaml, "--checkpoint", what, "--json")
    check(status == 0, f"eval {os.path.basename(what)}" + (": " + stderr[-300:] if status else ""))
    return {d: s["loss"] for d, s in json.loads(stdout).items()} if status == 0 else {}


def close(a, b, limit=1e-5):
    return len(a) > 0 and set(a) == set(b) and all(abs(a[k] - b[k]) < limit for k in a)


def write(name, stages, start=f"base_model: {BASE}\n", **keys):
    """stages: (name, texts, steps)."""
    settings = dict(tokenizer="bytes", sequence_len=64, global_batch_size=4, micro_batch_size=1, val_set_size=0.3, logging_steps=1, warmup_steps=1,
                    dataset_prepared_path=at("prepared"), output_dir=at(name))
    settings.update(keys)
    with open(at(name + ".yaml"), "w") as f:
        f.write(start + "".join(f"{k}: {v if isinstance(v, str) else json.dumps(v)}\n" for k, v in settings.items() if v is not None) + "stages:\n")
        f.writelines(f"  - {{name: {s}, max_steps: {n}, datasets: [{{path: {p}, domain: {s}, type: text}}]}}\n" for s, p, n in stages)
    return at(name + ".yaml")


# PyTorch's numbers.
oracle = json.load(open(os.path.join(FIXTURES, "lora_stages.json")))
wanted = dict(np.load(os.path.join(FIXTURES, "lora_stages.npz")))
train(2, write("oracle", [(s, os.path.join(FIXTURES, "methods", p), oracle["steps"]) for s, p in oracle["stages"]], global_batch_size=2, sample_packing=False, val_set_size=0,
               warmup_steps=0, lr_scheduler="constant", zero_stage=1, **oracle["keys"]))
penalties, found = wanted.pop("penalties"), tensors(newest(at("oracle")))
told = [m["penalty"] for m in steps(at("oracle"))]
check(np.allclose(told, penalties, rtol=1e-4), f"the penalty of every step is PyTorch's ({np.abs(np.array(told) / penalties - 1).max():.1e})")
off = {k: np.linalg.norm(found.get(k, np.inf) - x) / np.linalg.norm(x) for k, x in wanted.items()}
check(found.keys() == wanted.keys() and max(off.values()) < 5e-5, f"the adapters of all three stages are PyTorch's ({max(off.values()):.1e})")

# The same bits, wherever and however often it is begun anew.
TEXTS = [(name, texts(where, name + "-texts")) for name in ("one", "two", "three")]
LENGTHS = (3, 4, 4)
ALL = [(*t, n) for t, n in zip(TEXTS, LENGTHS)]
LORA = dict(adapter="lora", lora_r=3, lora_alpha=6, lora_target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.1, learning_rate=1e-2)
ORTHOGONAL = dict(LORA, lora_stages="orthogonal", olora={"lambda": 0.3, "lambda2": 0.01}, save_steps=2)
yaml = write("first", ALL, **ORTHOGONAL)
expected = train(1, yaml)
check(train(3, yaml, f"output_dir={at('on-3')}", "zero_stage=2", "threads=1") == expected and state(at("on-3")) == state(at("first")), "3 ranks with zero_stage 2: the same bits")
p = start(2, "train", yaml, f"output_dir={at('killed')}", "save_total_limit=1")
wait_for(lambda: count_lines(os.path.join(at("killed"), "metrics.jsonl")) > 8 or p.poll() is not None, pause=0.002)
for rank in ranks_of(p):
    try:
        os.kill(rank, signal.SIGKILL)
    except ProcessLookupError:
        pass
p.communicate(timeout=60)
left = glob.glob(at("killed/checkpoints/step-*"))
check(train(3, yaml, f"output_dir={at('killed')}", "save_total_limit=1", "zero_stage=1") == expected and state(at("killed")) == state(at("first")),
      f"killed with {', '.join(sorted(map(os.path.basename, left))) or 'nothing saved'}, and resumed on 3 ranks with zero_stage 1: the same bits")
for step, inside in ((3, "at the end of the first stage"), (6, "inside the second")):
    out = at(f"from-{step}")
    resumed = train(2, yaml, f"output_dir={out}", f"resume_from_checkpoint={at('first')}/checkpoints/step-{step:09}")
    check(resumed == expected, f"resumed {inside}: the same bits")
check(pawl_json("verify", at("first"))["whole"] and pawl_json("verify", at("killed"))["whole"], "checkpoints are whole, also where earlier ones were pruned")

# What there is: the sum of the stages' adapters over the base, however it is taken out.
found = tensors(newest(at("first")))
scale = LORA["lora_alpha"] / LORA["lora_r"]
modules = sorted({k.split("base_model.model.")[1].removesuffix(".lora_A.weight") for k in found if k.endswith("lora_A.weight")})
prefixes = ["model/finished/1/", "model/finished/2/", "model/"]
part = lambda prefix, module, which: found[f"{prefix}base_model.model.{module}.lora_{which}.weight"]
check(len(found) == 3 * 2 * len(modules) == 3 * 2 * 3 * 2, "a checkpoint holds the adapters of three stages")
check(all(not np.array_equal(part(a, m, "A"), part(b, m, "A")) for m in modules for a in prefixes for b in prefixes if a < b), "of which each began with an A of its own")
early = tensors(os.path.join(at("first"), "checkpoints", "step-000000003"))
check(all(np.array_equal(x, found[k.replace("model/", "model/finished/1/")]) for k, x in early.items()), "and the finished ones stay what they were")
under = read_safetensors(os.path.join(BASE, "model.safetensors"))
total = {m: sum(scale * part(p, m, "B") @ part(p, m, "A") for p in prefixes) for m in modules}
status, _, stderr = run(0, "export", at("first"), at("merged"))
merged = read_safetensors(at("merged/model.safetensors")) if status == 0 else {}
distance = max(np.abs(merged[k] - x - total.get(k.removesuffix(".weight"), 0)).max() for k, x in under.items()) if merged else np.inf
check(distance < 1e-6 and max(np.abs(x).max() for x in total.values()) > 1e-3, f"the merged export is the base and the sum of all stages' adapters ({distance:.1e})" + stderr)
check(run(0, "export", at("first"), at("peft"), "--adapter")[0] == 0, "they go out as one adapter")
config, peft = json.load(open(at("peft/adapter_config.json"))), read_safetensors(at("peft/adapter_model.safetensors"))
check(config["r"] == 9 and config["lora_alpha"] == 18, "of their ranks together")
one = lambda m, which: peft[f"base_model.model.{m}.lora_{which}.weight"]
distance = max(np.abs(config["lora_alpha"] / config["r"] * one(m, "B") @ one(m, "A") - total[m]).max() for m in modules)
check(distance < 1e-12 and len(peft) == 2 * len(modules), f"which adds what they add ({distance:.1e})")
out = evals(at("first"))[-1]
check(close(evaluate(at("first"), yaml), out) and close(evaluate(at("merged"), yaml), out) and close(evaluate(at("peft"), yaml), out), "checkpoint, merged export and adapter have the run's losses")
answers = [pawl_json("generate", at(what), "--prompt", "The License", "--max-tokens", "16") for what in ("first", "merged")]
check(answers[0] == answers[1], f"and say the same: {answers[0]['tokens']}")
status, _, stderr = run(0, "merge", "--method", "wise", "--lambda", "1", "--base", BASE, at("first"), "-o", at("wise"))
wise = read_safetensors(at("wise/model.safetensors")) if status == 0 else {}
check(wise and max(np.abs(wise[k] - merged[k]).max() for k in merged) < 1e-6, "pawl merge takes all of them" + stderr[-200:] * (status != 0))
check("of 3 stages" in run(0, "show", at("first"))[1], "and pawl show says how many there are")

# A run that continues it: the parent's adapter joins the finished ones; with one adapter for all stages it begins on all that the parent is.
parent = f"parent_checkpoint: {at('first')}/checkpoints/step-000000007\n"
keys = {k: v for k, v in ORTHOGONAL.items() if k not in ("lora_r", "lora_alpha", "lora_target_modules")}
train(2, write("child", ALL[2:], parent, **keys))
stage_two = evals(at("first"))[2]
check(close({k: evals(at("child"))[0][k] for k in ("three",)}, {"three": stage_two["three"]}), "a continuing run begins where its parent ended")
theirs = tensors(newest(at("child")))
check(len(theirs) == len(found) and all(np.array_equal(theirs[k], x) for k, x in found.items() if "/finished/" in k), "on the parent's adapters, which are finished now")
check(steps(at("child"))[0]["penalty"] > 0, "and is held off all of them")
train(1, write("alone", ALL[2:], parent, **dict(keys, lora_stages="same", olora=None)))
check(close({k: evals(at("alone"))[0][k] for k in ("three",)}, {"three": stage_two["three"]}) and len(tensors(newest(at("alone")))) == 2 * len(modules),
      "one adapter for all stages begins anew on all that the parent is")
for how, why in ((dict(LORA, lora_r=4), "has other settings; it is held off none"), (dict(lora_stages="same", olora=None), "stands on finished ones")):
    check(why in run(0, "plan", write("new", ALL[2:], parent, **dict(keys, **how)))[2], f"and it is said that a new one begins: {why}")

# A base that is gone when a stage begins: nothing is lost.
away = at("away")
shutil.copytree(BASE, away)
gone = write("gone", [(*TEXTS[0], 60), (*TEXTS[1], 1)], f"base_model: {away}\n", **dict(LORA, lora_stages="merge"))
p = start(1, "train", gone)
wait_for(lambda: count_lines(os.path.join(at("gone"), "metrics.jsonl")) > 1 or p.poll() is not None, pause=0.002)
shutil.rmtree(away)
err = p.communicate(timeout=60)[1]
check(p.returncode == 10 and "put it back and start the same command again" in err, f"a base that is gone when a stage begins is asked for ({p.returncode}) {err[-200:]}")
shutil.copytree(BASE, away)
check(train(2, gone) == train(1, gone, f"output_dir={at('not-gone')}"), "and put back the run goes on, to the same bits")

# Beside other methods, and in bf16.
BESIDE = dict(LORA, lora_stages="merge", lora_dropout=0, lwf={}, agem={"rows": 2}, l2sp={}, sfa={"every": 2}, reptile={"every": 3}, wise={}, freeze={"layers": 1},
              replay={"ratio": 0.25, "capacity": 20}, der={"top_k": 4}, peft_use_rslora=True)
beside = write("beside", ALL, **BESIDE)
bits = train(1, beside, "save_steps=5")
check(train(3, beside, f"output_dir={at('beside-3')}", "zero_stage=1", f"resume_from_checkpoint={at('beside')}/checkpoints/step-000000005") == bits, "with replay and seven methods: the same bits, resumed on 3 ranks")
check(run(0, "export", at("beside"), at("beside-peft"), "--adapter")[0] == 0 and close(evaluate(at("beside-peft"), beside), evals(at("beside"))[-1]), "with rsLoRA's scale, too, they are one adapter")
low = write("low", ALL[:2], bf16=True, **dict(LORA, lora_stages="merge"))
bits = train(2, low)
check(train(1, low, f"output_dir={at('low-1')}", f"resume_from_checkpoint={at('low')}/checkpoints/step-000000003") == bits, "in bf16, resumed where an adapter begins: the same bits")

# The plan, and what cannot be.
plans = {how: pawl_json("plan", write("plan", ALL, **dict(LORA, lora_stages=how)))["bytes_per_rank"].get("finished adapters", 0) for how in ("same", "merge")}
check(plans["same"] == 0 and 0 <= plans["merge"] - 2 * 4 * sum(x.size for k, x in found.items() if "/finished/" not in k) < 4096, f"the plan knows the finished ones: {plans}")
bad = lambda **more: write("bad", ALL, **dict(LORA, lora_stages="merge", **more))
for method in ("ewc", "si", "mas"):
    refused([method, "in no adapter that is trained", "lora_stages: same"], "config", "check", bad(**{method: {}}))
refused(["peft_use_dora"], "config", "check", bad(peft_use_dora=True))
refused(["load_in_8bit", "few bits"], "config", "check", bad(load_in_8bit=True))
refused(["ema_decay"], "config", "check", bad(ema_decay=0.9))
refused(["olora", "lora_stages: orthogonal"], "config", "check", bad(olora={}))
refused(["lora_stages", "without adapter: lora"], "config", "check", write("bad", ALL, learning_rate=1e-3, lora_stages="merge"))
done()
