#!/usr/bin/env python3
"""The peer's side of tests/bench/gpu: training steps (forward, backward, clip, fused AdamW) in PyTorch on a GPU, on a shape of
tests/bench/step, as a user could best write it: compiled, SDPA with cuDNN first, bf16, PEFT for adapters.

usage: peer_cuda.py SHAPE_JSON VARIANT [--rows N] [--lora R] [--steps 20] [--checkpoint] [--device cuda] [--eager]
       peer_cuda.py --about

VARIANT: lean or hf (a hand-made model, or transformers'), then -autocast (weights and AdamW's state in f32, as pawl's are by default) or
-bf16 (weights and state in bf16: less memory, and other numbers). One JSON object on the last line: rows, tokens_per_second (of the median
step), ms, steps, peak_bytes, first (seconds from the model to the end of its first step). Rows are halved until they fit."""
import argparse, json, logging, os, statistics, sys, time, warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
warnings.filterwarnings("ignore")
import torch
from torch import nn
from peer_torch import HuggingFace, LeanGPT2, LeanLlama, Loss

logging.disable(logging.WARNING)


def attention():
    """cuDNN's kernel before the others, where this PyTorch can be told so."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    try:
        return sdpa_kernel(order, set_priority=True)
    except TypeError:
        return sdpa_kernel(order)


def lean(s, T):
    if s["family"] == "gpt2":
        return Loss(LeanGPT2(s["vocab"], s["width"], s["ff"], s["layers"], s["heads"], T))
    return Loss(LeanLlama(s["vocab"], s["width"], s["ff"], s["layers"], s["heads"], s["kv_heads"], T, s["tied"], s["head_dim"], s["family"] == "qwen3"))


def hugging_face(s, T, lora, checkpoint):
    import transformers
    transformers.logging.set_verbosity_error()
    common = dict(vocab_size=s["vocab"], use_cache=False, attn_implementation="sdpa", tie_word_embeddings=s["tied"])
    llama = dict(hidden_size=s["width"], intermediate_size=s["ff"], num_hidden_layers=s["layers"], num_attention_heads=s["heads"],
                 num_key_value_heads=s["kv_heads"], head_dim=s["head_dim"], max_position_embeddings=T)
    if s["family"] == "gpt2":
        config = transformers.GPT2Config(n_embd=s["width"], n_inner=s["ff"], n_layer=s["layers"], n_head=s["heads"], n_positions=T, resid_pdrop=0, embd_pdrop=0,
                                         attn_pdrop=0, **common)
    else:
        config = (transformers.Qwen3Config if s["family"] == "qwen3" else transformers.LlamaConfig)(**llama, **common)
    model = transformers.AutoModelForCausalLM.from_config(config)
    if checkpoint:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if lora:
        import peft
        model = peft.get_peft_model(model, peft.LoraConfig(r=lora, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM",
                                                           fan_in_fan_out=s["family"] == "gpt2"))
        if checkpoint:
            model.enable_input_require_grads()
    return HuggingFace(model)


class Bench:
    def __init__(self, s, a, rows):
        source, precision = a.variant.split("-")
        T = s["tokens"]
        torch.manual_seed(0)
        torch.set_default_device(a.device)
        # A frozen base is in bf16 either way, as its user would have it; PEFT then keeps adapters in f32.
        torch.set_default_dtype(torch.bfloat16 if precision == "bf16" or a.lora else torch.float32)
        model = lean(s, T) if source == "lean" else hugging_face(s, T, a.lora, a.checkpoint)
        torch.set_default_dtype(torch.float32)
        self.model, self.device, self.tokens = model.train(), a.device, rows * T
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4, fused=True)
        self.autocast = precision == "autocast" or a.lora
        self.ids = torch.randint(0, s["vocab"], (rows, T))
        self.call = model if a.eager else torch.compile(model)

    def step(self):
        with torch.autocast(self.device, torch.bfloat16, enabled=bool(self.autocast)):
            loss = self.call(self.ids)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss.item()  # as a trainer that prints it; and so a step is over


def measure(s, a, rows):
    began = time.perf_counter()
    with attention():
        b = Bench(s, a, rows)
        built = time.perf_counter()
        b.step()
        first, took = time.perf_counter() - built, []
        for _ in range(2):
            b.step()
        for _ in range(a.steps):
            then = time.perf_counter()
            b.step()
            took.append(time.perf_counter() - then)
    ms = statistics.median(took) * 1e3
    peak = torch.cuda.max_memory_allocated() if a.device == "cuda" else None
    return dict(rows=rows, tokens_per_second=b.tokens / ms * 1e3, ms=ms, steps=len(took), peak_bytes=peak, first=first, built=built - began)


def product_rate(device, side):
    x, y = torch.randn(side, side, device=device, dtype=torch.bfloat16), torch.randn(side, side, device=device, dtype=torch.bfloat16)
    took = []
    for _ in range(10):
        then = time.perf_counter()
        x @ y
        if device == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - then)
    return 2 * side**3 / min(took)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shape", nargs="?")
    ap.add_argument("variant", nargs="?")
    ap.add_argument("--rows", type=int)
    ap.add_argument("--lora", type=int, default=0)
    ap.add_argument("--steps", type=int, default=20)
    ap.add_argument("--checkpoint", action="store_true", help="blocks computed again in the backward pass")
    ap.add_argument("--eager", action="store_true", help="without torch.compile")
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--about", action="store_true")
    a = ap.parse_args()
    if a.about:
        print(json.dumps({"torch": torch.__version__, "gpu": torch.cuda.is_available(),
                          "bf16_flops": product_rate(a.device, 8192 if a.device == "cuda" else 256) if a.device != "cuda" or torch.cuda.is_available() else None}))
        return
    torch.backends.cuda.matmul.allow_tf32 = True
    s = json.loads(a.shape)
    rows = a.rows or s["rows"]
    while True:
        try:
            result = measure(s, a, rows)
            break
        except torch.OutOfMemoryError as e:
            if rows == 1:
                raise SystemExit("out of memory with one row")
            why = e
        rows //= 2
        del why
        import gc
        gc.collect()
        torch._dynamo.reset()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
