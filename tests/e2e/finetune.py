"""All of a fine-tuning: a GGUF file, conversations, LoRA on two ranks, a stop, other ranks, evaluation, answers, export."""
import json, os, signal
from e2e import *

where = folder()
base = os.path.join(SOURCE, "tests", "fixtures", "gguf", "llama-scaled.gguf")
chats = os.path.join(where, "chats.jsonl")
WORDS = "ratchet pawl wheel tooth step checkpoint rank lane slot row loss norm".split()
with open(chats, "w") as f:
    for n in range(120):
        a, b = WORDS[n % len(WORDS)], WORDS[n * 7 % 11]
        f.write(json.dumps({"messages": [{"role": "user", "content": f"{n} {a}?"}, {"role": "assistant", "content": f"The {b}."}]}) + "\n")
LORA = dict(adapter="lora", lora_r=8, lora_alpha=16, lora_dropout="0.1", lora_target_modules="all-linear", learning_rate="2e-2", chat_template="chatml",
            sequence_len=128, max_steps=40, val_set_size=0.15, save_steps=0)


def written(name, **keys):
    data = [dict(path=chats, type="chat", domain="chats", license="CC0-1.0")]
    return write_run(where, name + ".yaml", output=os.path.join(where, name), model=f"base_model: {base}\n", datasets=data, **dict(LORA, **keys))


# What is trained: answers with their ends, nothing else; and packing puts several conversations into a row.
yaml = written("stopped")
row = pawl_json("data", "show", yaml, "--row", "0")
folder_of = os.path.join(where, "model")
check(run(0, "import", base, folder_of)[0] == 0, "the GGUF file is imported")
decode = lambda ids: json.loads(run_text("tokenize", "--tokenizer", folder_of, "--decode", text=json.dumps(ids) + "\n"))
check(len(row["documents"]) > 1, f"a row holds {len(row['documents'])} conversations")
for d in row["documents"][:2]:
    trained = [i for i, l in zip(row["ids"][d["first"]:d["end"]], row["labels"][d["first"]:d["end"]]) if l != -100]
    check(decode(trained).startswith("The ") and decode(trained).rstrip("\n").endswith((".<|im_end|>", ".")), f"trained: {decode(trained)!r}")
    check(row["positions"][d["first"]] == 0, "and its positions begin anew")

# Undisturbed on one rank, and stopped on two and resumed on three: the same bits.
status, stdout, err = run(1, "train", written("whole"))
check(status == 0, "one rank, undisturbed" + err[-400:] * (status != 0))
expected = weights(stdout)
out = os.path.join(where, "stopped")
p = start(2, "train", yaml)
wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > 6)
p.send_signal(signal.SIGUSR1)
_, err = p.communicate(timeout=60)
check(p.returncode == 75, "two ranks stop" + err[-400:] * (p.returncode != 75))
status, stdout, err = run(3, "train", yaml)
check(status == 0 and weights(stdout) == expected, "three ranks go on, to the same bits" + err[-400:] * (status != 0))
before, after = (m["eval"]["chats"] for m in metrics(out) if "eval" in m)
check(after < before - 0.5, f"held-out loss {before:.3f}, then {after:.3f}")

# Lineage: the base by its digest, the licence, only the adapter among the tensors.
shown = pawl_json("show", out)
check(shown["licenses"] == ["CC0-1.0"] and "sha256" in json.dumps(shown["lineage"]["base"]), "licence and base are in the lineage")
check(all("lora_" in t["name"] for t in shown["tensors"] if t["name"].startswith("model/")), "a checkpoint holds the adapter alone")

# The same losses from the run, from its merged export, and answers from both.
merged, adapter = os.path.join(where, "merged"), os.path.join(where, "adapter")
check(run(0, "export", out, merged, "--merged")[0] == 0 and run(0, "export", out, adapter, "--adapter")[0] == 0, "both exports")
check(os.path.exists(os.path.join(merged, "tokenizer.json")) and os.path.exists(os.path.join(adapter, "adapter_model.safetensors")), "have what Hugging Face's tools load")
check("<|im_start|>" in open(os.path.join(merged, "chat_template.jinja")).read(), "the template of the run among it")
for what in (out, merged):
    status, stdout, err = run(2, "eval", yaml, "--checkpoint", what, "--json")
    check(status == 0 and abs(json.loads(stdout)["chats"]["loss"] - after) < 1e-4, f"eval of {os.path.basename(what)}" + err[-300:] * (status != 0))
ask = ("--prompt", "7 pawl?", "--max-tokens", "24")
answers = [pawl_json("generate", what, *ask, *chat)["tokens"] for what in (out, merged) for chat in ((), ("--chat",))]
check(answers[0] == answers[2] and answers[1] == answers[3] and answers[0] != answers[1], "the run and its export answer alike")
check(run(0, "verify", out)[0] == 0, "and every checkpoint is whole")
done()
