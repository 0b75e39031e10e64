"""The PyTorch contender of `workbook bench`: requests as JSON lines on stdin, answers as JSON lines on stdout.

The requests are those of src/bench/contenders.ts, and one more, `check`, for tests/peers/pytorch.test.ts. The
parent sets the environment (OMP_NUM_THREADS and its like, OPENBLAS_CORETYPE), because the libraries read it once, when
they are loaded.
"""

import json
import os
import random
import re
import sys
import time

try:
    import torch
except ImportError as error:
    print(json.dumps({"error": f"{sys.executable}: {error}"}), flush=True)
    sys.exit(0)

sys.dont_write_bytecode = True  # the repository is to stay as it is
from pytorch_gpt import (  # noqa: E402
    Gpt,
    Policy,
    ScalarModel,
    Trainer,
    bradley_terry_loss,
    load,
    next_token_loss,
    policy_gradient_loss,
    sft_loss,
    write_safetensors,
)

folder = ""
begun = {}


def start(request):
    global folder
    folder = request["folder"]
    threads = request["contender"]["threads"]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    random.seed(1)
    settings = torch.__config__.show()
    blas = re.search(r"BLAS_INFO=(\w+)", settings)
    blas = blas.group(1) if blas else "unknown BLAS"
    core = f", OPENBLAS_CORETYPE {os.environ.get('OPENBLAS_CORETYPE', 'not set')}" if "open" in blas else ""
    isa = torch.backends.cpu.get_cpu_capability()
    count = f"{torch.get_num_threads()} thread{'s' if threads > 1 else ''}"
    return {"ready": f"PyTorch {torch.__version__}, eager, {blas}{core}, {isa}, {count}"}


def data_of(task):
    with open(os.path.join(folder, f"{task['data']}.json")) as handle:
        return json.load(handle)


def weights(name):
    return os.path.join(folder, f"{name}.safetensors")


def windows(corpus, rows, columns):
    """Random windows and the same one token on."""
    starts = torch.randint(len(corpus) - columns, (rows, 1))
    at = starts + torch.arange(columns)
    return corpus[at], corpus[at + 1]


def begin(task):
    """One step or batch, ready to be repeated; returns its tokens."""
    rows, columns = task["rows"], task["columns"]
    data = data_of(task)
    trainer = lambda module: Trainer(module, task["learningRate"], task["weightDecay"])
    tokens_of = lambda samples: sum(len(sample["response"]) for sample in samples)
    padded = lambda examples: len(examples) * max(len(e["prompt"]) + len(e["response"]) for e in examples)

    if task["kind"] == "pre-training":
        gpt = load(Gpt(task["model"]), weights(task["data"]))
        training, corpus = trainer(gpt), torch.tensor(data["corpus"])

        def pretrain():
            training.step(next_token_loss(gpt, *windows(corpus, rows, columns)))
            return rows * columns

        return pretrain

    if task["kind"] == "generation":
        policy = Policy(load(Gpt(task["model"]), weights(task["data"])), columns)
        return lambda: tokens_of(policy.sample([[2, 5, 6, 3]] * rows))

    gpt = load(Gpt(task["model"]), weights("policy"))
    policy = Policy(gpt, columns)
    if task["kind"] == "SFT":
        training = trainer(policy)

        def tune():
            examples = random.choices(data["demonstrations"], k=rows)
            training.step(sft_loss(policy, examples))
            return padded(examples)

        return tune

    reward = ScalarModel(load(Gpt(task["model"]), weights("policy")))
    if task["kind"] == "reward model":
        training = trainer(reward)

        def fit():
            pairs = random.choices(data["pairs"], k=rows)
            training.step(bradley_terry_loss(reward, pairs))
            return padded([pair[side] for pair in pairs for side in ("chosen", "rejected")])

        return fit

    reference = Policy(load(Gpt(task["model"]), weights("policy")), columns)
    training, group = trainer(policy), task["samplesPerPrompt"]

    def reinforce():
        prompts = [prompt for prompt in random.choices(data["prompts"], k=rows) for _ in range(group)]
        samples = policy.sample(prompts)
        with torch.inference_mode():
            rewards = reward.scores(samples)
            reference_log_probs, _ = reference.response_log_probs(samples)
        training.step(policy_gradient_loss(policy, samples, rewards, reference_log_probs, 0.1, group))
        return tokens_of(samples)

    return reinforce


def burst(once):
    """As in src/bench/worker.ts: once not counted, then for a third of a second."""
    clock = time.perf_counter()
    first = once()
    alone = time.perf_counter() - clock
    if alone > 1:
        return {"seconds": alone, "tokens": first}
    times = tokens = seconds = 0
    clock = time.perf_counter()
    while seconds < 0.33:
        tokens += once()
        times += 1
        seconds = time.perf_counter() - clock
    return {"seconds": seconds / times, "tokens": tokens / times}


