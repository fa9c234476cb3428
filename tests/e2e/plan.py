"""pawl plan: what it says beforehand is what the run then does, takes and tells."""
import json, os, re, resource, shutil
from e2e import *

where = folder()
out = os.path.join(where, "out")
SHAPE = """model:
  hidden_size: 256
  intermediate_size: 768
  num_hidden_layers: 12
  num_attention_heads: 4
  max_position_embeddings: 512
tokenizer: bytes
"""
yaml = write_run(where, model=SHAPE, max_steps=0, num_epochs=0.02, sequence_len=256, global_batch_size=4, micro_batch_size=4, warmup_steps=1)
plan = pawl_json("plan", yaml, "--rate", "100")
check(not os.path.exists(out), "a plan leaves output_dir alone")
check(set(plan) >= set("ranks bytes_per_rank peak_bytes fits steps tokens flops seconds".split()), "every promised key")
check(plan["ranks"] == 1 and plan["fits"] is True and plan["peak_bytes"] == sum(plan["bytes_per_rank"].values()), "the peak is the sum of the categories")
check(abs(plan["seconds"] * 100e9 / plan["flops"] - 1) < 1e-9, "the time is the work at the rate that was given")

# Arithmetic by hand: parameters, and 6 N + 12 L d T for a token.
D, F, L, V, T = 256, 768, 12, 260, 256
products = L * (4 * D * D + 3 * D * F) + V * D
parameters = products + V * D + D * (2 * L + 1)
check(0 <= plan["bytes_per_rank"]["weights"] - 4 * parameters < 4096, "weights: four bytes a parameter")
check(abs(plan["flops"] / (plan["tokens"] * (6 * products + 12 * L * D * T)) - 1) < 1e-9, "work: 6 N + 12 L d T a token")
again = pawl_json("plan", yaml, "activation_recompute=block", "--rate", "100")
check(abs(again["flops"] / (plan["tokens"] * (8 * products - 2 * V * D + 16 * L * D * T)) - 1) < 1e-9, "blocks computed again: forward once more, without the head")
check(pawl_json("plan", yaml, "activation_recompute=norms", "--rate", "100")["flops"] == plan["flops"], "norms are no products")
near = pawl_json("plan", yaml, "model.model_type=mistral", "model.sliding_window=64", "--rate", "100")
check(abs(near["flops"] / (plan["tokens"] * (6 * products + 12 * L * D * 64)) - 1) < 1e-9, "attention reaches as far as the window")

# The run itself, alone, so that its memory is this child's.
resident = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
status, stdout, stderr = run(0, "train", yaml)
taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
check(status == 0, "the planned run runs" + stderr[-300:] * (status != 0))
done_steps = steps(out)
check(len(done_steps) == plan["steps"] and done_steps[-1]["tokens_total"] == plan["tokens"], "it has the steps and tokens of the plan")
check(resident * 1024 < taken and 0.8 < taken / plan["peak_bytes"] < 1.25, f"and took what was planned: {taken / 2**20:.0f} MiB, planned {plan['peak_bytes'] / 2**20:.0f}")

# Category by category, what the arenas held at most is what was planned; the program is all that is not theirs.
told = [m for m in metrics(out) if m.get("event") == "memory"][-1]
arenas = {k: v for k, v in plan["bytes_per_rank"].items() if k != "program"}
check(told["arenas"] == arenas and told["arena_bytes"] == [sum(arenas.values())], f"arenas held what was planned {told['arenas']} {arenas}")
check(told["planned_bytes"] == [plan["peak_bytes"]] and abs(told["peak_bytes"][0] - taken) < 2**22, "the run tells its plan and its peak")
check("at most on a rank, planned " in stdout, "people see both")

# For more ranks than there are, and what cannot be.
two, four = (pawl_json("plan", yaml, "-n", str(n), "micro_batch_size=1", "--rate", "1") for n in (2, 4))
check(four["bytes_per_rank"]["checkpoint snapshot"] < two["bytes_per_rank"]["checkpoint snapshot"], "more ranks share the snapshot")
check(four["steps"] == two["steps"] == plan["steps"], "and take the same steps")
status, stdout, _ = run(2, "train", yaml, "micro_batch_size=1", f"output_dir={out}2")
m = re.search(r"memory   ([\d.]+ \w+) a rank", stdout)
told = run(0, "plan", yaml, "-n", "2", "micro_batch_size=1", "--rate", "1")[1]
check(status == 0 and m is not None and re.search(rf"a rank +{re.escape(m.group(1))} ", told) is not None, "two ranks plan for themselves what was planned for them")
status, _, stderr = run(0, "plan", yaml, "-n", "5", "micro_batch_size=1")
check(status == 10 and "4 lanes" in stderr, "more ranks than lanes are refused")
huge = pawl_json("plan", yaml, "model.hidden_size=16384", "model.num_attention_heads=128", "model.intermediate_size=65536", "model.num_hidden_layers=100", "--rate", "1")
check(huge["fits"] is False and huge["peak_bytes"] > 1e12, "what does not fit is planned, not taken")
status, _, stderr = run(0, "train", yaml, "model.hidden_size=16384", "model.num_attention_heads=128", "model.intermediate_size=65536", "model.num_hidden_layers=100", f"output_dir={out}3")
check(status == 30, "and the run is refused")

