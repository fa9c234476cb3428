"""Every recipe resolves and plans; those for published models with the configuration that the model is published with."""
import glob, json, os, re, subprocess, sys
sys.path.insert(0, os.path.join(os.environ["PAWL_SOURCE"], "tests", "e2e"))
from e2e import *

PARAMETERS = {  # as published
    "SmolLM2-135M-Instruct": 134_515_008,
    "Qwen3-0.6B": 596_049_920,
    "Llama-3.2-1B-Instruct": 1_235_814_400,
    "Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "gpt2": 124_439_808,
}
FULL = ("weights", "gradients", "optimizer")


def value(resolved, key):
    m = re.search(rf"^{key}: (.*)$", resolved, re.M)
    return m.group(1).strip().strip('"') if m else ""


def plan(recipe, *words):
    status, out, err = run(0, "plan", recipe, *words, "--rate", "200", "--json")
    check(status == 0, f"{os.path.basename(recipe)} plans" + err[-400:])
    return json.loads(out) if status == 0 else None


def check_full(name, parameters, p):
    check(abs(p["bytes_per_rank"]["weights"] / 4 / parameters - 1) < 1e-3, f"{name}: the weights are the model's {parameters / 1e6:.0f} M")
    check(p["bytes_per_rank"]["optimizer"] > 7.9 * parameters and p["bytes_per_rank"]["gradients"] > 3.9 * parameters, f"{name}: all of them are trained")


def check_lora(name, parameters, full, p):
    check(p["peak_bytes"] < full["peak_bytes"] and p["bytes_per_rank"]["optimizer"] < 0.4 * parameters, f"{name}: adapters take less")
    check(p["flops"] / p["tokens"] < 0.8 * full["flops"] / full["tokens"], f"{name}: and compute less")


recipes = sorted(glob.glob(os.path.join(SOURCE, "configs", "recipes", "*.yaml")))
plans, seen = {}, set() # of published models
for recipe in recipes:
    name = os.path.basename(recipe)[:-5]
    status, out, err = run(0, "config", "check", recipe)
    check(status == 0, f"{name} is free of errors" + err[-400:])
    status, resolved, err = run(0, "config", "resolve", recipe)
    check(status == 0 and value(resolved, "output_dir") != "", f"{name} resolves" + err[-400:])
    check(resolved.count("- path: ") > 0 and 'license: ""' not in resolved, f"{name} names the licences of its data")
    model = os.path.basename(value(resolved, "base_model"))
    if not model:
        plan(recipe, "max_steps=10")
    if model in PARAMETERS:
        seen.add(model)
        plans[name] = plan(recipe, f"base_model={os.path.join(SOURCE, 'tests', 'fixtures', 'recipes', model)}", "max_steps=100", "-n", "2")
for name, p in plans.items():
    kin, how = name.rsplit("-", 1)
    if how not in ("full", "lora"): continue
    parameters = next(n for m, n in PARAMETERS.items() if m.lower().startswith(kin))
    if p is None or plans.get(kin + "-full") is None: continue
    if name.endswith("-full"): check_full(name, parameters, p)
    else: check_lora(name, parameters, plans[kin + "-full"], p)
check(seen == set(PARAMETERS) and all({m, m[:-4] + "lora"} <= set(plans) for m in plans if m.endswith("-full")), f"full and LoRA for {', '.join(sorted(seen))}")
done()
