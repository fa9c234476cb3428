"""Preparing data: the same bytes from any number of ranks, compressed or not; damage is named; a stop leaves nothing."""
import glob, gzip, hashlib, random, signal
from e2e import *

where = folder()
rng = random.Random(4)


def path(name):
    return os.path.join(where, name)


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path(name)


def yaml(datasets, name="run.yaml", **keys):
    return write_run(where, name, datasets=datasets, **dict(dict(val_set_size=0, sequence_len=512, dataset_prepared_path=path("cache")), **keys))


def refused(data, name, *words, **keys):
    """Exit status and stderr of a run on one file."""
    status, _, stderr = run(0, "data", "report", yaml([dict(path=write(name, data), domain="x", **keys)]))
    return status == 20 and name in stderr and all(w in stderr for w in words) and stderr.count("\n") == 1, stderr.strip()


# ---- any number of ranks: the folder of prepared data is the same, to the byte ----
words = ["alpha", "beta", "gamma", "delta", "é", "😀", "\\n", "\\u00e9", "one two three"]
rows = "".join('{"id": %d, "text": "%s"}\n' % (i, " ".join(rng.choices(words, k=rng.randint(1, 200)))) for i in range(14000))
write("mix/big.jsonl", rows)
for i in range(40):
    write(f"mix/deep/{i:02}.txt", "a text file\n" * rng.randint(0, 50))
