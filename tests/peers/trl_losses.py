"""What TRL (Transformer Reinforcement Learning, Hugging Face) computes of given log-probabilities: losses and gradients.

    python trl_losses.py [--old FOLDER] [--inputs trl.json] > trl.json

TRL's own code runs, with stand-ins for what surrounds it: a model that answers with the given log-probabilities, an
accelerator of one process. Where a trainer's formula stands in the middle of a long method, that part of the method's source is
cut out and run as it is. Without --inputs they are drawn anew. FOLDER holds an unzipped wheel of trl 0.11.4: newer ones have
neither PPO nor the label smoothing of DPO's loss, which are left out without it. All is in double precision, but where TRL casts.
"""

import argparse
import ast
import contextlib
import enum
import inspect
import json
import os
import sys
import textwrap
import types
import typing
import warnings
from collections import defaultdict
from collections.abc import MutableMapping

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
import transformers
import trl
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.online_dpo.online_dpo_trainer import OnlineDPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer import grpo_trainer, rloo_trainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

torch.set_default_dtype(torch.float64)
PROMPT = 2  # tokens of the prompt at the head of each row of a pair


class Accelerator:
    """One process."""

    device, num_processes, process_index, sync_gradients = torch.device("cpu"), 1, 0, True

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction=None):
        return x

    def backward(self, loss):
        pass


def trainer(kind, **attributes):
    """A trainer of TRL's without its __init__, which wants a model and data."""
    made = object.__new__(kind)
    common = dict(
        accelerator=Accelerator(),
        model=types.SimpleNamespace(training=True),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        _tp_size=1,
        aux_loss_enabled=False,
    )
    for name, value in {**common, **attributes}.items():
        object.__setattr__(made, name, value)
    return made


def variable(values):
    return torch.tensor(values, requires_grad=True)


def result(loss, **inputs):
    """A loss with its gradient in each of the inputs; None where it does not depend on one."""
    gradients = torch.autograd.grad(loss, list(inputs.values()), allow_unused=True)
    named = {name: None if g is None else g.tolist() for name, g in zip(inputs, gradients)}
    return {"loss": loss.item(), "gradients": named}


# ---------------------------------------------------------------------------------------------------------- inputs


def draw_inputs():
    generator = torch.Generator().manual_seed(20260)

    def logs(*shape):
        return (-0.05 - 2.5 * torch.rand(*shape, generator=generator)).tolist()

    def normals(*shape):
        return torch.randn(*shape, generator=generator).tolist()

    def responses(lengths, width, prompt):
        """1 on the tokens of the response; prompt first, padding last."""
        return [[1.0 if prompt <= t < prompt + n else 0.0 for t in range(width)] for n in lengths]

    sides = {"chosen": [3, 6, 1, 4, 2], "rejected": [5, 2, 2, 6, 3]}
    pairs = {
        side: {"mask": responses(lengths, 8, PROMPT), "logProbs": logs(5, 8), "referenceLogProbs": logs(5, 8)}
        for side, lengths in sides.items()
    }
    old = torch.tensor(logs(8, 6))
    near = (old + 0.25 * torch.randn(8, 6, generator=generator)).clamp(max=-0.01)
    groups = {
        "groupSize": 4,
        "mask": responses([2, 6, 3, 1, 4, 5, 2, 6], 6, 0),
        "logProbs": near.tolist(),
        "oldLogProbs": old.tolist(),
        "referenceLogProbs": logs(8, 6),
        "rewards": normals(8),
        "advantages": normals(8),
        "tokenAdvantages": normals(8, 6),
        "tokenRewards": normals(8, 6),
        "values": normals(8, 6),
        "oldValues": normals(8, 6),
    }
    # Mismatched prompts and responses: one more likely under the policy than under the reference on average, one less.
    kl = {"policy": [-6.0, -9.5, -4.2, -7.7, -5.1, -8.8, -6.6, -3.9, -7.2, -5.5]}
    kl["referenceBelow"] = [x - 1.0 for x in kl["policy"]]
    kl["referenceAbove"] = [x + 1.0 for x in kl["policy"]]
    return {"pairs": pairs, "groups": groups, "mismatched": kl, "scores": {"chosen": normals(6), "rejected": normals(6), "margin": normals(6)}}


