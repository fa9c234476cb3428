"""forgetting_budget, probes and the controller on 1, 2 and 3 ranks: three stages that forget, and what stops them."""
import json, os, random
from e2e import MODEL, SOURCE, check, done, folder, metrics, pawl_json, run, state

HERE = folder()
draw = random.Random(4)


def texts(name, words, count=60):
    """Documents out of a few words: quickly learnt, and forgotten as quickly."""
    path = os.path.join(HERE, name + ".jsonl")
    with open(path, "w") as f:
        for _ in range(count):
            f.write(json.dumps({"text": " ".join(draw.choice(words) for _ in range(24))}) + "\n")
    return path


SETS = dict(general=texts("general", ["once", "upon", "a", "time", "there", "was", "nothing"]), one=texts("one", ["alpha", "beta", "gamma", "delta", "epsilon"]),
            two=texts("two", ["17", "29", "31", "4711", "0815", "99", "1234567"]), three=texts("three", ["{", "}", "();", "int", "return", "=="]))
DEFAULTS = dict(sequence_len=64, global_batch_size=6, micro_batch_size=1, learning_rate="1e-2", warmup_steps=2, val_set_size=0.25, logging_steps=100,
                dataset_prepared_path=os.path.join(HERE, "prepared"))


def write(name, stages=("one", "two", "three"), general=False, steps=12, extra="", **keys):
    out = os.path.join(HERE, name)
    text = ("tokenizer: bytes\n" if "parent_checkpoint" in keys else MODEL) + "".join(f"{k}: {v}\n" for k, v in dict(DEFAULTS, output_dir=out, **keys).items())
    if general:
        text += f"general_data:\n  - {{path: {SETS['general']}, domain: general}}\n"
    text += "stages:\n" + "".join(f"  - name: s_{s}\n    max_steps: {steps}\n    datasets: [{{path: {SETS[s]}, domain: {s}}}]\n" for s in stages)
    path = os.path.join(HERE, name + ".yaml")
    with open(path, "w") as f:
        f.write(text + extra)
    return path, out


def train(ranks, name, *more, **settings):
    path, out = write(name, **settings)
    status, text, err = run(ranks, "train", path, *more)
    return status, text, err, out


def gates(out):
    return [m for m in metrics(out) if m.get("event") == "gate"]


def oracle(lineage, baseline, general=False):
    """Rises at the last stage's end, from the evaluations alone."""
    whole = [e for e in lineage["evaluations"] if e["at"] != "probe"]
    ends = [e for e in whole if e["at"] == "stage_end"]
    learnt = {d: i for i, s in enumerate(lineage["stages"]) for d in s["domains"]}
    rises = {}
    for d, i in learnt.items():
        if i == len(ends) - 1:
            continue
        seen = [e["scores"][d]["loss"] for e in whole[whole.index(ends[i]):]]
        rises[d] = seen[-1] - (seen[0] if baseline == "learnt" else min(seen))
    if general:
        seen = [e["scores"]["general"]["loss"] for e in whole]
        rises["general"] = seen[-1] - (seen[0] if baseline == "learnt" else min(seen))
    return rises


# warn: it goes on, and says so; the verdict is that of the evaluations.
outcome = {}
for ranks in (1, 3):
    status, text, err, out = train(ranks, f"warn{ranks}", general=True, extra="forgetting_budget: {mean: 0.01, worst: 0.02, action: warn, baseline: best}\neval_steps: 5\n")
    check(status == 0, f"{ranks} ranks: warn ends with 0 ({status}) {err[-300:] if status else ''}")
    check("stage s_three exceeds forgetting_budget (mean 0.01 worst 0.02): mean +" in text, "and people see it")
    lineage = pawl_json("show", out)["lineage"]
    outcome[ranks] = (state(out), lineage["gates"])
expected = oracle(lineage, "best", general=True)
last = lineage["gates"][-1]
check(len(lineage["gates"]) == 3 and set(last["rises"]) == set(expected) and all(abs(last["rises"][d] - x) < 1e-12 for d, x in expected.items()),
      "rises against the best, general_data too")
check(abs(last["mean"] - sum(expected.values()) / 3) < 1e-12 and abs(last["worst"] - max(expected.values())) < 1e-12 and
      last["worst_domain"] == max(expected, key=expected.get) and last["verdict"] == "exceeded", "mean, worst and verdict")
check([g["stage"] for g in gates(out)] == ["s_one", "s_two", "s_three"] and gates(out)[-1]["verdict"] == "exceeded", "events")
check(outcome[1] == outcome[3], "the same on 1 and 3 ranks")
check("general" in lineage["gates"][0]["rises"], "the first stage is judged by general_data")
found = pawl_json("retention", out)
check(found["domains"] == ["general", "one", "two", "three"] and found["learnt_after"] == [0, 1, 2, 3] and len(found["matrix"]) == 3 and
      found["stages"] == ["s_one", "s_two", "s_three"] and found["gate"]["verdict"] == "exceeded", "pawl retention: known first, then in the order of learning")
