import {
  klDivergence,
  logPartition,
  normalise,
  optimalPolicy,
  randomLogits,
  responseLogProbs,
  sequenceSpace,
  type SequenceSpace,
} from "../../src/evaluation/exact";
import { Random } from "../../src/tensors/random";

/** 15 responses. */
export const space = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 3 });
/** 7 responses: few enough to enumerate all tuples of four. */
export const smallSpace = sequenceSpace({ vocabularySize: 3, eos: 0, maximalLength: 2 });

/** A prompt of distribution matching, all of it known: reference, proposal q, rewards, target, and a policy's logits. */
export function matchingCase(seed: number, { beta = 0.7, over = space }: { beta?: number; over?: SequenceSpace } = {}) {
  const rng = Random.fromSeed(seed);
  const reference = responseLogProbs(over, randomLogits(over, rng.child("reference")));
  const proposal = responseLogProbs(over, randomLogits(over, rng.child("proposal")));
  const logits = randomLogits(over, rng.child("policy"));
  const rewards = Float64Array.from(reference, () => rng.normal());
  return {
    over,
    beta,
    reference,
    proposal,
    rewards,
    logits,
    policy: responseLogProbs(over, logits),
    target: optimalPolicy(reference, rewards, beta), // log p
    logTarget: reference.map((l, i) => l + rewards[i] / beta), // log P
    logZ: logPartition(reference, rewards, beta),
  };
}

export type MatchingCase = ReturnType<typeof matchingCase>;

/** KL(p‖pi) at other logits. */
export const klTargetToPolicy =
  ({ over, target }: MatchingCase) =>
  (logits: ArrayLike<number>): number =>
    klDivergence(target, responseLogProbs(over, logits));

/** KL(alpha‖beta) of the choices that target and policy make among the drawn outcomes. */
export function selfNormalisedKl(
  drawn: readonly number[],
  target: Float64Array,
  policy: Float64Array,
  q: Float64Array,
) {
  const share = (log: Float64Array): Float64Array => normalise(drawn.map((y) => log[y] - q[y]));
  return klDivergence(share(target), share(policy));
}
