"""The replay memory of whole runs: the same for any number of ranks and either storage, through a stop and a resume at another
count, kept by a run that continues; listed, counted, and forgotten from."""
import signal
from e2e import *

where = folder()
TEXTS = {"prose": PAGES, "law": os.path.join(where, "law"), "code": os.path.join(SOURCE, "comm")}
os.mkdir(TEXTS["law"])
with open(os.path.join(SOURCE, "LICENSE")) as f, open(os.path.join(TEXTS["law"], "a\x1b[31mb\n\u202ec.txt"), "w") as to:
    to.write(f.read().replace("the ", "\x1b[1mthe "))  # a name, and words, that would steer a terminal


def stage(name, steps, **more):
    source = TEXTS[name]
    dataset = dict(path=source, domain=name, license="Apache-2.0", type="text")
    return dict(name=name, datasets=[dataset], max_steps=steps, **more)


def write(name, stages, **keys):
    settings = dict(sequence_len=64, global_batch_size=8, micro_batch_size=1, learning_rate=3e-3, val_set_size=0.1, logging_steps=1,
                    dataset_prepared_path=os.path.join(where, "prepared"), output_dir=os.path.join(where, name), tokenizer="bytes", seed=11,
                    replay=dict(ratio=0.25, capacity=40), stages=stages,
                    model=dict(hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                               max_position_embeddings=128))
    settings.update(keys)
    path = os.path.join(where, name + ".yaml")
    with open(path, "w") as f:
        json.dump({k: v for k, v in settings.items() if v is not None}, f)  # JSON is YAML
    return path


STAGES = [stage("prose", 6), stage("law", 6), stage("code", 6)]


def train(ranks, name, stages=STAGES, **keys):
    status, _, err = run(ranks, "train", write(name, stages, **keys))
    check(status == 0, f"{name} on {ranks} ranks" + err[-800:] * (status != 0))
    return pawl_json("show", os.path.join(where, name))


# One memory for any number of ranks, in memory and on disk.
one = train(1, "one")
for ranks in (2, 3, 8):
    many = train(ranks, f"ranks{ranks}")
    check(many["memory_sha256"] == one["memory_sha256"] and many["state_sha256"] == one["state_sha256"], f"{ranks} ranks have the memory and state of one")
disk = train(2, "disk", replay=dict(ratio=0.25, capacity=40, storage="disk"))
check(disk["state_sha256"] == one["state_sha256"], "a memory on disk has the same bits")
check(not os.path.exists(os.path.join(where, "disk", "memory")), "and its file is gone")

# What was drawn: nothing in the first stage, then two of eight rows in every step.
rows = [m["replay_rows"] for m in steps(os.path.join(where, "one"))]
check(rows == [0] * 6 + [2] * 12, f"replayed rows {rows}")

# What it holds.
stats = pawl_json("memory", "stats", os.path.join(where, "one"))
check(stats["rows"] == 40 and [d["domain"] for d in stats["domains"]] == ["prose", "law", "code"], "exactly the capacity, in the order of learning")
check(max(d["rows"] for d in stats["domains"]) - min(d["rows"] for d in stats["domains"]) <= 1, f"in equal shares {[d['rows'] for d in stats['domains']]}")
check(all(d["licenses"] == ["Apache-2.0"] for d in stats["domains"]), "with licences")
listed = pawl_json("memory", "list", os.path.join(where, "one"))
check(len(listed) == 40 and listed == sorted(listed, key=lambda r: (["prose", "law", "code"].index(r["domain"]), r["key"])), "listed by domain and key")
told = run(0, "memory", "list", os.path.join(where, "one"))[1]
check(len(told.splitlines()) == 41 and "a?[31mb??c.txt" in told and "\x1b" not in told + run(0, "memory", "stats", os.path.join(where, "one"))[1], "a line a row, whatever a file is named")
shown = pawl_json("memory", "show", os.path.join(where, "one"), "--row", "39")
check(len(shown["ids"]) == shown["tokens"] and shown["documents"][-1]["end"] == shown["tokens"] and "text" in shown["documents"][0], "a row is shown with its text")
law = [run(0, "memory", "show", os.path.join(where, "one"), "--row", str(r["row"]))[1] for r in listed if r["domain"] == "law"]
check("\x1b" not in "".join(law) and "\\u001b[1m" in "".join(law), "and for people without what would steer their terminal")

# Stopped in the second and in the third stage, each time gone on with other ranks.
yaml, out = write("stopped", STAGES, save_steps=4), os.path.join(where, "stopped")
for ranks, more in ((3, 9), (1, 6), (2, None)):
    path = os.path.join(out, "metrics.jsonl")
    lines = count_lines(path)
    p = start(ranks, "train", yaml)
    if more:
        wait_for(lambda: "resume" in open(path).read() if lines else os.path.exists(path))
        lines = count_lines(path)
        wait_for(lambda: count_lines(path) >= lines + more or p.poll() is not None)
        p.send_signal(signal.SIGUSR1)
    err = p.communicate(timeout=100)[1]
    check(p.returncode in (0, 75), f"{ranks} ranks, for about {more} lines, ended with {p.returncode}" + err[-500:] * (p.returncode not in (0, 75)))
check(pawl_json("show", out)["state_sha256"] == one["state_sha256"], "stopped and resumed at other ranks, the bits are those of the undisturbed run")

# Forgotten: a new checkpoint, whole, without the document, that a run continues from with its memory.
clean = os.path.join(where, "clean")
document = shown["documents"][0]["document"]
status, text, err = run(0, "memory", "forget", os.path.join(where, "one"), "--document", document, "-o", clean)
check(status == 0 and "left as it was" in text, "forget says that the old checkpoint is left" + err)
check(run(0, "verify", clean)[0] == 0, "the new checkpoint is whole")
check(run(0, "memory", "forget", clean, "--document", document, "-o", clean + "2")[0] == 10, "in which there is nothing of the document any more")
more = train(2, "more", stages=[stage("prose", 3)], parent_checkpoint=clean, model=None)
check([e.get("document") for e in more["lineage"].get("erasures", [])] == [document], f"its lineage says what was forgotten {more['lineage'].get('erasures')}")
rows = [m["replay_rows"] for m in steps(os.path.join(where, "more"))]
check(rows == [2, 2, 2], f"a run that continues draws from the finished run's memory at once {rows}")
check([d["domain"] for d in pawl_json("memory", "stats", os.path.join(where, "more"))["domains"]] == ["prose", "law", "code"], "and carries it on")
done()
