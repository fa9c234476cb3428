"""The texts of tests/bench/continual: folders with train.jsonl and test.jsonl, of what Debian's packages hold.

    continual_texts.py OUT NOVELS DICTD [--medium]

prose: the novels of r-cran-janeaustenr (NOVELS: its data folder); code: the standard library of this Python; medical: the
senses of GCIDE (DICTD: a folder with gcide.index) that are marked (Med.); --medium adds legal: the licences and policies in
/usr/share. A digest of a document says whether it is tested, so it never changes sides; of what is tested only so many
bytes are taken, since every stage's end measures all of it.
"""

import glob
import gzip
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "launch", "quickstart.d"))
import dictionary
import texts

DOCUMENT = 2000  # characters: texts are cut into documents of about so many
TEST_EVERY, TEST_BYTES = 10, 40_000
LEGAL = ("/usr/share/common-licenses/*", "/usr/share/doc/debian-policy/**/*.txt*", "/usr/share/doc/*/copyright")


def pieces(text):
    """Documents of whole lines."""
    lines, size = [], 0
    for line in text.splitlines(keepends=True):
        lines.append(line)
        size += len(line)
        if size >= DOCUMENT:
            yield "".join(lines)
            lines, size = [], 0
    if size > DOCUMENT // 10:
        yield "".join(lines)


def prose(novels):
    for _, _, text in texts.english(novels):
        yield from pieces(text)


def code():
    for _, _, text in texts.python():
        yield from pieces(text)


def medical(dictd):
    entries = (entry for entry in dictionary.entries(dictd, "gcide") if "(Med.)" in entry)
    senses = (f"{dictionary.headword(e)}: {' '.join(m.group(1).split())}\n" for e in entries for m in dictionary.MEDICAL.finditer(e))
    yield from pieces("".join(senses))


def legal():
    seen = set()
    for path in sorted(p for pattern in LEGAL for p in glob.glob(pattern, recursive=True)):
        try:
            with (gzip.open(path, "rt") if path.endswith(".gz") else open(path)) as file:
                for piece in pieces(file.read()):
                    if piece not in seen:  # many packages carry the same licence
                        seen.add(piece)
                        yield piece
        except (OSError, UnicodeDecodeError):
            continue


def write(name, documents, out):
    sides = {"train": [], "test": []}
    for text in documents:
        digest = hashlib.md5(text.encode()).digest()
        sides["test" if digest[0] % TEST_EVERY == 0 else "train"].append((digest, text))
    os.makedirs(os.path.join(out, name), exist_ok=True)
    sizes = {}
    for side, found in sides.items():
        size = 0
        with open(os.path.join(out, name, side + ".jsonl"), "w") as file:
            for _, text in sorted(found):
                if side == "test" and size >= TEST_BYTES:
                    break
                size += len(text.encode())
                file.write(json.dumps({"text": text}) + "\n")
        sizes[side] = size
    print(f"  {name}: {sizes['train'] / 1e6:.2f} MB learnt, {sizes['test'] / 1e3:.0f} kB measured")
    if not sizes["train"] or not sizes["test"]:
        sys.exit(f"continual_texts.py: {name}: nothing was found")


if __name__ == "__main__":
    words = [w for w in sys.argv[1:] if w != "--medium"]
    if len(words) != 3:
        sys.exit(__doc__)
    write("prose", prose(words[1]), words[0])
    write("code", code(), words[0])
    write("medical", medical(words[2]), words[0])
    if "--medium" in sys.argv:
        write("legal", legal(), words[0])
