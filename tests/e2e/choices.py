"""Questions with choices: transformers' log-probabilities and accuracy, on 1, 2 and 3 ranks, in evaluations, in `pawl eval`, in what is retained, in
the report; what is cut, what is refused."""
import csv, io, json, os
from e2e import check, done, folder, metrics, pawl_json, run

FIXTURE = os.path.join(os.environ["PAWL_SOURCE"], "tests", "fixtures", "continual", "choices")
MODEL, QUESTIONS = os.path.join(FIXTURE, "model"), os.path.join(FIXTURE, "questions.jsonl")
with open(os.path.join(FIXTURE, "expected.json")) as f:
    EXPECTED = json.load(f)
HERE = folder()
TEXTS = {name: os.path.join(HERE, name + ".txt") for name in ("one", "two")}
for i, path in enumerate(TEXTS.values()):
    with open(path, "w") as f:
        f.write("\n".join(f"{'ab'[i]} line {k * k} of text {'no' if i else 'yes'}" for k in range(60)))


def write(name, tests, **keys):
    settings = dict(dict(base_model=MODEL, sequence_len=EXPECTED["length"], global_batch_size=4, learning_rate="5e-3", warmup_steps=0,
                         dataset_prepared_path=f"{HERE}/prepared", output_dir=f"{HERE}/{name}", logging_steps=1), **keys)
    text = "".join(f"{k}: {v}\n" for k, v in settings.items())
    text += "stages:\n" + "".join(f"  - {{name: {n}, max_steps: 3, datasets: [{{path: {p}, type: text, domain: {n}}}]}}\n" for n, p in TEXTS.items())
    text += "test_datasets:\n" + "".join(f"  - {json.dumps(d)}\n" for d in tests)
    path = f"{HERE}/{name}.yaml"
    with open(path, "w") as f:
        f.write(text)
    return path


def questions(domain, **more):
    return dict(path=QUESTIONS, type="choices", domain=domain, **more)


def shares(asked):
    return [sum(q[k] == q["right"] for q in asked) / len(asked) for k in ("chosen", "chosen_norm")]


# Domain one has a text, too: its loss is that of the text, its accuracy that of the questions. Domain chat has questions alone.
yaml = write("run", [dict(path=TEXTS["one"], type="text", domain="one"), questions("one"), questions("chat", apply_chat_template=True)])
words = ("eval", yaml, "--checkpoint", MODEL, "--json")
asked = json.loads(run(0, *words, "--choices")[1])
for domain, name in (("one", "plain"), ("chat", "chat")):
    off = max(abs(x - y) / max(1, abs(y)) for a, b in zip(asked[domain], EXPECTED[name]) for x, y in zip(a["logprobs"], b["logprobs"]))
    same = all(a[k] == b[k] for a, b in zip(asked[domain], EXPECTED[name]) for k in ("bytes", "right", "chosen", "chosen_norm"))
    check(off < 1e-5 and same and len(asked[domain]) == len(EXPECTED[name]), f"{name}: every choice has transformers' log-probability ({off:.1e}), the same are chosen")
scores = [run(n, *words)[1] for n in (0, 2, 3)]
check(scores[0] == scores[1] == scores[2], "pawl eval: the same figures on 1, 2 and 3 ranks, to the last digit")
found = json.loads(scores[0])
check([found["one"]["accuracy"], found["one"]["accuracy_norm"]] == shares(EXPECTED["plain"]) and found["one"]["questions"] == len(EXPECTED["plain"]),
      f"accuracy and accuracy_norm are exact: {found['one']['right']} and {found['one']['right_norm']} of {found['one']['questions']}")
alone = json.loads(run(0, "eval", write("texts", [dict(path=TEXTS["one"], type="text", domain="one")]), "--checkpoint", MODEL, "--json")[1])["one"]
check(all(found["one"][k] == x for k, x in alone.items()) and "accuracy" not in alone, "a domain with a text and questions has the text's loss; one without questions has no accuracy")
right = sum(q["logprobs"][q["right"]] for q in EXPECTED["chat"])
check(abs(found["chat"]["loss"] * found["chat"]["tokens"] + right) < 1e-4, "a domain with questions alone has the loss of the right answers")
check("accuracy" in run(0, *words[:-1])[1].splitlines()[0], "the table has a column for it")