# ------------------------------------------------------------------------------------------------ preference pairs


def both(pairs, key):
    return torch.cat([torch.tensor(pairs[side][key]) for side in ("chosen", "rejected")])


def pair_variables(pairs):
    return variable(pairs["chosen"]["logProbs"]), variable(pairs["rejected"]["logProbs"])


def padded(mask):
    """TRL's masks have one more column: the first token is predicted by none."""
    return torch.cat([torch.zeros(len(mask), 1), mask], dim=1).long()


class GivenLogProbs:
    """A model whose output are these log-probabilities, zero where no label is."""

    def __init__(self, log_probs):
        self.log_probs = log_probs

    def __call__(self, labels=None, **_):
        counted = (labels[:, 1:] != -100).double()
        flat = torch.zeros_like(self.log_probs)
        return types.SimpleNamespace(
            log_probs=self.log_probs * counted, entropy=flat, mean_logits=flat, is_top1=flat.bool()
        )


def dpo(pairs, loss_type, **options):
    chosen, rejected = pair_variables(pairs)
    mask, reference = both(pairs, "mask"), both(pairs, "referenceLogProbs")
    its = trainer(
        DPOTrainer,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        use_weighting=False,
        **{"label_smoothing": 0.0, **options},
    )
    ids = torch.zeros_like(padded(mask))
    ref_chosen, ref_rejected = (reference * mask).sum(1).chunk(2)
    inputs = dict(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        completion_mask=padded(mask),
        ref_chosen_logps=ref_chosen,
        ref_rejected_logps=ref_rejected,
    )
    loss = its._compute_loss(GivenLogProbs(torch.cat([chosen, rejected])), inputs, False)
    return result(loss, chosen=chosen, rejected=rejected)


def kto(pairs, mismatched, reference_name, **options):
    """The chosen responses as desirable, the rejected as undesirable ones."""
    chosen, rejected = pair_variables(pairs)
    mask, reference = both(pairs, "mask"), both(pairs, "referenceLogProbs")
    policy_kl = variable(mismatched["policy"])
    its = trainer(KTOTrainer, precompute_ref_logps=True, calculate_KL=True, loss_type="kto", **options)
    object.__setattr__(its, "_compute_kl_logps", lambda model, batch: policy_kl)
    ids = torch.zeros_like(padded(mask))
    inputs = dict(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        completion_mask=padded(mask),
        label=torch.tensor([True] * len(chosen) + [False] * len(rejected)),
        ref_logps=(reference * mask).sum(1),
        ref_KL_logps=torch.tensor(mismatched[reference_name]),
    )
    loss = its._compute_loss(GivenLogProbs(torch.cat([chosen, rejected])), inputs, False)
    return result(loss, chosen=chosen, rejected=rejected, mismatched=policy_kl)


class GivenLogits:
    """A model over two tokens, whose first has the given log-probabilities."""

    def __init__(self, log_probs):
        self.log_probs = log_probs

    def __call__(self, ids, **_):
        pair = torch.stack([self.log_probs, torch.log(-torch.expm1(self.log_probs))], dim=-1)
        return types.SimpleNamespace(logits=torch.cat([pair, torch.zeros(len(pair), 1, 2)], dim=1))


def reference_free(kind, pairs, **options):
    """CPO's (so SimPO's) and ORPO's whole loss, averaging and likelihood term included."""
    chosen, rejected = pair_variables(pairs)
    batch = {}
    for side in ("chosen", "rejected"):
        mask = torch.tensor(pairs[side]["mask"])
        response = padded(mask)
        ids = torch.zeros_like(response)
        attention = torch.cat([torch.ones(len(mask), 1 + PROMPT), mask[:, PROMPT:]], dim=1).long()
        batch[f"{side}_input_ids"] = ids
        batch[f"{side}_attention_mask"] = attention
        batch[f"{side}_labels"] = torch.where(response == 1, ids, -100)
    its = trainer(kind, is_encoder_decoder=False, padding_value=0, pad_token_id=0, **options)
    loss, _ = its.get_batch_loss_metrics(GivenLogits(torch.cat([chosen, rejected])), batch)
    return result(loss, chosen=chosen, rejected=rejected)


