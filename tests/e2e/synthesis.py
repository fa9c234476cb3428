"""Self-synthesised replay: rows that the parent model writes with recorded prompts. The same for any ranks, those that `pawl generate` writes,
in the memory with where they came from, drawn from the first step on, exact after kills and stops; what cannot be is refused."""
import hashlib, signal
from e2e import *

where = folder()
RECORDED = ["The license", "Copyright ", "You may", "", "Each Contributor grants"]


def at(name):
    return os.path.join(where, name)


def write_lines(name, rows):
    with open(at(name), "w") as f:
        f.write("".join(json.dumps(row) + "\n" if not isinstance(row, str) else row + "\n" for row in rows))
    return at(name)


prompts = write_lines("prompts.jsonl", [{"prompt": p} for p in RECORDED])
law = [dict(path=os.path.join(SOURCE, "LICENSE"), domain="law", type="text")]
notes = [dict(path=texts(where, "notes"), domain="notes", type="text")]
parent = at("parent")
check(run(1, "train", write_run(where, "parent.yaml", output=parent, datasets=law, max_steps=60, learning_rate="1e-2", val_set_size=0))[0] == 0, "a parent")

SETTINGS = dict(prompts=prompts, rows=13, max_tokens=30, temperature=0.9, top_p=0.95, license="Apache-2.0")


def child(name, start=f"parent_checkpoint: {parent}\n", more={}, **synthesis):
    keys = dict(max_steps=5, val_set_size=0, replay="{ratio: 0.25, capacity: 60}", der="{top_k: 4}", synthesis=json.dumps(dict(SETTINGS, **synthesis)))
    return write_run(where, name + ".yaml", output=at(name), model=start, datasets=notes, **dict(keys, **more))


# Its saves take so long that the one of step 0 is not through when the stage ends and the memory changes.
SLOW = dict(program=os.path.join(TESTS, "slow_pawl"), env=dict(ENV, PAWL_NOTES=at("saves"), PAWL_SLOW_MS="20"))
os.makedirs(at("saves"))


def train(ranks, name, *words, how={}, **more):
    status, out, err = run(ranks, "train", child(name, **more), *words, **how)
    check(status == 0, f"{name} on {ranks} ranks" + (": " + err[-600:] if status else ""))
    return pawl_json("show", at(name))


def first_of(name):
    return os.path.join(at(name), "checkpoints", "step-000000000")


def written(name):
    """Rows of the memory before the first step."""
    first = first_of(name)
    listed = pawl_json("memory", "list", first)
    return [pawl_json("memory", "show", first, "--row", str(r["row"])) for r in listed]


# ---- any ranks ----
one = train(1, "one")
first = pawl_json("show", first_of("one"))["memory_sha256"]
for ranks, zero in ((2, 0), (3, 1)):
    many = train(ranks, f"ranks{ranks}", f"zero_stage={zero}", how=SLOW if ranks == 2 else {})
    check(pawl_json("show", first_of(f"ranks{ranks}"))["memory_sha256"] == first and run(0, "verify", first_of(f"ranks{ranks}"))[0] == 0,
          f"{ranks} ranks write the rows of one, and save them before they are changed")
    check(many["memory_sha256"] == one["memory_sha256"] and many["state_sha256"] == one["state_sha256"],
          f"{ranks} ranks, zero_stage {zero}: the memory and state of one")
check([m["replay_rows"] for m in steps(at("one"))] == [2] * 5, "rows are replayed from the first step on")

# ---- what they are ----
rows = written("one")
record = one["lineage"]["synthesis"][0]
check(record["rows"] + record["empty"] == 13 and record["rows"] == len(rows) > 8, f"lineage counts them: {record['rows']}, {record['empty']} empty")
check(record["model_sha256"] == pawl_json("show", parent)["weights_sha256"], "and names the model that wrote them")
digest = hashlib.sha256(open(prompts, "rb").read()).hexdigest()
check(record["prompts"] == {"count": 5, "files": [{"name": "prompts.jsonl", "bytes": os.path.getsize(prompts), "sha256": digest}]}, "and the prompts")
check(record["temperature"] == 0.9 and record["top_p"] == 0.95 and record["seed"] == 42 and record["max_tokens"] == 30, "and how")
check(record["tokens"] == sum(r["tokens"] for r in rows), "and their tokens")
for r in rows:
    d = r["documents"][0]
    prompt = list(RECORDED[d["line"] - 1].encode()) or r["ids"][:1]
    good = r["ids"][:len(prompt)] == prompt and [x for x in r["labels"] if x >= 0] == r["ids"][len(prompt):] and r["tokens"] <= len(prompt) + 31
    text = bytes(x for x in r["ids"] if x < 256) if max(r["ids"]) < 256 else None
    if text is not None:
        good = good and hashlib.sha256(text).hexdigest()[32:] == d["document"]
    if not good or d["domain"] != "synthetic" or d["license"] != "Apache-2.0" or d["source"] != "prompts.jsonl":
        check(False, f"row {r['row']} begins with its prompt, is learnt behind it, and says where it came from: {d}")
