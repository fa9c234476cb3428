"""Makes texts of manual pages: manuals.py FOLDER OUT, of the gzipped pages below FOLDER, to OUT/pages.jsonl.

A page is written in roff: requests at the starts of lines, escapes inside. What is left is what `man` would show, near enough
to read; pages that use tables or macros of BSD are left out. The pages are chosen by a digest, and cut at paragraphs.
"""

import glob
import gzip
import hashlib
import json
import os
import re
import sys

PAGES, LONGEST, SHORTEST = 100, 2000, 1000  # how many, and characters of each
ESCAPES = (  # what stands for a letter, or for nothing
    (re.compile(r"\\f(\[[^]]*\]|\(..|.)"), ""),  # fonts
    (re.compile(r"\\s[+-]?\d"), ""),
    (re.compile(r"\\\((aq|cq|oq)|\\\[(aq|cq|oq)\]"), "'"),
    (re.compile(r"\\\((lq|rq|dq)|\\\[(lq|rq|dq)\]"), '"'),
    (re.compile(r"\\\((em|en|hy)|\\\[(em|en|hy)\]|\\-"), "-"),
    (re.compile(r"\\\((bu)|\\\[(bu)\]"), "*"),
    (re.compile(r"\\e|\\\(rs|\\\[rs\]"), "\\\\"),
    (re.compile(r"\\[ ~0]"), " "),
    (re.compile(r"\\[&|^/,:%!cd]|\\\*\(..|\\\*\[[^]]*\]"), ""),
    (re.compile(r"\\\[[^]]*\]|\\\(.."), ""),
)
HEADING = re.compile(r'\.S[HS]\s+"?(.*?)"?$')
SPOKEN = re.compile(r"\.(B|I|BR|RB|IR|RI|BI|IB|SM|SB|IP|TP|UR|MT)\s+(.*)$")
PARAGRAPH = re.compile(r"\.(PP|P|LP|TP|IP|HP|RS|RE|br|sp)\b")
LEFT_OUT = re.compile(r"^\.(TS|Dd|Sh|de)\b", re.M)


def words(arguments):
    """What a request's arguments say: quotes keep blanks, and alternating fonts set their parts together."""
    return [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', arguments)]


def lines(source):
    for line in source.splitlines():
        if line.startswith((".\\\"", "'\\\"", ".if", ".ie", ".el", ".ds", ".nr")):
            continue
        heading, spoken = HEADING.match(line), SPOKEN.match(line)
        if heading:
            yield f"\n{heading.group(1)}"
        elif spoken and spoken.group(1) not in ("TP", "IP"):
            yield ("" if len(spoken.group(1)) == 2 else " ").join(words(spoken.group(2)))
        elif PARAGRAPH.match(line):
            yield "\n" + (words(spoken.group(2))[0] if spoken and spoken.group(1) == "IP" and words(spoken.group(2)) else "")
        elif not line.startswith((".", "'")):
            yield line


def plain(source):
    text = "\n".join(lines(source))
    for escape, instead in ESCAPES:
        text = escape.sub(instead, text)
    return re.sub(r"\n{2,}", "\n\n", re.sub(r"[ \t]+", " ", text)).strip()


def pages(folder):
    paths = sorted(glob.glob(os.path.join(folder, "man[1-8]", "*.gz")), key=lambda p: hashlib.sha256(os.path.basename(p).encode()).digest())
    for path in paths:
        if os.path.islink(path):
            continue
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            source = file.read()
        text = "" if LEFT_OUT.search(source) else plain(source)
        cut = text.find("\n\n", LONGEST)
        text = text[: cut if cut > 0 else LONGEST]
        if len(text) >= SHORTEST:
            yield {"text": text[:2 * LONGEST] + "\n", "source": os.path.basename(path)}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = [page for page, _ in zip(pages(sys.argv[1]), range(PAGES))]
    if not found:
        sys.exit(f"manuals.py: no page was found in {sys.argv[1]}")
    os.makedirs(sys.argv[2], exist_ok=True)
    with open(os.path.join(sys.argv[2], "pages.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(page, ensure_ascii=False) + "\n" for page in found)
    print(f"{sys.argv[2]}/pages.jsonl: {len(found)} pages, {sum(len(p['text'].encode()) for p in found) / 1e6:.2f} MB")
