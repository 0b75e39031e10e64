import * as tf from "@tensorflow/tfjs";
import { cdpoLoss } from "../../src/objectives/contrastive/cdpo";
import { dpoLoss } from "../../src/objectives/contrastive/dpo";
import { generalisedAdvantages, whitenedAdvantages } from "../../src/objectives/gae";
import { groupAdvantages, grpoLoss, type LengthNormalisation } from "../../src/objectives/reward-maximisation/grpo";
import { ipoLoss } from "../../src/objectives/contrastive/ipo";
import { ktoLoss } from "../../src/objectives/contrastive/kto";
import { labelledPairsLoss } from "../../src/objectives/labelled-pairs";
import { orpoLoss } from "../../src/objectives/contrastive/orpo";
import { klShapedReturns, leaveOneOutAdvantages } from "../../src/objectives/returns";
import { ppoLoss } from "../../src/objectives/reward-maximisation/ppo";
import { rlooLoss } from "../../src/objectives/reward-maximisation/rloo";
import { robustDpoLoss } from "../../src/objectives/contrastive/robust-dpo";
import { simpoLoss } from "../../src/objectives/contrastive/simpo";
import { bradleyTerryLoss } from "../../src/rewards/bradley-terry";

type Matrix = number[][];
interface Side {
  mask: Matrix;
  logProbs: Matrix;
  referenceLogProbs: Matrix;
}

/** What both sides are given, as `trl_losses.py` draws it. */
export interface PeerInputs {
  pairs: { chosen: Side; rejected: Side };
  groups: Record<"mask" | "logProbs" | "oldLogProbs" | "referenceLogProbs" | "values" | "oldValues", Matrix> &
    Record<"tokenAdvantages" | "tokenRewards", Matrix> &
    Record<"rewards" | "advantages", number[]> & { groupSize: number };
  mismatched: Record<"policy" | "referenceBelow" | "referenceAbove", number[]>;
  scores: Record<"chosen" | "rejected" | "margin", number[]>;
}

/** Numbers by name, tables of them in one row: `loss`, and `∂name` for its gradient. */
export type Numbers = Record<string, number[]>;

/** A method of ours beside TRL's. */
export interface PeerCase {
  /** The key among TRL's outputs. */
  name: string;
  /** What of TRL computes it. */
  trl: string;
  ours(inputs: PeerInputs): Numbers;
  /** Why TRL's numbers are others; without it they are the same. */
  cause?: string;
  /** Ours with that one cause undone: then they must be TRL's. */
  corrected?(inputs: PeerInputs): Numbers;
}

/** A loss and its gradient in each of the inputs. */
function differentiated(inputs: Record<string, Matrix | number[]>, loss: (of: Record<string, tf.Tensor>) => tf.Scalar) {
  return tf.tidy((): Numbers => {
    const names = Object.keys(inputs);
    const tensors = names.map((name) => tf.tensor(inputs[name]));
    const { value, grads } = tf.valueAndGrads((...values: tf.Tensor[]) =>
      loss(Object.fromEntries(names.map((name, i) => [name, values[i]]))),
    )(tensors);
    const gradients = names.map((name, i) => [`∂${name}`, Array.from(grads[i].dataSync())]);
    return { loss: Array.from(value.dataSync()), ...Object.fromEntries(gradients) };
  });
}

const sums = (logProbs: tf.Tensor, mask: Matrix): tf.Tensor1D => logProbs.mul(tf.tensor2d(mask)).sum(1);

/** A loss on preference pairs, as a function of the log-probabilities of their tokens. */
function onPairs(
  { pairs: { chosen, rejected } }: PeerInputs,
  loss: (batch: {
    policyChosen: tf.Tensor1D;
    policyRejected: tf.Tensor1D;
    referenceChosen: tf.Tensor1D;
    referenceRejected: tf.Tensor1D;
    lengths: { chosenLengths: tf.Tensor1D; rejectedLengths: tf.Tensor1D };
    tokens: Record<string, tf.Tensor>;
  }) => tf.Scalar,
): Numbers {
  return differentiated({ chosen: chosen.logProbs, rejected: rejected.logProbs }, (tokens) =>
    loss({
      tokens,
      policyChosen: sums(tokens.chosen, chosen.mask),
      policyRejected: sums(tokens.rejected, rejected.mask),
      referenceChosen: sums(tf.tensor2d(chosen.referenceLogProbs), chosen.mask),
      referenceRejected: sums(tf.tensor2d(rejected.referenceLogProbs), rejected.mask),
      lengths: {
        chosenLengths: tf.tensor2d(chosen.mask).sum(1),
        rejectedLengths: tf.tensor2d(rejected.mask).sum(1),
      },
    }),
  );
}

