"""pawl render and pawl generate --chat as others call them: contracts of names, keys and exit codes.

Compares with transformers' renderings in tests/fixtures/chat (made by make_named.py).
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

PAWL, FIXTURES = os.environ["PAWL"], os.path.join(os.environ["PAWL_SOURCE"], "tests/fixtures")
wrong = 0


def check(what, holds, shown=""):
    global wrong
    print(("ok    " if holds else "WRONG ") + what, "" if holds else shown)
    wrong += not holds


def pawl(*args, lines=()):
    p = subprocess.run([PAWL, *args], input="\n".join(lines), capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def rendered(template, rows, *args):
    code, out, err = pawl("render", "--template", template, *args, lines=[json.dumps(r, ensure_ascii=False) for r in rows])
    check(f"render {template}: exit 0", code == 0, err)
    return [json.loads(line) for line in out.split("\n") if line]


def named():
    for name in ("chatml", "smollm2", "llama3", "mistral", "gemma", "zephyr", "alpaca"):
        cases = json.load(open(f"{FIXTURES}/chat/named/{name}.json"))["cases"]
        found = rendered(name, [c.get("row") or {"messages": c["messages"], "generation_prompt": c["generation_prompt"]} for c in cases])
        check(f"render {name}: text and spans", found == [{"text": c["text"], "trained": c["trained"]} for c in cases], found)


def options(folder):
    question = {"messages": [{"role": "user", "content": "Hi"}]}
    found = rendered("chatml", [question], "--generation-prompt")
    check("--generation-prompt", found[0]["text"].endswith("<|im_start|>assistant\n"), found)
    found = rendered("chatml", [{"instruction": "I", "input": "X", "output": "O"}])
    check("an instruction row in another template", found[0]["text"].startswith("<|im_start|>user\nI\n\nX<|im_end|>"), found)
    template = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    json.dump({"bos_token": {"content": "<b>"}, "eos_token": "<e>", "chat_template": template}, open(f"{folder}/tokenizer_config.json", "w"))
    found = rendered(folder, [{"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "ä"}]}])
    check("a tokenizer's folder", found == [{"text": "<b>user: é<e>assistant: ä<e>", "trained": [[25, 30]]}], found)


def refusals(folder):
    code, out, err = pawl("render", "--template", "chatml", lines=['{"messages": [{"role": "user", "content": "a"}]}', '{"text": "x"}'])
    check("a bad line: exit 20, told with its number", code == 20 and err.startswith("stdin:2: error: ") and out.count("\n") == 1, err)
    code, _, err = pawl("render", "--template", "chatml", lines=["{"])
    check("no JSON: exit 20", code == 20 and err.startswith("stdin:1: error: "), err)
    code, _, err = pawl("render", "--template", "chtml")
    check("an unknown template: exit 10 and the nearest name", code == 10 and "did you mean chatml?" in err, err)
    code, _, err = pawl("render", "--template", "/nowhere/at/all")
    check("a folder that is not there: exit 10", code == 10, err)
    code, _, err = pawl("render")
    check("no template: exit 10", code == 10 and "--template is missing" in err, err)
    open(f"{folder}/chat_template.jinja", "w").write("\n{% for x in range(10) %}")
    code, _, err = pawl("render", "--template", folder, lines=['{"messages": [{"role": "user", "content": "a"}]}'])
    check("a broken template: exit 10, told with its line", code == 10 and "chat_template.jinja:" in err, err)


def chats(folder):
    model = f"{folder}/model"
    code, _, err = pawl("import", f"{FIXTURES}/gguf/llama-window.gguf", model)
    check("import", code == 0, err)
    shutil.rmtree(f"{folder}/plain", ignore_errors=True)
    open(f"{model}/chat_template.jinja", "w").write("{% for m in messages %}Q {{ m.content }} {% endfor %}{% if add_generation_prompt %}A{% endif %}")
    asked = json.loads(pawl("generate", model, "--chat", "--prompt", "hello", "--max-tokens", "4", "--json")[1] or "{}")
    plain = json.loads(pawl("generate", model, "--prompt", "Q hello A", "--max-tokens", "4", "--json")[1] or "{}")
    check("generate --chat writes the question into the template", asked and len(asked["tokens"]) > 0, (asked, plain))
    ids = [json.loads(pawl("tokenize", "--tokenizer", model, *more, lines=['"Q hello A"'])[1]) for more in ((), ("--special",))]
    if ids[0] == ids[1]:  # then the texts alone decide
        check("generate --chat answers as the rendered text", asked == plain, (asked, plain))
    os.remove(f"{model}/chat_template.jinja")
    config = json.load(open(f"{model}/tokenizer_config.json"))
    config.pop("chat_template", None)
    json.dump(config, open(f"{model}/tokenizer_config.json", "w"))
    code, _, err = pawl("generate", model, "--chat", "--prompt", "hello")
    check("generate --chat without a template: exit 10", code == 10 and "no chat template of its own" in err, err)


with tempfile.TemporaryDirectory() as work:
    named()
    options(work)
    refusals(work)
    chats(work)
sys.exit(wrong > 0)