def online_dpo(pairs, beta, loss_type, tied=None):
    chosen, rejected = pair_variables(pairs)
    mask, reference = both(pairs, "mask"), both(pairs, "referenceLogProbs")
    scores = torch.tensor([1.0] * len(chosen) + [1.0 if i == tied else 0.0 for i in range(len(rejected))])
    args = types.SimpleNamespace(
        use_vllm=False, missing_eos_penalty=None, loss_type=loss_type, torch_empty_cache_steps=None, optim="adamw", n_gpu=1, gradient_accumulation_steps=1
    )
    policy = torch.cat([chosen, rejected])
    model = types.SimpleNamespace(train=lambda: None, log_probs=policy)
    its = trainer(
        OnlineDPOTrainer,
        args=args,
        ref_model=types.SimpleNamespace(log_probs=reference),
        processing_class=types.SimpleNamespace(batch_decode=lambda ids, **_: [""] * len(ids)),
        reward_funcs=[None],
        eos_token_ids=[0],
        stats=defaultdict(list),
        _beta=[beta],
        state=types.SimpleNamespace(epoch=0, global_step=0),
    )
    ids = torch.zeros_like(mask).long()
    object.__setattr__(its, "_generate", lambda *_: (ids, ids, ids, mask.long(), None))
    object.__setattr__(its, "_forward", lambda m, *_: m.log_probs)
    object.__setattr__(its, "_calculate_rewards_from_functions", lambda **_: scores)
    kept = []
    its.accelerator.backward = lambda loss: kept.append(loss)
    its.training_step(model, {"prompt": ["?"] * len(chosen)})
    return result(kept[0], chosen=chosen, rejected=rejected)


def reward_model(scores, margin, centring):
    chosen, rejected = variable(scores["chosen"]), variable(scores["rejected"])
    its = trainer(RewardTrainer, args=types.SimpleNamespace(center_rewards_coefficient=centring))
    inputs = {"attention_mask": torch.ones(2 * len(chosen), 1)}
    if margin:
        inputs["margin"] = torch.tensor(scores["margin"])
    logits = torch.cat([chosen, rejected]).unsqueeze(1)
    loss = RewardTrainer.compute_loss(its, lambda **_: types.SimpleNamespace(logits=logits), inputs)
    return result(loss, chosen=chosen, rejected=rejected)


# -------------------------------------------------------------------------------------------------- online methods


def part_of(method, module, first, last):
    """The statements of a method from the one whose text begins with `first` to the one with `last`, to be run."""
    body = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0].body
    at = [next(i for i, s in enumerate(body) if ast.unparse(s).startswith(text)) for text in (first, last)]
    code = compile(ast.Module(body[at[0] : at[1] + 1], []), method.__qualname__, "exec")

    def run(**names):
        names = {**vars(module), **names}
        exec(code, names)
        return names

    return run


def advantages_of(groups, kind, module, **options):
    rewards = torch.tensor(groups["rewards"]).unsqueeze(1)
    if kind is RLOOTrainer:
        part = part_of(RLOOTrainer._generate_and_score_completions, module, "unscorable_mask =", "advantages = torch.nan_to_num")
    else:
        part = part_of(GRPOTrainer._generate_and_score_completions, module, "unscorable_mask =", "advantages = torch.nan_to_num")
    its = types.SimpleNamespace(
        reward_weights=torch.ones(1), reward_clip_range=None, multi_objective_aggregation="sum_then_normalize", **options
    )
    names = part(
        self=its,
        rewards_per_func=rewards,
        num_generations=groups["groupSize"],
        device="cpu",
        gather=lambda x: x,
        completion_mask=torch.tensor(groups["mask"]),
        old_per_token_logps=torch.tensor(groups["oldLogProbs"]),
        ref_per_token_logps=torch.tensor(groups["referenceLogProbs"]),
    )
    return {"advantages": names["advantages"].tolist()}


def completions(groups):
    mask = torch.tensor(groups["mask"])
    ids = torch.zeros_like(mask).long()
    return dict(
        prompt_ids=ids[:, :1],
        prompt_mask=ids[:, :1] + 1,
        completion_ids=ids,
        completion_mask=mask,
        advantages=torch.tensor(groups["advantages"]),
        num_items_in_batch=mask.sum(),
    )


