"""pawl retention: published matrices, made and random ones against an oracle written another way, files that are refused, a run."""
import csv, io, json, os
import numpy as np
from e2e import check, done, folder, pawl_json, run, write_run

HERE = folder()

# Wang et al. 2023 (O-LoRA), order 1 (dbpedia, amazon, yahoo, agnews), T5-large: accuracies as its logs state them. What is above the
# diagonal was not measured.
OLORA = [[98.7105], [98.5526, 57.7632], [97.4079, 57.4079, 71.9079], [97.7368, 56.0658, 71.0395, 88.6184]]
OLORA_FIGURES = dict(ACC=78.3651, LA=79.2500, BWT=-1.1798, BWT_final=-0.8849, forgetting_mean=1.1798)


def write(value, name="matrix.json"):
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write(value if isinstance(value, str) else json.dumps(value))
    return path


def figures(R, before=None, higher=True, **more):
    return pawl_json("retention", "--matrix", write(dict(R=R, before=before, higher_is_better=higher, **more)))


def oracle(R, before, higher):
    """Whole matrices alone; by slices instead of loops over domains."""
    R = np.array(R, float)
    T, sign = len(R), 1 if higher else -1
    S = sign * R
    out = dict(ACC=R[-1].mean(), LA=np.trace(R) / T, AAA=np.mean([R[i, : i + 1].mean() for i in range(T)]))
    out["FWT"] = None
    if before is not None and T > 1:
        out["FWT"] = (np.diagonal(S, 1) - sign * np.array(before)[1:]).sum() / (T - 1)
    if T == 1:
        return dict(out, BWT=None, BWT_final=None, forgetting_mean=None, forgetting_worst=None)
    moved = (S[-1] - np.diagonal(S))[:-1].sum()
    lost = np.where(np.tri(T, dtype=bool), S, -np.inf)[:-1].max(axis=0)[:-1] - S[-1, :-1]
    return dict(out, BWT=moved / (T - 1), BWT_final=moved / T, forgetting_mean=lost.mean(), forgetting_worst=lost.max())


def same(found, expected, limit):
    bad = [k for k, x in expected.items() if (found[k] is None) != (x is None) or (x is not None and abs(found[k] - x) > limit)]
    for k in bad:
        print(k, found[k], expected[k])
    return not bad


check(same(figures(OLORA), OLORA_FIGURES, 1e-4), "O-LoRA's order 1: ACC, LA, both BWT, F as published, from rows that end at the diagonal")
padded = [row + [None] * (4 - len(row)) for row in OLORA]
check(same(figures(padded), OLORA_FIGURES, 1e-4), "the same with null above the diagonal")
check(same(figures([row + [0.0] * (4 - len(row)) for row in OLORA]), OLORA_FIGURES, 1e-4), "the same with zeros above it")

# By hand: two tasks. Task 1: 80, then 60. Task 2: 50 before, 55 after task 1, 90.
hand = figures([[80, 55], [60, 90]], before=[10, 50])
check(same(hand, dict(ACC=75, LA=85, AAA=77.5, BWT=-20, BWT_final=-10, FWT=5, forgetting_mean=20, forgetting_worst=20), 1e-12), "two tasks by hand")
loss = figures([[2.0, 3.5], [2.5, 1.0]], before=[4.0, 4.0], higher=False)
check(same(loss, dict(ACC=1.75, LA=1.5, AAA=1.875, BWT=-0.5, BWT_final=-0.25, FWT=0.5, forgetting_mean=0.5, forgetting_worst=0.5), 1e-12),
      "losses by hand: forgetting above 0 and BWT below 0 say that it got worse")
peak = figures([[1.0], [0.5, 2.0], [0.75, 2.5, 1.0]], higher=False)
check(same(peak, dict(forgetting_mean=0.375, forgetting_worst=0.5, BWT=-0.125), 1e-12), "forgetting is against the best so far, BWT against just after")
check(peak["forgetting_worst_domain"] == "2" and peak["FWT"] is None, "the worst domain is named, FWT is null without before")
better = figures([[1.0, 9], [3.0, 2.0]])
check(same(better, dict(forgetting_mean=-2, forgetting_worst=-2, BWT=2), 1e-12), "forgetting may be negative (Chaudhry)")
ref = figures([[80, 55], [60, 90]], reference=[82, 96], domains=["a", "b"])
check(same(ref, dict(intransigence=4), 1e-12) and ref["domains"] == ["a", "b"], "intransigence against a reference, names of domains")
one = figures([[5]])
check(one["ACC"] == 5 and one["BWT"] is None and one["forgetting_mean"] is None, "one stage: what needs two is null")
check(hand["matrix"] == [[80, 55], [60, 90]] and hand["before"] == [10, 50], "the matrix comes back")

