"""losses.py BEFORE.json AFTER.json: held-out losses of two models, as `pawl eval --json` wrote them, side by side."""

import json
import sys


def read(path):
    with open(path) as file:
        return json.load(file)


def rows(before, after):
    for domain in sorted(before):
        was, now = before[domain]["loss"], after[domain]["loss"]
        change = now - was
        yield domain, was, now, change, "forgotten" if change > 0 else "learnt"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print("held-out loss, nats per token")
    print(f"{'domain':<10} {'before':>8} {'after':>8} {'change':>8}")
    for domain, was, now, change, word in rows(read(sys.argv[1]), read(sys.argv[2])):
        print(f"{domain:<10} {was:8.3f} {now:8.3f} {change:+8.3f}  {word}")
