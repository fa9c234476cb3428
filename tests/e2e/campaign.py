"""A long campaign: random runs, stopped and killed at random and resumed at random numbers of ranks and threads, with whatever else
may change on resume, against the same run undisturbed on one rank. PAWL_CAMPAIGN is how many (40), PAWL_CAMPAIGN_SEED where the
dice begin (1), PAWL_CAMPAIGN_KEYS key=value words that all of them get."""
import contextlib, os, random, signal, time
from e2e import *

COUNT, seed = int(os.environ.get("PAWL_CAMPAIGN", "40")), int(os.environ.get("PAWL_CAMPAIGN_SEED", "1"))
where = folder()
stops = kills = 0


FORCED = os.environ.get("PAWL_CAMPAIGN_KEYS", "").split()
forced = dict(w.split("=", 1) for w in FORCED)


def gpt2(dice):
    heads = dice.choice([1, 2, 3, 4])
    return (f"model:\n  model_type: gpt2\n  hidden_size: {heads * 2 * dice.randint(1, 10)}\n  intermediate_size: {dice.randint(8, 150)}\n"
            f"  num_hidden_layers: {dice.randint(1, 3)}\n  num_attention_heads: {heads}\n  max_position_embeddings: 256\n  vocab_size: {dice.randint(260, 300)}\n"
            "  tie_word_embeddings: true\ntokenizer: bytes\n")


def architecture(dice):
    family = dice.choice(["llama", "llama", "mistral", "qwen2", "qwen3", "gpt2"])
    if family == "gpt2":
        return gpt2(dice)
    window = f"  sliding_window: {dice.choice([5, 17])}\n" if family == "mistral" else ""
    biases = "".join(f"  {b}: {dice.choice(['true', 'false'])}\n" for b in ("attention_bias", "mlp_bias")) if family == "llama" else ""
    kv = dice.choice([1, 2, 3])
    heads, head = kv * dice.choice([1, 2, 3]), 2 * dice.randint(1, 10)
    return (f"model:\n  model_type: {family}\n{window}{biases}  hidden_size: {dice.randint(8, 70)}\n  intermediate_size: {dice.randint(8, 150)}\n  num_hidden_layers: {dice.randint(1, 3)}\n"
            f"  num_attention_heads: {heads}\n  num_key_value_heads: {kv}\n  head_dim: {head}\n  max_position_embeddings: 256\n  vocab_size: {dice.randint(260, 300)}\n"
            f"  tie_word_embeddings: {dice.choice(['true', 'false'])}\n"
            "tokenizer: bytes\n")


def bases():
    """Small models of two families, for adapters to stand on."""
    dirs = []
    for name, model in (("llama", MODEL), ("gpt2", gpt2(random.Random(3)))):
        yaml = write_run(where, f"base-{name}.yaml", output=os.path.join(where, f"base-{name}-run"), model=model, max_steps=2)
        dirs.append(os.path.join(where, f"base-{name}"))
        if run(1, "train", yaml)[0] or run(0, "export", os.path.join(where, f"base-{name}-run"), dirs[-1])[0]:
            raise RuntimeError("no base model could be made")
    return dirs


def adapter(dice):
    keys = dict(adapter="lora", lora_r=dice.choice([1, 3, 8]), lora_alpha=8, lora_target_modules="all-linear", lora_dropout=dice.choice([0, 0.2]),
                peft_use_dora=dice.choice(["true", "false"]))
    keys.update(dice.choice([{}, {}, dict(load_in_8bit="true"), dict(load_in_4bit="true")]))
    return keys


def settings(dice):
    micro = dice.randint(1, 4)
    slots = dice.randint(2, 7)
    return dict(micro_batch_size=micro, global_batch_size=micro * slots - dice.randint(0, micro - 1), reduction_lanes=dice.randint(2, slots),
                sequence_len=dice.choice([16, 33, 64, 128]), sample_packing=dice.choice(["true", "false"]), max_steps=dice.randint(10, 60),
                save_steps=dice.choice([0, 1, 3, 7]), save_total_limit=dice.choice([0, 1, 2]), eval_steps=dice.choice([0, 1, 5]), val_set_size=0,
                lr_scheduler=dice.choice(["constant", "linear", "cosine"]), warmup_ratio=dice.choice([0, 0.1]), warmup_steps=None,
                weight_decay=dice.choice([0, 0.1]), max_grad_norm=dice.choice([0, 1]), seed=dice.randint(0, 2**31))


