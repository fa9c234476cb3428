"""kill -9 of a random rank at random moments, a third of them or more inside a save, resumed at other rank counts: the job
ends within 5 s, the next start goes on, and the final bits are those of an undisturbed run. With the word `stages` it is a
run of three stages with replay, and with the methods that the words behind it switch on (key=value).

The program is pawl with an I/O table that is slow while saving (tests/e2e/slow_pawl.c) and notes what it is doing, so that
a kill can be aimed at a save and the phase it hit can be printed."""
import glob, json, os, random, signal, sys, time
from e2e import *

SLOW = os.path.join(TESTS, "slow_pawl")
AIMS = ["mkdir", "fallocate", "pwrite", "fsync", "manifest.json", "rename", "LATEST"]  # each phase of a save
seed = int(os.environ.get("PAWL_KILL_SEED", "20"))
rng = random.Random(seed)
where = folder()
EXTRA = dict(pair.split("=", 1) for pair in sys.argv[2:])
settings = dict(save_steps=20, save_total_limit=3, reduction_lanes=4)
if "stages" in sys.argv:
    KILLS, STEPS = int(os.environ.get("PAWL_KILLS", "8")), 120  # so few that kills reach every stage
    sources = dict(docs=PAGES, core=os.path.join(SOURCE, "core"), comm=os.path.join(SOURCE, "comm"))
    settings["stages"] = json.dumps([dict(name=name, max_steps=STEPS // 3, datasets=[dict(path=path, type="text", domain=name)])
                                     for name, path in sources.items()])
    settings.update(max_steps=None, save_steps=10, val_set_size=0.05, replay="{ratio: 0.25, capacity: 40}", **EXTRA)
else:
    KILLS, STEPS = int(os.environ.get("PAWL_KILLS", "20")), 700
    settings.update(max_steps=STEPS, val_set_size=0)

whole = os.path.join(where, "whole")
status, stdout, stderr = run(2, "train", write_run(where, "whole.yaml", output=whole, **settings), seconds=300)
check(status == 0, "an undisturbed run" + stderr[-500:] * (status != 0))
expected = state(whole)

out = os.path.join(where, "killed")
yaml = write_run(where, "killed.yaml", output=out, **settings)


def phase(notes, pid):
    try:
        with open(os.path.join(notes, str(pid)), "rb") as f:
            return f.read().split(b"\0")[0].decode()
    except FileNotFoundError:
        return ""


def one_kill(number, inside):
    """Starts the job, kills a rank, and returns the phase it was in; '' when the job ended before."""
    ranks = rng.choice([1, 2, 3, 4])
    notes = os.path.join(where, f"notes{number}")
    os.mkdir(notes)
    began = time.monotonic()
    p = start(ranks, "train", yaml, program=SLOW, env=dict(ENV, PAWL_NOTES=notes, PAWL_SLOW_MS="4"))
    wait_for(lambda: len(os.listdir(notes)) == ranks or p.poll() is not None)
    pids = [int(n) for n in os.listdir(notes)]
    lines = count_lines(os.path.join(out, "metrics.jsonl"))
    if number % 5:  # mostly after the first steps, so that the run gets on; now and then while it starts
        wait_for(lambda: count_lines(os.path.join(out, "metrics.jsonl")) > lines + 3 or p.poll() is not None)
    time.sleep(rng.uniform(0, 1))
    if inside:
        aim = AIMS[number % len(AIMS)]
        wait_for(lambda: any(aim in phase(notes, pid) for pid in pids) or p.poll() is not None, pause=0.0005)
    target = rng.choice(pids)
    if inside:
        busy = [pid for pid in pids if aim in phase(notes, pid)]
        target = rng.choice(busy) if busy else target
    try:
        os.kill(target, signal.SIGKILL)
    except ProcessLookupError:
        pass
    killed = time.monotonic()
    p.communicate(timeout=30)
    took = time.monotonic() - killed
    hit = phase(notes, target)
    if p.returncode in (0, 75):
        return None
    print(f"       kill {number + 1} of {ranks} ranks after {killed - began:.2f} s, inside: {hit or 'a step'}; over after {took:.1f} s, "
          f"newest {sorted(os.path.basename(s) for s in glob.glob(out + '/checkpoints/step-*'))[-1:]}", flush=True)
    wait_for(lambda: not any(alive(pid) for pid in pids), seconds=5)
    check(time.monotonic() - killed < 5, "the job ended within 5 s")
    return hit


done_kills, hits, tries = 0, [], 0
while done_kills < KILLS and tries < 3 * KILLS:
    hit = one_kill(tries, inside=len([h for h in hits if h]) * 2 < KILLS and done_kills % 2 == 0)
    tries += 1
    if hit is None:  # it finished first: begin the run again
        shutil.rmtree(out)
        continue
    hits.append(hit)
    done_kills += 1
inside = len([h for h in hits if h])
check(done_kills == KILLS and inside * 3 >= KILLS, f"{done_kills} kills, {inside} of them inside a save (seed {seed})")
for ranks in (3,):
    status, stdout, stderr = run(ranks, "train", yaml, seconds=300)
    check(status == 0 and state(out) == expected, f"resumed to the end on {ranks} ranks: the bits of the undisturbed run" + stderr[-500:] * (status != 0))
check([m["step"] for m in steps(out)] == list(range(1, STEPS + 1)), "metrics.jsonl has every step once")
check([m["loss"] for m in steps(out)] == [m["loss"] for m in steps(whole)], "with the losses of the undisturbed run")
status, stdout, _ = run(0, "verify", out)
check(status == 0 and not glob.glob(out + "/checkpoints/*.part"), "every checkpoint is whole, nothing is left over")
done()
