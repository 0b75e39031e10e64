import type * as z from "zod";
import { sequenceLogProbs } from "../../models/policy";
import { train, type TrainingRecord } from "../../models/training";
import { checkOptions, wholeNumber } from "../../tensors/options";
import { gradientCase, randomLogProbs } from "../gradient-cases";
import {
  drawLabelledPairs,
  klOfSamples,
  labelledPairsLoss,
  labelledPairsTokens,
  labelledTrainingOptions,
  lossOnPairs,
  spendOnLabels,
  type LabelledPairs,
} from "../labelled-pairs";
import { method } from "../method";
import { checkReference } from "../rollouts";

export const onlineDpoOptions = labelledTrainingOptions.extend({
  /** Prompts drawn together. Default 16. */
  promptsPerStep: wholeNumber(1).default(16),
});
export type OnlineDpoOptions = z.input<typeof onlineDpoOptions>;

/**
 * Online DPO (Guo et al. 2024, "Direct Language Model Alignment from Online AI Feedback"): each step draws two or more
 * responses to each prompt from the policy as it is, has them compared, and takes one step of the DPO loss on these pairs,
 * against a reference that stays where it is.
 *
 * The pairs come from wherever the policy has got to, so the labels are about what it says now: what offline DPO lacks.
 * That the policy draws them has no gradient of its own; the pairs are held fixed, as data are.
 *
 * Where it ends depends on the labeller. If preferences are drawn from Bradley-Terry with reward r, the expected gradient
 * of *every* pair is zero at pi* ∝ ref·exp(r/β), whichever policy draws it: pi* is the fixed point, the same as that of
 * reward maximisation. If the better response always wins (`preferHigher`), no finite margin is enough, nothing holds the
 * policy at pi*, and β merely sets how fast it leaves.
 *
 * How ours differs from what goes by this name elsewhere: (1) ties are left out, where TRL's trainer counts equal rewards
 * as a win of the first response; (2) pairs are drawn at temperature 1, at which they are scored; (3) all K·(K − 1)/2 pairs
 * of K responses are compared, not only two; (4) log-probabilities are summed over the response's tokens, <eos> included.
 *
 * Metrics of a record, of the policy before the step: `dpoLoss`'s over the pairs that are no ties; `klPolicyToReference`
 * (`klOfSamples`: k1); those of `drawLabelledPairs`.
 */
export function trainOnlineDpo(options: OnlineDpoOptions): AsyncGenerator<TrainingRecord> {
  const checked = checkOptions("trainOnlineDpo", onlineDpoOptions, options);
  const { policy, reference, beta, promptsPerStep } = checked;
  checkReference("trainOnlineDpo", policy, reference);
  return train<LabelledPairs & { referenceLogProbs: Float32Array }>(
    {
      name: "online DPO",
      parameters: policy.gpt.parameters,
      async batch(_step, rng) {
        const labelled = await drawLabelledPairs(checked, promptsPerStep, rng);
        const referenceLogProbs = await sequenceLogProbs(reference, labelled.samples);
        const metrics = {
          klPolicyToReference: klOfSamples(labelled.samples, referenceLogProbs),
          ...labelled.metrics,
        };
        return { ...labelled, referenceLogProbs, metrics };
      },
      loss: (batch) => lossOnPairs(policy, batch, batch.referenceLogProbs, beta),
      measure: (batch) => ({ tokens: labelledPairsTokens(batch), metrics: batch.metrics }),
    },
    checked,
  );
}

export const onlineDpo = method({
  name: "onlineDpo",
  label: "online DPO",
  branch: "contrastive",
  published: "2024-02",
  data: "online",
  look: { colour: "#2E8B57", symbol: "star", dash: "dashdot" },
  feedback: "labels",
  options: onlineDpoOptions,
  stream: "online DPO",
  spend: (budget) => ({ ...spendOnLabels(budget), promptsPerStep: budget.offline.batchSize }),
  compared: { learningRate: 3e-4 },
  loss: labelledPairsLoss,
  gradientCases: (rng) => [
    gradientCase({
      about: "β 0.6, two pairs and a tie",
      inputs: { logProbs: randomLogProbs(rng, 3), referenceLogProbs: randomLogProbs(rng, 3) },
      fixed: ["referenceLogProbs"],
      evaluate: (inputs) => labelledPairsLoss({ ...inputs, pairs: twoAndATie, beta: 0.6 }).loss,
    }),
  ],
  train: (task, settings, run) => trainOnlineDpo({ ...task, ...settings, ...run }),
});

const twoAndATie = [
  { chosen: 0, rejected: 1, tie: false },
  { chosen: 1, rejected: 2, tie: true },
  { chosen: 2, rejected: 0, tie: false },
];
