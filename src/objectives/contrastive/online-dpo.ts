import { sequenceLogProbs } from "../../models/policy";
import { checkWholeNumber, train, type TrainingOptions, type TrainingRecord } from "../../models/training";
import {
  checkLabelledPairsOptions,
  defaultSamplesPerPair,
  drawLabelledPairs,
  klOfSamples,
  lossOnPairs,
  labelledPairsTokens,
  measureLabelledPairs,
  type LabelledPairs,
  type LabelledPairsOptions,
} from "../labelled-pairs";
import { checkBeta } from "../rollouts";

export interface OnlineDpoOptions extends LabelledPairsOptions, TrainingOptions {
  /** β > 0 of the objective whose optimum is sought. */
  beta: number;
  /** Prompts drawn together. Default 16. */
  promptsPerStep?: number;
}

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
 * (`klOfSamples`: k1); those of `measureLabelledPairs`.
 */
export function trainOnlineDpo(options: OnlineDpoOptions): AsyncGenerator<TrainingRecord> {
  const { policy, reference, prompts, beta, promptsPerStep = 16, samplesPerPrompt = defaultSamplesPerPair } = options;
  checkLabelledPairsOptions("trainOnlineDpo", options);
  checkWholeNumber("trainOnlineDpo", "promptsPerStep", promptsPerStep, 1);
  checkBeta("trainOnlineDpo", beta, true);
  return train<LabelledPairs & { referenceLogProbs: Float32Array }>(
    {
      name: "online DPO",
      parameters: policy.gpt.parameters,
      settings: { prompts: prompts.length, promptsPerStep, samplesPerPrompt, beta },
      async batch(_step, rng) {
        const labelled = await drawLabelledPairs(options, promptsPerStep, rng);
        return { ...labelled, referenceLogProbs: await sequenceLogProbs(reference, labelled.samples) };
      },
      loss: (batch) => lossOnPairs(policy, batch, batch.referenceLogProbs, beta),
      measure: (batch) => ({
        tokens: labelledPairsTokens(batch),
        metrics: {
          klPolicyToReference: klOfSamples(batch.samples, batch.referenceLogProbs),
          ...measureLabelledPairs(batch, options),
        },
      }),
    },
    options,
  );
}
