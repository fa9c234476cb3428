#!/usr/bin/env python3
"""Estimates, by arithmetic, of how long the CUDA backend's kernels take on an H200; nothing here was measured.

  gpu_estimates.py [DOCUMENT]     prints docs/gpu-estimates.md; with its path compares, and ends with 1 where it is out of date

A kernel takes the longest of three:
  memory        the bytes of its operands, each counted once for being read and once for being written, at MEMORY
  latency       those bytes at what its threads have under way (threads on the processors x bytes that each has asked for), an
                answer taking LATENCY (Little's law); so few blocks, or loads that wait for each other, show
  instructions  a count by hand of the instructions of one number, at 4 warps a cycle and processor
and LAUNCH more. The limit that it is compared with is the memory's, or for products and attention the tensor cores'."""
import difflib
import sys

MEMORY = 4.3e12       # bytes a second: what copies reach of the H200's 4.8e12
TENSOR = 780e12       # bf16 FLOP/s that large products reach of 989e12
PROCESSORS, CLOCK = 132, 1.755e9
ISSUE = PROCESSORS * 4 * 32 * CLOCK   # instructions of threads a second
LATENCY = 0.8e-6      # seconds, of memory under load
LAUNCH = 3e-6
RESIDENT = 2048       # threads of a processor; 64 registers a thread leave 1024

SHAPES = [
    dict(name="0.5B", L=24, D=896, H=14, G=2, K=64, F=4864, V=151936, T=1024, N=16384),
    dict(name="8B", L=32, D=4096, H=32, G=8, K=128, F=14336, V=128256, T=4096, N=8192),
]


def parameters(s):
    qkv = (s["H"] + 2 * s["G"]) * s["K"]
    layer = s["D"] * qkv + s["H"] * s["K"] * s["D"] + 3 * s["D"] * s["F"]
    return dict(layer=layer, products=s["L"] * layer, table=s["V"] * s["D"], all=s["L"] * layer + s["V"] * s["D"])


