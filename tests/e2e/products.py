"""Algorithms of matrix products, on the stand-in for cuBLASLt, whose algorithms add in different orders and take times that are drawn from
a seed: rank 0 times them once, all ranks compute by its choice, the run keeps it, and resumes by it. What passes compute is
what was timed: no full slot's product is left to the library's first answer."""
import glob, os
from e2e import *

STANDIN = os.path.join(TESTS, "standin_pawl")
where = folder()
data = [dict(path=texts(where, "texts", 4), domain="words", license="Apache-2.0")]


def train(name, ranks, *words, times=1, version=None, **keys):
    """times: the seed of how long things take. Returns weights, what was said, and what each rank's stand-in counted."""
    counts, out = os.path.join(where, f"counts-{name}-{ranks}-{times}"), os.path.join(where, name)
    yaml = write_run(where, name + ".yaml", output=out, datasets=data, **{"max_steps": 4, "save_steps": 2, "save_total_limit": 5, "sequence_len": 32,
                     "sample_packing": "true", "global_batch_size": 4, "val_set_size": 0, "device": "cuda", **keys})
    env = dict(ENV, PAWL_STANDIN_TIMES=str(times), PAWL_STANDIN_COUNTS=counts, **({"PAWL_STANDIN_CUBLASLT": version} if version else {}))
    status, stdout, stderr = run(ranks, "train", yaml, *words, program=STANDIN, env=env)
    check(status == 0, f"{name}: {ranks} ranks: exit 0" + stderr[-600:] * (status != 0))
    per_rank = {}
    for path in glob.glob(counts + ".*"):
        lines = dict(line.split() for line in open(path))
        per_rank[int(lines["rank"])] = {k: int(v) for k, v in lines.items()}
    return dict(weights=weights(stdout), stderr=stderr, counts=per_rank, out=out)


def chosen(run):
    return pawl_json("show", run["out"])["lineage"].get("products")


def shown(run):
    return {k: v for k, v in run["counts"][1].items() if not k.endswith("_kernel")}


def used(counts):
    return {k for k in counts if k.startswith("algorithm_")}


one = train("one", 1)
table = chosen(one)
check("algorithms timed" in one["stderr"] and table["device"].startswith("cuda stand-in"), f"timed, and kept by checkpoints: {len(table['algorithms'])} of {table['device']}")
check(len({line.split(" id=")[1] for line in table["algorithms"]}) > 2, "not all of them the library's first answer")
other = train("other", 1, times=2)
check(other["weights"] != one["weights"], "a run that has measured other times has other bits")
both = train("both", 2)
check(both["weights"] == one["weights"] and chosen(both) == table, "rank 0's times alone count: 2 ranks have the bits of 1")
check(used(both["counts"][1]) and both["counts"][1]["products_by_heuristic"] == 0, f"rank 1 computes by the table alone: {shown(both)}")

# Gone on with where other times would be measured.
step2 = os.path.join(one["out"], "checkpoints", "step-000000002")
again = train("one", 2, "resume_from_checkpoint=" + step2, times=2)
check(again["weights"] == one["weights"] and "algorithms timed" not in again["stderr"], "a resumed run takes the checkpoint's, and ends with the same bits")
again = train("one", 1, "resume_from_checkpoint=" + step2, times=2, version="130200")
check("those of the checkpoint are of 'cuda stand-in" in again["stderr"] and "algorithms timed" in again["stderr"], "another library: it says so, and times its own")
check(chosen(again)["device"] != table["device"], "and keeps those")

# Without: the first answers, whatever time they take.
first = [train(f"first{times}", 1, times=times, tune_products="false", max_steps=2, save_steps=0) for times in (1, 2)]
check(first[0]["weights"] == first[1]["weights"] and not chosen(first[0]), "tune_products: false: the same bits whatever is measured")

# Nothing that a slot computes is left out.
GPT2 = """model:
  model_type: gpt2
  hidden_size: 32
  intermediate_size: 64
  num_hidden_layers: 1
  num_attention_heads: 2
  max_position_embeddings: 64
tokenizer: bytes
"""
whole = dict(max_steps=2, save_steps=0, reduction_lanes=2) # more slots than lanes: gradients are added to, too
for name, keys in (("gpt2 in bf16, with its activation, a last slot with fewer rows", dict(model=GPT2, bf16="true", gelu_fused="true", micro_batch_size=2,
                                                                                  global_batch_size=5)),
                   ("an adapter", dict(base_model=one["out"], model="", adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear")),
                   ("an adapter over 8-bit floats", dict(base_model=one["out"], model="", adapter="lora", lora_r=4, lora_alpha=8, lora_target_modules="all-linear", bf16="true", fp8="true")),
                   ("an adapter over 4 bits, in bf16", dict(base_model=one["out"], model="", adapter="qlora", load_in_4bit="true", lora_r=4, lora_alpha=8,
                                                            lora_target_linear="true", bf16="true"))):
    got = train(name.replace(" ", "-").replace(",", ""), 2, **{**whole, **keys})
    check(all(of["products_by_heuristic"] == 0 and of["products_restored"] > 0 for of in got["counts"].values()), f"{name}: {shown(got)}")
done()
