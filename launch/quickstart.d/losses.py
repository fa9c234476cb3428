"""losses.py RUN_DIR: held-out losses before and after a run, from its metrics.jsonl, side by side."""

import json
import sys


def evaluations(path):
    with open(path) as file:
        return [line for line in map(json.loads, file) if "eval" in line]


def rows(before, after):
    for domain in sorted(before):
        change = after[domain] - before[domain]
        yield domain, before[domain], after[domain], change, "forgotten" if change > 0 else "learnt"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = evaluations(sys.argv[1] + "/metrics.jsonl")
    if len(found) < 2:
        sys.exit(f"{sys.argv[1]}/metrics.jsonl: fewer than two evaluations")
    print("held-out loss, nats per token")
    print(f"{'domain':<10} {'before':>8} {'after':>8} {'change':>8}")
    for domain, was, now, change, word in rows(found[0]["eval"], found[-1]["eval"]):
        print(f"{domain:<10} {was:8.3f} {now:8.3f} {change:+8.3f}  {word}")