def grpo(groups, loss_type, beta, bias_correction=False):
    log_probs = variable(groups["logProbs"])
    its = trainer(
        GRPOTrainer,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        epsilon_low=0.2,
        epsilon_high=0.2,
        loss_type=loss_type,
        use_vllm=False,
        max_completion_length=10,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        args=types.SimpleNamespace(use_bias_correction_kl=bias_correction, delta=None, steps_per_generation=1),
    )
    flat = torch.zeros_like(log_probs)
    object.__setattr__(its, "_get_per_token_logps_and_entropies", lambda *_, **__: (log_probs, flat, None))
    inputs = dict(
        **completions(groups),
        old_per_token_logps=torch.tensor(groups["oldLogProbs"]),
        ref_per_token_logps=torch.tensor(groups["referenceLogProbs"]),
    )
    return result(its._compute_loss(None, inputs), logProbs=log_probs)


def rloo(groups, old_name):
    log_probs = variable(groups["logProbs"])
    mask = torch.tensor(groups["mask"])
    its = trainer(RLOOTrainer, epsilon_low=0.2, epsilon_high=0.2)
    flat = torch.zeros_like(log_probs)
    object.__setattr__(its, "_get_per_token_logps_and_entropies", lambda *_, **__: (log_probs, flat, None))
    inputs = dict(**completions(groups), old_logps=(torch.tensor(groups[old_name]) * mask).sum(1))
    return result(its._compute_loss(None, inputs), logProbs=log_probs)


