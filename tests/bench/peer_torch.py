#!/usr/bin/env python3
"""The peer's side of `compare`: one training step (forward, backward, clip, fused AdamW) in PyTorch on the CPU, on the
reference shapes, as a user could best write it.

usage: OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive peer_torch.py [SHAPE...] [--dtypes fp32,bf16] [--variants hf-eager,...]
                                                               [--lora R] [--seconds 8] [--cpu-time]
       peer_torch.py --serve        requests from stdin and answers to stdout, a JSON object a line (what `compare` does)

Variants: transformers' model or a lean hand-made one, each eager and compiled, with SDPA; bf16 is autocast, weights and
optimizer in fp32, as pawl's are. With --lora transformers' model wears PEFT's adapter on all linear modules.
Printed: tokens/s, model GFLOP/s (6 N + 12 L d T a token; N: weights of matrix products, head included; 4 N + 6 N_lora for an
adapter), share of torch.mm's rate, and seconds from the model to the end of its first step, compiling included. --cpu-time
counts the processor's time rather than the clock's: with OMP_NUM_THREADS=1, figures that busy neighbours do not spoil."""
import argparse, json, logging, os, statistics, sys, time, warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")
import torch
from torch import nn
from torch.nn import functional as F

logging.disable(logging.WARNING)

SHAPES = {  # name: vocabulary, width, ff, layers, heads, key and value heads, T, rows
    "0.9M": (256, 128, 352, 4, 4, 4, 128, 16),
    "2.8M": (512, 192, 512, 6, 6, 6, 256, 8),
    "5.9M": (4096, 256, 688, 6, 8, 8, 256, 8),
    "15M": (32000, 288, 768, 6, 6, 6, 256, 4),
    "135M": (49152, 576, 1536, 30, 9, 3, 512, 2),
    "gpt2": (50257, 768, 3072, 12, 12, 12, 256, 4),
}
clock = time.process_time if "--cpu-time" in sys.argv else time.perf_counter
VARIANTS = ["hf-eager", "lean-eager", "hf-compile", "lean-compile"]


class LeanLlama(nn.Module):
    """As few calls as possible: packed qkv and gate with up, rms_norm, one SDPA call, rotary tables made once."""
    def __init__(self, V, d, ff, L, H, G, T, tied, size=None, head_norms=False):
        super().__init__()
        self.heads, self.groups, self.size = H, G, size or d // H
        self.embedding, self.head = nn.Embedding(V, d), nn.Linear(d, V, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self.blocks = nn.ModuleList(nn.ModuleDict({
            "qkv": nn.Linear(d, (H + 2 * G) * self.size, bias=False), "out": nn.Linear(H * self.size, d, bias=False),
            "up": nn.Linear(d, 2 * ff, bias=False), "down": nn.Linear(ff, d, bias=False),
            "norm1": nn.RMSNorm(d), "norm2": nn.RMSNorm(d),
            **({"norm_q": nn.RMSNorm(self.size), "norm_k": nn.RMSNorm(self.size)} if head_norms else {})}) for _ in range(L))
        self.norm = nn.RMSNorm(d)
        angles = torch.outer(torch.arange(T), 10000.0 ** (-torch.arange(0, self.size, 2) / self.size))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def rotate(self, x):
        a, b = x.chunk(2, -1)
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, ids):
        x = self.embedding(ids)
        B, T, d = x.shape
        for block in self.blocks:
            qkv = block["qkv"](block["norm1"](x)).view(B, T, -1, self.size).transpose(1, 2)
            q, k, v = qkv.split((self.heads, self.groups, self.groups), 1)
            if "norm_q" in block:
                q, k = block["norm_q"](q), block["norm_k"](k)
            y = F.scaled_dot_product_attention(self.rotate(q), self.rotate(k), v, is_causal=True, enable_gqa=self.heads != self.groups)
            x = x + block["out"](y.transpose(1, 2).reshape(B, T, -1))
            gate, up = block["up"](block["norm2"](x)).chunk(2, -1)
            x = x + block["down"](F.silu(gate) * up)
        return self.head(self.norm(x))


