#!/usr/bin/env python3
"""What each zero_stage costs: the same steps of the same model, stage by stage in alternating rounds of one run.

    tests/bench/zero.py [--pawl build/release/pawl] [--ranks 2 4] [--rounds 3] [--steps 8] [--hidden 256] [--layers 6]

One lane a rank, so all stages have the same bits (checked), and stage 2 differs from 1 only in when gradients travel: part by
part inside the backward pass instead of after it. Prints for each the median and the least milliseconds of a step, what a rank sends,
and the most memory that a rank's process held."""
import argparse, json, os, shutil, statistics, subprocess, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--pawl", default=os.path.join(SOURCE, "build/release/pawl"))
    p.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    for key, default in (("rounds", 3), ("steps", 8), ("hidden", 256), ("layers", 6), ("tokens", 256), ("rows", 4)):
        p.add_argument("--" + key, type=int, default=default)
    return p.parse_args()


def write_run(a, where, ranks, stage):
    out = os.path.join(where, f"{ranks}-{stage}")
    shutil.rmtree(out, ignore_errors=True)
    path = os.path.join(where, "run.yaml")
    with open(path, "w") as f:
        f.write(f"""output_dir: {out}
dataset_prepared_path: {where}/prepared
tokenizer: bytes
model: {{hidden_size: {a.hidden}, intermediate_size: {a.hidden * 4}, num_hidden_layers: {a.layers}, num_attention_heads: {a.hidden // 32}}}
datasets: [{{path: {where}/texts, domain: docs, license: Apache-2.0}}]
sequence_len: {a.tokens}
global_batch_size: {ranks * a.rows}
micro_batch_size: {a.rows}
max_steps: {a.steps}
learning_rate: 1e-3
zero_stage: {stage}
""")
    return path, out


def measure(a, where, ranks, stage):
    """(milliseconds of each step but the first two, bytes sent, peak bytes, digest)"""
    path, out = write_run(a, where, ranks, stage)
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")
    done = subprocess.run(["mpirun", "-q", "--oversubscribe", "--bind-to", "none", "-n", str(ranks), a.pawl, "train", path, "threads=1"],
                          env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    with open(os.path.join(out, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    steps = [m for m in lines if "loss" in m][2:]
    memory = next(m for m in lines if m.get("event") == "memory")
    return [1e3 * m["seconds"] for m in steps], steps[-1]["bytes_sent"], max(memory["peak_bytes"]), done.stdout.split()[-1]


def main():
    a = arguments()
    with tempfile.TemporaryDirectory(prefix="pawl-bench-") as where:
        shutil.copytree(os.path.join(SOURCE, "docs"), os.path.join(where, "texts"))
        for ranks in a.ranks:
            found = {stage: ([], []) for stage in range(4)}
            for _ in range(a.rounds):
                for stage in found:
                    ms, sent, peak, digest = measure(a, where, ranks, stage)
                    found[stage][0].extend(ms)
                    found[stage][1].append((sent, peak, digest))
            if len({d for _, rest in found.values() for _, _, d in rest}) != 1:
                raise SystemExit("the stages do not end with the same bits")
            base = statistics.median(found[0][0])
            for stage, (ms, rest) in found.items():
                median = statistics.median(ms)
                print(f"{ranks} ranks, zero_stage {stage}: {median:7.1f} ms a step (least {min(ms):.1f}), {median / base:.2f} of stage 0, "
                      f"{rest[0][0] / 2**20:.1f} MiB sent in a step, {rest[0][1] / 2**20:.0f} MiB a rank at most", flush=True)


main()
