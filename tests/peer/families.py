"""Random architectures of every family, computed by transformers and by pawl: tests/parity compares logits, loss,
gradients and the weights after AdamW steps.

    families.py [SEED [COUNT]]     COUNT architectures of each family (2)
"""
import peer
import random
import torch, transformers as tr
from e2e import check, done, folder
from reference import parity, write_expected

SEED = int(peer.sys.argv[1]) if len(peer.sys.argv) > 1 else 1
COUNT = int(peer.sys.argv[2]) if len(peer.sys.argv) > 2 else 2
V = 320

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
        dict(rope_type="yarn", rope_theta=theta, factor=8.0, original_max_position_embeddings=24, mscale=0.707, mscale_all_dim=draw.choice([0.5, 0.0]), truncate=False),
        dict(rope_type="longrope", rope_theta=theta, original_max_position_embeddings=draw.choice([48, 96, 192]),
             short_factor=factors[0], long_factor=factors[1]),
        dict(rope_type="longrope", rope_theta=theta, factor=4.0, original_max_position_embeddings=draw.choice([48, 192]),
             short_factor=factors[0], long_factor=factors[1]),
    ])


def shape(draw):
    groups = draw.choice([1, 2, 3])
    heads = groups * draw.choice([1, 2, 3])
    head_dim = draw.choice([8, 16, 24])
    return dict(vocab_size=V, hidden_size=heads * 8 * draw.choice([1, 2]), intermediate_size=draw.choice([72, 136]), num_hidden_layers=draw.choice([2, 3]),
                num_attention_heads=heads, num_key_value_heads=groups, head_dim=head_dim, max_position_embeddings=192, rms_norm_eps=draw.choice([1e-5, 1e-6]),
                tie_word_embeddings=draw.random() < 0.5, pad_token_id=draw.choice([None, 7]), rope_parameters=ropes(draw, head_dim // 2), bos_token_id=1, eos_token_id=2)


def llama(draw):
    return tr.LlamaForCausalLM, tr.LlamaConfig(**shape(draw), attention_bias=draw.random() < 0.4, mlp_bias=draw.random() < 0.4)


def mistral(draw):
    return tr.MistralForCausalLM, tr.MistralConfig(**shape(draw), sliding_window=draw.choice([None, 7, 40, 500]))


def qwen2(draw):
    common = shape(draw)
    common.pop("head_dim")
    common["hidden_size"] = common["num_attention_heads"] * 16
    common["rope_parameters"] = draw.choice([dict(rope_type="default", rope_theta=1e6), ropes(draw, 8)])
    windows = draw.random() < 0.6
    return tr.Qwen2ForCausalLM, tr.Qwen2Config(**common, use_sliding_window=windows, sliding_window=draw.choice([9, 33]), max_window_layers=draw.choice([0, 1, 2]))


def qwen3(draw):
    windows = draw.random() < 0.5
    return tr.Qwen3ForCausalLM, tr.Qwen3Config(**shape(draw), attention_bias=draw.random() < 0.4, use_sliding_window=windows, sliding_window=17, max_window_layers=1)


def gpt2(draw):
    heads = draw.choice([2, 3, 5])
    return tr.GPT2LMHeadModel, tr.GPT2Config(
        vocab_size=V, n_positions=128, n_embd=heads * draw.choice([8, 12]), n_layer=draw.choice([2, 3]), n_head=heads, n_inner=draw.choice([None, 100]),
        activation_function=draw.choice(["gelu_new", "gelu", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "silu", "relu", "tanh"]), layer_norm_epsilon=draw.choice([1e-5, 1e-6]),
        scale_attn_by_inverse_layer_idx=draw.random() < 0.3, scale_attn_weights=draw.random() < 0.8, tie_word_embeddings=draw.random() < 0.6, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0)


def settle(model, draw):
    """Weights large enough that every part matters."""
    torch.manual_seed(draw.randrange(1 << 30))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2: p.normal_(0, 0.12)
            elif "norm" in name or "ln_" in name: p.copy_((1.0 if name.endswith("weight") else 0.0) + 0.2 * torch.randn_like(p))
            else: p.normal_(0, 0.1)


where = folder()
for family in (llama, mistral, qwen2, qwen3, gpt2):
    for n in range(COUNT):
        draw = random.Random(f"{SEED} {family.__name__} {n}")
        cls, config = family(draw)
        path = f"{where}/{family.__name__}-{n}"
        model = cls(config).float()
        settle(model, draw)
        model.save_pretrained(f"{path}/model")
        write_expected(path, draw)
        same, line = parity(path)
        check(same, line)
        if not same:
            print("       " + " ".join(config.to_json_string().split()))
done()
