"""Stages: one run walks from domain to domain. One result for any ranks and sharing, stopped or not, in one go or stage by stage."""
import json, os, random, signal
from e2e import *

where = folder()
DATASETS = {"docs": PAGES, "law": os.path.join(SOURCE, "LICENSE"), "notes": texts(where, "notes"),
            "general": texts(where, "general")}


def dataset(name):
    return f"{{path: {DATASETS[name]}, domain: {name}, type: text, license: Apache-2.0}}" if name != "docs" else f"{{path: {DATASETS[name]}, domain: docs}}"


def write(name, stages, more="", **keys):
    settings = dict(sequence_len=64, global_batch_size=6, micro_batch_size=1, learning_rate="3e-3", val_set_size=0.3, logging_steps=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=os.path.join(where, name))
    settings.update(keys)
    text = (MODEL if "parent_checkpoint" not in keys else "") + "".join(f"{k}: {v}\n" for k, v in settings.items()) + more + "stages:\n"
    for stage, body in stages:
        text += f"  - name: {stage}\n" + "".join(f"    {line}\n" for line in body)
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        f.write(text)
    return path


STAGES = [("one", ["max_steps: 7", f"datasets: [{dataset('docs')}]"]),
          ("two", ["max_steps: 5", "learning_rate: 1e-3", "reset_optimizer: true", f"datasets: [{dataset('law')}]"]),
          ("three", ["max_tokens: 1500", "lr_scheduler: constant", "replay_ratio: 0.5", f"datasets: [{dataset('notes')}]"])]
MORE = f"general_data: [{dataset('general')}]\nreplay: {{ratio: 0.3, capacity: 40, policy: loss}}\neval_steps: 4\n"


def output(name):
    return os.path.join(where, name)


def train(ranks, name, *words, yaml=None):
    status, out, err = run(ranks, "train", yaml or main, f"output_dir={output(name)}", *words)
    if status:
        print(err[-1500:])
    return status, out


main = write("main", STAGES, MORE)

# ---- any ranks, any sharing ----
status, out = train(1, "p1")
check(status == 0, "a run of three stages ends well")
whole, whole_weights = state(output("p1")), weights(out)
for ranks, zero in ((2, 0), (3, 0), (1, 2), (2, 2), (3, 2)):
    status, out = train(ranks, f"p{ranks}z{zero}", f"zero_stage={zero}")
    check(status == 0 and state(output(f"p{ranks}z{zero}")) == whole and weights(out) == whole_weights,
          f"{ranks} ranks, zero_stage {zero}: the same state")

# ---- what is recorded ----
lines = steps(output("p1"))
names = [m["stage"] for m in lines]
check(names == ["one"] * 7 + ["two"] * 5 + ["three"] * (len(lines) - 12), "metrics name the stage of each step")
drawn = [m["replay_rows"] for m in lines]
due = [int((t + 1) * 1.8 + 1e-9) - int(t * 1.8 + 1e-9) for t in range(7)]
check(drawn[:7] == due and drawn[7:12] == due[:5] and drawn[12:] == [3] * (len(lines) - 12), f"rows are replayed by the account of each stage: {drawn}")
check(lines[7]["lr"] == 1e-3 and lines[12]["lr"] == 3e-3 and lines[-1]["lr"] == 3e-3, "each stage has its own schedule")
shown = pawl_json("show", output("p1"))
lineage = shown["lineage"]
check([(s["name"], s["first_step"], s["end_step"], s["domains"]) for s in lineage["stages"]]
      == [("one", 0, 7, ["docs"]), ("two", 7, 12, ["law"]), ("three", 12, len(lines), ["notes"])], "lineage lists the stages")
places = [(e["step"], e["stage"], e["at"]) for e in lineage["evaluations"]]
wanted = [(0, "one", "start"), (4, "one", "step"), (7, "one", "stage_end"), (8, "two", "step"), (12, "two", "stage_end")]
check(places[:5] == wanted and places[-1] == (len(lines), "three", "stage_end"), f"lineage says where it was measured: {places}")
check(all(set(e["scores"]) == set(lineage["evaluations"][0]["scores"]) for e in lineage["evaluations"]), "every domain is measured each time")
check(sorted(os.listdir(output("p1") + "/checkpoints"))[:3] == ["LATEST", "step-000000007", "step-000000012"], "each stage ends with a checkpoint")

# ---- stage by stage ----
status, out = train(2, "until", "--until", "one")
check(status == 0 and steps(output("until"))[-1]["step"] == 7, "--until ends after the stage")
status, out = train(1, "until", "--until", "one")
check(status == 0 and steps(output("until"))[-1]["step"] == 7, "--until again: nothing is left to do")
status, out = train(3, "until", "--until", "two")
status, out = train(2, "until")
check(status == 0 and state(output("until")) == whole, "without it the run goes on to the same state")
status, out, err = run(1, "train", main, f"output_dir={output('long')}", "--until", "one", "stages.1.warmup_steps=6")
check(status == 0 and "the 5 steps of stage two are fewer than 6" in err and "stage one are" not in err, f"a warm-up that is longer than its stage is warned of: {err[-300:]}")
status, out, err = run(1, "train", main, f"output_dir={output('none')}", "--until", "four")
check(status == 10 and "one, two, three" in err, "a stage that is not there is refused, and those that are are named")

