"""What tests/gpu/run and tests/bench/gpu share: where things are on a machine with a GPU, one step with a time limit, and reports."""
import argparse, fcntl, functools, glob, hashlib, json, os, re, shutil, signal, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def text_of(*command, env=None):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=env).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def first_existing(*paths):
    return next((p for p in paths if p and os.path.exists(p)), None)


def end_session(leader):
    """A process that was started as the leader of a session, and all that is in it: ranks of mpirun have process groups of their own."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                session = int(f.read().rsplit(")", 1)[1].split()[3])
            if session == leader:
                os.kill(int(pid), signal.SIGKILL)
        except (OSError, IndexError, ValueError):  # gone meanwhile
            pass


class Words(argparse.ArgumentParser):
    """Wrong ones end a script with 10."""
    def __init__(self, text):
        super().__init__(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        self.exit(10, f"{self.prog}: {message}\n")


def at_least_one(word):
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"'{word}' is no number above 0")
    return int(word)


def run_script(main):
    """Ends with main's exit code. Whoever interrupts or ends a script ends what it has started, too; a full disk is a sentence."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as e:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {e.filename or 'results'}: {e.strerror}")


class Machine:
    @staticmethod
    def options(ap):
        ap.add_argument("--out", default=os.path.join(ROOT, "gpu-results"), help="where results go; and, as copies, into $OUT")
        ap.add_argument("--build", default=os.path.join(ROOT, "build/cuda"))
        ap.add_argument("--carried", metavar="FOLDER", help="what tests/gpu/pack has made; .gpu-carry, where it is there and this is no rehearsal")
        ap.add_argument("--jobs", type=at_least_one, default=len(os.sched_getaffinity(0)))
        ap.add_argument("--rehearse", action="store_true", help="on stand-ins, without a GPU")

    def __init__(self, a):
        self.out, self.build, self.jobs, self.rehearsal = os.path.abspath(a.out), os.path.abspath(a.build), a.jobs, a.rehearse
        try:
            os.makedirs(self.out, exist_ok=True)
        except OSError as e:
            print(f"--out {self.out}: {e.strerror}", file=sys.stderr)
            sys.exit(10)
        self.outside = dict(os.environ)  # for programs that are not ours
        self.env = dict(os.environ)
        self.cuda = first_existing(os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda")
        default = os.path.join(ROOT, ".gpu-carry")
        if a.carried or (not self.rehearsal and os.path.isdir(default)):
            self.take_carried(a.carried or default)
        if not self.rehearsal:
            self.find_libraries()
        self.name_programs()

    def take_carried(self, folder):
        """The environment as tests/gpu/carried leaves it."""
        script = 'source "$0" "$1" "$2" && env -0'
        unpacked = os.environ.get("PAWL_CARRIED_UNPACKED") or os.path.join(ROOT, "build", "gpu-carried")
        p = subprocess.run(["bash", "-c", script, os.path.join(HERE, "carried"), folder, unpacked], stdout=subprocess.PIPE, text=True)
        if p.returncode:
            sys.exit(10)
        self.env = dict(line.split("=", 1) for line in p.stdout.split("\0") if "=" in line)

    def find_libraries(self):
        """Folders in which libraries of NVIDIA's are: the toolkit's, and where pip has put them."""
        pip = [os.path.join(p, "nvidia") for p in sys.path if os.path.isdir(os.path.join(p, "nvidia"))]
        folders = [os.path.join(self.cuda or "/", "lib64"), "/usr/lib/x86_64-linux-gnu", *(f for p in pip for f in glob.glob(p + "/*/lib"))]
        names = ("libcublasLt.so", "libcudnn.so", "libnccl.so.2")
        self.libraries = {n: next((found[0] for f in folders if (found := sorted(glob.glob(os.path.join(f, n + "*"))))), None) for n in names}
        used = list(dict.fromkeys(os.path.dirname(p) for p in self.libraries.values() if p and not p.startswith("/usr/lib/")))
        self.env["LD_LIBRARY_PATH"] = ":".join(filter(None, [*used, self.env.get("LD_LIBRARY_PATH")]))
        self.env["PATH"] = ":".join(filter(None, [os.path.join(self.cuda, "bin") if self.cuda else "", self.env.get("PATH")]))
        # Without a toolkit's own cuBLAS: the one of pip, which has no link of the name that linkers look for.
        if self.libraries["libcublasLt.so"] and not os.path.exists(os.path.join(self.cuda or "/", "lib64/libcublasLt.so")):
            links = os.path.join(ROOT, "build", "gpu-links")
            os.makedirs(links, exist_ok=True)
            if not os.path.lexists(os.path.join(links, "libcublasLt.so")):
                os.symlink(self.libraries["libcublasLt.so"], os.path.join(links, "libcublasLt.so"))
            headers = os.path.join(os.path.dirname(os.path.dirname(self.libraries["libcublasLt.so"])), "include")
            for name, folder in (("CMAKE_LIBRARY_PATH", links), ("CPATH", headers)):
                self.env[name] = ":".join(filter(None, [folder, self.env.get(name)]))
        self.sanitizer = shutil.which("compute-sanitizer", path=self.env["PATH"])

    def name_programs(self):
        tests = os.path.join(self.build, "tests")
        part = os.path.join(tests, "libpawl_cuda_standin.so") if self.rehearsal else os.path.join(self.build, "libpawl_cuda.so")
        self.env.update(PAWL=os.path.join(self.build, "pawl"), PAWL_SOURCE=ROOT, PAWL_TESTS=tests, PAWL_TEST_DEVICE="cuda", PAWL_CUDA_PART=part,
                        OMP_WAIT_POLICY="passive", OMPI_MCA_btl_vader_single_copy_mechanism="none", OMPI_ALLOW_RUN_AS_ROOT="1",
                        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", PAWL_SANITIZER=getattr(self, "sanitizer", None) or "")
        self.env["PAWL_ON_GPU"] = os.path.join(tests, "standin_pawl") if self.rehearsal else self.env["PAWL"]
        if self.rehearsal:
            self.env.update(PAWL_REHEARSAL="1", PAWL_TEST_NCCL=part)
        self.configure = ["cmake", "-S", ROOT, "-B", self.build, "--preset", "cuda", f"-DPAWL_PYTHON={sys.executable}",
                          f"-DCMAKE_CUDA_ARCHITECTURES={self.architecture()}"]

    def architecture(self):
        """This GPU's alone, which is half of the building time."""
        said = re.fullmatch(r"(\d+)\.(\d+)", (text_of("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader") or "none").splitlines()[0])
        return f"{said[1]}{said[2]}-real" if said else "90-real"

    def test(self, name):
        return os.path.join(self.env["PAWL_TESTS"], name)

    def run(self, command, seconds, env=None, log=None):
        """A program and all that it starts, ended when its time is over, or this one is. Returns (exit code or None, output)."""
        p = None
        try:
            p = subprocess.Popen(command, env=env or self.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, errors="replace", start_new_session=True)
            output, code = p.communicate(timeout=max(seconds, 1))[0], p.returncode
        except subprocess.TimeoutExpired:
            end_session(p.pid)
            output, code = p.communicate()[0], None
        except OSError as e:
            why = "there is no driver of NVIDIA's here" if command[0] == "nvidia-smi" else "the step build makes it" if command[0].startswith(self.build) else ""
            output, code = f"cannot be started: {e.strerror}" + f": {why}" * bool(why), 127
        except BaseException:
            if p:
                end_session(p.pid)
            raise
        if log:
            log.write(f"$ {' '.join(command)}\n{output}\n[{'over time' if code is None else f'exit {code}'}]\n")
            log.flush()
        return code, output

    def step(self, name, commands, seconds):
        """All commands of a step, also after one that failed; what they say goes to results.log."""
        began, wrong = time.monotonic(), []
        with open(os.path.join(self.out, "results.log"), "a") as log:
            log.write(f"\n==== {name}, {time.strftime('%F %T')}\n")
            for command in commands:
                left = seconds - (time.monotonic() - began)
                code, output = self.run(command, left, log=log) if left > 0 else (None, "")
                if code != 0:
                    lines = [line for line in output.splitlines() if re.search(r"FAIL|[Ee]rror|ERROR|rank \d+: ", line)] or output.splitlines()
                    wrong.append(f"{os.path.basename(command[0])}: {'over time' if code is None else f'exit {code}'}: {(lines or [''])[0].strip()[:200]}")
        detail = "; ".join(wrong) or f"{len(commands)} command{'s' if len(commands) > 1 else ''}"
        return dict(status="FAILED" if wrong else "ok", seconds=round(time.monotonic() - began, 1), detail=detail)

    @functools.cached_property
    def about(self):
        driver = text_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader") if not self.rehearsal else "stand-ins"
        nvcc = re.search(r"release ([\d.]+)", text_of("nvcc", "--version", env=self.env))
        changed = os.path.exists(os.path.join(ROOT, ".git")) and bool(text_of("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"))
        return dict(gpu=driver.splitlines()[0] if driver else "none", cuda=nvcc[1] if nvcc else "none", commit=commit(), changed=changed,
                    cores=len(os.sched_getaffinity(0)), date=time.strftime("%Y-%m-%d"))


def commit():
    """Of the tree; where git's folder has not been carried along, as GPU_COMMIT says, or a digest of what is in the tree."""
    said = os.environ.get("GPU_COMMIT") or text_of("git", "-C", ROOT, "rev-parse", "--short=12", "HEAD")
    if re.fullmatch(r"[0-9a-f]{7,40}", said):
        return said
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("core", "ops", "comm", "model", "optim", "trainer", "launch") for p in glob.glob(os.path.join(ROOT, folder, "**/*.[ch]*"), recursive=True)):
        with open(path, "rb") as f:
            digest.update(f.read())
    return "sources-" + digest.hexdigest()[:12]


def table(rows, columns):
    cell = lambda v: "" if v is None else str(v).replace("|", "/").replace("\n", " ")
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *("| " + " | ".join(cell(r.get(c)) for c in columns) + " |" for r in rows)])