# Other names, another delimiter, messages: the same questions written another way have the same figures.
with open(QUESTIONS) as f:
    plain = [json.loads(line) for line in f]
ways = dict(named=[dict(q=r["question"] + (" " if r["question"].split() and not r["question"][-1].isspace() else ""), opts=r["choices"], gold=r["answer"]) for r in plain],
            said=[dict(prompt=[dict(role="user", content=r["question"])], choices=r["choices"], answer=r["answer"]) for r in plain])
for name, rows in ways.items():
    with open(os.path.join(HERE, name + ".json"), "w") as f:
        json.dump(rows, f)
names = dict(field_prompt="q", field_choices="opts", field_answer="gold", choice_delimiter="")
other = write("ways", [dict(path=f"{HERE}/named.json", type="choices", domain="named", **names), dict(path=f"{HERE}/said.json", type="choices", domain="said")])
found = json.loads(run(0, "eval", other, "--checkpoint", MODEL, "--choices", "--json")[1])
check(found["said"] == asked["chat"], "a prompt that is a list of messages is what apply_chat_template makes of a text")
kept = [i for i, r in enumerate(plain) if not r["question"][-1].isspace()]
check([found["named"][i] for i in kept] == [asked["one"][i] for i in kept], "keys of other names; a space at the prompt's end is the delimiter")
row = pawl_json("data", "show", yaml, "--part", "choices", "--row", "1")
scored = [i for i, x in enumerate(row["labels"]) if x != -100]
check(row["choice"] == dict(index=1, count=2, right=True, bytes=EXPECTED["plain"][0]["bytes"][1]) and scored == list(range(scored[0], len(row["ids"]))) and scored[0] > 1,
      "pawl data show --part choices: which choice it is, and what of it is scored")

report = run(0, "data", "report", yaml)[1]
cut = [sum(q["cut"] for q in EXPECTED[name]) for name in ("plain", "chat")]
lines = [line for line in report.splitlines() if "questions with choices" in line]
check(all(f"{c} longer than sequence_len and truncated" in line for c, line in zip(cut, lines)) and len(lines) == 2, f"how many prompts were cut is counted: {cut}")
check(run(0, "eval", yaml, "--checkpoint", MODEL, "excess_length_strategy=raise")[0] == 20, "excess_length_strategy: raise refuses them")

# A run of two stages on other ranks: the same bits, and what the lineage has is what pawl retention says.
outs = []
for ranks in (1, 3):
    status, _, err = run(ranks, "train", yaml, f"output_dir={HERE}/run{ranks}")
    check(status == 0 and "accuracy" in err + run(0, "show", f"{HERE}/run{ranks}", "--json")[1], f"a run on {ranks} ranks {err[-200:]}")
    outs.append(f"{HERE}/run{ranks}")
lineages = [pawl_json("show", out)["lineage"] for out in outs]
check(lineages[0]["evaluations"] == lineages[1]["evaluations"], "evaluations of 1 and 3 ranks are the same")
ends = [e["scores"] for e in lineages[0]["evaluations"] if e["at"] in ("start", "stage_end")]
check([ends[0]["one"]["accuracy"], ends[0]["one"]["accuracy_norm"]] == shares(EXPECTED["plain"]) and len(ends) == 3, "they begin with the base model's accuracy")
measured = [m for m in metrics(outs[0]) if "accuracy" in m]
check(all(abs(m["accuracy"]["one"] - e["one"]["accuracy"]) < 1e-9 for m, e in zip(measured, ends)) and len(measured) == 3 and "chat" in measured[0]["accuracy_norm"], "metrics.jsonl has them")
for by in ("accuracy", "accuracy_norm"):
    kept = pawl_json("retention", outs[0], "--by", by)
    one = kept["domains"].index("one")
    values = [e["one"][by] for e in ends]
    check(kept["higher_is_better"] and [kept["before"][one]] + [row[one] for row in kept["matrix"]] == values, f"pawl retention --by {by}: its matrix")
    check(abs(kept["forgetting_mean"] - (values[1] - values[2])) < 1e-12 and abs(kept["BWT"] - (values[2] - values[1])) < 1e-12, "a fall is forgetting above 0 and BWT below 0")
    check(kept["measures"][by]["matrix"] == kept["matrix"], "and it stands under measures")