# More rows at a time than this machine has memory for: refused with what would fit, which then does.
row = plan["bytes_per_rank"]["activations"] / 4
rows = int(2 * plan["available_bytes"] / row) // 2 * 2
much = [f"micro_batch_size={rows}", f"global_batch_size={2 * rows}", "--rate", "1"]
refused = pawl_json("plan", yaml, *much)
check(refused["fits"] is False and re.fullmatch(r"micro_batch_size=\d+", refused["nearest"]["change"]) is not None, f"the nearest change is the key that changes least {refused['nearest']}")
then = pawl_json("plan", yaml, refused["nearest"]["change"], *much[1:])
check(then["fits"] is True and then["peak_bytes"] == refused["nearest"]["peak_bytes"], "with it the plan fits")
status, stdout, _ = run(0, "plan", yaml, *much)
check(status == 0 and f"\n  {refused['nearest']['change'].split('=')[0]}=" in stdout, "people get it as a line to paste")
status, _, stderr = run(0, "train", yaml, *much[:2], f"output_dir={out}4")
check(status == 30 and re.search(r"needs .* are available; it fits .* with micro_batch_size=\d+", stderr) is not None, "the run itself says it, too")
longer = ["model.max_position_embeddings=1000000000", f"sequence_len={40 * rows * T}", "micro_batch_size=1", "datasets.0.path=nowhere.jsonl", "max_steps=1", "--rate", "1"]
change = pawl_json("plan", yaml, *longer)["nearest"]["change"]
check("sequence_len=" in change, f"where rows are far too long, they are shortened at last ({change})")
check(pawl_json("plan", yaml, *longer, *change.split())["fits"], "and that fits")

# Devices: a rank has one for itself; so many ranks a machine.
far = ["micro_batch_size=1", "global_batch_size=16", "reduction_lanes=16", "-n", "16"]
h200, a100 = (pawl_json("plan", yaml, *far, "--device", name) for name in ("H200", "a100-40"))
check(h200["ranks_per_node"] == 8 and h200["fits"] and h200["available_bytes"] == 139 << 30, "sixteen ranks on two machines of eight H200")
check(h200["device"] == "h200" and h200["rate_gflops"] > a100["rate_gflops"] > 1e5, "a name in any case of letters; the rate that is assumed is said")
check(a100["seconds"] > h200["seconds"] and a100["available_bytes"] == 39 << 30, "a slower, smaller device")
check(pawl_json("plan", yaml, *far, "--rate", "1", "--ranks-per-node", "2")["ranks_per_node"] == 2, "so many ranks a machine as are said")
check(run(0, "plan", yaml, "--device", "h300")[0] == 10, "a device that is not known is refused")
for name, status in (("a100", 10), ("h100", 0)):
    check(run(0, "plan", yaml, *far, "bf16=true", "fp8=true", "--device", name)[0] == status, f"fp8 on {name}: exit {status}, as a run there")

# micro_batch_size: auto. It is found once, kept, and taken again on any number of ranks.
auto = ["micro_batch_size=auto", "global_batch_size=32", "max_steps=2", "model.num_hidden_layers=1", "reduction_lanes=4"]
chosen = pawl_json("plan", yaml, *auto, "--rate", "1")["micro_batch_size"]
check(chosen == 8, f"the rows that fill the processor: 8 x 256 positions ({chosen})")
check(pawl_json("plan", yaml, *auto, "--rate", "1", "reduction_lanes=0")["micro_batch_size"] == 4, "no fewer slots than there can be lanes")
check(pawl_json("plan", yaml, *auto, "--rate", "1", "-n", "4", "sequence_len=64")["micro_batch_size"] == 8, "nor than would give every rank its lane")
status, stdout, stderr = run(2, "train", yaml, *auto, f"output_dir={out}5")
resolved = open(out + "5/resolved.yaml").read()
check(status == 0 and "micro_batch_size: 8\n" in resolved, "the run takes it, and resolved.yaml has it" + stderr[-300:] * (status != 0))
check(pawl_json("show", out + "5")["lineage"]["configuration"]["micro_batch_size"] == 8, "and so has lineage")
shutil.rmtree(out + "5")
status, stdout, stderr = run(2, "train", yaml, "micro_batch_size=2", *auto[1:], f"output_dir={out}5", "save_steps=1")
status, stdout, stderr = run(1, "train", yaml, *auto, f"output_dir={out}5", f"resume_from_checkpoint={out}5/checkpoints/step-000000001")
check(status == 0 and "slots of 2," in stdout, "a run that goes on keeps what it began with" + stderr[-300:] * (status != 0))

# Without the data, or the tokenizer that reads them: memory, and the steps only where max_steps says them.
gone = pawl_json("plan", yaml, "datasets.0.path=nowhere.jsonl")
check([gone[k] for k in ("steps", "tokens", "flops", "seconds")] == [None] * 4 and gone["bytes_per_rank"]["weights"] == plan["bytes_per_rank"]["weights"], "without data the length is not known")
status, stdout, _ = run(0, "plan", yaml, "datasets.0.path=nowhere.jsonl")
check(status == 0 and "there is no nowhere.jsonl" in stdout, "and it says which")
some = pawl_json("plan", yaml, "datasets.0.path=nowhere.jsonl", "max_steps=7", "--rate", "1")
check((some["steps"], some["tokens"]) == (7, 7 * 4 * T), "max_steps says the length")
check(some["missing"] == "there is no nowhere.jsonl" and plan["missing"] is None, "and what is missing is named all the same")
status, stdout, _ = run(0, "plan", yaml, "datasets.0.path=nowhere.jsonl", "max_steps=7", "--rate", "1")
check(status == 0 and "there is no nowhere.jsonl: a run would end there" in stdout, "for people too")
config = os.path.join(where, "config-only")
os.mkdir(config)
shutil.copy(os.path.join(SOURCE, "tests/fixtures/hf/llama3-scaled/model/config.json"), config)
base = write_run(where, "base.yaml", model=f"base_model: {config}\n", max_steps=5)
check(pawl_json("plan", base, "--rate", "1")["steps"] == 5, "of a model its config.json is enough")
done()