stats = pawl_json("memory", "stats", at("one"))
source = [s for s in stats["sources"] if s["domain"] == "synthetic"][0]
check(source["generated"] is True and source["sha256"] == digest and "generated" not in [s for s in stats["sources"] if s["domain"] == "notes"][0],
      "the memory tells them from what was learnt")
check({d["domain"]: d["licenses"] for d in stats["domains"]} == {"synthetic": ["Apache-2.0"], "notes": []} and one["licenses"] == ["Apache-2.0"], "and has their licence, and so has the checkpoint")

# ---- they are what `pawl generate` writes ----
def generated(prompt, *words):
    return pawl_json("generate", parent, "--prompt", prompt, "--max-tokens", "30", *words)["tokens"]


def behind(row):
    """Tokens that were written, without the end."""
    prompt = len(RECORDED[row["documents"][0]["line"] - 1].encode()) or 1
    return [x for x in row["ids"][prompt:] if x < 256]


train(3, "greedy", rows=5, temperature=0, more=dict(replay="{ratio: 0.25, capacity: 60, domains: {notes: {capacity: 0}}}"))
check({d["domain"]: d["rows"] for d in pawl_json("memory", "stats", at("greedy"))["domains"]} == {"synthetic": 5, "notes": 0}, "and no row of the run's own data is kept where it may not be")
greedy = {r["documents"][0]["line"]: behind(r) for r in written("greedy")}
check(len(greedy) >= 4 and all(tokens == generated(RECORDED[line - 1], "--temperature", "0") for line, tokens in greedy.items()),
      f"greedily: the tokens of pawl generate for {len(greedy)} prompts")
drawn = [behind(r) for r in rows if r["documents"][0]["line"] == 1]
wanted = generated(RECORDED[0], "--temperature", "0.9", "--top-p", "0.95", "--seed", "42")
check(len(drawn) == 3 and wanted in drawn and wanted != greedy[1], "drawn: row 0 is what pawl generate draws with the seed, the next with that prompt are others")