function kto(inputs: PeerInputs, reference: "referenceBelow" | "referenceAbove", weights = [1, 1]): Numbers {
  return onPairs(inputs, (batch) => {
    const one = tf.onesLike(batch.policyChosen);
    return ktoLoss({
      policy: tf.concat([batch.policyChosen, batch.policyRejected]),
      reference: tf.concat([batch.referenceChosen, batch.referenceRejected]),
      desirable: tf.concat([one, tf.zerosLike(one)]),
      mismatchedPolicy: tf.tensor1d(inputs.mismatched.policy),
      mismatchedReference: tf.tensor1d(inputs.mismatched[reference]),
      beta: 0.3,
      desirableWeight: weights[0],
      undesirableWeight: weights[1],
    }).loss;
  });
}

const labelled = (inputs: PeerInputs, tied?: number): Numbers =>
  onPairs(inputs, (batch) => {
    const B = inputs.pairs.chosen.mask.length;
    return labelledPairsLoss({
      logProbs: tf.concat([batch.policyChosen, batch.policyRejected]),
      referenceLogProbs: tf.concat([batch.referenceChosen, batch.referenceRejected]),
      pairs: Array.from({ length: B }, (_, i) => ({ chosen: i, rejected: B + i, tie: i === tied })),
      beta: 0.3,
    }).loss;
  });

function grpo(
  { groups }: PeerInputs,
  length: LengthNormalisation,
  beta = 0,
  kl: "k3" | "corrected k3" = "k3",
): Numbers {
  return differentiated(
    { logProbs: groups.logProbs },
    ({ logProbs }) =>
      grpoLoss({
        logProbs: logProbs as tf.Tensor2D,
        oldLogProbs: tf.tensor2d(groups.oldLogProbs),
        referenceLogProbs: tf.tensor2d(groups.referenceLogProbs),
        mask: tf.tensor2d(groups.mask),
        advantages: tf.tensor1d(groups.advantages),
        clip: 0.2,
        beta,
        kl,
        length,
        longest: 10,
      }).loss,
  );
}

const rloo = ({ groups }: PeerInputs, old: "logProbs" | "oldLogProbs"): Numbers =>
  differentiated(
    { logProbs: groups.logProbs },
    ({ logProbs }) =>
      rlooLoss({
        logProbs: logProbs as tf.Tensor2D,
        oldLogProbs: tf.tensor2d(groups[old]),
        mask: tf.tensor2d(groups.mask),
        advantages: tf.tensor1d(groups.advantages),
        clip: 0.2,
      }).loss,
  );

const tokensOf = (mask: Matrix): number => mask.flat().reduce((a, b) => a + b, 0);

function ppo({ groups }: PeerInputs, which: "logProbs" | "values", perToken: boolean): Numbers {
  const part = (valueCoefficient: number, changed: Record<string, tf.Tensor>): tf.Scalar =>
    ppoLoss({
      logProbs: tf.tensor2d(groups.logProbs),
      oldLogProbs: tf.tensor2d(groups.oldLogProbs),
      advantages: tf.tensor2d(groups.tokenAdvantages).mul(which === "values" ? 0 : 1),
      values: tf.tensor2d(groups.values),
      oldValues: tf.tensor2d(groups.oldValues),
      returns: tf.tensor2d(groups.tokenRewards),
      mask: tf.tensor2d(groups.mask),
      valueMask: tf.tensor2d(groups.mask),
      clip: 0.2,
      valueClip: 0.2,
      valueCoefficient,
      normaliser: perToken ? tokensOf(groups.mask) : undefined,
      ...changed,
    }).loss;
  return differentiated({ [which]: groups[which] }, (changed) => part(which === "values" ? 0.1 : 0, changed));
}