def replace(path, text):
    """Whole or not at all: on a full disk the earlier one stays."""
    with open(path + ".part", "w") as f:
        f.write(text)
    os.replace(path + ".part", path)


def report_of(m, name, rows, columns, key="step", notes=""):
    """NAME.json and NAME.md in m.out. Rows of earlier calls on the same commit, and of one beside this, that this one has not made again are kept."""
    path, about = os.path.join(m.out, name + ".json"), m.about
    with open(os.path.join(m.out, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(path) as f:
                earlier = json.load(f)
        except (OSError, ValueError):
            earlier = {}
        if earlier.get("about", {}).get("commit") == about["commit"]:
            made = {r[key] for r in rows}
            rows = [r for r in earlier["rows"] if r[key] not in made] + rows
        replace(path, json.dumps(dict(about=about, rows=rows), indent=1) + "\n")
        replace(os.path.join(m.out, name + ".md"),
                f"{about['gpu']}; CUDA {about['cuda']}; {about['cores']} cores; commit {about['commit']}{' (changed)' * about['changed']}; {about['date']}\n\n"
                + table(rows, columns) + "\n" + notes)
    copies = os.environ.get("OUT")
    if copies and os.path.abspath(copies) != m.out and not m.rehearsal:
        for file in glob.glob(os.path.join(m.out, name + ".*")):
            shutil.copy(file, copies)
