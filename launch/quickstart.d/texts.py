"""Makes texts for the quickstart: folders with train.jsonl and test.jsonl, one document a line.

    texts.py english FOLDER OUT     FOLDER: the data of the R package janeaustenr
    texts.py licences OUT           the licences that every Debian carries: English where nothing can be fetched
    texts.py python OUT             the standard library of this Python, modules of up to 40 kB
    texts.py excerpts OUT           of some of these a part of the middle each: enough for a large model

What is tested is never trained: of each novel the middle chapter, of the licences two that share no words with others, of
the modules every fortieth by name.
"""

import json
import os
import re
import sys
import sysconfig

import rdata

CHAPTER = re.compile(r"(VOLUME|CHAPTER|Chapter) [IVXLC\d]+\.?$")
EDITORS_NOTE = "A NOTE ON THE TEXT"  # by a modern editor, behind Northanger Abbey
MODULE_BYTES = 40_000  # a few long modules would outweigh the rest
TEST_EVERY = 40
LICENCES = "/usr/share/common-licenses"
TESTED_LICENCES = {"Artistic", "MPL-2.0"}
EXCERPT, EXCERPTS = 2000, 60  # characters; how many


def chapters(lines):
    """The chapters of a novel, as texts, without title page and editor's note."""
    lines = lines[: lines.index(EDITORS_NOTE)] if EDITORS_NOTE in lines else lines
    starts = [n for n, line in enumerate(lines) if CHAPTER.match(line)]
    parts = ("\n".join(lines[a:b]).strip() for a, b in zip(starts, starts[1:] + [len(lines)]))
    return [text + "\n" for text in parts if "\n" in text]  # a line "VOLUME I" stands alone


def english(folder):
    for novel, lines in sorted(rdata.variables(folder).items()):
        texts = chapters(lines)
        for n, text in enumerate(texts):
            yield n == len(texts) // 2, f"{novel}, {n + 1} of {len(texts)}", text


def licences(folder=LICENCES):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not os.path.islink(path):  # GPL is another name of GPL-3
            with open(path, encoding="utf-8") as file:
                yield name in TESTED_LICENCES, name, file.read()


def python():
    folder = sysconfig.get_path("stdlib")
    modules = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".py")]
    modules = [path for path in modules if os.path.getsize(path) <= MODULE_BYTES]
    for n, path in enumerate(modules):
        with open(path, encoding="utf-8") as file:
            yield n % TEST_EVERY == TEST_EVERY // 2, os.path.basename(path), file.read()


def excerpts():
    """Whole lines, from the middle on."""
    found = [(source, text) for _, source, text in python() if len(text) > 2 * EXCERPT]
    for n in range(EXCERPTS):
        source, text = found[n * len(found) // EXCERPTS]
        start = text.index("\n", len(text) // 2 - 1) + 1
        end = text.find("\n", start + EXCERPT)
        yield False, source, text[start : end + 1 if end > 0 else len(text)]


def write(documents, out, splits=("train", "test")):
    os.makedirs(out, exist_ok=True)
    counts = {split: [0, 0] for split in splits}
    files = {split: open(os.path.join(out, split + ".jsonl"), "w", encoding="utf-8") for split in splits}
    for tested, source, text in documents:
        split = "test" if tested else "train"
        counts[split][0] += 1
        counts[split][1] += len(text.encode())
        print(json.dumps({"text": text, "source": source}, ensure_ascii=False), file=files[split])
    for file in files.values():
        file.close()
    for split, (documents, size) in counts.items():
        if not documents:
            sys.exit(f"texts.py: {out}/{split}.jsonl: no document was found")
        print(f"{out}/{split}.jsonl: {documents} documents, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "english":
        write(english(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) == 3 and sys.argv[1] == "excerpts":
        write(excerpts(), sys.argv[2], ("train",))
    elif len(sys.argv) == 3 and sys.argv[1] in ("python", "licences"):
        write(python() if sys.argv[1] == "python" else licences(), sys.argv[2])
    else:
        sys.exit(__doc__)
