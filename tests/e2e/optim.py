"""Each optimizer in a run: the loss falls, any number of ranks and any stop give the same bits; the average of weights is what
eval, generate and export take with --ema."""
import os
import h5py, numpy
from e2e import *

where = folder()
# Embeddings of 8192 numbers, which adamw_8bit keeps in 8 bits; eight slots of one row, so every zero_stage has the same bits.
CASES = {
    "adamw": dict(learning_rate="3e-3", layerwise_lr_decay=0.8, embedding_lr="1e-3", ema_decay=0.8, ema_every=2),
    "adamw_8bit": dict(learning_rate="3e-3", lr_scheduler="warmup_stable_decay", lr_decay_ratio=0.25, lr_decay_type="1-sqrt"),
    "sgd": dict(learning_rate="0.5", sgd_momentum=0.9, sgd_nesterov="true", lr_scheduler="inverse_sqrt"),
    "lion": dict(learning_rate="1e-3", adam_beta2=0.99, weight_decay=0.1, lr_scheduler="cosine_with_restarts", lr_num_cycles=2),
    "adafactor": dict(learning_rate="1e-2", lr_scheduler="polynomial", lr_power=2),
    "muon": dict(learning_rate="0.02", muon_adamw_lr="3e-3", weight_decay=0.01, ema_decay=0.9, ema_warmup="true"),
}
STATE = {"adamw": {"m", "v"}, "adamw_8bit": {"m", "v", "m_scale", "v_scale"}, "sgd": {"momentum"}, "lion": {"m"},
         "adafactor": {"row", "column", "v"}, "muon": {"momentum"}}


def train(name, ranks, *words, **keys):
    out = os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, save_steps=6, **keys)
    status, stdout, stderr = run(ranks, "train", yaml, *words)
    return out, (state(out), weights(stdout)) if status == 0 else stderr[-400:]


for optimizer, keys in CASES.items():
    one, expected = train(optimizer, 1, optimizer=optimizer, **keys)
    losses = [s["loss"] for s in steps(one)]
    check(losses[-1] < losses[0] - 0.3, f"{optimizer}: the loss falls, {losses[0]:.3f} to {losses[-1]:.3f}")
    with h5py.File(os.path.join(one, "checkpoints", "step-000000012", "checkpoint.h5")) as f:
        kinds = f["optimizer"][optimizer]
        check(set(kinds) == STATE[optimizer], f"{optimizer}: its state is {' '.join(sorted(kinds))}")
        if optimizer == "adamw_8bit":
            embed, norm = kinds["m"]["model.embed_tokens.weight"], kinds["m"]["model.norm.weight"]
            check(embed.dtype == numpy.uint8 and norm.dtype == numpy.float32, "adamw_8bit: codes of large tensors, small ones in f32")
    _, found = train(f"{optimizer}-3", 3, optimizer=optimizer, zero_stage=1, **keys)
    check(found == expected, f"{optimizer}: 3 ranks, zero_stage 1: the same bits {'' if found == expected else found}")
    # from the middle, on other ranks
    _, found = train(f"{optimizer}-on", 2, f"resume_from_checkpoint={one}/checkpoints/step-000000006", optimizer=optimizer, zero_stage=3, **keys)
    check(found == expected, f"{optimizer}: resumed at step 6 on 2 ranks, zero_stage 3: the same bits {'' if found == expected else found}")

# The average: by hand, from the weights after every step.
D = 0.7
average = None
for step in range(1, 5):  # a checkpoint of every step
    each, _ = train(f"upto{step}", 1, optimizer="sgd", learning_rate="0.5", lr_scheduler="constant", warmup_steps=0, ema_decay=D, max_steps=step)
    with h5py.File(os.path.join(each, "checkpoints", f"step-{step:09d}", "checkpoint.h5")) as f:
        w = {n: f["model"][n][()].astype(numpy.float64) for n in f["model"]}
        e = {n: f["ema"][n][()].astype(numpy.float64) for n in f["ema"]}
    check(set(w) == set(e), f"step {step}: an average of every weight")
    if average:
        far = max(numpy.abs(D * average[n] + (1 - D) * w[n] - e[n]).max() for n in w)
        check(far < 1e-7, f"step {step}: the average moves by {1 - D:.1f} of the way ({far:.1e})")
    average = e

# --ema
run_yaml, exported = os.path.join(where, "adamw.yaml"), os.path.join(where, "exported")
folder_of = os.path.join(where, "adamw")
plain, ema = (pawl_json("eval", run_yaml, "--checkpoint", folder_of, *more) for more in ([], ["--ema"]))
check(plain != ema, "eval --ema measures other weights")
status, _, stderr = run(0, "export", folder_of, exported, "--ema")
check(status == 0 and pawl_json("eval", run_yaml, "--checkpoint", exported) == ema, "export --ema writes them" + stderr[-300:] * (status != 0))
texts = [pawl_json("generate", p, "--prompt", "The ", "--max-tokens", "8", *more)["text"] for p, more in ((folder_of, ["--ema"]), (exported, []))]
check(texts[0] == texts[1], "generate --ema speaks with them")
status, _, stderr = run(0, "eval", run_yaml, "--checkpoint", os.path.join(where, "lion"), "--ema")
check(status == 10 and "has no average of weights" in stderr, "a run without one is told so")
status, _, stderr = run(0, "eval", run_yaml, "--checkpoint", exported, "--ema")
check(status == 10 and "has no average of weights" in stderr, "a model too")
done()