ends = [e["scores"] for e in lineage["evaluations"] if e["at"] == "stage_end"]
check(all(found["matrix"][i][j] == ends[i][d]["loss"] for i in range(3) for j, d in enumerate(found["domains"])), "its rows are the ends of stages")

# fail: the run ends at the first stage that exceeds it, again when it is started again, and goes on when the budget is raised.
for ranks in (2, 3):
    extra = "forgetting_budget: {worst: 0.02}\n"
    status, text, err, out = train(ranks, f"fail{ranks}", extra=extra)
    check(status == 70 and "exceeds forgetting_budget" in text and text.strip().splitlines()[-1].startswith("weights_sha256"), f"{ranks} ranks: fail ends with 70 ({status}) {err[-300:]}")
    check(pawl_json("show", out)["stage"] == "s_two" and pawl_json("show", out)["lineage"]["gates"][-1]["verdict"] == "exceeded", "at the end of the second stage, as its checkpoint says")
status, text, err = run(2, "train", os.path.join(HERE, "fail3.yaml"))
check(status == 70 and pawl_json("show", out)["step"] == 24, "started again: 70 again")
status, text, err, out = train(2, "fail3", extra="forgetting_budget: {worst: 1000}\n")
check(status == 0 and pawl_json("show", out)["stage"] == "s_three", f"with a larger budget it goes on to the end ({status}) {err[-300:]}")
raised = state(out)
status, text, err, out = train(2, "within", extra="forgetting_budget: {worst: 1000, mean: 1000}\n")
check(state(out) == raised, "a run that was stopped by its budget and went on has the bits of one that was not")
check(text.count(" is within forgetting_budget (mean 1000 worst 1000): ") == 2, "what was judged is told where it is within the budget, too")
check(status == 0 and [g["verdict"] for g in gates(out)] == ["pass"] * 3 and gates(out)[0]["mean"] is None, "within the budget: 0; before a second stage there is nothing to forget")

# rollback: LATEST names the newest that is within it.
for ranks in (1, 2, 3):
    status, text, err, out = train(ranks, f"back{ranks}", extra="forgetting_budget: {mean: 0.01, action: rollback}\nsave_total_limit: 1\n")
    now = pawl_json("show", out)
    check(status == 70 and now["step"] == 12 and now["stage"] == "s_one", f"{ranks} ranks: rollback to the end of the first stage, and 70 ({status}) {err[-300:]}")
    check(text.strip().splitlines()[-1] == "weights_sha256 " + now["weights_sha256"], "the last word is that checkpoint's")
    event = [m for m in metrics(out) if m.get("event") == "rollback"]
    check(len(event) == 1 and event[0]["to"].endswith("step-000000012"), "the event says where to")
    logged = {k["step"]: k for k in pawl_json("log", out)}
    check(logged[12]["best"] and logged[12]["latest"] and 24 in logged, "it is best and latest; the one that exceeds the budget is there to be looked at")
check(run(0, "verify", out)[0] == 0, "all of it is whole")
status, text, err, out = train(2, "none", stages=("two",), general=True, steps=30, eval_steps=2,
                               extra="forgetting_budget: {worst: 0, action: rollback, baseline: best}\n")
check(status == 70 and "none of the checkpoints" in text and pawl_json("show", out)["step"] == 30, f"no checkpoint is within it: LATEST stays, and it says so ({status})")

# A run that continues another is judged by what the parent learnt, as far as it measures that.
status, text, err, parent = train(1, "parent", stages=("one",))
budget = "forgetting_budget: {worst: 0.02, action: warn}\n"
status, text, err, child = train(2, "child", stages=("two",), parent_checkpoint=parent,
                                 extra=budget + f"test_datasets:\n  - {{path: {SETS['one']}, domain: one}}\n")
verdict = pawl_json("show", child)["lineage"]["gates"][-1]
check(status == 0 and set(verdict["rises"]) == {"one"} and verdict["not_measured"] == [], f"a continued run: what the parent learnt is judged {err[-300:] if status else ''}")
found = pawl_json("retention", child)
check(found["stages"] == ["s_one", "s_two"] and found["learnt_after"] == [1, 2] and len(found["matrix"]) == 2, "its matrix has the parent's stages")
scores = [e["scores"]["one"]["loss"] for e in pawl_json("show", child)["lineage"]["evaluations"] if "one" in e["scores"]]
check(abs(verdict["rises"]["one"] - (scores[-1] - scores[-2])) < 1e-12 and found["before"] is None and found["matrix"][0][0] == scores[-2] and len(scores) > 3,
      "test_datasets measure all of a file, of which the parent held out a part: what compares is this run's start")
with open(os.path.join(child, "report.html"), encoding="utf-8") as f:
    check(f"{abs(verdict['rises']['one']):.3f}</span>" in f.read(), "the report shows that rise, too")
