"""Runs that a report is tested with: folders of records made by hand, hostile or odd."""
import json, math, os

HOSTILE = ['<script>alert("1")</script>', "\"' onload='alert(1)", "</title><img src=x onerror=alert(2)>", "a\u202egnp.exe", "ctl\u0001\u001b[31m\u0085",
           "zero\u200bwidth\ufeff", "שלום עולם", "$@%s%n", "&lt;&amp;", "very-" * 60 + "long", "\uffff\ufffe", "  "]


def write(folder, lines, torn=""):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "metrics.jsonl"), "w") as f:
        for line in lines:
            f.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        f.write(torn)
    return folder


def step(n, loss, stage="main", **more):
    return dict(dict(step=n, stage=stage, loss=loss, lr=1e-3 / n, grad_norm=loss, tokens=512, tokens_total=512 * n, tokens_per_second=1000 + n % 7,
                     tokens_per_rank=[256, 256], replay_rows=0, seconds=0.5, bytes_sent=1024), **more)


def hostile(folder):
    lines = [dict(step=0, eval={name: 3.0 + i for i, name in enumerate(HOSTILE)})]
    for n in range(1, 41):
        lines.append(step(n, 4 / n, HOSTILE[n // 14]))
    lines.append(dict(step=40, eval={name: 2.0 + i for i, name in enumerate(HOSTILE)}))
    lines += [dict(step=40, event=HOSTILE[0], rows=HOSTILE), dict(step=40, event="skip", bad_rows=1, rows=[HOSTILE[2]])]
    return write(os.path.join(folder, "<b onclick='x'>&\"run"), lines)


def huge(folder, steps=60_000):
    """One step of it is far above, one far below all others."""
    lines = [json.dumps(step(n, 2 + math.sin(n))) for n in range(1, steps + 1)]
    lines[31_415] = json.dumps(step(31_416, 77.25))
    lines[52_000] = json.dumps(step(52_001, -55.5))
    return write(os.path.join(folder, "huge"), lines)


def odd(folder):
    """Name: lines. What a run may leave behind when little went well."""
    return {
        "empty": write(os.path.join(folder, "empty"), []),
        "one": write(os.path.join(folder, "one"), [step(1, 3.25)]),
        "null": write(os.path.join(folder, "null"), [step(n, None if n % 3 else 2.0) for n in range(1, 9)]),
        "all null": write(os.path.join(folder, "all-null"), [step(n, None, grad_norm=None, lr=None) for n in range(1, 5)]),
        "vast": write(os.path.join(folder, "vast"), [step(1, 1e308), step(2, -1e308), step(3, 5e-324)]),
        "torn": write(os.path.join(folder, "torn"), [step(1, 2.0), "no json", "[]", '{"step":"x"}', '{"loss":1}', '{"step":2,"eval":{"a":{"b":1}}}', '{"step":2,"event":7}'], '{"step": 2, "lo'),
        "resumed": write(os.path.join(folder, "resumed"), [step(1, 2.0), dict(step=1, event="stop"), dict(step=1, event="resume", ranks=3), step(2, 1.5), dict(step=2, eval={"d": 1.0})]),
        "gate": write(os.path.join(folder, "gate"), [step(1, 2.0), dict(step=1, event="gate", verdict="exceeded", action="fail", mean=0.125, worst=0.5, worst_domain="<b>x</b>", mean_budget=0.1, worst_budget=None)]),
        "stages": write(os.path.join(folder, "stages"), [step(n, 3 / n, "s%d" % (n // 3), replay_rows=n % 3, penalty=0.01 * n, distill_loss=0.1) for n in range(1, 300)]),
    }