table = run(0, "retention", outs[0], "--by", "accuracy")[1]
rows = list(csv.DictReader(io.StringIO(run(0, "retention", outs[0], "--csv")[1])))
check(table.startswith("accuracy") and any(r["kind"] == "R" and r["measure"] == "accuracy_norm" and r["domain"] == "chat" for r in rows), "a table, and CSV")
with open(os.path.join(outs[0], "report.html")) as f:
    check("Retention matrix of accuracy" in f.read(), "the report has its heat map")

# A run that goes on with fewer questions and the same text: its accuracy does not compare with what was found before, its loss does.
with open(f"{HERE}/fewer.jsonl", "w") as f:
    f.writelines(json.dumps(r) + "\n" for r in plain[:10])
fewer = write("fewer", [dict(path=TEXTS["one"], type="text", domain="one"), dict(path=f"{HERE}/fewer.jsonl", type="choices", domain="one")])
with open(fewer) as f:
    text = f.read().replace(f"base_model: {MODEL}", f"parent_checkpoint: {outs[0]}").replace("name: one", "name: three").replace("name: two", "name: four")
with open(fewer, "w") as f:
    f.write(text)
status, _, err = run(1, "train", fewer)
before = {by: [row[0] for row in pawl_json("retention", f"{HERE}/fewer", "--by", by)["matrix"][:2]] for by in ("accuracy", "loss")} if not status else err
check(status == 0 and before["accuracy"][0] is None and before["loss"] == [e["one"]["loss"] for e in ends[1:]], f"other questions are not compared, the same texts are {before}")

# Refused, each in a sentence with its place.
bad = [('{"question": "q", "choices": ["a"], "answer": 0}', "two choices at least"), ('{"question": "q", "choices": ["a", "b"], "answer": 2}', "answer"),
       ('{"question": "q", "choices": ["a", "b"], "answer": "C"}', "'C'"), ('{"question": "q", "choices": ["a", 7], "answer": 0}', "choices[1]"),
       ('{"question": "q", "choices": ["a", ""], "answer": 0}', "choices[1]"), ('{"choices": ["a", "b"], "answer": 0}', "'prompt'"),
       ('{"question": "q", "answer": 0}', "'choices'"), ('{"question": "q", "choices": ["a", "b"]}', "'answer'"),
       ('{"question": "q", "choices": {"text": ["a", "b"], "label": ["x"]}, "answer": "x"}', "label"),
       ('{"question": "q", "choices": {"text": ["a", "b"], "label": [1, 2]}, "answer": 1}', "label[0]"),
       ('{"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "A"]}, "answer": "A"}', "earlier choice"),
       ('{"question": "q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answer": 1}', "write the label as a text"),
       ('{"question": "q", "choices": ["a", "b"], "answer": -1}', "found -1"),
       (json.dumps(dict(question="q", choices=["a", "zq " * 60], answer=0)), "leaves no room")]
path = os.path.join(HERE, "bad.jsonl")
with open(path, "w") as f:
    f.write("".join(line + "\n" for line, _ in bad) + json.dumps(dict(prompt="q", choices=["a", "b"], answer="B")) + "\n")
yaml = write("bad", [dict(path=path, type="choices", domain="bad")])
status, out, _ = run(0, "data", "report", yaml, f"skip_bad_rows={len(bad)}", "--json")
check(status == 0 and [d["questions"] for d in json.loads(out) if d["domain"] == "bad"] == [1], "bad rows leave nothing behind, not half of a question")
shown = run(0, "data", "report", yaml, f"skip_bad_rows={len(bad)}")
for i, (line, word) in enumerate(bad):
    said = [x for x in (shown[1] + shown[2]).splitlines() if f"bad.jsonl:{i + 1}:" in x]
    check(bool(said) and word in said[0], f"refused: {line[:60]}: {said[0][-90:] if said else shown[2][-200:]}")
for where in ("datasets", "general_data"):
    with open(f"{HERE}/wrong.yaml", "w") as f:
        f.write(f"base_model: {MODEL}\nmax_steps: 1\nglobal_batch_size: 1\nlearning_rate: 1e-3\noutput_dir: {HERE}/wrong\n"
                + (f"datasets: [{{path: {TEXTS['one']}}}]\n" if where != "datasets" else "") + f"{where}: [{json.dumps(questions('q'))}]\n")
    status, out, err = run(0, "config", "check", f"{HERE}/wrong.yaml")
    check(status == 10 and "test_datasets alone" in out + err, f"in {where} type choices is refused")
done()