generator = np.random.default_rng(5)
good = True
for trial in range(12):
    T = int(generator.integers(1, 9))
    R = generator.normal(2, 1, (T, T)).tolist()
    before = generator.normal(2, 1, T).tolist() if trial % 3 else None
    good &= same(figures(R, before, bool(trial % 2)), oracle(R, before, bool(trial % 2)), 1e-9)
check(good, "random matrices as the oracle has them")

rows = list(csv.DictReader(io.StringIO(run(0, "retention", "--matrix", write(dict(R=OLORA, before=None, higher_is_better=True)), "--csv")[1])))
check(sum(r["kind"] == "R" for r in rows) == 10 and abs(float([r for r in rows if r["kind"] == "ACC"][0]["value"]) - 78.3651) < 1e-4, "CSV")

refused = [("no JSON", "{"), ("no object", [1]), ("no R", dict(before=None, higher_is_better=True)), ("R empty", dict(R=[], higher_is_better=True)),
           ("R flat", dict(R=[1, 2], higher_is_better=True)), ("a row too short", dict(R=[[1, 2, 3], [1], [1, 2, 3]], higher_is_better=True)),
           ("a row too long", dict(R=[[1, 2], [1, 2, 3]], higher_is_better=True)), ("a text", dict(R=[["1"]], higher_is_better=True)),
           ("null below the diagonal", dict(R=[[1, 2], [None, 2]], higher_is_better=True)), ("true as a number", dict(R=[[True]], higher_is_better=True)),
           ("before too short", dict(R=[[1, 2], [1, 2]], before=[1], higher_is_better=True)), ("no orientation", dict(R=[[1]])),
           ("orientation as a text", dict(R=[[1]], higher_is_better="yes")), ("a number that is none", '{"R": [[1e999]], "higher_is_better": true}'),
           ("a name that a terminal would obey", dict(R=[[1]], domains=["\x1b[31m"], higher_is_better=True)),
           ("a name that turns round", dict(R=[[1]], domains=["\u202ea"], higher_is_better=True)), ("a name too long", dict(R=[[1]], domains=["x" * 96], higher_is_better=True)),
           ("names too few", dict(R=[[1, 2], [1, 2]], domains=["a"], higher_is_better=True)), ("keys twice", '{"R": [[1]], "R": [[2]], "higher_is_better": true}')]
for what, value in refused:
    status, out, err = run(0, "retention", "--matrix", write(value, "bad.json"))
    check(status == 20 and not out and len(err.strip().splitlines()) == 1 and "bad.json" in err, f"refused in one sentence: {what}: {err.strip()[-110:]}")
check(run(0, "retention", "--matrix", os.path.join(HERE, "none.json"))[0] == 40, "a file that is not there: 40")
check(run(0, "retention")[0] == 10 and run(0, "retention", HERE, "--matrix", "x")[0] == 10, "neither or both: usage")

# A run of today: before and after.
yaml = write_run(HERE, max_steps=4)
status, _, err = run(2, "train", yaml)
check(status == 0, f"a run on 2 ranks {err[-200:]}")
found = pawl_json("retention", os.path.join(HERE, "out"))
lineage = pawl_json("show", os.path.join(HERE, "out"))["lineage"]
first, last = lineage["evaluations"][0]["scores"], lineage["evaluations"][-1]["scores"]
check(found["measure"] == "loss" and found["domains"] == ["docs"] and len(found["matrix"]) == 1, "its stage and domains")
check(found["before"] == [first[d]["loss"] for d in found["domains"]] and found["matrix"][0] == [last[d]["loss"] for d in found["domains"]],
      "its rows are its evaluations")
check(abs(found["ACC"] - last["docs"]["loss"]) < 1e-12 and found["forgetting_mean"] is None, "its figures")
for measure in ("perplexity", "bits_per_byte"):
    by = pawl_json("retention", os.path.join(HERE, "out"), "--by", measure)
    check(by["matrix"][0] == [last[d][measure] for d in by["domains"]] and found["measures"][measure]["matrix"] == by["matrix"], f"by {measure}")
status, out, _ = run(0, "retention", os.path.join(HERE, "out"))
check(status == 0 and "\033" not in out and "before" in out and "docs" in out, "a table, without colour in a pipe")
check(run(0, "retention", os.path.join(HERE, "out"), "--by", "accuracy")[0] == 20, "a measure that was not taken is refused")
check(run(0, "retention", os.path.join(HERE, "out"), "--by", "los")[0] == 10, "an unknown measure is usage")
done()
