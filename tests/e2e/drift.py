"""parent_kl: PyTorch's divergence from the model of the run's start, on any ranks and zero_stage, stopped and resumed; where it is told."""
import csv, io, json, os
from e2e import *

FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "continual")
with open(os.path.join(FIXTURES, "drift", "expected.json")) as f:
    EXPECTED = json.load(f)
HERE = folder()
STAGE = "  - {{name: {0}, max_steps: 3, datasets: [{{path: {1}, type: text, domain: {0}}}]}}\n"


def written(name, top_k, start=f"base_model: {FIXTURES}/methods/model\ntokenizer: bytes", names=("one", "two"), held=True):
    """As the tests of methods, whose weights PyTorch has: a batch holds all rows of a stage."""
    text = f"{start}\nsequence_len: 64\nglobal_batch_size: 2\nlearning_rate: 1e-2\nlr_scheduler: constant\nadam_epsilon: 1e-4\nweight_decay: 0.1\n"
    text += f"sample_packing: false\ndataset_prepared_path: {HERE}/prepared\noutput_dir: {HERE}/{name}\n"
    if top_k:
        text += f"parent_kl: {{rows: {EXPECTED['rows']}, top_k: {top_k}}}\n"
    text += "stages:\n" + STAGE.format(names[0], f"{FIXTURES}/methods/one.txt") + STAGE.format(names[1], f"{FIXTURES}/methods/two")
    if held:
        text += f"test_datasets:\n  - {{path: {FIXTURES}/drift/texts.jsonl, domain: held}}\n  - {{path: {FIXTURES}/methods/one.txt, type: text, domain: one}}\n"
    path = os.path.join(HERE, name + ".yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


def trained(ranks, path, *words, status=0):
    found, out, err = run(ranks, "train", path, *words)
    if found != status:
        check(False, f"{os.path.basename(path)} on {ranks} ranks: exit {found}: {err[-300:]}")
    return out


def ends(name):
    return [e["scores"]["held"] for e in pawl_json("show", f"{HERE}/{name}")["lineage"]["evaluations"] if e["at"] in ("start", "stage_end")]


some, exact = written("some", 5), written("exact", 1000)
weights_of = weights(trained(1, some))
trained(2, exact)
for name, key in (("some", "5"), ("exact", "260")):
    wanted, found = EXPECTED["by_top_k"][key], ends(name)
    off = abs(found[2]["kl"] / wanted["kl"] - 1)
    check(off < 1e-4 and found[2]["kl_tokens"] == wanted["tokens"], f"top_k {key}: PyTorch's divergence after two stages, {found[2]['kl']:.6f} ({off:.1e})")
    check(len(found) == 3 and abs(found[0]["kl"]) < 1e-6, f"and none before the first step ({found[0]['kl']:.1e})")
check(ends("some")[2]["kl"] < ends("exact")[2]["kl"], "over k + 1 bins it is a lower bound")
check(weights(trained(1, written("none", 0))) == weights_of, "the weights are those of a run without it")

# Ranks, ranges of weights, and a run that is left after a stage and resumed elsewhere: all that is kept is the same.
many = ["global_batch_size=3", "reduction_lanes=3"]
trained(1, some, f"output_dir={HERE}/many", *many)
for ranks, stage in ((3, 0), (2, 3)):
    name = f"ranks{ranks}"
    trained(ranks, some, f"output_dir={HERE}/{name}", f"zero_stage={stage}", *many)
    check(ends(name) == ends("many") and state(f"{HERE}/{name}") == state(f"{HERE}/many"), f"{ranks} ranks, zero_stage {stage}: the same figures and the same state")
trained(3, some, f"output_dir={HERE}/left", *many, "--until", "one")
trained(2, some, f"output_dir={HERE}/left", *many)
check(state(f"{HERE}/left") == state(f"{HERE}/many") and ends("left") == ends("many"), "left after a stage and resumed on other ranks: the same")

# Where it is told.
kept = pawl_json("retention", f"{HERE}/some", "--by", "kl")
at = kept["domains"].index("held")
check([kept["before"][at]] + [r[at] for r in kept["matrix"]] == [e["kl"] for e in ends("some")] and not kept["higher_is_better"], "pawl retention --by kl")
check(pawl_json("retention", f"{HERE}/some")["measures"]["kl"]["matrix"] == kept["matrix"], "it stands under measures")
check("kl (start || model)" in run(0, "retention", f"{HERE}/some")[1] and "kl (" not in run(0, "retention", f"{HERE}/none")[1], "the table has it below the losses")
rows = list(csv.DictReader(io.StringIO(run(0, "retention", f"{HERE}/some", "--csv")[1])))
check(any(r["kind"] == "R" and r["measure"] == "kl" and float(r["value"]) == ends("some")[2]["kl"] for r in rows), "CSV")
check(abs([m["kl"]["held"] for m in metrics(f"{HERE}/some") if "kl" in m][-1] - ends("some")[2]["kl"]) < 1e-9, "metrics.jsonl")
with open(f"{HERE}/some/report.html") as f:
    check("Drift from the start" in f.read(), "the report has its heat map")
names = [t["name"] for t in pawl_json("show", f"{HERE}/some")["tensors"]]
check("parent_kl/0/ids" in names and "parent_kl/0/logp" in names and run(0, "verify", f"{HERE}/some")[0] == 0, "checkpoints hold what the parent said")
check(pawl_json("plan", some)["bytes_per_rank"].get("parent_kl", 0) > 0, "the plan counts it")

# A run that goes on from another has a start of its own; without a text there is nothing to compare on.
trained(2, written("child", 5, start=f"parent_checkpoint: {HERE}/some", names=("three", "four")))
starts = [e["scores"]["held"]["kl"] for e in pawl_json("show", f"{HERE}/child")["lineage"]["evaluations"] if e["at"] == "start"]
check(len(starts) == 2 and abs(starts[1]) < 1e-6 and ends("child")[-1]["kl"] > 1e-3, "a continued run begins at 0 again, and goes on from there")

# From a start whose loss is no number no distance is told.
broken = f"{HERE}/broken"
shutil.copytree(f"{FIXTURES}/methods/model", broken)
with open(f"{broken}/model.safetensors", "r+b") as f:
    f.seek(-4, os.SEEK_END)
    f.write(bytes([0, 0, 0xc0, 0x7f]))
trained(1, written("nan", 5, start=f"base_model: {broken}\ntokenizer: bytes"))
check([e.get("kl") for e in ends("nan")] == [None] * 3, f"of a model that is no numbers there is no divergence {[e.get('kl') for e in ends('nan')]}")
status, out, err = run(0, "config", "check", written("bad", 5, held=False))
check(status == 10 and "parent_kl: there is nothing to measure" in out + err, "parent_kl without anything held out is refused")
done()
