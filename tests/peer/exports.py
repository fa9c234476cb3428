"""What pawl trains and exports, in transformers and peft: losses of held-out texts, logits, greedy answers, tokenizer ids.

    exports.py [MODEL_DIR ...]     models to start from (those of tests/fixtures/hf)
"""
import peer
import glob, json, os, random, shutil, subprocess, warnings
import peft, torch, transformers as tr
from e2e import *
from reference import load, parity, write_expected

warnings.filterwarnings("ignore")
TEXTS = ["The ranks agree, and then they communicate.", "Ünïcödé - 汉字, عربى, 🙂🙃!", "def f(x):\n\treturn x ** 2  # 12345\n",
         "  two  spaces, it's and\r\nline ends ", "A checkpoint is whole or absent."]
LORA = dict(adapter="lora", lora_r=4, lora_alpha=8, lora_dropout="0.1", lora_target_modules="all-linear", learning_rate="1e-2")
DORA = dict(LORA, peft_use_dora="true", peft_use_rslora="true")
FULL = dict(learning_rate="1e-3")
where = folder()
held_out = os.path.join(where, "held-out.jsonl")
with open(held_out, "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"text": text}) + "\n" for text in TEXTS)


def base_of(path, name):
    """A copy that has a tokenizer: fixtures have none, and take pawl's bytes."""
    copy = os.path.join(where, name)
    shutil.copytree(path, copy)
    return copy, os.path.exists(os.path.join(copy, "tokenizer.json"))


def train(name, base, own_tokenizer, settings):
    spec = f"base_model: {base}\n" + ("" if own_tokenizer else "tokenizer: bytes\n")
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, model=spec, max_steps=4, val_set_size=0, sample_packing="false", **settings)
    with open(yaml, "a") as file:
        file.write(f"test_datasets:\n  - path: {held_out}\n    domain: texts\n")
    status, _, err = run(2, "train", yaml)
    check(status == 0, f"{name}: trains on two ranks" + err[-400:] * (status != 0))
    return yaml, out


def loss_of(model, tokenizer):
    """Nats per token of the held-out texts, each ended as pawl ends it."""
    nats = tokens = 0
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text).input_ids + [tokenizer.eos_token_id]])
        with torch.no_grad():
            nats += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    return nats / tokens, tokens


def same_loss(name, yaml, what, model, tokenizer):
    status, out, err = run(2, "eval", yaml, "--checkpoint", what, "--json")
    ours = json.loads(out)["texts"] if status == 0 else dict(loss=float("nan"), tokens=0)
    theirs, tokens = loss_of(model, tokenizer)
    apart = abs(ours["loss"] - theirs) / theirs
    check(apart < 1e-5 and ours["tokens"] == tokens, f"{name}: loss {ours['loss']:.6f}, apart by {apart:.1e}" + err[-300:] * (status != 0))


def same_ids(name, exported, tokenizer):
    for special in (False, True):
        p = subprocess.run([PAWL, "tokenize", "--tokenizer", exported] + ["--special"] * special, input="".join(json.dumps(t) + "\n" for t in TEXTS),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ours = [json.loads(line) for line in p.stdout.splitlines()]
        check(ours == [tokenizer(t, add_special_tokens=special).input_ids for t in TEXTS], f"{name}: ids {'with' if special else 'without'} specials" + p.stderr[-300:])


def same_answer(name, exported, model, tokenizer):
    ours = pawl_json("generate", exported, "--prompt", TEXTS[0], "--max-tokens", "16")["tokens"]
    ids = torch.tensor([tokenizer(TEXTS[0]).input_ids])
    with torch.no_grad():
        theirs = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False,
                                suppress_tokens=list(range(len(tokenizer), model.config.vocab_size)) or None)[0, ids.shape[1]:].tolist()
    ends = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}  # pawl stops at the tokenizer's, too
    theirs = theirs[: next((i for i, token in enumerate(theirs) if token in ends), len(theirs))]
    check(ours == theirs, f"{name}: {len(theirs)} greedy tokens" + (f": {ours} and {theirs}" if ours != theirs else ""))


def same_logits(name, exported):
    path = os.path.join(where, name + "-parity")
    os.makedirs(path)
    os.symlink(exported, os.path.join(path, "model"))
    write_expected(path, random.Random(name))
    same, line = parity(path)
    check(same, line)


def check_merged(name, yaml, out):
    exported = out + "-merged"
    status, _, err = run(0, "export", out, exported, "--merged")
    check(status == 0, f"{name}: exports" + err[-300:])
    if status: return
    model, tokenizer = load(exported).eval(), tr.AutoTokenizer.from_pretrained(exported)
    same_loss(name, yaml, out, model, tokenizer)
    same_ids(name, exported, tokenizer)
    same_answer(name, exported, model, tokenizer)
    if sum(p.numel() for p in model.parameters()) < 1e7:
        same_logits(name, exported)


def check_adapter(name, yaml, out, base):
    exported = out + "-adapter"
    status, _, err = run(0, "export", out, exported, "--adapter")
    check(status == 0, f"{name}: exports the adapter" + err[-300:])
    if status: return
    model = peft.PeftModel.from_pretrained(load(base), exported).eval()
    same_loss(f"{name} in peft", yaml, out, model, tr.AutoTokenizer.from_pretrained(out + "-merged"))


def check_model(path):
    name = os.path.basename(path.rstrip("/").removesuffix("/model"))
    base, own_tokenizer = base_of(path, name)
    for how, settings in (("full", FULL), ("lora", LORA), ("dora", DORA)):
        yaml, out = train(f"{name}-{how}", base, own_tokenizer, settings)
        check_merged(f"{name} {how}", yaml, out)
        if how != "full":
            check_adapter(f"{name} {how}", yaml, out, base)


def fixtures():
    """Those whose vocabulary has room for pawl's bytes."""
    for path in sorted(glob.glob(os.path.join(SOURCE, "tests/fixtures/hf/*/model"))):
        with open(os.path.join(path, "config.json")) as file:
            if json.load(file)["vocab_size"] >= 260: yield path


for model in peer.sys.argv[1:] or fixtures():
    check_model(model)
done()
