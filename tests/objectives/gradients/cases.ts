import * as tf from "@tensorflow/tfjs";
import { brainLoss } from "../../../src/objectives/distribution-matching/brain";
import { cdpoLoss } from "../../../src/objectives/contrastive/cdpo";
import { dpgLoss } from "../../../src/objectives/distribution-matching/dpg";
import { dpoLoss } from "../../../src/objectives/contrastive/dpo";
import { exactObjectiveLoss } from "../../../src/objectives/enumerated";
import { divergenceNames, fDpgLoss } from "../../../src/objectives/distribution-matching/f-dpg";
import { grpoLoss } from "../../../src/objectives/reward-maximisation/grpo";
import { ipoLoss } from "../../../src/objectives/contrastive/ipo";
import { ktoLoss } from "../../../src/objectives/contrastive/kto";
import { labelledPairsLoss } from "../../../src/objectives/labelled-pairs";
import { nextTokenLoss } from "../../../src/objectives/maximum-likelihood";
import { orpoLoss } from "../../../src/objectives/contrastive/orpo";
import { policyGradientLoss } from "../../../src/objectives/reward-maximisation/policy-gradient";
import { ppoLoss } from "../../../src/objectives/reward-maximisation/ppo";
import { rlooLoss } from "../../../src/objectives/reward-maximisation/rloo";
import { robustDpoLoss } from "../../../src/objectives/contrastive/robust-dpo";
import { simpoLoss } from "../../../src/objectives/contrastive/simpo";
import { bradleyTerryLoss } from "../../../src/rewards/bradley-terry";
import { judgeLoss } from "../../../src/rewards/judge-model";
import { rankingLoss } from "../../../src/rewards/ranking";
import type { Random } from "../../../src/tensors/random";

/** A loss at inputs of which each is differentiated. */
export interface GradientCase<Inputs extends Record<string, tf.Tensor> = Record<string, tf.Tensor>> {
  /** What of the loss's options the case is about. */
  about: string;
  inputs: Inputs;
  /** The inputs that the loss promises to hold fixed: they must have no gradient, all others must have one. */
  fixed: (keyof Inputs & string)[];
  evaluate(inputs: Inputs): tf.Scalar;
}

/** Binds a case's types to each other. */
const of = <Inputs extends Record<string, tf.Tensor>>(it: GradientCase<Inputs>): GradientCase =>
  it as unknown as GradientCase;

const vector = (rng: Random, size: number, scale = 1): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => scale * rng.normal()));
/** Log-probabilities of whole responses, or of tokens. */
const logs = (rng: Random, size: number): tf.Tensor1D =>
  tf.tensor1d(Array.from({ length: size }, () => -0.1 - 3 * rng.uniform()));
const tokenLogs = (rng: Random, rows: number, columns: number): tf.Tensor2D =>
  logs(rng, rows * columns).reshape([rows, columns]);
/** What the losses on preference pairs take. */
const pairs = (rng: Random) => ({
  policyChosen: logs(rng, 4),
  policyRejected: logs(rng, 4),
  referenceChosen: logs(rng, 4),
  referenceRejected: logs(rng, 4),
});
const references: ["referenceChosen", "referenceRejected"] = ["referenceChosen", "referenceRejected"];
const lengths = () => ({ chosenLengths: tf.tensor1d([2, 1, 3, 5]), rejectedLengths: tf.tensor1d([1, 4, 2, 2]) });
/** Two prompts with three samples each, drawn from some earlier policy. */
const target = {
  logTarget: [-1.2, -0.4, -2.5, -0.9, -3.1, -1.6],
  logProposal: [-0.8, -1.1, -1.9, -2.2, -0.7, -1.3],
  logPartition: [0.3, 0.3, 0.3, -0.2, -0.2, -0.2],
};
/** Responses of several lengths behind a prompt of one token. */
const mask = (): tf.Tensor2D =>
  tf.tensor2d([
    [0, 1, 1, 0, 0],
    [0, 1, 1, 1, 1],
    [0, 1, 0, 0, 0],
    [0, 1, 1, 1, 0],
  ]);

/** Log-probabilities of drawn tokens, now and when they were drawn, some ratios inside the clip range and some outside. */
const moved = (rng: Random, by: number) => {
  const logProbs = tokenLogs(rng, 4, 5);
  return { logProbs, oldLogProbs: logProbs.add<tf.Tensor2D>(vector(rng, 20, by).reshape([4, 5])) };
};
const rectangle = (rng: Random): tf.Tensor2D => vector(rng, 20).reshape([4, 5]);

