"""What the checks against the reference implementations share. They need torch, transformers and peft: in the Python that
PAWL_PEER_PYTHON names, or in the one that runs them. Where there are none they are skipped (exit code 77), and say so."""
import os, subprocess, sys

NEEDED = "import torch, transformers, peft, safetensors.torch"
SKIPPED = 77


def find_python():
    """Goes on in a Python that has the reference implementations."""
    for python in filter(None, (os.environ.get("PAWL_PEER_PYTHON"), sys.executable)):
        if subprocess.run([python, "-c", NEEDED], stderr=subprocess.DEVNULL).returncode == 0:
            if os.environ.get("PAWL_PEER_FOUND") != python:
                os.execve(python, [python, "-B", *sys.argv], dict(os.environ, PAWL_PEER_FOUND=python))
            return
    print("SKIPPED: there is no Python with torch, transformers and peft; PAWL_PEER_PYTHON can name one")
    sys.exit(SKIPPED)


find_python()
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
