/**
 * K answers to one prompt, ranked: C(K, 2) comparisons for K forward passes (Ouyang et al. 2022, equation 1).
 */
import * as tf from "@tensorflow/tfjs";
import { embedding } from "../tensors/embedding";
import type { Loss } from "../tensors/loss";
import { checkShape } from "../tensors/shape";
import { bradleyTerryLoss } from "./bradley-terry";

/**
 * What a ranking says about pairs: [better, worse], as indices of the answers, each pair once, C(K, 2) in all less the
 * ties. `ranks[i]` is the rank of answer i, 1 the best; only the order of the ranks counts, and answers of one rank are not
 * compared.
 */
export function pairsFromRanking(ranks: readonly number[]): [better: number, worse: number][] {
  const bad = ranks.findIndex((rank) => !Number.isFinite(rank));
  if (bad >= 0) throw new RangeError(`pairsFromRanking: the rank of answer ${bad} is ${ranks[bad]}, expected a number`);
  const pairs: [number, number][] = [];
  for (let i = 0; i < ranks.length; i++) {
    for (let j = i + 1; j < ranks.length; j++) {
      if (ranks[i] < ranks[j]) pairs.push([i, j]);
      if (ranks[j] < ranks[i]) pairs.push([j, i]);
    }
  }
  return pairs;
}

/**
 * The Bradley-Terry loss of a ranking: −(1/P)·Σ log σ(r_better − r_worse) over its P pairs, from the K scores of one prompt's
 * answers, [K], each computed once. The mean makes a prompt count once however many answers were ranked, and all its pairs
 * share one step: cut into C(K, 2) examples and shuffled, each answer would be learned from K − 1 times an epoch.
 * Metrics are `bradleyTerryLoss`'s, over the pairs.
 */
export function rankingLoss(scores: tf.Tensor1D, ranks: readonly number[]): Loss {
  checkShape("rankingLoss: scores, one a rank", scores, [ranks.length]);
  const pairs = pairsFromRanking(ranks);
  if (pairs.length === 0) {
    throw new RangeError(`rankingLoss: ranks [${ranks.join(", ")}] order no two answers; leave such a prompt out`);
  }
  return tf.tidy(() => {
    const column = scores.reshape<tf.Tensor2D>([ranks.length, 1]);
    const of = (side: 0 | 1): tf.Tensor1D =>
      embedding(column, tf.tensor1d(pairs.map((pair) => pair[side]), "int32")).as1D(); // prettier-ignore
    const { loss, metrics } = bradleyTerryLoss({ chosen: of(0), rejected: of(1) });
    return { loss, metrics };
  });
}