text = run(0, "retention", child)[1]
check("other texts" in text and text.split("other texts")[1].split("\n")[0].endswith(": one"), f"and the matrix says so: {text[-300:]}")
status, text, err, child = train(2, "child2", stages=("two",), parent_checkpoint=parent, extra=budget)
verdict = pawl_json("show", child)["lineage"]["gates"][-1]
check(status == 0 and verdict["rises"] == {} and verdict["not_measured"] == ["one"] and verdict["verdict"] == "pass", "what it does not measure is said")
check("stage s_two: forgetting_budget has nothing to judge; not measured: one" in text, "a budget that looks at nothing does not look like one that is held")
alone = os.path.join(HERE, "alone.txt")
with open(alone, "w") as f: f.write("one document, and it is learnt\n" * 20)
status, text, err, child = train(1, "child3", stages=("one",), steps=2, extra=budget + f"general_data: [{{path: {alone}, domain: alone, type: text}}]\n")
check(status == 0 and pawl_json("show", child)["lineage"]["gates"][-1]["not_measured"] == ["alone"], f"general data that nothing is held out of are named, too {err[-300:] if status else ''}")

# Probes: deterministic, of earlier domains, in metrics and lineage; resumed at another number of ranks to the same bits.
probing = "probe_steps: 3\nprobe_rows: 4\n"
status, text, err, whole = train(1, "probes1", general=True, extra=probing)
check(status == 0, f"probes {err[-300:]}")
probes = [m for m in metrics(whole) if "probe" in m]
check([m["step"] for m in probes] == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36], "at the start, every 3 steps and at the ends of stages")
check(set(probes[0]["probe"]) == {"general"} and set(probes[4]["probe"]) == {"general", "one"} and set(probes[-1]["probe"]) == {"general", "one", "two", "three"},
      "of what is learnt by then")
status, text, err, parts = train(3, "probes3", "--until", "s_one", general=True, extra=probing)
check(status == 0, f"--until {err[-300:]}")
status, text, err = run(2, "train", os.path.join(HERE, "probes3.yaml"))
check(status == 0 and state(parts) == state(whole) and [m for m in metrics(parts) if "probe" in m] == probes, "stopped between stages and resumed on other ranks: the same bits and probes")
gaps = pawl_json("retention", whole)["stability"]
series = [m["probe"]["one"] for m in probes if "one" in m["probe"]]
best = [min(series[: i + 1]) for i in range(len(series))]
check(abs(gaps["one"]["gap"] - max(x - b for x, b in zip(series, best))) < 1e-8 and abs(gaps["one"]["final"] - series[-1]) < 1e-8, "the stability gap is that of the probes")

# The controller.
auto = "replay: {{ratio: auto, budget: {budget}, capacity: 60}}\nprobe_steps: 3\nprobe_rows: 4\n"
shares, bits = {}, {}
for name, ranks, budget in (("tight", 1, 0.02), ("tight3", 3, 0.02), ("loose", 2, 50)):
    status, text, err, out = train(ranks, "auto_" + name, stages=("one", "two"), steps=24, extra=auto.format(budget=budget))
    check(status == 0, f"ratio auto, budget {budget} on {ranks} ranks {err[-300:] if status else ''}")
    shares[name] = [(m["step"], m["ratio_before"], m["ratio"]) for m in metrics(out) if m.get("event") == "replay"]
    bits[name] = (state(out), sum(m.get("replay_rows", 0) for m in metrics(out)))
check(shares["tight"] and max(r for _, _, r in shares["tight"]) > 0.1, "a tight budget raises the share")
check(all(b > a for _, b, a in shares["loose"] if b) and shares["loose"][-1][2] == 0, "a loose one lowers it to nothing")
check(bits["tight"][1] > bits["loose"][1] >= 0, "so many more rows are replayed")
check(shares["tight"] == shares["tight3"] and bits["tight"] == bits["tight3"], "the same decisions and bits on 1 and 3 ranks")
path, out = write("auto_resumed", stages=("one", "two"), steps=24, extra=auto.format(budget=0.02) + "save_steps: 31\n")
status, _, err = run(2, "train", path)
step = os.path.join(out, "checkpoints", "step-000000031")
path, other = write("auto_again", stages=("one", "two"), steps=24, extra=auto.format(budget=0.02) + f"resume_from_checkpoint: {step}\n")
status, _, err = run(3, "train", path)
check(status == 0 and state(other) == bits["tight"][0], f"resumed between two probes: the same bits {err[-300:] if status else ''}")

# What cannot be judged is refused.
for what, text in (("nothing held out", dict(extra="forgetting_budget: {mean: 1}\n", val_set_size=0)), ("no budget", dict(extra="forgetting_budget: {action: warn}\n")),
                   ("a wrong action", dict(extra="forgetting_budget: {mean: 1, action: stop}\n"))):
    path, _ = write("refused", **text)
    status, _, err = run(0, "config", "check", path)
    check(status == 10 and "forgetting_budget" in err, f"refused: {what}: {err.strip()[-120:]}")
done()
