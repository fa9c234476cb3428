"""Makes chat rows of a dictionary: a question with the definition as its answer, in train.jsonl and test.jsonl.

    dictionary.py medical FOLDER OUT      FOLDER: gcide.index and gcide.dict.dz, of Debian's dict-gcide (GPL-2.0-or-later)
    dictionary.py computing FOLDER OUT    foldoc.index and foldoc.dict.dz, of dict-foldoc (GFDL-1.1-or-later)

The files are dictd's: an index of lines "word, tab, place, tab, length" (numbers in base 64) into a text that gzip reads.
All of a word's senses are trained, or all are tested: its digest says which, so a row never changes sides.
"""

import gzip
import hashlib
import json
import os
import re
import sys

DIGITS = {c: n for n, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
SHORTEST, LONGEST = 24, 360  # characters of an answer
TEST_EVERY = 20

MEDICAL = re.compile(r"\(Med\.\)\s+(.+?)(?=\n\s*\n|\n +\d+\. |\n +\([a-z]\) |\Z)", re.S)  # a sense, to its paragraph's end
COMPUTING = re.compile(r"^ +<(?P<field>[a-z ,/-]+)> +(?:\([^)]*\) )?(.+?)(?=\n\s*\n|\Z)", re.S | re.M)
MARKS = (  # what dictionaries write between the words
    (re.compile(r"\s+"), " "),
    (re.compile(r"\[(1913 Webster|Webster 1913|WordNet|PJC|AS|RH|Webster Suppl|Century)[^]]*\]"), ""),
    (re.compile(r"\[Obs\.?\]|\[R\.\]"), ""),
    (re.compile(r"( --[A-Z][A-Za-z.]+( [A-Z][A-Za-z.]+)*| AS| PJC)\s*$"), ""),  # who is quoted, who wrote it
    (re.compile(r"[{}]"), ""),  # words that have entries of their own
    (re.compile(r"\[ae\]"), "ae"),
    (re.compile(r"\[oe\]"), "oe"),
    (re.compile(r"  +"), " "),
)
# A sentence without a dictionary's own notation, and more than a word to look up.
CLEAN = re.compile(r"(?!See |Same as |Of or pertaining to [a-z]+\.)(?!.*--)[A-Z][A-Za-z0-9 ,;:.()'\"/-]+[.)]$")

DICTIONARIES = {
    "medical": ("gcide", MEDICAL, 'What does "{}" mean in medicine?'),
    "computing": ("foldoc", COMPUTING, 'What does "{}" mean in computing?'),
}


def number(digits):
    value = 0
    for digit in digits:
        value = value * 64 + DIGITS[digit]
    return value


def entries(folder, name):
    """Each entry's text once, in the order of the text: an entry stands in the index under each of its words."""
    with gzip.open(os.path.join(folder, name + ".dict.dz")) as file:
        text = file.read()
    with open(os.path.join(folder, name + ".index"), encoding="utf-8") as file:
        places = {tuple(map(number, line.rstrip("\n").split("\t")[1:3])) for line in file}
    for first, length in sorted(places):
        if first + length > len(text):
            raise ValueError(f"{name}.index names bytes {first} to {first + length}, but {name}.dict.dz holds {len(text)}")
        yield text[first : first + length].decode("utf-8", "replace")


def headword(entry):
    """Older entries begin every word with a capital."""
    word = re.sub(r"\s+", " ", entry.lstrip().split("\n", 1)[0].split("\\", 1)[0]).strip()
    return word[:1].lower() + word[1:] if "\\" in entry and word[1:].islower() else word


def definitions(entry, pattern):
    """The senses that the pattern finds, without the dictionary's marks; those that keep some are left out."""
    for match in pattern.finditer(entry):
        text = match.group(match.lastindex)
        for mark, instead in MARKS:
            text = mark.sub(instead, text)
        text = text.strip()
        if SHORTEST <= len(text) <= LONGEST and CLEAN.match(text):
            yield text


def is_tested(word):
    return int.from_bytes(hashlib.sha256(word.lower().encode()).digest()[:4], "big") % TEST_EVERY == 0


def rows(kind, folder):
    """(tested, row) for every sense, each text once."""
    name, pattern, question = DICTIONARIES[kind]
    seen = set()
    for entry in entries(folder, name):
        word = headword(entry)
        if not re.match(r"[A-Za-z][A-Za-z '-]*$", word):
            continue
        for text in definitions(entry, pattern):
            if (word.lower(), text) in seen:
                continue
            seen.add((word.lower(), text))
            messages = [{"role": "user", "content": question.format(word)}, {"role": "assistant", "content": text}]
            yield is_tested(word), {"messages": messages}


def write(kind, folder, out):
    found = list(rows(kind, folder))
    os.makedirs(out, exist_ok=True)
    for split, tested in (("train", False), ("test", True)):
        chosen = [row for side, row in found if side == tested]
        if not chosen:
            sys.exit(f"dictionary.py: {out}/{split}.jsonl: no definition was found in {folder}")
        with open(os.path.join(out, split + ".jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        print(f"{out}/{split}.jsonl: {len(chosen)} questions with their answers")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in DICTIONARIES:
        sys.exit(__doc__)
    write(*sys.argv[1:])