function gae({ groups }: PeerInputs, gamma: number, lambda: number, unbiased: boolean): Numbers {
  const lengths = groups.mask.map((row) => tokensOf([row]));
  const [rewards, values] = [groups.tokenRewards, groups.oldValues].map((rows) =>
    rows.map((row, i) => row.slice(0, lengths[i])),
  );
  const advantages = rewards.map((row, i) => generalisedAdvantages({ rewards: row, values: values[i], gamma, lambda }));
  const wide = (rows: ArrayLike<number>[]): number[] =>
    rows.flatMap((row, i) => groups.mask[i].map((_, t) => (t < lengths[i] ? row[t] : 0)));
  const n = tokensOf(groups.mask);
  const scale = unbiased ? Math.sqrt((n - 1) / n) : 1;
  return {
    whitenedAdvantages: wide(whitenedAdvantages(advantages, lengths)).map((a) => a * scale),
    returns: wide(advantages.map((row, i) => row.map((a, t) => a + values[i][t]))),
  };
}

/** The prompt's tokens in the likelihood, and its mean over all tokens, as TRL's ORPO has them; the odds are ours. */
function orpoOfTrl(inputs: PeerInputs): Numbers {
  const { mask } = inputs.pairs.chosen;
  const counted = mask.map((row) => row.map((m, t) => (t < 2 ? 1 : m)));
  return onPairs(inputs, ({ policyChosen, policyRejected, lengths, tokens }) => {
    const odds = orpoLoss({ policyChosen, policyRejected, ...lengths, lambda: 0.4 });
    const likelihood = sums(tokens.chosen, counted).sum().div(-tokensOf(counted));
    return likelihood.add(odds.loss.sub(odds.metrics.negativeLogLikelihood));
  });
}

const rlooAdvantages = ({ groups }: PeerInputs, beta: number): Numbers =>
  tf.tidy(() => {
    const returns = klShapedReturns({
      rewards: tf.tensor1d(groups.rewards),
      logProbs: tf.tensor2d(groups.oldLogProbs),
      referenceLogProbs: tf.tensor2d(groups.referenceLogProbs),
      mask: tf.tensor2d(groups.mask),
      beta,
      estimator: "k1",
    });
    return { advantages: Array.from(leaveOneOutAdvantages(returns, groups.groupSize).dataSync()) };
  });

const reward = ({ scores }: PeerInputs, options: { margin?: number[]; centring?: number } = {}): Numbers =>
  differentiated({ chosen: scores.chosen, rejected: scores.rejected }, ({ chosen, rejected }) => {
    const { margin, centring } = options;
    const batch = { chosen: chosen as tf.Tensor1D, rejected: rejected as tf.Tensor1D };
    return bradleyTerryLoss({ ...batch, centring, margin: margin && tf.tensor1d(margin) }).loss;
  });

const sumOfTokens = "the policy's part is a sum over tokens divided by the responses; TRL's is the mean over tokens";
const divisor = "the variance that whitens has the number of tokens as its divisor; TRL's has one less";