/**
 * Every exported loss of `src/objectives` and `src/rewards`, by its name: `gradients.test.ts` fails where one has no
 * entry. Inputs are random and of size one, so no case stands on an edge.
 */
export const gradientCases: Record<string, (rng: Random) => GradientCase[]> = {
  nextTokenLoss: (rng) => [
    of({
      about: "masked tokens",
      inputs: { logits: vector(rng, 4 * 5 * 3).reshape([4, 5, 3]) as tf.Tensor3D },
      fixed: [],
      evaluate: ({ logits }) => {
        const targets = tf.tensor2d([[0, 1, 2, 0, 0], [2, 2, 1, 0, 1], [1, 0, 0, 2, 2], [0, 0, 2, 1, 1]], undefined, "int32"); // prettier-ignore
        return nextTokenLoss(logits, targets, mask()).loss;
      },
    }),
  ],
  exactObjectiveLoss: (rng) => [
    of({
      about: "all answers",
      inputs: { logProbs: logs(rng, 6), logReference: logs(rng, 6), rewards: vector(rng, 6) },
      fixed: [],
      evaluate: ({ logProbs, logReference, rewards }) => exactObjectiveLoss(logProbs, logReference, rewards, 0.7).loss,
    }),
  ],
  policyGradientLoss: (rng) =>
    [undefined, 10].map((normaliser) =>
      of({
        about: `normaliser ${normaliser}`,
        inputs: { logProbs: tokenLogs(rng, 4, 5), advantages: vector(rng, 4) },
        fixed: ["advantages"],
        evaluate: (inputs) => policyGradientLoss({ ...inputs, mask: mask(), normaliser }).loss,
      }),
    ),
  ppoLoss: (rng) =>
    [Infinity, 0.5].map((valueClip) =>
      of({
        about: `values clipped at ${valueClip}`,
        inputs: {
          ...moved(rng, 0.3),
          advantages: rectangle(rng),
          values: rectangle(rng),
          oldValues: rectangle(rng),
          returns: rectangle(rng),
        },
        fixed: ["oldLogProbs", "advantages", "oldValues", "returns"],
        evaluate: (inputs) =>
          ppoLoss({ ...inputs, mask: mask(), valueMask: mask(), clip: 0.2, valueClip, valueCoefficient: 0.7 }).loss,
      }),
    ),
  rlooLoss: (rng) => [
    of({
      about: "responses clipped at 0.2",
      inputs: { ...moved(rng, 0.1), advantages: vector(rng, 4) },
      fixed: ["oldLogProbs", "advantages"],
      evaluate: (inputs) => rlooLoss({ ...inputs, mask: mask(), clip: 0.2 }).loss,
    }),
  ],
  grpoLoss: (rng) =>
    (["k3", "corrected k3"] as const).flatMap((kl) =>
      (["response", "tokens", "constant"] as const).map((length) =>
        of({
          about: `${kl}, by ${length}`,
          inputs: { ...moved(rng, 0.3), referenceLogProbs: tokenLogs(rng, 4, 5), advantages: vector(rng, 4) },
          fixed: ["oldLogProbs", "referenceLogProbs", "advantages"],
          evaluate: (inputs) =>
            grpoLoss({ ...inputs, mask: mask(), clip: 0.2, beta: 0.3, kl, length, longest: 6 }).loss,
        }),
      ),
    ),
  dpoLoss: (rng) => [
    of({
      about: "β 0.6",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => dpoLoss({ ...inputs, beta: 0.6 }).loss,
    }),
  ],
  cdpoLoss: (rng) => [
    of({
      about: "β 0.6, ε 0.2",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => cdpoLoss({ ...inputs, beta: 0.6, labelSmoothing: 0.2 }).loss,
    }),
  ],
  robustDpoLoss: (rng) => [
    of({
      about: "β 0.6, ε 0.2",
      inputs: pairs(rng),
      fixed: references,
      evaluate: (inputs) => robustDpoLoss({ ...inputs, beta: 0.6, flipRate: 0.2 }).loss,
    }),
  ],
  ipoLoss: (rng) =>
    [false, true].map((averaged) =>
      of({
        about: averaged ? "averages" : "sums",
        inputs: pairs(rng),
        fixed: references,
        evaluate: (inputs) => ipoLoss({ ...inputs, beta: 0.6, lengths: averaged ? lengths() : undefined }).loss,
      }),
    ),
  ktoLoss: (rng) =>
    [1, -9].map((shift) =>
      of({
        about: shift > 0 ? "z of the mismatched" : "z clamped at 0",
        inputs: {
          policy: logs(rng, 4),
          reference: logs(rng, 4),
          mismatchedPolicy: logs(rng, 3).add<tf.Tensor1D>(shift),
          mismatchedReference: logs(rng, 3),
        },
        fixed: ["reference", "mismatchedPolicy", "mismatchedReference"],
        evaluate: (inputs) => {
          const desirable = tf.tensor1d([1, 0, 0, 1]);
          return ktoLoss({ ...inputs, desirable, beta: 0.6, desirableWeight: 1.2, undesirableWeight: 0.7 }).loss;
        },
      }),
    ),
  simpoLoss: (rng) => [
    of({
      about: "β 2, γ 0.5",
      inputs: { policyChosen: logs(rng, 4), policyRejected: logs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => simpoLoss({ ...inputs, ...lengths(), beta: 2, gamma: 0.5 }).loss,
    }),
  ],
  orpoLoss: (rng) => [
    of({
      about: "λ 0.4",
      inputs: { policyChosen: logs(rng, 4), policyRejected: logs(rng, 4) },
      fixed: [],
      evaluate: (inputs) => orpoLoss({ ...inputs, ...lengths(), lambda: 0.4 }).loss,
    }),
  ],
  labelledPairsLoss: (rng) => [
    of({
      about: "β 0.6, two pairs and a tie",
      inputs: { logProbs: logs(rng, 3), referenceLogProbs: logs(rng, 3) },
      fixed: ["referenceLogProbs"],
      evaluate: (inputs) => {
        const pairs = [
          { chosen: 0, rejected: 1, tie: false },
          { chosen: 1, rejected: 2, tie: true },
          { chosen: 2, rejected: 0, tie: false },
        ];
        return labelledPairsLoss({ ...inputs, pairs, beta: 0.6 }).loss;
      },
    }),
  ],
  dpgLoss: (rng) =>
    [true, false].map((baseline) =>
      of({
        about: `off-policy, ${baseline ? "with" : "without"} baseline`,
        inputs: { logProbs: logs(rng, 6) },
        fixed: [],
        evaluate: ({ logProbs }) => dpgLoss({ logProbs, ...target, baseline }).loss,
      }),
    ),
  fDpgLoss: (rng) =>
    divergenceNames.flatMap((divergence) =>
      (["none", "atTarget", "leaveOneOut"] as const).map((baseline) =>
        of({
          about: `${divergence}, baseline ${baseline}`,
          inputs: { logProbs: logs(rng, 6) },
          fixed: [],
          evaluate: ({ logProbs }) => fDpgLoss({ logProbs, ...target, divergence, baseline, samplesPerPrompt: 3 }).loss,
        }),
      ),
    ),
  brainLoss: (rng) =>
    [true, false].map((baseline) =>
      of({
        about: `off-policy, ${baseline ? "with" : "without"} baseline`,
        inputs: { logProbs: logs(rng, 6) },
        fixed: [],
        evaluate: ({ logProbs }) =>
          brainLoss({
            logProbs,
            logTarget: target.logTarget,
            logProposal: target.logProposal,
            samplesPerPrompt: 3,
            baseline,
          }).loss,
      }),
    ),
  bradleyTerryLoss: (rng) => [
    of({
      about: "margin, smoothing and centring",
      inputs: { chosen: vector(rng, 5), rejected: vector(rng, 5), margin: vector(rng, 5) },
      fixed: [],
      evaluate: (inputs) => bradleyTerryLoss({ ...inputs, labelSmoothing: 0.1, centring: 0.3 }).loss,
    }),
  ],
  rankingLoss: (rng) => [
    of({
      about: "ties among four",
      inputs: { scores: vector(rng, 4) },
      fixed: [],
      evaluate: ({ scores }) => rankingLoss(scores, [2, 1, 3, 1]).loss,
    }),
  ],
  judgeLoss: (rng) => [
    of({
      about: "letters among other tokens, both of them right once",
      inputs: { logits: vector(rng, 15).reshape<tf.Tensor2D>([3, 5]) },
      fixed: [],
      evaluate: ({ logits }) => judgeLoss(logits, tf.tensor1d([1, 3, 3], "int32"), [1, 3]).loss,
    }),
  ],
};