class LeanGPT2(nn.Module):
    def __init__(self, V, d, ff, L, H, T):
        super().__init__()
        self.heads, self.size = H, d // H
        self.embedding, self.place, self.head = nn.Embedding(V, d), nn.Embedding(1024, d), nn.Linear(d, V, bias=False)
        self.head.weight = self.embedding.weight
        self.blocks = nn.ModuleList(nn.ModuleDict({
            "qkv": nn.Linear(d, 3 * d), "out": nn.Linear(d, d), "up": nn.Linear(d, ff), "down": nn.Linear(ff, d),
            "norm1": nn.LayerNorm(d), "norm2": nn.LayerNorm(d)}) for _ in range(L))
        self.norm = nn.LayerNorm(d)
        self.register_buffer("positions", torch.arange(T))

    def forward(self, ids):
        x = self.embedding(ids) + self.place(self.positions)
        B, T, d = x.shape
        for block in self.blocks:
            q, k, v = block["qkv"](block["norm1"](x)).view(B, T, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + block["out"](y.transpose(1, 2).reshape(B, T, d))
            x = x + block["down"](F.gelu(block["up"](block["norm2"](x)), approximate="tanh"))
        return self.head(self.norm(x))


class Loss(nn.Module):
    """Logits to the mean loss of the next tokens, in one module, so that a compiler sees all of it."""
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        z = self.model(ids)[:, :-1]
        return F.cross_entropy(z.reshape(-1, z.shape[-1]).float(), ids[:, 1:].reshape(-1))


class HuggingFace(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(input_ids=ids, labels=ids).loss


def hugging_face(shape, lora):
    import transformers
    transformers.logging.set_verbosity_error()
    V, d, ff, L, H, G, T, _ = SHAPES[shape]
    if shape == "gpt2":
        config = transformers.GPT2Config(vocab_size=V, n_embd=d, n_layer=L, n_head=H, n_positions=1024, resid_pdrop=0, embd_pdrop=0,
                                         attn_pdrop=0, use_cache=False, attn_implementation="sdpa")
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(vocab_size=V, hidden_size=d, intermediate_size=ff, num_hidden_layers=L, num_attention_heads=H,
                                          num_key_value_heads=G, tie_word_embeddings=shape == "135M", max_position_embeddings=1024,
                                          use_cache=False, attn_implementation="sdpa")
        model = transformers.LlamaForCausalLM(config)
    if lora:
        import peft
        model = peft.get_peft_model(model, peft.LoraConfig(r=lora, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM",
                                                           fan_in_fan_out=shape == "gpt2"))
    return HuggingFace(model)


def flops_per_token(shape, model, lora):
    V, d, ff, L, H, G, T, _ = SHAPES[shape]
    weights = (d * (H + 2 * G) * (d // H) + d * d + (2 if shape == "gpt2" else 3) * d * ff) * L + V * d
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return (4 * weights + 6 * trained if lora else 6 * weights) + 12 * L * d * T


class Bench:
    def __init__(self, shape, dtype, variant, lora):
        V, d, ff, L, H, G, T, rows = SHAPES[shape]
        source, how = variant.split("-")
        torch.manual_seed(0)
        if source == "hf":
            model = hugging_face(shape, lora)
        else:
            model = Loss(LeanGPT2(V, d, ff, L, H, T) if shape == "gpt2" else LeanLlama(V, d, ff, L, H, G, T, shape == "135M"))
        self.model, self.tokens = model.train(), rows * T
        self.flops = flops_per_token(shape, model, lora)
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4, fused=True)
        self.ids = torch.randint(0, V, (rows, T))
        self.autocast = dtype == "bf16"
        began = time.perf_counter()
        self.call = torch.compile(model) if how == "compile" else model
        self.step()
        self.first = time.perf_counter() - began
        for _ in range(2):
            self.step()

    def step(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss = self.call(self.ids)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def time(self, seconds):
        took, began = [], clock()
        while len(took) < 3 or (clock() - began < seconds and len(took) < 1000):
            then = clock()
            self.step()
            took.append(clock() - then)
        return self.tokens / statistics.median(took)


def product_rate(dtype, side=1024):
    x, y = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    took, began = [], clock()
    while len(took) < 3 or (clock() - began < 1 and len(took) < 50):
        then = clock()
        x @ y
        took.append(clock() - then)
    return 2 * side**3 / min(took) / 1e9


def about():
    return {"torch": torch.__version__, "threads": torch.get_num_threads(),
            "mm": {"fp32": product_rate(torch.float32), "bf16": product_rate(torch.bfloat16)}}


def serve():
    """{"do": "open", shape, dtype, variant, lora} -> {first, flops}; {"do": "time", shape, dtype, variant, lora, seconds} -> {rate}; {"do": "close", ...}; {"do": "about"}."""
    answers, sys.stdout = sys.stdout, sys.stderr
    opened = {}
    for line in sys.stdin:
        ask = json.loads(line)
        key = tuple(ask.get(k) for k in ("shape", "dtype", "variant", "lora"))
        try:
            if ask["do"] == "about":
                answer = about()
            elif ask["do"] == "open":
                opened[key] = Bench(*key)
                answer = {"first": opened[key].first, "flops": opened[key].flops}
            elif ask["do"] == "time":
                answer = {"rate": opened[key].time(ask["seconds"])}
            else:
                del opened[key]
                if not opened:
                    torch._dynamo.reset()
                answer = {}
        except Exception as e:  # a variant that torch cannot do here is no reason to lose the others
            answer = {"error": (str(e).strip() or repr(e)).splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shapes", nargs="*", metavar="SHAPE", help=" ".join(SHAPES))
    ap.add_argument("--dtypes", default="fp32,bf16")
    ap.add_argument("--variants", default=",".join(VARIANTS))
    ap.add_argument("--lora", type=int, default=0, metavar="R")
    ap.add_argument("--seconds", type=float, default=8)
    ap.add_argument("--cpu-time", action="store_true")
    ap.add_argument("--serve", action="store_true")
    a = ap.parse_args()
    if a.serve:
        return serve()
    here = about()
    print("torch %s, %d threads, mm fp32 %.0f, bf16 %.0f GFLOP/s" % (here["torch"], here["threads"], here["mm"]["fp32"], here["mm"]["bf16"]), flush=True)
    for shape in a.shapes or SHAPES:
        for dtype in a.dtypes.split(","):
            for variant in a.variants.split(","):
                if a.lora and variant.startswith("lean"):
                    continue
                try:
                    b = Bench(shape, dtype, variant, a.lora)
                    rate = b.time(a.seconds)
                    gflops = rate * b.flops / 1e9
                    print("%s %s %-12s %8.0f tok/s %7.1f GFLOP/s %3.0f%% of mm, first step after %.1f s" %
                          (shape, dtype, variant, rate, gflops, 100 * gflops / here["mm"][dtype], b.first), flush=True)
                except Exception as e:
                    print(shape, dtype, variant, "failed:", str(e).splitlines()[0][:200], flush=True)
                torch._dynamo.reset()


if __name__ == "__main__":
    main()
