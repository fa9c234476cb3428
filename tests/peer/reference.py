"""Fixtures as tests/fixtures/hf/README.md describes them, made by transformers of any model's folder."""
import json, math, subprocess
import torch, transformers
from safetensors.torch import save_file
from e2e import TESTS

ROWS, TOKENS, CLIP = 2, 96, 1.0
# A large eps: the gradient of a key's bias is nearly nothing where positions hardly turn, and AdamW would divide its rounding
# errors by themselves (transformers in double and in single precision differ by as much).
ADAMW = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.1)
torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()


def batch(draw, vocabulary):
    g = torch.Generator().manual_seed(draw.randrange(1 << 30))
    ids = torch.randint(3, vocabulary, (ROWS, TOKENS), generator=g)
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


def copies(params):
    return {name: p.detach().clone().contiguous() for name, p in params.items()}


def load(path):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")


def write_expected(path, draw):
    """Beside path/model: what transformers computes of it."""
    model = load(f"{path}/model").train()
    data = [batch(draw, model.config.vocab_size) for _ in range(3)]
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


def parity(path):
    """(whether pawl computes the same, the line that tests/parity prints)."""
    p = subprocess.run([f"{TESTS}/parity", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p.returncode == 0, (p.stdout.strip().splitlines() or [f"exit code {p.returncode}"])[0]
