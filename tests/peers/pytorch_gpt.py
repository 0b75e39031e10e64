"""The course's GPT, losses and sampling in PyTorch, as a PyTorch user would write them and mind their speed.

Same architecture as src/models/gpt.ts: token and learned position embeddings, pre-norm blocks with causal attention and a
four-times-wide network with GELU in its tanh form, biases everywhere but at the end, logits through the transposed token
embedding. Weights are read from the safetensors files of src/tensors/safetensors.ts, whose matrices are [in, out].
"""

import json
import struct

import torch
import torch.nn.functional as F
from torch import nn

PAD, EOS, USER, BOT = 0, 1, 2, 3
IMPOSSIBLE = -1e9


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        self.expansion = nn.Linear(width, 4 * width)
        self.contraction = nn.Linear(4 * width, width)

    def forward(self, x, cache=None, at=0, mask=None):
        """x [B, T, d]. With a cache [2, B, H, capacity, d/H] the keys and values from position `at` on are written into it."""
        B, T, d = x.shape
        q, k, v = (
            part.view(B, T, self.heads, -1).transpose(1, 2) for part in self.qkv(self.attention_norm(x)).split(d, dim=2)
        )
        if cache is not None:
            cache[0, :, :, at : at + T] = k
            cache[1, :, :, at : at + T] = v
            k, v = cache[0, :, :, : at + T], cache[1, :, :, : at + T]
        causal = mask is None and T > 1
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        x = x + self.projection(mixed.transpose(1, 2).reshape(B, T, d))
        return x + self.contraction(F.gelu(self.expansion(self.network_norm(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        width = config["width"]
        self.tokens = nn.Embedding(config["vocabularySize"], width)
        self.positions = nn.Embedding(config["context"], width)
        self.blocks = nn.ModuleList(Block(width, config["heads"]) for _ in range(config["layers"]))
        self.norm = nn.LayerNorm(width)

    def hidden(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def logits(self, tokens):
        return F.linear(self.hidden(tokens), self.tokens.weight)

    def names(self):
        """Our name of each weight, with the parameter and whether it is stored transposed."""
        linear = lambda name, layer: {f"{name}.weight": (layer.weight, True), f"{name}.bias": (layer.bias, False)}
        norm = lambda name, layer: {f"{name}.gain": (layer.weight, False), f"{name}.bias": (layer.bias, False)}
        found = {"token-embedding": (self.tokens.weight, False), "position-embedding": (self.positions.weight, False)}
        for i, block in enumerate(self.blocks):
            found |= norm(f"block.{i}.attention.norm", block.attention_norm)
            found |= linear(f"block.{i}.attention.qkv", block.qkv)
            found |= linear(f"block.{i}.attention.projection", block.projection)
            found |= norm(f"block.{i}.network.norm", block.network_norm)
            found |= linear(f"block.{i}.network.expansion", block.expansion)
            found |= linear(f"block.{i}.network.projection", block.contraction)
        return found | norm("norm", self.norm)


class ScalarModel(nn.Module):
    """A trunk and a linear head on its last real token."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.config["width"], 1)

    def scores(self, examples):
        tokens, _, lengths = pad(examples)
        hidden = self.trunk.hidden(tokens)
        return self.head(hidden[torch.arange(len(examples)), lengths - 1]).squeeze(-1)

    def names(self):
        return self.trunk.names() | {"head.weight": (self.head.weight, True), "head.bias": (self.head.bias, False)}


class Policy(nn.Module):
    """Writes words and <eos> only, and <eos> by decree at the limit; see src/models/policy.ts."""

    def __init__(self, gpt, response_limit):
        super().__init__()
        self.gpt = gpt
        self.response_limit = response_limit
        bias = torch.zeros(gpt.config["vocabularySize"])
        bias[[PAD, USER, BOT]] = IMPOSSIBLE
        self.register_buffer("action_bias", bias)

    def logits(self, tokens):
        return self.gpt.logits(tokens) + self.action_bias

    def response_log_probs(self, examples):
        """log pi of each response token that the policy chose [B, T - 1], 0 elsewhere, and the mask of those."""
        tokens, mask, _ = pad(examples, self.response_limit)
        inputs, targets, mask = tokens[:, :-1], tokens[:, 1:], mask[:, 1:]
        log_probs = -F.cross_entropy(self.logits(inputs).transpose(1, 2), targets, reduction="none")
        return log_probs * mask, mask

    @torch.inference_mode()
    def sample(self, prompts, greedy=False):
        """One response a prompt; prompts are padded on the left, keys and values kept in place."""
        B, longest = len(prompts), max(map(len, prompts))
        left = torch.tensor([longest - len(prompt) for prompt in prompts])
        tokens = torch.tensor([[PAD] * (longest - len(prompt)) + prompt for prompt in prompts])
        config = self.gpt.config
        capacity = longest + self.response_limit - 1
        head = config["width"] // config["heads"]
        cache = torch.empty(config["layers"], 2, B, config["heads"], capacity, head)
        real = mask = None
        if left.any():
            real = torch.arange(capacity) >= left[:, None]  # [B, capacity]
            earlier = torch.ones(longest, longest, dtype=torch.bool).tril()
            # A row of padding looks at itself, or it would look at nothing.
            mask = (earlier & (real[:, None, :longest] | torch.eye(longest, dtype=torch.bool))).unsqueeze(1)
        at, drawn = 0, []
        ended = torch.zeros(B, dtype=torch.bool)
        while True:
            positions = (torch.arange(at, at + tokens.shape[1]) - left[:, None]).clamp_(min=0)
            x = self.gpt.tokens(tokens) + self.gpt.positions(positions)
            for layer, block in enumerate(self.gpt.blocks):
                x = block(x, cache[layer], at, mask)
            logits = F.linear(self.gpt.norm(x[:, -1]), self.gpt.tokens.weight) + self.action_bias
            tokens_drawn = logits.argmax(-1) if greedy else torch.multinomial(logits.softmax(-1), 1).squeeze(-1)
            drawn.append(tokens_drawn)
            ended |= tokens_drawn == EOS
            if len(drawn) == self.response_limit - 1 or bool(ended.all()):
                break
            at += tokens.shape[1]
            tokens = tokens_drawn.unsqueeze(1)
            mask = None if real is None else real[:, None, None, : at + 1]
        return [
            {"prompt": prompt, "response": (row + [EOS])[: (row + [EOS]).index(EOS) + 1]}
            for prompt, row in zip(prompts, torch.stack(drawn, 1).tolist())
        ]


def pad(examples, limit=None):
    """Tokens [B, T] padded on the right, the mask of response tokens (but a decreed <eos>), lengths."""
    rows = [example["prompt"] + example["response"] for example in examples]
    lengths = torch.tensor([len(row) for row in rows])
    T = int(lengths.max())
    tokens = torch.tensor([row + [PAD] * (T - len(row)) for row in rows])
    first = torch.tensor([len(example["prompt"]) for example in examples])
    last = torch.tensor(
        [len(row) - (len(example["response"]) == limit) for row, example in zip(rows, examples)]
    )
    at = torch.arange(T)
    return tokens, ((at >= first[:, None]) & (at < last[:, None])).float(), lengths


def next_token_loss(gpt, inputs, targets):
    return F.cross_entropy(gpt.logits(inputs).flatten(0, 1), targets.flatten())


def sft_loss(policy, examples):
    log_probs, mask = policy.response_log_probs(examples)
    return -log_probs.sum() / mask.sum()


def bradley_terry_loss(model, pairs):
    scores = model.scores([pair["chosen"] for pair in pairs] + [pair["rejected"] for pair in pairs])
    chosen, rejected = scores.chunk(2)
    return -F.logsigmoid(chosen - rejected).mean()


def policy_gradient_loss(policy, samples, rewards, reference_log_probs, beta, group, scale=10):
    """REINFORCE with the other answers to a prompt as baseline, the KL to the reference in the return (k1)."""
    log_probs, _ = policy.response_log_probs(samples)
    with torch.no_grad():
        returns = (rewards - beta * (log_probs - reference_log_probs).sum(1)).view(-1, group)
        advantages = ((returns - returns.mean(1, keepdim=True)) * (group / (group - 1))).flatten()
    return -(advantages * log_probs.sum(1)).sum() / (len(samples) * scale)


class Trainer:
    """AdamW in one fused kernel on a gradient clipped to norm 1; matrices decay, vectors do not."""

    def __init__(self, module, learning_rate, weight_decay, betas=(0.9, 0.95)):
        parameters = list(module.parameters())
        matrices = [p for p in parameters if p.dim() >= 2]
        vectors = [p for p in parameters if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.parameters = parameters
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=1e-8, fused=True)

    def step(self, loss):
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        return loss.item()


@torch.no_grad()
def load(module, file):
    stored = read_safetensors(file)
    names = module.names()
    if names.keys() != stored.keys():
        raise ValueError(f"{file}: expected the weights {sorted(names)}, found {sorted(stored)}")
    for name, (parameter, transposed) in names.items():
        parameter.copy_(stored[name].T if transposed else stored[name])
    return module


def read_safetensors(file):
    with open(file, "rb") as handle:
        data = handle.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + length :])
    return {
        name: torch.frombuffer(body, dtype=torch.float32, count=(end - start) // 4, offset=start).view(entry["shape"])
        for name, entry in header.items()
        for start, end in [entry["data_offsets"]]
    }


def write_safetensors(file, tensors):
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().contiguous().float().flatten().tolist()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + 4 * len(values)]}
        parts.append(struct.pack(f"<{len(values)}f", *values))
        offset += 4 * len(values)
    text = json.dumps(header).encode()
    with open(file, "wb") as handle:
        handle.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