# What is fixed for a run; rows name the keys that go together.
OPTIMIZERS = [dict(optimizer="adamw"), dict(optimizer="adamw_8bit"), dict(optimizer="sgd", learning_rate="3e-2"), dict(optimizer="lion", learning_rate="3e-4"),
              dict(optimizer="adafactor"), dict(optimizer="muon"), dict(optimizer="adamw", embedding_lr="1e-3"), dict(optimizer="adamw", ema_decay=0.9)]


def methods(dice):
    return dict(dice.choice(OPTIMIZERS), bf16=dice.choice(["true", "false"]), neftune_noise_alpha=dice.choice([None, 5]))


def free(dice, keys):
    """What may be another at each start without changing a bit: stages 2 and 3 sum in rounds, as 0 and 1 do where a lane is one slot."""
    slots = -(-keys["global_batch_size"] // keys["micro_batch_size"])
    stages = [0, 1, 2, 3] if keys["reduction_lanes"] == slots else dice.choice([[0, 1], [2, 3]])
    if "adapter" in keys:
        stages = [s for s in stages if s < 3]
    return dict(threads=[1, 2, 3], activation_recompute=["none", "norms", "block"], zero_stage=stages)


def words(dice, choices):
    return [f"{k}={dice.choice(v)}" for k, v in choices.items()]


def datasets(dice):
    all_of = [dict(path=path, domain=d, weight=dice.choice([0.3, 1, 2.5]), **({} if d == "docs" else dict(type="text")))
              for d, path in (("docs", PAGES), ("README.md", os.path.join(PAGES, "running.md")), ("LICENSE", os.path.join(SOURCE, "LICENSE")))]
    return dice.sample(all_of, dice.randint(1, 3))


def disturbed(dice, yaml, out, lanes, choices):
    """Runs to the end through stops and kills."""
    global stops, kills
    for attempt in range(12):
        ranks = dice.randint(1, min(lanes, 4))
        p = start(ranks, "train", yaml, *words(dice, choices), *FORCED)
        before = count_lines(os.path.join(out, "metrics.jsonl"))
        if attempt < 4 and dice.random() < 0.8:
            wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > before + dice.randint(1, 6) or p.poll() is not None)
            time.sleep(dice.uniform(0, 0.05))
            if dice.random() < 0.5:
                p.send_signal(signal.SIGUSR1)
            else:
                with contextlib.suppress(ProcessLookupError): # it may just have ended
                    for pid in ranks_of(p)[:1]:
                        os.kill(pid, signal.SIGKILL)
        _, stderr = p.communicate(timeout=120)
        if p.returncode == 0:
            return ""
        stops, kills = stops + (p.returncode == 75), kills + (p.returncode == 137)
        if p.returncode not in (75, 137):
            return f"exit {p.returncode}: {stderr[:300]}"
    return "did not come to an end"


BASES = bases()
for number in range(COUNT):
    dice = random.Random(seed * 1000 + number)
    model, keys, data = architecture(dice), settings(dice), datasets(dice)
    keys.update(methods(dice))
    if dice.random() < 0.3:
        model = f"base_model: {dice.choice(BASES)}\n"
        keys.update(adapter(dice))
        keys.pop("embedding_lr", None) # an adapter trains none
        if {**keys, **forced}["bf16"] == "true":
            keys["peft_use_dora"] = "false" # which is computed in f32
    choices = free(dice, keys)
    names = [os.path.join(where, f"{number}-{kind}") for kind in ("calm", "rough")]
    calm, rough = (write_run(where, os.path.basename(n) + ".yaml", output=n, model=model, datasets=data, **keys) for n in names)
    for yaml in (calm, rough):
        with open(yaml, "a") as f:
            f.write(f"test_datasets:\n  - path: {os.path.join(SOURCE, 'CONTRIBUTING.md')}\n    domain: held\n")
    status, _, stderr = run(1, "train", calm, *words(dice, choices), *FORCED)
    trouble = f"undisturbed: exit {status}: {stderr[:300]}" if status else disturbed(dice, rough, names[1], keys["reduction_lanes"], choices)
    same = not trouble and state(names[0]) == state(names[1])
    same = same and [(m["step"], m["loss"]) for m in steps(names[0])] == [(m["step"], m["loss"]) for m in steps(names[1])]
    same = same and [(m["step"], m["eval"]) for m in metrics(names[0]) if "eval" in m] == [(m["step"], m["eval"]) for m in metrics(names[1]) if "eval" in m]
    check(same, f"run {number} of seed {seed}" + ("" if same else f": {trouble or 'other bits, losses or evaluations'}: {keys} {choices} {model!r}"))
    for n in names:
        shutil.rmtree(n, ignore_errors=True)
print(f"{COUNT} runs, {stops} stops, {kills} kills")
check(stops + kills > COUNT // 4, "the dice did disturb them")
done()
