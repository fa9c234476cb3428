"""Every method's weights and state after two stages of a tiny model, beside PyTorch's (tests/fixtures/continual/make_methods.py)."""
import glob, json, os
import h5py, numpy as np
from e2e import *

FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "continual", "methods")
where = folder()
methods = json.load(open(os.path.join(FIXTURES, "methods.json")))
expected = np.load(os.path.join(FIXTURES, "expected.npz"))
STAGE = "  - name: {0}\n    max_steps: 3\n    datasets: [{{path: {1}, type: text, domain: {0}}}]\n"


def written(name, settings):
    text = f"base_model: {FIXTURES}/model\ntokenizer: bytes\nsequence_len: 64\nglobal_batch_size: 2\nlearning_rate: 1e-2\nlr_scheduler: constant\n"
    text += f"adam_epsilon: 1e-4\nweight_decay: 0.1\nsample_packing: false\ndataset_prepared_path: {where}/prepared\noutput_dir: {where}/{name}\n"
    if settings:
        text += f"{name}: {json.dumps(settings)}\n"
    if name == "agem":
        text += "replay: {ratio: 0, capacity: 10}\n"
    text += "stages:\n" + STAGE.format("one", f"{FIXTURES}/one.txt") + STAGE.format("two", f"{FIXTURES}/two")
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


def found_in(out):
    """Of the newest checkpoint: {path of a tensor: numbers}."""
    found = {}
    for path in glob.glob(os.path.join(out, "checkpoints", "step-000000006", "*.h5")) or [os.path.join(out, "checkpoints", "step-000000006")]:
        with h5py.File(path) as f:
            f.visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


def distance(found, wanted):
    """The greatest relative L2 distance over tensors."""
    worst, seen = 0, 0
    for key, x in wanted.items():
        y = [v for k, v in found.items() if k.endswith(key)]
        if len(y) != 1 or y[0].shape != x.shape:
            print(f"       {key}: {len(y)} in the checkpoint")
            return np.inf
        worst = max(worst, float(np.linalg.norm((y[0] - x).astype(float)) / (np.linalg.norm(x.astype(float)) + 1e-30)))
        seen += 1
    return worst if seen else np.inf


for number, (name, settings) in enumerate(methods.items()):
    status, _, stderr = run(1 + number % 2, "train", written(name, settings), f"zero_stage={number % 3}")
    if status:
        check(False, f"{name}: exit {status}: {stderr[:300]}")
        continue
    found = found_in(os.path.join(where, name))
    wanted = {k.split(":", 1)[1]: expected[k] for k in expected.files if k.startswith(name + ":")}
    weights_off = distance(found, {k: v for k, v in wanted.items() if k.startswith("model/")})
    check(weights_off < 1e-5, f"{name}: weights are PyTorch's ({weights_off:.1e})")
    state_of = {k: v for k, v in wanted.items() if not k.startswith("model/")}
    if state_of:
        check(distance(found, state_of) < 1e-4, f"{name}: state is PyTorch's ({distance(found, state_of):.1e})")
    plain = {k.split(":", 1)[1]: expected[k] for k in expected.files if k.startswith("none:")}
    if name != "none":
        check(distance(found, plain) > 1e-4, f"{name}: and not those without it ({distance(found, plain):.1e})")
done()