# ---- stopped and killed ----
random.seed(int(os.environ.get("PAWL_KILL_SEED", "7")))


def interrupt(name, how, after, ranks):
    p = start(ranks, "train", main, f"output_dir={output(name)}", "save_steps=2")
    metrics_file = os.path.join(output(name), "metrics.jsonl")
    try:
        wait_for(lambda: p.poll() is not None or count_lines(metrics_file) >= after, 60, 0.002)
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL) if how == "kill" else p.send_signal(signal.SIGUSR1)
    p.communicate()
    return p.returncode


for round_, (how, ranks) in enumerate((("stop", 1), ("kill", 2), ("stop", 3), ("kill", 1))):
    name = f"cut{round_}"
    for _ in range(3):
        interrupt(name, how, random.randrange(2, 30), ranks)
    status, out = train(1 + round_ % 3, name, "save_steps=2")
    check(status == 0 and state(output(name)) == whole, f"{how} three times on {ranks} ranks, ended on others: the same state")
    check([(m["step"], m["loss"]) for m in steps(output(name))] == [(m["step"], m["loss"]) for m in lines], "... and the same steps in the metrics")

# ---- a finished run is continued ----
more = write("more", [("four", ["max_steps: 4", f"datasets: [{dataset('docs')}]"])], MORE.split("\n")[1] + "\n", parent_checkpoint=output("p1"))
results = []
for ranks in (1, 3):
    status, out = train(ranks, f"more{ranks}", yaml=more)
    results.append((status, weights(out)))
check(results[0][0] == 0 and results[0] == results[1], "continued from its end on 1 and 3 ranks")
later = pawl_json("show", output("more1"))
check([s["name"] for s in later["lineage"]["stages"]] == ["one", "two", "three", "four"], "its stages follow those before")
check(later["lineage"]["evaluations"][:len(places)] == lineage["evaluations"], "and its evaluations, too")
check(later["lineage"]["evaluations"][-1]["stage_index"] == 3, "stages are counted on")
check(sum(m["replay_rows"] for m in steps(output("more1"))) > 0, "the parent's memory is replayed")
a, b = pawl_json("memory", "stats", output("p1")), pawl_json("memory", "stats", output("more1"))
check({d["domain"] for d in a["domains"]} == {d["domain"] for d in b["domains"]} == {"docs", "law", "notes", "general"}, "and lives on")

status, out, err = run(2, "train", more, f"output_dir={output('half')}", f"parent_checkpoint={output('cut0')}/checkpoints/step-000000006")
check(status == 0 and "lies inside stage 'one'" in err, f"a parent that is inside a stage is warned of: {err[-300:]}")
other = os.path.join(where, "tokenizer")
os.mkdir(other)
with open(os.path.join(other, "tokenizer.json"), "w") as f:
    letters = [chr(c) for c in [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    json.dump(dict(version="1.0", added_tokens=[], normalizer=None, pre_tokenizer=byte_level, post_processor=None, decoder=byte_level,
                   model=dict(type="BPE", vocab={c: i for i, c in enumerate(letters)}, merges=[])), f)
status, out, err = run(3, "train", more, f"output_dir={output('other')}", f"tokenizer={other}")
check(status == 10 and "another tokenizer" in err and not os.path.exists(output("other") + "/checkpoints/LATEST"), f"a parent of another tokenizer is refused: {err[-300:]}")

status, out, err = run(2, "train", more, f"output_dir={output('typo')}", "replay.domains.0.name=notse", "replay.domains.0.capacity=3")
check(status == 10 and "'notse'" in err and "'notes'" in err and "'general'" in err, f"a domain that neither run nor parent knows is refused: {err[-300:]}")

# ---- one stage is what datasets alone are ----
plain = write_run(where, "plain.yaml", output=output("plain"), datasets=[dict(path=DATASETS["law"], domain="law", type="text")], max_steps=4, val_set_size=0)
staged = write("staged", [("main", [f"datasets: [{{path: {DATASETS['law']}, domain: law, type: text}}]"])], global_batch_size=8, max_steps=4, warmup_steps=2, val_set_size=0)
check(weights(run(1, "train", plain)[1]) == weights(run(2, "train", staged)[1]) is not None, "a run with one stage has the bits of one without stages")

# ---- refused ----
for body, words in ((["max_steps: 3", "num_epochs: 1", f"datasets: [{dataset('law')}]"], "expected one of num_epochs"),
                    (["datasets: []"], "nothing says what to learn"), (["replay_ratio: 0.5", f"datasets: [{dataset('law')}]"], "without replay")):
    status, out, err = run(0, "config", "check", write("bad", [("a", body)]))
    check(status == 10 and words in err + out, f"refused: {words}")
done()