write("mix/deep/more/packed.jsonl.gz", gzip.compress(rows[: len(rows) // 3].rsplit("\n", 1)[0].encode()))
write("mix/list.json", json.dumps([dict(text=f"row {i}") for i in range(1000)], indent=1))
datasets = [dict(path=path("mix"), domain="folder"), dict(path=path("mix/**/*.j*"), domain="pattern")]


def prepared(folder):
    """Digest of every file below it, by name."""
    files = sorted(f for f in glob.glob(folder + "/**", recursive=True) if os.path.isfile(f))
    return {os.path.relpath(f, folder): hashlib.sha256(open(f, "rb").read()).hexdigest() for f in files}


made, reports = [], []
for ranks in (1, 2, 3, 4):
    cache = path(f"cache-{ranks}")
    status, out, err = run(ranks, "data", "report", yaml(datasets, val_set_size=0.1, dataset_prepared_path=cache))
    check(status == 0, f"prepared on {ranks} ranks: {err.strip()[-300:]}")
    made.append(prepared(cache))
    reports.append(out)
check(len(made[0]) == 16 and all(m == made[0] for m in made), "ranks 1, 2, 3, 4: the same files, byte for byte")
check(all(r == reports[0] for r in reports) and "(43 files)" in reports[0] and "(3 files)" in reports[0], "and the same report")

# ---- compressed or not ----
text = rows[:200000].rsplit("\n", 1)[0] + "\n"
packed = gzip.compress(text.encode())


def ids(name, data):
    y = yaml([dict(path=write(name, data), domain="x")], sample_packing="false", seed=3)
    return [pawl_json("data", "show", y, "--row", str(n))["ids"] for n in (0, 5)]


plain = ids("plain.jsonl", text)
half = len(text) // 2
check(ids("whole.jsonl.gz", packed) == plain, "a .jsonl.gz gives the rows of its .jsonl")
check(ids("members.jsonl.gz", gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode())) == plain, "so do two members in one file")
check(ids("padded.jsonl.gz", packed + b"\0" * 10000) == plain, "and one that is filled up with zeros")
check(ids("text.txt.gz", gzip.compress(b"some text")) == ids("text.txt", "some text"), "a .txt.gz is a text")

for n in (3, 11, len(packed) // 2, len(packed) - 1):
    ok, said = refused(packed[:n], "cut.jsonl.gz", "cut short" if n > 10 else "")
    check(ok, f"a .gz cut to {n} bytes: {said}")
ok, said = refused(packed + b"more", "behind.jsonl.gz", "behind the compressed data")
check(ok, f"something behind the data: {said}")
ok, said = refused(text, "not.jsonl.gz", "expected a gzip file")
check(ok, f"no gzip file: {said}")
for n in range(5):
    at = rng.randrange(10, len(packed))
    damaged = bytearray(packed)
    damaged[at] ^= 1 << rng.randrange(8)
    ok, said = refused(bytes(damaged), "damaged.jsonl.gz")
    check(ok, f"a flipped bit at byte {at}: {said}")
ok, said = refused(gzip.compress(b'{"text": "x"}\n{"text": ' + b" " * (80 << 20)), "bomb.jsonl.gz", "bomb.jsonl.gz:2:1: error: a line of more than 64 MiB")
check(ok, f"a line that inflates without end: {said}")

# ---- a line of a gigabyte ----
with open(path("gigabyte.jsonl"), "wb") as f:
    f.write(b'{"text": "x"}\n{"text": "')
    f.truncate(1 << 30)
status, _, err = run(2, "data", "report", yaml([dict(path=path("gigabyte.jsonl"), domain="x")]))
check(status == 20 and "gigabyte.jsonl:2:1: error: a line of more than 64 MiB" in err and err.count("gigabyte") == 1, f"a line of 1 GB: {err.splitlines()[0]}")
os.remove(path("gigabyte.jsonl"))

# ---- labels, against the rendered text ----
asked = [("Add\x1b[2J.", "2 and 3", "5"), ("Say é\x1b[2J.", "", "é é"), ("Nothing\x1b[2J.", "x", "")]
write("asked.jsonl", "".join(json.dumps(dict(instruction=i, input=n, output=o)) + "\n" for i, n, o in asked))
y = yaml([dict(path=path("asked.jsonl"), domain="asked", type="alpaca")], sequence_len=128, sample_packing="true", excess_length_strategy="split")
trained = {}
for n in range(20):
    row = pawl_json("data", "show", y, "--row", str(n))
    check(len(row["ids"]) == len(row["labels"]) == len(row["positions"]) == row["documents"][-1]["end"] <= 128, f"row {n} is whole")
    for d in row["documents"]:
        inside = range(d["first"], d["end"])
        check([row["positions"][i] for i in inside] == list(range(len(inside))), f"positions of {d['source']} begin at 0")
        check(row["labels"][d["first"]] == -100 and all(row["labels"][i] in (-100, row["ids"][i]) for i in inside), "labels stand in place")
        trained.setdefault(d["source"], set()).add(bytes(i for i in (row["labels"][k] for k in inside) if 0 <= i < 256))
    if len(trained) == 3:
        break
check(trained == {f"asked.jsonl:{i + 1}": {o.encode()} for i, (_, _, o) in enumerate(asked)}, f"answers are trained, and nothing else: {trained}")
status, out, _ = run(0, "data", "show", y, "--row", "0")
check(status == 0 and "{+" in out and "== asked, asked.jsonl:" in out, "for people: what is trained is marked")
told = "".join(run(0, "data", "show", y, "--row", str(n))[1] for n in range(len(asked)))
check("\x1b" not in told and "\\u001b[2J" in told, "a text does not steer the terminal that it is shown on")
for more, said in ((["--part", "held_out"], "0 rows are held out"), (["--part", "x"], "expected train, held_out or choices"), (["--row", "-1"], "--row")):
    status, _, err = run(0, "data", "show", y, *more)
    check(status == 10 and said in err, f"pawl data show {' '.join(more)}: {err.strip()}")

# ---- a stop, and a death, in the middle ----
with open(path("large.jsonl"), "w") as f:
    for _ in range(9):
        f.write(rows)


def in_the_middle():
    return any(os.path.getsize(p) > 4 << 20 for p in glob.glob(path("slow/*.part/rank-*.tokens")))


y = yaml([dict(path=path("large.jsonl"), domain="large")], "slow.yaml", dataset_prepared_path=path("slow"))
p = start(3, "data", "report", y)
wait_for(in_the_middle)
p.send_signal(signal.SIGUSR1)
out, err = p.communicate(timeout=60)
check(p.returncode == 75 and not os.listdir(path("slow")), f"stopped: exit {p.returncode}, left {os.listdir(path('slow'))} {err.strip()[-200:]}")
p = start(3, "data", "report", y)
wait_for(in_the_middle)
os.kill(ranks_of(p)[-1], signal.SIGKILL)
p.communicate(timeout=60)
check(p.returncode != 0 and len(glob.glob(path("slow/*.part"))) == 1, "a rank that is killed ends the job and leaves its folder")
status, out, err = run(2, "data", "report", y)
check(status == 0 and "126000 documents" in out and not glob.glob(path("slow/*.part")), f"which the next job removes, and prepares: {err.strip()[-300:]}")
done()
