"""What tests/gpu/run and tests/bench/gpu say of wrong words, of what is not there and of a full disk; that nobody goes on when they
are ended; and that results of calls beside each other are kept.

usage: wrong.py BUILD_FOLDER"""
import json, os, signal, subprocess, sys, tempfile, time
from types import SimpleNamespace

from machine import report_of

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


def beside_others(out):
    """Calls beside each other that are done with a step at the same moment."""
    os.makedirs(out)
    about, calls = dict(gpu="none", cuda="none", cores=1, commit="0123456", changed=False, date="today"), []
    for number in range(8):
        calls.append(os.fork())
        if calls[-1] == 0:
            for step in range(5):
                report_of(SimpleNamespace(out=out, about=about, rehearsal=True), "results", [dict(step=f"{number}.{i}") for i in range(step + 1)], ["step"])
            os._exit(0)
    ends = [os.waitpid(pid, 0)[1] for pid in calls]
    with open(os.path.join(out, "results.json")) as f:
        kept = len(json.load(f)["rows"])
    check(not any(ends) and kept == 40, f"calls beside each other: {kept} of 40 rows are kept")


def full_disk(build, out):
    """What was measured before stays."""
    words = ["--rehearse", "--build", build, "--out", out]
    says(RUN, 0, "0 failed", "opens", *words)
    os.symlink("/dev/full", os.path.join(out, "results.json.part"))
    says(RUN, 1, "No space left on device", "opens", *words)
    with open(os.path.join(out, "results.json")) as f:
        check(len(json.load(f)["rows"]) == 1, "a disk that is full: earlier results are kept")


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
    full_disk(build, os.path.join(where, "filled"))
    beside_others(os.path.join(where, "beside"))
    for how, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        ended(build, os.path.join(where, how.name), how, status)
print(f"{'0' if failures else '1'} passed, {'1' if failures else '0'} failed")
sys.exit(1 if failures else 0)
