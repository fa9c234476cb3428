#!/usr/bin/env python3
"""pawl's tokenizer beside Hugging Face's, one core each, same texts: speed, ratio, and whether the ids are the same.

usage: tests/bench/tokenizer_speed.py DIR... [--files FILE...]     (default: Python's own sources, up to 12 MB)
Run it with the Python that has `tokenizers`; without it only pawl is measured. PAWL_BUILD: the build folder.
"""
import glob, json, os, re, statistics, subprocess, sys, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.environ.get("PAWL_BUILD", os.path.join(root, "build/release"))


def sources(limit=12_000_000):
    found, size = [], 0
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "**/*.py"), recursive=True)):
        try:
            text = open(path, encoding="utf-8", newline="").read()
        except (OSError, UnicodeDecodeError):
            continue
        if text and size < limit:
            found.append(path)
            size += len(text.encode())
    return found


def ours(folder, files):
    out = subprocess.run([os.path.join(build, "tests/bench/tokenize"), folder, *files], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"MB/s: ([\d.]+)", out).group(1)), out.strip()


def our_ids(folder, texts):
    lines = "".join(json.dumps(t) + "\n" for t in texts)
    out = subprocess.run([os.path.join(build, "pawl"), "tokenize", "--tokenizer", folder], input=lines, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def theirs(folder, texts):
    from tokenizers import Tokenizer
    t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        ids = [t.encode(x, add_special_tokens=False).ids for x in texts]
        seconds.append(time.perf_counter() - start)
    return sum(len(x.encode()) for x in texts) / 1e6 / statistics.median(seconds), ids


def main():
    words = sys.argv[1:]
    cut = words.index("--files") if "--files" in words else len(words)
    folders, files = words[:cut], words[cut + 1:] or sources()
    texts = [open(f, encoding="utf-8", newline="").read() for f in files]
    for folder in folders:
        speed, line = ours(folder, files)
        print(folder, line)
        try:
            reference, ids = theirs(folder, texts)
        except ImportError:
            print("  tokenizers is not installed")
            continue
        same = our_ids(folder, texts) == ids
        print("  tokenizers: %.1f MB/s; pawl is %.1f times as fast; ids are %s" % (reference, speed / reference, "the same" if same else "DIFFERENT"))


main()
