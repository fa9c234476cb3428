#!/usr/bin/python3
"""A checkpoint as other people's tools see it: h5py and h5dump read every tensor, with the numbers that were saved; the
manifest is canonical JSON, and every digest in it is what hashlib makes of the bytes in the file. Written by 3 ranks, read
by 1 and 2, continued by 2.

    checkpoint_h5.py PROGRAM MPIRUN...      PROGRAM: checkpoint_sample; MPIRUN: the launcher and its flags
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

PROGRAM, MPIRUN = sys.argv[1], sys.argv[2:]
CHUNK = 1 << 20
NUMPY = {"f32": "<f4", "f16": "<f2", "f64": "<f8", "i64": "<i8", "i32": "<i4", "u8": "u1"}
failed = 0


def check(holds, what):
    global failed
    if not holds:
        failed += 1
        print("FAILED", what)


def run(ranks, *words):
    subprocess.run([*MPIRUN, "-n", str(ranks), PROGRAM, *words], check=True)


def expected(dump, tensor):
    """The numbers of a tensor as numpy knows them; bf16 widened to float32 bit by bit."""
    raw = open(os.path.join(dump, tensor["name"].replace("/", "_") + ".bin"), "rb").read()
    if tensor["dtype"] == "bf16":
        numbers = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(raw, NUMPY[tensor["dtype"]])
    return raw, numbers.reshape(tensor["shape"])


def check_digests(folder, manifest, tensor, raw):
    path = os.path.join(folder, tensor["file"] if "/" not in tensor["file"] else "../" + tensor["file"])
    with open(path, "rb") as f:
        f.seek(tensor["offset"])
        stored = f.read(tensor["bytes"])
    check(stored == raw, f"{tensor['name']}: the bytes at its offset")
    check(tensor["bytes"] == 0 or tensor["offset"] % 4096 == 0, f"{tensor['name']}: begins at a page")
    chunks = [hashlib.sha256(raw[i:i + CHUNK]) for i in range(0, len(raw), CHUNK)]
    check(tensor["chunks"] == [c.hexdigest() for c in chunks], f"{tensor['name']}: chunks")
    check(tensor["sha256"] == hashlib.sha256(b"".join(c.digest() for c in chunks)).hexdigest(), f"{tensor['name']}: sha256")


def sum_of(tensors, prefix):
    h = hashlib.sha256()
    for t in sorted(tensors, key=lambda t: t["name"].encode()):
        if t["name"].startswith(prefix):
            h.update(t["name"].encode() + b"\0" + t["dtype"].encode() + b"\0" + bytes.fromhex(t["sha256"]))
    return h.hexdigest()


def check_manifest(path):
    text = open(path, "rb").read()
    manifest = json.loads(text)
    # every number of the sample is written alike by Python and by ECMAScript
    check(text == json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(), "canonical form")
    rest = {k: v for k, v in manifest.items() if k != "root_sha256"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    check(manifest["root_sha256"] == hashlib.sha256(canonical).hexdigest(), "root_sha256")
    for key, prefix in ("weights_sha256", "model/"), ("memory_sha256", "memory/"), ("state_sha256", ""):
        check(manifest[key] == sum_of(manifest["tensors"], prefix), key)
    return manifest


def check_rest(folder, manifest):
    """What lies between the tensors."""
    data = open(os.path.join(folder, "checkpoint.h5"), "rb").read()
    h, at = hashlib.sha256(), 0
    for t in sorted((t for t in manifest["tensors"] if t["bytes"] and "/" not in t["file"]), key=lambda t: t["offset"]):
        h.update(data[at:t["offset"]])
        at = t["offset"] + t["bytes"]
    h.update(data[at:])
    check(manifest["layout"] == {"bytes": len(data), "sha256": h.hexdigest()}, "layout")


def check_h5(folder, manifest, dump):
    with h5py.File(os.path.join(folder, "checkpoint.h5"), "r") as f:
        for t in manifest["tensors"]:
            raw, numbers = expected(dump, t)
            check_digests(folder, manifest, t, raw)
            data = f[t["name"]]
            check(list(data.shape) == t["shape"], f"{t['name']}: shape {data.shape}")
            check(data.chunks is None and data.compression is None, f"{t['name']}: contiguous")
            check(np.array_equal(data[()], numbers), f"{t['name']}: numbers through h5py")
            if t["bytes"] and "/" not in t["file"]:
                check(data.id.get_offset() == t["offset"], f"{t['name']}: offset")
        run_ = f["run"].attrs
        check(run_["step"] == manifest["step"] and run_["step"].dtype == np.int64, "/run step")
        check(run_["loss"] == 2.625 and run_["epoch"] == 1.0, "/run numbers")
        phase = run_["phase"]
        check((phase.decode() if isinstance(phase, bytes) else phase) == "naïve", "/run phase")
        check(json.loads(f["run/nested"][()]) == {"order": [3, 4]}, "/run/nested")
        check(json.loads(f["lineage"][()]) == manifest["lineage"], "/lineage")
        check(sorted(f) == ["lineage", "memory", "method", "model", "optimizer", "run"], f"groups {sorted(f)}")


def check_h5dump(folder, manifest, dump):
    path = os.path.join(folder, "checkpoint.h5")
    header = subprocess.run(["h5dump", "-H", path], check=True, capture_output=True, text=True).stdout
    check(header.count("DATASET") >= len([t for t in manifest["tensors"] if "/" not in t["file"]]), "h5dump lists every tensor")
    tensor = next(t for t in manifest["tensors"] if t["name"] == "model/model.layers.0.bias")
    said = subprocess.run(["h5dump", "-d", tensor["name"], "-y", "-w", "1", "-m", "%.9g", path], check=True, capture_output=True,
                          text=True).stdout
    body = said.split("DATA {")[1].split("}")[0]
    numbers = np.array([float(x) for x in body.replace(",", " ").split() if x[0] in "-0123456789"], np.float32)
    check(np.array_equal(numbers, expected(dump, tensor)[1]), "h5dump: bf16 numbers")


with tempfile.TemporaryDirectory() as work:
    output, dump = os.path.join(work, "run"), os.path.join(work, "dump")
    os.mkdir(dump)
    run(3, "write", output, "1")
    run(1, "dump", dump)
    for ranks in 1, 2:
        run(ranks, "read", output)
    first = os.path.join(output, "checkpoints", "step-000000001")
    manifest = check_manifest(os.path.join(first, "manifest.json"))
    check(manifest["ranks"] == 3 and manifest["parent"] is None, "ranks, parent")
    check_rest(first, manifest)
    check_h5(first, manifest, dump)
    check_h5dump(first, manifest, dump)

    run(2, "write", output, "9")  # goes on: frozen tensors are links into step 1
    run(1, "read", output)
    ninth = os.path.join(output, "checkpoints", "step-000000009")
    later = check_manifest(os.path.join(ninth, "manifest.json"))
    check(later["parent"] == manifest["root_sha256"], "parent")
    check_rest(ninth, later)
    latest = open(os.path.join(output, "checkpoints", "LATEST")).read()
    check(latest == f"step-000000009 {later['root_sha256']}\n", "LATEST")
    frozen = [t for t in later["tensors"] if t["file"] == "step-000000001/checkpoint.h5"]
    check([t["name"] for t in frozen] == ["model/base.bias", "model/base.weight"], "frozen tensors")
    with h5py.File(os.path.join(ninth, "checkpoint.h5"), "r") as f:
        for t in frozen:
            check(isinstance(f.get(t["name"], getlink=True), h5py.ExternalLink), f"{t['name']}: link")
            check(np.array_equal(f[t["name"]][()], expected(dump, t)[1]), f"{t['name']}: numbers through the link")

print(f"{'FAILED' if failed else 'ok'}: {failed} of the checks failed")
sys.exit(1 if failed else 0)