def time_task(request):
    task = request["task"]
    if task["title"] not in begun:
        begun[task["title"]] = begin(task)
    return burst(begun[task["title"]])


def time_size(request):
    gpt, rows, columns = Gpt(request["model"]), request["rows"], request["columns"]
    training = Trainer(gpt, 1e-3, 0.01)
    corpus = torch.randint(4, request["model"]["vocabularySize"], (8 * rows * columns,))

    def step():
        training.step(next_token_loss(gpt, *windows(corpus, rows, columns)))
        return rows * columns

    step()
    return burst(step)


def ceiling(_request):
    best = 0
    for n in (256, 512, 1024):
        a, b = torch.randn(n, n), torch.randn(n, n)
        begin_at = time.perf_counter()
        times = 0
        while times < 3 or time.perf_counter() - begin_at < 0.4:
            clock = time.perf_counter()
            a @ b
            best = max(best, 2 * n**3 / (time.perf_counter() - clock))
            times += 1
    return {"rate": best}


def train(request):
    task, steps = request["task"], request["steps"]
    rows, columns = task["rows"], task["columns"]
    data = data_of(task)
    corpus, validation = torch.tensor(data["corpus"]), torch.tensor(data["validation"])
    gpt = load(Gpt(task["model"]), weights(task["data"]))
    training = Trainer(gpt, task["learningRate"], task["weightDecay"], request["betas"])
    warm_up = request["warmUp"]
    schedule = torch.optim.lr_scheduler.SequentialLR(
        training.optimiser,
        [
            torch.optim.lr_scheduler.LinearLR(training.optimiser, 1 / warm_up, 1, warm_up),
            torch.optim.lr_scheduler.CosineAnnealingLR(
                training.optimiser, steps - warm_up, 0.1 * task["learningRate"]
            ),
        ],
        [warm_up],
    )
    clock = time.perf_counter()
    for _ in range(steps):
        training.step(next_token_loss(gpt, *windows(corpus, rows, columns)))
        schedule.step()
    seconds = time.perf_counter() - clock
    count = (len(validation) - 1) // columns
    inputs, targets = (validation[shift : shift + count * columns].view(-1, columns) for shift in (0, 1))
    with torch.inference_mode():
        total = sum(
            next_token_loss(gpt, i, t).item() * len(i) for i, t in zip(inputs.split(64), targets.split(64))
        )
    return {"seconds": seconds, "tokens": steps * rows * columns, "validationLoss": total / count}


def check(request):
    """The loss and its gradient at given weights and data, the losses of a few steps on them, or greedy answers."""
    gpt = Gpt(request["model"])
    kind = request["kind"]
    if kind == "reward model":
        module = load(ScalarModel(gpt), request["weights"])
        loss = lambda: bradley_terry_loss(module, request["pairs"])
    else:
        load(gpt, request["weights"])
        module = Policy(gpt, request.get("responseLimit", 1))
        if kind == "generation":
            return {"responses": [sample["response"] for sample in module.sample(request["prompts"], greedy=True)]}
        if kind == "pre-training":
            inputs, targets = torch.tensor(request["inputs"]), torch.tensor(request["targets"])
            loss = lambda: next_token_loss(gpt, inputs, targets)
        elif kind == "SFT":
            loss = lambda: sft_loss(module, request["examples"])
        else:
            rewards = torch.tensor(request["rewards"])
            reference = Policy(load(Gpt(request["model"]), request["reference"]), module.response_limit)
            with torch.inference_mode():
                reference_log_probs, _ = reference.response_log_probs(request["examples"])
            loss = lambda: policy_gradient_loss(
                module, request["examples"], rewards, reference_log_probs, request["beta"], request["group"]
            )
    value = loss()
    value.backward()
    names = module.names() if kind == "reward model" else gpt.names()
    gradients = {name: p.grad.T if transposed else p.grad for name, (p, transposed) in names.items()}
    write_safetensors(request["gradients"], gradients)
    training = Trainer(module, request["learningRate"], request["weightDecay"])
    losses = [training.step(loss()) for _ in range(request["steps"])]
    return {"loss": value.item(), "losses": losses}


handlers = {"start": start, "time": time_task, "step": time_size, "ceiling": ceiling, "train": train, "check": check}

for line in sys.stdin:
    try:
        request = json.loads(line)
        answer = handlers[request["do"]](request)
    except Exception as error:  # whatever it is, the parent is to know and goes on with the others
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
