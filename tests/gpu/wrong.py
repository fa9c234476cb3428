"""What tests/gpu/run and tests/bench/gpu say of wrong words, of what is not there and of a full disk; and that nobody goes on when they are ended.

usage: wrong.py BUILD_FOLDER"""
import json, os, signal, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
RUN, BENCH = os.path.join(HERE, "run"), os.path.join(HERE, "../bench/gpu")
failures = 0


def check(condition, sentence):
    global failures
    failures += not condition
    print(("ok     " if condition else "FAILED ") + sentence, flush=True)


def says(script, status, text, *words):
    p = subprocess.run([sys.executable, "-B", script, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    good = p.returncode == status and text in p.stdout and "Traceback" not in p.stdout
    check(good, f"{os.path.basename(script)} {' '.join(words)}" + f": exit {p.returncode}: {p.stdout[-600:]}" * (not good))


def children_of(pid):
    found = []
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/stat") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except (OSError, IndexError):
            continue
        if int(parent) == pid and state not in "ZX":
            found += [int(other), *children_of(int(other))]
    return found


def there(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def ended(build, out, how, status):
    """In a step: its processes end with the script, and what was done before is in the results."""
    p = subprocess.Popen([sys.executable, "-B", RUN, "--rehearse", "--build", build, "--out", out, "opens", "resume"], stdout=subprocess.DEVNULL,
                         start_new_session=True)
    wait_for(lambda: os.path.exists(os.path.join(out, "results.json")) and len(children_of(p.pid)) > 1, 60)
    others = children_of(p.pid)
    p.send_signal(how)
    p.wait(30)
    gone = wait_for(lambda: not any(there(pid) for pid in others), 10)
    check(p.returncode == status and len(others) > 1 and gone, f"{how.name}: exit {p.returncode}, {len(others)} processes that it had started, gone: {gone}")
    with open(os.path.join(out, "results.json")) as f:
        check([row["step"] for row in json.load(f)["rows"]] == ["opens"], "what was done is kept")


with tempfile.TemporaryDirectory() as where:
    out, build = os.path.join(where, "out"), sys.argv[1]
    a_file = os.path.join(where, "file")
    open(a_file, "w").close()
    for script in (RUN, BENCH):
        says(script, 10, "there are: ", "no-such-word")
        says(script, 10, "unrecognized arguments: --nothing", "--nothing")
        says(script, 10, "File exists", "--out", a_file)
        says(script, 10, "'0' is no number above 0", "--jobs", "0")
        says(script, 10, "make it with tests/gpu/pack", "--carried", where, "--out", out)
    says(BENCH, 10, "no shape '9B'", "--shapes", "124M,9B")
    says(BENCH, 10, "no kind 'half'", "--kinds", "full,half")
    says(BENCH, 10, "`tests/gpu/run build` makes it", "--build", where, "--out", out)
    os.makedirs(os.path.join(where, "full"))
    os.symlink("/dev/full", os.path.join(where, "full", "results.log"))
    says(RUN, 1, "No space left on device", "opens", "--rehearse", "--build", build, "--out", os.path.join(where, "full"))
    for how, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        ended(build, os.path.join(where, how.name), how, status)
print(f"{'0' if failures else '1'} passed, {'1' if failures else '0'} failed")
sys.exit(1 if failures else 0)