def kernel(name, times, bytes_, blocks, threads, under_way, instructions=0, resident=RESIDENT, counts=True):
    """times: a step; under_way: bytes a thread has asked for at a time; instructions: of all threads; counts: with AdamW, without an adapter."""
    on = min(blocks * threads, PROCESSORS * (resident // threads) * threads)
    limits = {"memory": bytes_ / MEMORY, "latency": bytes_ * LATENCY / (on * under_way), "instructions": instructions / ISSUE}
    by = max(limits, key=limits.get)
    return dict(name=name, times=times, limit=bytes_ / MEMORY, seconds=limits[by] + LAUNCH, by=by, counts=counts)


def product(name, times, flops, bytes_):
    limit = max(flops / TENSOR, bytes_ / MEMORY)
    return dict(name=name, times=times, limit=limit, seconds=limit + LAUNCH, by="tensor cores" if flops / TENSOR >= bytes_ / MEMORY else "memory", counts=True)


def ceil(a, b):
    return -(-a // b)


def kernels(s):
    L, D, H, G, K, F, V, T, N = (s[k] for k in "L D H G K F V T N".split())
    p, qkv, heads = parameters(s), (H + 2 * G) * K, H + G
    each = ceil(V, 1024)
    owners = ceil(V, each) * ceil(D, 1024)
    gathered = min(V, N / 3) * D * 8 + N * D * 4  # rows read and written once for each token that occurs, a third of the positions
    pairs = N * (T + 1) / 2 * H * K  # of positions that see each other, times the head's columns
    chunk = 4096
    while chunk * V * 4 > 1 << 30:
        chunk //= 2
    # Our own attention: a warp has 4 rows, and 32 pass by. Reads of shared memory, of which a processor makes one a cycle: to score, and to
    # add up. Backward, two kernels do that 4 and 3 times.
    to_score, to_add = K // 4 * 8, 32 * (K // 32 + 4)
    reads = {"forward": to_score + to_add, "backward": 4 * to_score + 3 * to_add}
    warp_tiles = pairs / K / (32 * 4)

    def attention(name, part, products):
        seconds = warp_tiles * reads[part] / (PROCESSORS * CLOCK) / 0.6  # barriers and the softmax take the rest
        return dict(name=name, times=L, limit=products * 2 * pairs / TENSOR, seconds=seconds + LAUNCH, by="shared memory", counts=True)

    rows = [
        kernel("embedding", 1, N * D * 6, ceil(N * D, 2048), 256, 16, N * D * 10),
        kernel("norm_kernel", 2 * L + 1, N * D * 14, N, 256, 64, N * D * 12, 1024),
        kernel("norm_backward_kernel and its column sums", 2 * L + 1, N * D * 16 + 512 * D * 8, min(N, 512), 256, 64, N * D * 25, 1024),
        kernel("rope_kernel, both ways", 2 * L, 4 * N * heads * K, ceil(N * heads * K // 2, 2048), 256, 32, N * heads * K / 2 * 45),
        attention("attend_kernel (own; cuDNN serves where it can)", "forward", 2),
        attention("attend_queries, attend_keys (own)", "backward", 5),
        kernel("swiglu_kernel", L, 6 * N * F, ceil(N * F, 2048), 256, 32, N * F * 55),
        kernel("swiglu_backward_kernel", L, 10 * N * F, ceil(N * F, 2048), 256, 48, N * F * 80),
        kernel("cast_kernel, weights to bf16", 1, 6 * p["all"], ceil(p["all"], 2048), 256, 32, p["all"] * 8),
        product("products of a layer, forward", L, 2 * N * p["layer"], 2 * p["layer"]),
        product("products of a layer, backward", L, 4 * N * p["layer"], 8 * p["layer"]),
        product(f"the head's products, {ceil(N, chunk)} chunks", 1, 6 * N * p["table"], N * V * 8 + ceil(N, chunk) * p["table"] * 10),
        dict(product("instead, half of them untrained: its products", 1, 3 * N * p["table"], N * V * 4 + ceil(N // 2, chunk) * p["table"] * 10), counts=False),
        kernel("and head_gather, head_scatter, head_clear", 1, N // 2 * D * 16, min(N // 2, chunk) * D // 2048, 256, 16, N // 2 * D * 20, counts=False),
        kernel("head_rows_kernel", 1, N * V * 10, min(N, chunk), 512, 32, N * V * 60, 1024),
        kernel("embedding_dw_kernel", 1, gathered + owners * N * 4 * MEMORY / 5.5e12, owners, 256, 16 * 8, owners * (N * 2 + 8 * 256 * 100), 1024),
        kernel("zero_kernel, gradients", 1, 4 * p["all"], ceil(p["all"], 1024), 256, 16, p["all"] * 3),
        kernel("dot_kernel, the gradient's norm", 1, 4 * p["all"], ceil(p["all"], 65536), 512, 16, p["all"] * 10),
        kernel("adamw_kernel", 1, 28 * p["all"], ceil(p["all"], 1024), 256, 64, p["all"] * 60),
        kernel("instead: adamw_8bit_kernel", 1, 16 * p["all"], ceil(p["all"], 256), 256, 14, p["all"] * 150, counts=False),
        kernel("instead: Adafactor's passes", 1, 24 * p["all"], 32 * 8, 1024, 8, p["all"] * 200, counts=False),
        kernel("DoRA of rank 16: low_rank_norms_kernel", 1, 4 * p["products"], p["products"] // 8 // D, 256, 36, p["products"] * 60, 1024, counts=False),
    ]
    return rows


def cached(s):
    """A token of `pawl generate` at the last of T positions: reads of weights, and of the cache."""
    p = parameters(s)
    cache = 8 * s["T"] * s["G"] * s["K"]
    return [
        product("weights (bf16), all layers and the head", 1, 2 * p["all"], 2 * p["all"]),
        kernel("attend_cached_kernel", s["L"], cache, s["H"], 512, s["K"] // 32 * 4 * 8, 0, 1024),
    ]


# ---- an adapter's products, as tests/bench/lora.c cuts them ----

LORA_SHAPES = [
    dict(name="0.6B", D=1024, H=16, G=8, K=128, F=3072, N=32768),
    dict(name="1.7B", D=2048, H=16, G=8, K=128, F=6144, N=16384),
    dict(name="8B", D=4096, H=32, G=8, K=128, F=14336, N=8192),
]
TILE, SKINNY, DEEP = 128, 64, 64  # columns of a tile, of one of few columns, and how much of the inner side a tile takes at a time


def tiled(m, n, k, out, add=False):
    """Seconds of one product into numbers of `out` bytes: by tensor cores over whole tiles, or by memory."""
    width = TILE if n >= TILE else SKINNY
    flops = 2 * m * ceil(n, width) * width * ceil(k, DEEP) * DEEP
    return max(flops / TENSOR, (2 * m * k + 2 * n * k + (2 if add else 1) * out * m * n) / MEMORY) + LAUNCH


def forms_of(N, I, outs, r, y, dx):
    """Seconds of one input's linear layers; y and dx: bytes of a number of each. Where a form is none, what passes do."""
    O, R = sum(outs), r * len(outs)
    base, back, down = tiled(N, O, I, y), tiled(N, I, O, dx), tiled(N, R, I, 2)
    f = dict(base=base, separate=base + sum(tiled(N, r, I, 2) + tiled(N, o, r, y, True) for o in outs), stacked=base + down + tiled(N, O, R, y, True),
             inner=down + tiled(N, O, I + R, y), back=back, back_separate=back + sum(tiled(N, r, o, 2) + tiled(N, I, r, dx, True) for o in outs),
             back_stacked=back + tiled(N, R, O, 2) + tiled(N, I, R, dx, True))
    f["columns"] = tiled(N, O + R, I, y) + tiled(N, O, R, y, True) if y == 2 else f["separate"]
    f["back_inner"] = tiled(N, I + R, O, dx) + tiled(N, I, R, dx, True) if dx == 2 else f["back_separate"]
    return f


def lora_layer(s, r):
    D, H, G, K, F = (s[k] for k in "DHGKF")
    groups = [(D, [H * K, G * K, G * K], 2, 4), (H * K, [D], 4, 2), (D, [F, F], 2, 4), (F, [D], 4, 2)]
    each = [forms_of(s["N"], I, outs, r, y, dx) for I, outs, y, dx in groups]
    best = sum(min(e[f] for f in ("separate", "stacked", "columns", "inner")) + min(e[f] for f in ("back_separate", "back_stacked", "back_inner")) for e in each)
    return dict({f: sum(e[f] for e in each) for f in each[0]}, best=best)


def lora_section():
    out = ["## An adapter's products, beside those of its base or merged with them", "",
           "All linear layers of a block, microseconds; forms as in `tests/bench/lora.c`, decision 0054. A product takes what tensor cores take for whole tiles (of",
           f"{TILE} columns, {SKINNY} of a skinny one; {DEEP} deep), or what memory takes for its operands. *Best*: of each layer the best form, each way, beside",
           "separate, which is what passes do.", "",
           "| shape, positions | r | base | separate | stacked | columns | inner | backward: base | separate | stacked | inner | best |", "|---|" + "---|" * 11]
    best = {}
    for s in LORA_SHAPES:
        for r in (8, 16, 32, 64):
            f = lora_layer(s, r)
            best[s["name"], r] = f["best"] / (f["separate"] + f["back_separate"])
            cells = [f[k] for k in "base separate stacked columns inner back back_separate back_stacked back_inner".split()]
            out.append(f"| {s['name']}, {s['N']} | {r} | " + " | ".join(f"{1e6 * c:.0f}" for c in cells) + f" | {best[s['name'], r]:.3f} |")
    tile = {s["name"]: TILE / ((s["H"] + 2 * s["G"]) * s["K"]) for s in LORA_SHAPES}
    one = LORA_SHAPES[2]
    wide = forms_of(one["N"], one["D"], [one["F"]] * 2, 16, 2, 4)
    return out + ["", f"What may be won is the traffic of `y += u B^T`, which reads and writes all of y to add little: at 8B and r 16 {100 * (wide['separate'] / wide['base'] - 1):.0f} % of gate's and up's product. Columns of A",
                  f"beside W do not save that; they save one read of x, for a column of tiles more, which alone is {100 * tile['8B']:.0f} % (8B) to {100 * tile['0.6B']:.0f} % (0.6B) of the product for q, k and v.",
                  f"Columns of B beside W, over u beside x, save it for {DEEP} more of the inner side. Where dx is of f32 (below the norms) stacked adds to it once, not once a module.",
                  f"Of a block's products, both ways, {100 * (1 - best['8B', 16]):.0f} % (8B), {100 * (1 - best['1.7B', 16]):.0f} % (1.7B) and {100 * (1 - best['0.6B', 16]):.0f} % (0.6B) at r 16, at the most.", ""]


def microseconds(seconds):
    us = seconds * 1e6
    return f"{us:.0f}" if us < 10000 else f"{us / 1000:.0f} ms"


def table(rows):
    out = ["| kernel | a step | limit, us | estimate, us | waits for | a step, ms |", "|---|---|---|---|---|---|"]
    for r in rows:
        out.append(f"| {r['name']} | {r['times']} | {microseconds(r['limit'])} | {microseconds(r['seconds'])} | {r['by']} | "
                   f"{r['times'] * r['seconds'] * 1e3:.2f} |")
    return out


def step(rows):
    """Seconds of a step with AdamW, with the own attention and with one that reaches 60 % (forward) and 50 % of the products' rate."""
    chosen = [r for r in rows if r["counts"]]
    own = sum(r["times"] * r["seconds"] for r in chosen)
    cudnn = sum(r["times"] * (r["limit"] / (0.6 if "attend_kernel" in r["name"] else 0.5) if "attend" in r["name"] else r["seconds"])
                for r in chosen)
    return own, cudnn


def document():
    out = ["# Estimates of times on an H200", "",
           "Nothing here was measured: no kernel of pawl has run on a GPU ([gpu-status](gpu-status.md)). These are sums that anyone can follow, made by",
           "`tests/bench/gpu_estimates.py`, which says how; the first minutes on a GPU are to show where they are wrong (`tests/bench/gpu`). They are here to",
           "find kernels that are far from what the hardware allows before there is hardware.", ""]
    for s in SHAPES:
        rows = kernels(s)
        p, n = parameters(s), s["N"]
        own, cudnn = step(rows)
        flops = 6 * p["all"] + 12 * s["L"] * s["H"] * s["K"] * s["T"]
        out += [f"## {s['name']}: {s['L']} layers of {s['D']}, {s['H']} heads ({s['G']}) of {s['K']}, ff {s['F']}, vocabulary {s['V']}; {n} positions in rows of {s['T']}, bf16", ""]
        out += table(rows)
        out += ["", f"Together, with AdamW and all state on one GPU: {own * 1e3:.0f} ms with our own attention ({n / own:,.0f} tokens/s, "
                f"{100 * flops * n / own / 989e12:.0f} % MFU), {cudnn * 1e3:.0f} ms",
                f"with one at 60 % (forward) and 50 % (backward) of the products' rate ({n / cudnn:,.0f} tokens/s, {100 * flops * n / cudnn / 989e12:.0f} % MFU). Launches that the host is late with,",
                "exchange, and products below their best rate come on top.", "",
                f"A token of `pawl generate` at position {s['T']}:", ""]
        out += table(cached(s)) + [""]
    return out + lora_section() + """## What they say

- Where cuDNN does not serve, attention is most of a step: 20 to 60 times what tensor cores take. It waits for shared memory, and without tensor
  cores it can be helped by a factor of two at most. So a run on a GPU that cuDNN does not serve is a slow one.
- Else products are most of it, and everything beside them that is not at the memory's rate is a matter of some per cent: SwiGLU and its gradient (an exact
  division, rounding to bf16 in integers), Adafactor.
- The head's rows are read twice, once for their sum and once for their gradients: 600 KB are no processor's to keep. At 0.5B that is 6 % of a step.
- A step of 0.5B is some 700 launches before the optimizer's; those of less than 10 us each want a host that is ahead, or graphs.
- `pawl generate` waits for weights; with them in f32 twice as long.

Estimates of this kind are why some kernels are as they are. The embedding's gradient added the positions of one token one after another through
memory, 0.7 us each for 1024 columns: 8000 positions of padding were 20 ms on one processor, and are 0.4 ms. Attention against a cache read a key a thread, and
values one by one: 450 us a layer at 4096 positions, now 16. DoRA's norms read A anew for each row: 76 ms a step at 8B, now what the table says. A
vocabulary that is no multiple of 8 put each row of logits off 16 bytes.
""".splitlines()


def main():
    text = "\n".join(document()) + "\n"
    if len(sys.argv) < 2:
        sys.stdout.write(text)
        return 0
    there = open(sys.argv[1], encoding="utf-8").read()
    if there == text:
        return 0
    sys.stdout.writelines(difflib.unified_diff(there.splitlines(True), text.splitlines(True), sys.argv[1], "as it is now"))
    return 1


sys.exit(main())
