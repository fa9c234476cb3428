"""GGUF files: pawl import, and such a file in the place of a model's folder, on ranks and alone."""
import hashlib, json, os, shutil, signal, time
from e2e import *

where = folder()
models = os.path.join(SOURCE, "tests/fixtures/gguf")
ENV["XDG_CACHE_HOME"] = os.path.join(where, "cache")
imported = os.path.join(where, "cache/pawl/imported")

# The command: whole or not there, never over something else.
out = os.path.join(where, "models/qwen3")
status, stdout, stderr = run(0, "import", os.path.join(models, "qwen3.gguf"), out + "/")
check(status == 0 and stdout.startswith(out + ": "), "import into a folder that is made" + stderr)
check(sorted(os.listdir(out)) == ["config.json", "generation_config.json", "model.safetensors", "pawl-import.json", "tokenizer.json", "tokenizer_config.json"], "a model's files, no others")
record = json.load(open(os.path.join(out, "pawl-import.json")))
check(record["file"] == "qwen3.gguf" and record["sha256"] == hashlib.sha256(open(os.path.join(models, "qwen3.gguf"), "rb").read()).hexdigest() and record["license"] == "apache-2.0", "pawl-import.json says of which file")
check(os.listdir(os.path.dirname(out)) == ["qwen3"], "nothing is left beside it")
status, _, stderr = run(0, "import", os.path.join(models, "qwen3.gguf"), out)
check(status == 10 and "is not empty" in stderr, "a folder with something in it is refused")
for name, cut, code, word in (("cut", -100, 20, "is it truncated?"), ("short", 10, 20, "truncated")):
    broken = os.path.join(where, name + ".gguf")
    open(broken, "wb").write(open(os.path.join(models, "qwen3.gguf"), "rb").read()[:cut])
    status, _, stderr = run(0, "import", broken, os.path.join(where, "models/broken"))
    check(status == code and word in stderr and stderr.count("\n") == 1, f"a {name} file: one sentence: {stderr.strip()}")
check(os.listdir(os.path.dirname(out)) == ["qwen3"], "and nothing is left of it")
status, _, stderr = run(0, "import", os.path.join(where, "none.gguf"), os.path.join(where, "models/none"))
check(status == 10 and "there is no file" in stderr, "no file")
status, _, stderr = run(0, "import", os.path.join(models, "qwen3.gguf"), os.path.join(where, "models/none"), "--dtype", "int4")
check(status == 10 and "expected f32, bf16 or f16" in stderr, "an unknown dtype")

# As base_model: the same run as from the folder, on two ranks; lineage names the file.
ends = {}
law = [dict(path=os.path.join(SOURCE, "LICENSE"), domain="law", license="Apache-2.0", type="text")]
for name, base in (("file", os.path.join(models, "qwen3.gguf")), ("folder", out)):
    yaml = write_run(where, name + ".yaml", os.path.join(where, "run-" + name), f"base_model: {base}\n", law, max_steps=3)
    status, stdout, stderr = run(2, "train", yaml)
    check(status == 0, f"train from the {name}" + stderr[-500:] * (status != 0))
    ends[name] = weights(stdout)
check(ends["file"] and ends["file"] == ends["folder"], "from the file and from the folder: the same weights")
check(len(os.listdir(imported)) == 1, "imported once")
base = pawl_json("show", f"{where}/run-file")["lineage"]["base"]
check(base["imported"]["sha256"] == record["sha256"] and base["imported"]["path"] == os.path.realpath(os.path.join(models, "qwen3.gguf")), "lineage names the GGUF file and its digest")

# The cache may go: what was trained still opens. Two that import at once do not disturb each other.
shutil.rmtree(imported)
a = pawl_json("generate", f"{where}/run-file", "--prompt", "The License", "--max-tokens", "8")
b = pawl_json("generate", f"{where}/run-folder", "--prompt", "The License", "--max-tokens", "8")
check(a == b, "generate: after the cache was emptied, and from the folder: the same")
shutil.rmtree(imported)
words = ["generate", os.path.join(models, "gpt2.gguf"), "--prompt", "the cat", "--max-tokens", "4", "--json"]
both = [start(0, *words) for _ in range(2)]
texts = [p.communicate()[0] for p in both]
check(all(p.returncode == 0 for p in both) and texts[0] == texts[1] and len(os.listdir(imported)) == 1, "two at once: the same answer, one folder")

# Killed while it imports: nothing that looks whole, and the next one sweeps it away.
shutil.rmtree(imported)
victim = start(0, *words)
while not os.path.isdir(imported) or not os.listdir(imported):
    time.sleep(0.001)
victim.send_signal(signal.SIGKILL)
victim.communicate()
check(all(n.endswith(".part") or os.path.isfile(os.path.join(imported, n, "config.json")) for n in os.listdir(imported)), "killed: no half of a folder")
status, stdout, stderr = run(0, *words)
check(status == 0 and stdout == texts[0] and len(os.listdir(imported)) == 1, "and the next one ends well, alone in the folder")
done()
