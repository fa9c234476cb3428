"""Random architectures of every family, computed by transformers and by pawl: tests/parity compares logits, loss,
gradients and the weights after AdamW steps.

    families.py [SEED [COUNT]]     COUNT architectures of each family (2)
"""
import peer
import json, math, os, random, subprocess
import torch, transformers as tr
from safetensors.torch import save_file
from e2e import TESTS, check, done, folder

SEED = int(peer.sys.argv[1]) if len(peer.sys.argv) > 1 else 1
COUNT = int(peer.sys.argv[2]) if len(peer.sys.argv) > 2 else 2
V, ROWS, TOKENS, CLIP = 320, 2, 96, 1.0
# A large eps: the gradient of a key's bias is nearly nothing where positions hardly turn, and AdamW would divide its rounding
# errors by themselves (transformers in double and in single precision differ by as much).
ADAMW = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)
torch.set_num_threads(1)
tr.utils.logging.disable_progress_bar()


def ropes(draw, half):
    """half: pairs that turn."""
    theta = draw.choice([1e4, 5e5])
    factors = [[round(draw.uniform(1, 4), 3) for _ in range(half)] for _ in range(2)]
    return draw.choice([
        dict(rope_type="default", rope_theta=theta),
        dict(rope_type="linear", rope_theta=theta, factor=draw.choice([2.0, 3.5])),
        dict(rope_type="llama3", rope_theta=theta, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
        dict(rope_type="yarn", rope_theta=theta, factor=4.0, original_max_position_embeddings=48),
        dict(rope_type="yarn", rope_theta=theta, factor=2.0, original_max_position_embeddings=64, beta_fast=16.0, beta_slow=2.0, attention_factor=0.8),
        dict(rope_type="longrope", rope_theta=theta, factor=4.0, original_max_position_embeddings=draw.choice([48, 192]),
             short_factor=factors[0], long_factor=factors[1]),
    ])


def shape(draw):
    groups = draw.choice([1, 2, 3])
    heads = groups * draw.choice([1, 2, 3])
    head_dim = draw.choice([8, 16, 24])
    return dict(vocab_size=V, hidden_size=heads * 8 * draw.choice([1, 2]), intermediate_size=draw.choice([72, 136]), num_hidden_layers=draw.choice([2, 3]),
                num_attention_heads=heads, num_key_value_heads=groups, head_dim=head_dim, max_position_embeddings=192, rms_norm_eps=draw.choice([1e-5, 1e-6]),
                tie_word_embeddings=draw.random() < 0.5, rope_parameters=ropes(draw, head_dim // 2), bos_token_id=1, eos_token_id=2)


def llama(draw):
    return tr.LlamaForCausalLM, tr.LlamaConfig(**shape(draw), attention_bias=draw.random() < 0.4, mlp_bias=draw.random() < 0.4)


def mistral(draw):
    return tr.MistralForCausalLM, tr.MistralConfig(**shape(draw), sliding_window=draw.choice([None, 7, 40, 500]))


def qwen2(draw):
    common = shape(draw)
    common.pop("head_dim")
    common["hidden_size"] = common["num_attention_heads"] * 16
    common["rope_parameters"] = dict(rope_type="default", rope_theta=1e6)
    windows = draw.random() < 0.6
    return tr.Qwen2ForCausalLM, tr.Qwen2Config(**common, use_sliding_window=windows, sliding_window=draw.choice([9, 33]), max_window_layers=draw.choice([0, 1, 2]))


def qwen3(draw):
    windows = draw.random() < 0.5
    return tr.Qwen3ForCausalLM, tr.Qwen3Config(**shape(draw), attention_bias=draw.random() < 0.4, use_sliding_window=windows, sliding_window=17, max_window_layers=1)


def gpt2(draw):
    heads = draw.choice([2, 3, 5])
    return tr.GPT2LMHeadModel, tr.GPT2Config(
        vocab_size=V, n_positions=128, n_embd=heads * draw.choice([8, 12]), n_layer=draw.choice([2, 3]), n_head=heads, n_inner=draw.choice([None, 100]),
        activation_function=draw.choice(["gelu_new", "gelu", "gelu_pytorch_tanh", "relu"]), layer_norm_epsilon=draw.choice([1e-5, 1e-6]),
        scale_attn_by_inverse_layer_idx=draw.random() < 0.3, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)


def batch(draw):
    g = torch.Generator().manual_seed(draw.randrange(1 << 30))
    ids = torch.randint(3, V, (ROWS, TOKENS), generator=g)
    labels = ids.clone()
    labels[0, : draw.randrange(1, 40)] = -100
    labels[1, draw.randrange(50, 95) :] = -100
    return ids, labels


def gradients(params, loss):
    """As parity compares them; the key third of GPT-2's c_attn.bias has none in exact arithmetic."""
    found = torch.autograd.grad(loss, list(params.values()))
    return {name: g.detach().float().contiguous() for name, g in zip(params, found)}


def train(model, params, data):
    optimizer = torch.optim.AdamW([dict(params=[p for p in params.values() if p.ndim >= 2]),
                                   dict(params=[p for p in params.values() if p.ndim < 2], weight_decay=0.0)], **ADAMW)
    trajectory = []
    for step in range(5):
        ids, labels = data[step % len(data)]
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(params.values()), CLIP)
        optimizer.step()
        trajectory.append(dict(loss=loss.item(), grad_norm=norm.item()))
    return trajectory


def settle(model, draw):
    """Weights large enough that every part matters."""
    torch.manual_seed(draw.randrange(1 << 30))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2: p.normal_(0, 0.12)
            elif "norm" in name or "ln_" in name: p.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * torch.randn_like(p))
            else: p.normal_(0, 0.1)


def copies(params):
    return {name: p.detach().clone().contiguous() for name, p in params.items()}


def write(path, cls, config, draw):
    """A fixture as tests/fixtures/hf/README.md describes it."""
    config._attn_implementation = "eager"
    model = cls(config).float()
    settle(model, draw)
    model.save_pretrained(f"{path}/model")
    model = cls.from_pretrained(f"{path}/model", dtype=torch.float32, attn_implementation="eager").train()
    data = [batch(draw) for _ in range(3)]
    params = dict(model.named_parameters())
    answer = model(input_ids=data[0][0], labels=data[0][1])
    save_file(dict(input_ids=data[0][0], labels=data[0][1], logits=answer.logits.detach().contiguous(), train_ids=torch.stack([x for x, _ in data]),
                   train_labels=torch.stack([y for _, y in data])), f"{path}/io.safetensors")
    grads = gradients(params, answer.loss)
    save_file(grads, f"{path}/grads.safetensors")
    norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in grads.values()))
    expected = dict(loss=answer.loss.item(), grad_norm=norm, adamw=dict(ADAMW, steps=5, max_grad_norm=CLIP, trajectory=train(model, params, data)))
    save_file(copies(params), f"{path}/adamw.safetensors")
    with open(f"{path}/expected.json", "w") as file:
        json.dump(expected, file)


where = folder()
for family in (llama, mistral, qwen2, qwen3, gpt2):
    for n in range(COUNT):
        draw = random.Random(f"{SEED} {family.__name__} {n}")
        cls, config = family(draw)
        path = f"{where}/{family.__name__}-{n}"
        write(path, cls, config, draw)
        p = subprocess.run([f"{TESTS}/parity", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = p.stdout.strip().splitlines()[0] if p.stdout.strip() else f"exit code {p.returncode}"
        check(p.returncode == 0, line)
        if p.returncode:
            print("       " + config.to_json_string(use_diff=True).replace("\n", " "))
done()