def methods_of_old(folder, file, kind, wanted):
    """Methods of trl 0.11.4, cut out: the package itself wants a transformers of its time."""
    trees = [ast.parse(open(os.path.join(folder, "trl", name)).read()) for name in ("core.py", file)]
    helpers = {"masked_mean", "masked_var", "masked_whiten", "clip_by_value", "flatten_dict", "entropy_from_logits"}
    body = [node for node in trees[0].body if isinstance(node, ast.FunctionDef) and node.name in helpers]
    cls = next(node for node in trees[1].body if isinstance(node, ast.ClassDef) and node.name == kind)
    body += [node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names = {**vars(typing), "torch": torch, "F": torch.nn.functional, "warnings": warnings}
    names.update(MutableMapping=MutableMapping, FDivergenceType=FDivergenceType)
    exec(compile(ast.Module(body, []), "trl 0.11.4", "exec"), names)
    return names


class FDivergenceType(enum.Enum):
    """Only asked which of them is chosen."""

    JS_DIVERGENCE = "js_divergence"
    ALPHA_DIVERGENCE = "alpha_divergence"


def conservative_dpo(pairs, folder, beta, label_smoothing):
    """Its sigmoid loss has label smoothing in the older version only."""
    chosen, rejected = pair_variables(pairs)
    names = methods_of_old(folder, "trainer/dpo_trainer.py", "DPOTrainer", {"dpo_loss"})
    its = types.SimpleNamespace(
        accelerator=Accelerator(), reference_free=False, f_divergence_type="reverse_kl", loss_type="sigmoid", beta=beta, label_smoothing=label_smoothing
    )
    mask, reference = both(pairs, "mask"), both(pairs, "referenceLogProbs")
    policy = (torch.cat([chosen, rejected]) * mask).sum(1).chunk(2)
    losses, _, _ = names["dpo_loss"](its, *policy, *(reference * mask).sum(1).chunk(2))
    return result(losses.mean(), chosen=chosen, rejected=rejected)


def ppo(groups, folder):
    names = methods_of_old(folder, "trainer/ppo_trainer.py", "PPOTrainer", {"compute_advantages", "loss"})
    out = {}
    mask = torch.tensor(groups["mask"])
    for gamma, lam in ((1.0, 0.95), (0.9, 0.5)):
        config = types.SimpleNamespace(whiten_rewards=False, gamma=gamma, lam=lam)
        _, advantages, returns = names["compute_advantages"](
            types.SimpleNamespace(config=config),
            torch.tensor(groups["oldValues"]),
            torch.tensor(groups["tokenRewards"]),
            mask,
        )
        out[f"GAE, γ {gamma:g}, λ {lam:g}"] = {"whitenedAdvantages": (advantages * mask).tolist(), "returns": (returns * mask).tolist()}
    log_probs, values = variable(groups["logProbs"]), variable(groups["values"])
    config = types.SimpleNamespace(cliprange=0.2, cliprange_value=0.2, vf_coef=0.1, ratio_threshold=1e9)
    policy, value, _ = names["loss"](
        types.SimpleNamespace(config=config),
        torch.tensor(groups["oldLogProbs"]),
        torch.tensor(groups["oldValues"]),
        torch.zeros(*mask.shape, 2),
        values,
        log_probs,
        mask,
        torch.tensor(groups["tokenAdvantages"]),
        torch.tensor(groups["tokenRewards"]),  # any numbers will do as returns
    )
    out["PPO, policy"] = result(policy, logProbs=log_probs)
    out["PPO, value"] = result(value, values=values)
    return out


# --------------------------------------------------------------------------------------------------------- the whole


def outputs_of(inputs, old):
    pairs, groups = inputs["pairs"], inputs["groups"]
    mismatched, scores = inputs["mismatched"], inputs["scores"]
    outputs = {
        "DPO": dpo(pairs, "sigmoid", beta=0.3),
        "robust DPO": dpo(pairs, "robust", beta=0.3, label_smoothing=0.15),
        "IPO": dpo(pairs, "ipo", beta=0.3),
        "KTO": kto(pairs, mismatched, "referenceBelow", beta=0.3, desirable_weight=1.0, undesirable_weight=1.0),
        "KTO, weights": kto(pairs, mismatched, "referenceBelow", beta=0.3, desirable_weight=1.3, undesirable_weight=0.8),
        "KTO, z clamped": kto(pairs, mismatched, "referenceAbove", beta=0.3, desirable_weight=1.0, undesirable_weight=1.0),
        "SimPO": reference_free(CPOTrainer, pairs, loss_type="simpo", beta=2.0, simpo_gamma=0.6, alpha=0.0, label_smoothing=0.0, cpo_alpha=0),
        "ORPO": reference_free(ORPOTrainer, pairs, beta=0.4),
        "online DPO": online_dpo(pairs, 0.3, "sigmoid"),
        "online DPO, a tie": online_dpo(pairs, 0.3, "sigmoid", tied=1),
        "online IPO": online_dpo(pairs, 0.3, "ipo"),
        "reward model": reward_model(scores, False, None),
        "reward model, margin and centring": reward_model(scores, True, 0.05),
        "RLOO advantages": advantages_of(groups, RLOOTrainer, rloo_trainer, beta=0.0, normalize_advantages=False),
        "RLOO advantages, β 0.3": advantages_of(groups, RLOOTrainer, rloo_trainer, beta=0.3, normalize_advantages=False),
        "RLOO, on policy": rloo(groups, "logProbs"),
        "RLOO, off policy": rloo(groups, "oldLogProbs"),
    }
    for scale in ("group", "batch", "none"):
        outputs[f"GRPO advantages, {scale}"] = advantages_of(groups, GRPOTrainer, grpo_trainer, scale_rewards=scale)
    for loss_type in ("grpo", "bnpo", "dr_grpo", "dapo"):
        outputs[f"GRPO, {loss_type}"] = grpo(groups, loss_type, 0.0)
    outputs["GRPO, grpo, β 0.2"] = grpo(groups, "grpo", 0.2)
    outputs["GRPO, grpo, β 0.2, ratio on the KL"] = grpo(groups, "grpo", 0.2, True)
    if old:
        outputs["cDPO"] = conservative_dpo(pairs, old, beta=0.3, label_smoothing=0.15)
        outputs.update(ppo(groups, old))
    return outputs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--old")
    parser.add_argument("--inputs")
    asked = parser.parse_args()
    inputs = json.load(open(asked.inputs))["inputs"] if asked.inputs else draw_inputs()
    versions = {"trl": trl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    if asked.old:
        versions["older trl"] = "0.11.4"
    with contextlib.redirect_stdout(sys.stderr):
        outputs = outputs_of(inputs, asked.old)
    json.dump({"versions": versions, "inputs": inputs, "outputs": outputs}, sys.stdout)


if __name__ == "__main__":
    main()
