import * as tf from "@tensorflow/tfjs";
import { exactObjectiveLoss } from "../../../src/objectives/enumerated";
import { gradientCase, randomLogProbs, randomVector, type GradientCase } from "../../../src/objectives/gradient-cases";
import { bradleyTerryLoss } from "../../../src/rewards/bradley-terry";
import { judgeLoss } from "../../../src/rewards/judge-model";
import { rankingLoss } from "../../../src/rewards/ranking";
import type { Random } from "../../../src/tensors/random";

/**
 * The losses of `src/objectives` and `src/rewards` that belong to no method, by their names; methods describe their own.
 * `gradients.test.ts` fails where a loss has neither. Inputs are random and of size one, so no case stands on an edge.
 */
export const gradientCases: Record<string, (rng: Random) => GradientCase[]> = {
  exactObjectiveLoss: (rng) => [
    gradientCase({
      about: "all answers",
      inputs: {
        logProbs: randomLogProbs(rng, 6),
        logReference: randomLogProbs(rng, 6),
        rewards: randomVector(rng, 6),
      },
      fixed: [],
      evaluate: ({ logProbs, logReference, rewards }) => exactObjectiveLoss(logProbs, logReference, rewards, 0.7).loss,
    }),
  ],
  bradleyTerryLoss: (rng) => [
    gradientCase({
      about: "margin, flipped labels and centring",
      inputs: { chosen: randomVector(rng, 5), rejected: randomVector(rng, 5), margin: randomVector(rng, 5) },
      fixed: [],
      evaluate: (inputs) => bradleyTerryLoss({ ...inputs, assumedFlipRate: 0.1, centring: 0.3 }).loss,
    }),
  ],
  rankingLoss: (rng) => [
    gradientCase({
      about: "ties among four",
      inputs: { scores: randomVector(rng, 4) },
      fixed: [],
      evaluate: ({ scores }) => rankingLoss(scores, [2, 1, 3, 1]).loss,
    }),
  ],
  judgeLoss: (rng) => [
    gradientCase({
      about: "letters among other tokens, both of them right once",
      inputs: { logits: randomVector(rng, 15).reshape<tf.Tensor2D>([3, 5]) },
      fixed: [],
      evaluate: ({ logits }) => judgeLoss(logits, tf.tensor1d([1, 3, 3], "int32"), [1, 3]).loss,
    }),
  ],
};
