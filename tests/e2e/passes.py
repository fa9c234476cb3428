"""Keys that change how a pass is computed: activation_recompute changes no bit, also on resume; neftune_noise_alpha is counted by
rows, so ranks and slots do not matter, and evaluation has none."""
import os
from e2e import *

where = folder()


def train(name, ranks=1, **keys):
    out = os.path.join(where, name)
    keys = dict(dict(max_steps=4, micro_batch_size=2), **keys)
    status, stdout, stderr = run(ranks, "train", write_run(where, name + ".yaml", output=out, **keys))
    check(status == 0, f"{name}: exit 0" + (": " + stderr if status else ""))
    return state(out), out


def before(out):
    return next(m["eval"] for m in metrics(out) if "eval" in m)


plain, plain_out = train("plain", save_steps=2)
for level in ("norms", "block"):
    check(train(level, 2, activation_recompute=level)[0] == plain, f"activation_recompute: {level} gives the bits of none")
again = os.path.join(where, "again")
half = os.path.join(plain_out, "checkpoints", "step-000000002")
status, _, stderr = run(2, "train", os.path.join(where, "plain.yaml"), f"resume_from_checkpoint={half}", f"output_dir={again}", "activation_recompute=block")
check(status == 0 and state(again) == plain and steps(again)[0]["step"] == 3, "activation_recompute may change on resume" + stderr[:300] * (status != 0))

noisy, noisy_out = train("noisy", neftune_noise_alpha=5)
check(before(noisy_out) == before(plain_out), "evaluation has no noise")
check(noisy != plain, "neftune_noise_alpha changes what is learnt")
check(train("noisy2", 2, neftune_noise_alpha=5)[0] == noisy, "noise: the same bits on two ranks")
check(train("noisy-block", 3, neftune_noise_alpha=5, activation_recompute="block")[0] == noisy, "noise: the same bits on three ranks, with block")
losses = [steps(train(f"slots{micro}", micro_batch_size=micro, max_steps=1, neftune_noise_alpha=5)[1])[0]["loss"] for micro in (1, 4, 8)]
check(max(losses) - min(losses) <= 1e-6 * max(losses), f"noise: the first loss does not depend on slots: {losses}")
check(abs(losses[0] - steps(plain_out)[0]["loss"]) > 1e-5, "noise: the first loss is not that without it")
done()