# ---- over an adapter, whatever it stands on ----
base = at("base")
check(run(0, "export", parent, base)[0] == 0, "the parent as a base model")
adapter = dict(adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear")
for name, more in (("lora", {}), ("codes", dict(load_in_8bit="true", bf16="true"))):
    over = train(2, name, start=f"base_model: {base}\n", more=dict(adapter, **more))["lineage"]["synthesis"][0]
    same = over["rows_sha256"] == record["rows_sha256"], over["model_sha256"] == record["model_sha256"]
    check(same == (True, True) if name == "lora" else not same[1], f"{name}: an adapter that begins on a base writes what the base writes, as it is kept")
again = train(1, "again", start=f"parent_checkpoint: {at('lora')}\n", more=dict(adapter="lora"))["lineage"]["synthesis"]
check(again[0]["rows_sha256"] == record["rows_sha256"] and again[1]["model_sha256"] != record["model_sha256"],
      "a run that goes on from it keeps the record, and writes with what was learnt since")

# ---- killed and stopped ----
LONG = dict(rows=60, max_tokens=60)
whole = train(1, "undisturbed", **LONG)["state_sha256"]


cut = at("cut")


def interrupt(how, file, ranks):
    p = start(ranks, "train", child("cut", **LONG))
    wait_for(lambda: p.poll() is not None or os.path.exists(os.path.join(cut, file)), 60, 0.002)
    pids = ranks_of(p)
    if p.poll() is None:
        os.killpg(p.pid, signal.SIGKILL) if how == "kill" else p.send_signal(signal.SIGUSR1)
    out, err = p.communicate(timeout=60)
    wait_for(lambda: not any(map(alive, pids)))
    return p.returncode, out, err


LATEST = os.path.join(cut, "checkpoints", "LATEST")
status, out, err = interrupt("stop", "metrics.jsonl", 2)
check(status == 75 and "nothing is saved yet" in out and not os.path.exists(LATEST), f"stopped while rows are written: exit status 75, and said so ({status})")
os.remove(os.path.join(cut, "metrics.jsonl"))
interrupt("kill", "metrics.jsonl", 3)
check(not os.path.exists(LATEST), "killed meanwhile, before there is a checkpoint")
interrupt("kill", "checkpoints/LATEST", 2)
os.rename(prompts, prompts + ".gone")
check(train(1, "cut", **LONG)["state_sha256"] == whole, "and killed after the rows were saved: other ranks come to the same state, without the prompts")
os.rename(prompts + ".gone", prompts)

# ---- forgotten ----
check(run(0, "memory", "forget", at("one"), "--source", digest, "-o", at("clean"))[0] == 0, "a source is forgotten")
check([d["rows"] for d in pawl_json("memory", "stats", at("clean"))["domains"] if d["domain"] == "synthetic"] in ([], [0]), "and no row of it is left")

# ---- conversations, nothing to begin with, and what is refused ----
write_lines("chats.jsonl", [{"messages": [{"role": "user", "content": "Who?"}]}, {"prompt": [{"role": "user", "content": "Why?"}]}])
train(2, "chat", prompts=at("chats.jsonl"), rows=2,
      more=dict(chat_template="chatml", general_data=f"[{{path: {texts(where, 'general')}, domain: general, type: text}}]"))
ids = [bytes(x for x in r["ids"] if x < 256).decode(errors="replace") for r in written("chat") if r["domain"] == "synthetic"]
check({r["domain"] for r in written("chat")} == {"general", "synthetic"}, "beside general data")
check(sorted(t.split("\nassistant\n")[0] for t in ids) == ["user\nWho?", "user\nWhy?"], f"conversations are written as the template has them {ids}")
check(train(1, "bare", prompts="", train_on_prompts=True)["lineage"]["synthesis"][0]["prompts"]["files"][0]["bytes"] == 0, "without prompts texts begin as texts do")


def refused(status, words, *command, **more):
    got, out, err = run(0, *command, child("bad", **more))
    check(got == status and words in err, f"refused: {words}" + (f" ({got}: {err[-300:]})" if got != status or words not in err else ""))


for rows, status, words in (([{"prompt": "a"}, "{"], 20, "lines.jsonl:2:1: error: expected a JSON object"),
                            ([{"text": "b"}], 20, "lines.jsonl:1:1: error: expected 'prompt', a text or a list of messages, or 'messages', a list; found 'text'"),
                            ([{"prompt": 3}], 20, "lines.jsonl:1:1: error: expected a text or a list of messages under 'prompt', found a number"),
                            ([{"prompt": "a\0"}], 20, "\\u0000, which no text may hold"),
                            ([{"prompt": "a" * 64}], 20, "lines.jsonl:1:1: error: the prompt has 64 tokens, and a row has room for 63"),
                            ([{"messages": [{"role": "user", "content": "?"}]}], 10, "lines.jsonl:1:1: error: ")):
    refused(status, words, "train", prompts=write_lines("lines.jsonl", rows))
refused(20, "not-there.jsonl", "train", prompts=at("not-there.jsonl"))
refused(10, "synthesis.domain: 'notes' is the domain of a dataset", "train", domain="notes")
status, out, err = run(0, "train", child("bad", start=f"parent_checkpoint: {at('one')}\n", domain="notes"), "datasets.0.domain=other")
check(status == 10 and "synthesis.domain: 'notes' is a domain that parent_checkpoint has learnt" in err, f"what a parent has learnt is not mixed with what a model writes {err[-300:]}")
check_config = ("config", "check")
refused(10, "synthesis: its rows go into the memory: expected replay", *check_config, more=dict(replay="null", der="null"))
refused(10, "synthesis.rows: expected at most the 60 rows", *check_config, rows=61)
refused(10, "expected zero_stage of at most 2", *check_config, more=dict(zero_stage=3))
refused(10, "a model from scratch has nothing to write", *check_config, start=MODEL)
plans = [pawl_json("plan", child("planned", more=dict(more))) for more in ((), (("synthesis", "null"),))]
check(plans[0]["peak_bytes"] >= plans[1]["peak_bytes"], "a plan counts what writing takes")
done()