export const peerCases: PeerCase[] = [
  { name: "DPO", trl: "DPOTrainer, sigmoid", ours: (it) => onPairs(it, (b) => dpoLoss({ ...b, beta: 0.3 }).loss) },
  {
    name: "cDPO",
    trl: "0.11.4's DPOTrainer, sigmoid with label_smoothing (newer ones have none)",
    ours: (it) => onPairs(it, (b) => cdpoLoss({ ...b, beta: 0.3, assumedFlipRate: 0.15 }).loss),
  },
  {
    name: "robust DPO",
    trl: "DPOTrainer, robust",
    ours: (it) => onPairs(it, (b) => robustDpoLoss({ ...b, beta: 0.3, assumedFlipRate: 0.15 }).loss),
  },
  {
    name: "IPO",
    trl: "DPOTrainer, ipo",
    ours: (it) => onPairs(it, ({ lengths: _, ...b }) => ipoLoss({ ...b, beta: 0.3 }).loss),
    cause: "log-probabilities are sums; TRL's are averages over tokens, as ours with `lengths`",
    corrected: (it) => onPairs(it, (b) => ipoLoss({ ...b, beta: 0.3 }).loss),
  },
  {
    name: "online IPO",
    trl: "OnlineDPOTrainer, ipo: sums, unlike its DPOTrainer",
    ours: (it) => onPairs(it, ({ lengths: _, ...b }) => ipoLoss({ ...b, beta: 0.3 }).loss),
  },
  { name: "KTO", trl: "KTOTrainer", ours: (it) => kto(it, "referenceBelow") },
  { name: "KTO, weights", trl: "KTOTrainer", ours: (it) => kto(it, "referenceBelow", [1.3, 0.8]) },
  { name: "KTO, z clamped", trl: "KTOTrainer", ours: (it) => kto(it, "referenceAbove") },
  {
    name: "SimPO",
    trl: "CPOTrainer, simpo, with cpo_alpha 0 (1 by default: a likelihood term)",
    ours: (it) => onPairs(it, (b) => simpoLoss({ ...b, ...b.lengths, beta: 2, gamma: 0.6 }).loss),
  },
  {
    name: "ORPO",
    trl: "ORPOTrainer",
    ours: (it) => onPairs(it, (b) => orpoLoss({ ...b, ...b.lengths, lambda: 0.4 }).loss),
    cause:
      "the likelihood is the response's, averaged pair by pair; TRL's takes the prompt too and averages over all tokens",
    corrected: orpoOfTrl,
  },
  { name: "online DPO", trl: "OnlineDPOTrainer, sigmoid", ours: (it) => labelled(it) },
  {
    name: "online DPO, a tie",
    trl: "OnlineDPOTrainer, sigmoid",
    ours: (it) => labelled(it, 1),
    cause: "a tie is left out; TRL's counts it as won by the first",
    corrected: (it) => labelled(it),
  },
  { name: "reward model", trl: "RewardTrainer", ours: (it) => reward(it) },
  {
    name: "reward model, margin and centring",
    trl: "RewardTrainer",
    ours: (it) => reward(it, { margin: it.scores.margin, centring: 0.05 }),
  },
  { name: "RLOO advantages", trl: "RLOOTrainer", ours: (it) => rlooAdvantages(it, 0) },
  { name: "RLOO advantages, β 0.3", trl: "RLOOTrainer", ours: (it) => rlooAdvantages(it, 0.3) },
  { name: "RLOO, on policy", trl: "RLOOTrainer", ours: (it) => rloo(it, "logProbs") },
  { name: "RLOO, off policy", trl: "RLOOTrainer", ours: (it) => rloo(it, "oldLogProbs") },
  ...(["group", "none"] as const).map((scale) => ({
    name: `GRPO advantages, ${scale}`,
    trl: `GRPOTrainer, scale_rewards "${scale}"`,
    ours: ({ groups }: PeerInputs) => ({
      advantages: [...groupAdvantages(groups.rewards, groups.groupSize, scale === "group" ? "sample" : "none")],
    }),
  })),
  { name: "GRPO, grpo", trl: "GRPOTrainer, grpo", ours: (it) => grpo(it, "response") },
  { name: "GRPO, bnpo", trl: "GRPOTrainer, bnpo", ours: (it) => grpo(it, "tokens") },
  { name: "GRPO, dapo", trl: "GRPOTrainer, dapo, on one process", ours: (it) => grpo(it, "tokens") },
  { name: "GRPO, dr_grpo", trl: "GRPOTrainer, dr_grpo", ours: (it) => grpo(it, "constant") },
  { name: "GRPO, grpo, β 0.2", trl: "GRPOTrainer, grpo", ours: (it) => grpo(it, "response", 0.2) },
  {
    name: "GRPO, grpo, β 0.2, ratio on the KL",
    trl: "GRPOTrainer, use_bias_correction_kl",
    ours: (it) => grpo(it, "response", 0.2, "corrected k3"),
  },
  {
    name: "PPO, policy",
    trl: "0.11.4's PPOTrainer.loss",
    ours: (it) => ppo(it, "logProbs", false),
    cause: sumOfTokens,
    corrected: (it) => ppo(it, "logProbs", true),
  },
  { name: "PPO, value", trl: "0.11.4's PPOTrainer.loss", ours: (it) => ppo(it, "values", false) },
  ...[
    [1, 0.95],
    [0.9, 0.5],
  ].map(([gamma, lambda]) => ({
    name: `GAE, γ ${gamma}, λ ${lambda}`,
    trl: "0.11.4's PPOTrainer.compute_advantages",
    ours: (it: PeerInputs) => gae(it, gamma, lambda, false),
    cause: divisor,
    corrected: (it: PeerInputs) => gae(it, gamma, lambda, true),
  })),
];
