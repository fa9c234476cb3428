"""What the end-to-end tests share: small real runs of the real program under mpirun."""
import json, os, random, re, shutil, signal, subprocess, sys, tempfile, time

PAWL = os.environ["PAWL"]
SOURCE = os.environ["PAWL_SOURCE"]
TESTS = os.environ["PAWL_TESTS"]
PAGES = os.path.join(SOURCE, "tests/fixtures/texts/docs")  # to learn from: frozen, while those in docs/ are still edited
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1",
           OMPI_MCA_plm_rsh_agent="", OMP_WAIT_POLICY="passive")
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]
failures = 0


def check(condition, sentence):
    global failures
    if not condition:
        failures += 1
    print(("ok     " if condition else "FAILED ") + sentence, flush=True)


def done():
    print(f"{'0' if failures else '1'} passed, {'1' if failures else '0'} failed")
    sys.exit(1 if failures else 0)


def folder():
    """A new folder that goes when the test ends."""
    path = tempfile.mkdtemp(prefix="pawl-e2e-")
    import atexit
    atexit.register(shutil.rmtree, path, True)
    return path


MODEL = """model:
  hidden_size: 32
  intermediate_size: 80
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 128
tokenizer: bytes
"""


def write_run(where, name="run.yaml", output=None, model=MODEL, datasets=None, **keys):
    """Writes a small run's YAML; keys replace the defaults here."""
    settings = dict(sequence_len=64, global_batch_size=8, micro_batch_size=1, max_steps=12, learning_rate="3e-3", warmup_steps=2,
                    val_set_size=0.1, logging_steps=1, dataset_prepared_path=os.path.join(where, "prepared"),
                    output_dir=output or os.path.join(where, "out"))
    settings.update(keys)
    datasets = datasets or [dict(path=PAGES, domain="docs", license="Apache-2.0"),
                            dict(path=os.path.join(SOURCE, "LICENSE"), domain="law", license="Apache-2.0", type="text")]
    text = model + "".join(f"{k}: {v}\n" for k, v in settings.items() if v is not None)
    text += "" if "stages" in settings else "datasets:\n"
    for d in [] if "stages" in settings else datasets:
        text += "".join(("  - " if i == 0 else "    ") + f"{k}: {v}\n" for i, (k, v) in enumerate(d.items()))
    path = os.path.join(where, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def texts(where, name, files=12):
    """A folder of small texts that are the same whatever becomes of the project's own pages: which are held out depends on their content."""
    dice, path = random.Random(name), os.path.join(where, name)
    with open(os.path.join(SOURCE, "LICENSE")) as f:
        vocabulary = f.read().split()
    os.makedirs(path)
    for i in range(files):
        with open(os.path.join(path, f"{i}.txt"), "w") as f:
            f.write(" ".join(dice.choices(vocabulary, k=150)))
    return path


def command(ranks, *words, program=PAWL):
    return (MPIRUN + ["-n", str(ranks)] if ranks else []) + [program, *words]


def run(ranks, *words, program=PAWL, seconds=120, env=ENV):
    """Runs to the end; returns (exit status, stdout, stderr)."""
    p = subprocess.run(command(ranks, *words, program=program), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, text=True)
    return p.returncode, p.stdout, p.stderr


def run_text(*words, text, program=PAWL):
    """What a command makes of its standard input."""
    return subprocess.run([program, *words], input=text, env=ENV, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def start(ranks, *words, program=PAWL, env=ENV, **more):
    return subprocess.Popen(command(ranks, *words, program=program), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, **more)


def pawl_json(*words):
    status, out, err = run(0, *words, "--json")
    if status != 0:
        raise RuntimeError(f"pawl {' '.join(words)} ended with {status}: {err}")
    return json.loads(out)


def state(output):
    return pawl_json("show", output)["state_sha256"]


def weights(stdout):
    lines = stdout.strip().splitlines()
    m = re.fullmatch(r"weights_sha256 ([0-9a-f]{64})", lines[-1] if lines else "")
    return m.group(1) if m else None


def metrics(output):
    with open(os.path.join(output, "metrics.jsonl")) as f:
        return [json.loads(line) for line in f]


def steps(output):
    return [m for m in metrics(output) if "loss" in m]


def wait_for(condition, seconds=60, pause=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise RuntimeError("waited too long")


def count_lines(path):
    try:
        with open(path) as f:
            return sum(1 for _ in f)
    except FileNotFoundError:
        return 0


def ranks_of(process):
    """Process ids of the ranks that an mpirun has started."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == process.pid:
                    out.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return out


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
