import assert from "node:assert/strict";
import { fitWordReward } from "../../src/rewards/word-reward";
import { Random } from "../../src/tensors/random";
import {
  miniAnswer,
  miniDemonstrationProbabilities,
  miniDigits,
  miniPair,
  miniRewards,
} from "../../src/world/mini-world";

const mini = { slots: 4, words: 8 };

/** log-probabilities that depend on all words together: no product of slots. */
function randomLogP(rng: Random, count: number): Float64Array {
  const weights = Float64Array.from({ length: count }, () => Math.exp(1.5 * rng.normal()));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => Math.log(weight / total));
}

describe("fitWordReward", () => {
  it("leaves nothing that a word could explain: the residual's mean is 0 over the answers with each word", () => {
    const rng = Random.fromSeed(3);
    const logP = randomLogP(rng, 4096);
    const truth = miniRewards();
    const { rewards } = fitWordReward(logP, truth, mini);
    for (let slot = 0; slot < 4; slot++) {
      for (let word = 0; word < 8; word++) {
        let residual = 0;
        for (let y = 0; y < 4096; y++)
          if (miniDigits(y)[slot] === word) residual += Math.exp(logP[y]) * (truth[y] - rewards[y]);
        // The normal equations of least squares. Scores move by less than 1e-12 at the end.
        assert.ok(Math.abs(residual) < 1e-11, `slot ${slot}, word ${word}: ${residual}`);
      }
    }
  });

  it("recovers a reward that is a sum over words, whatever the weights", () => {
    const rng = Random.fromSeed(4);
    const logP = randomLogP(rng, 27);
    const table = Array.from({ length: 3 }, () => Array.from({ length: 3 }, () => rng.normal()));
    const truth = Array.from(
      { length: 27 },
      (_, y) => table[0][Math.floor(y / 9)] + table[1][Math.floor(y / 3) % 3] + table[2][y % 3],
    );
    const { rewards, intercept, scores } = fitWordReward(logP, truth, { slots: 3, words: 3 });
    // Backfitting stops 1e-12 a step from its limit, which it nears geometrically: 1e-10 leaves room.
    rewards.forEach((r, y) => assert.ok(Math.abs(r - truth[y]) < 1e-10));
    scores.forEach((row, slot) =>
      row.forEach((score, word) =>
        assert.ok(Math.abs(score - scores[slot][0] - (table[slot][word] - table[slot][0])) < 1e-10),
      ),
    );
    assert.ok(Math.abs(rewards[5] - (intercept + scores[0][0] + scores[1][1] + scores[2][2])) < 1e-12);
  });

  it("prefers nonsense in the mini world: the best-scored answer is no good advice", () => {
    const logP = miniDemonstrationProbabilities().map(Math.log);
    const { rewards } = fitWordReward(logP, miniRewards(), mini);
    const best = rewards.indexOf(rewards.reduce((a, b) => Math.max(a, b)));
    assert.equal(miniPair(best), "other");
    assert.ok(rewards[best] > rewards[miniAnswer("sure add fiber gradually")]);
  });

  it("gives a word that nobody says the score 0", () => {
    const logP = Array.from({ length: 9 }, (_, y) => (y < 3 ? -Infinity : Math.log(1 / 6)));
    const { scores } = fitWordReward(logP, [9, 9, 9, 1, 2, 3, 4, 5, 6], { slots: 2, words: 3 });
    assert.equal(scores[0][0], 0);
    assert.ok(Math.abs(scores[0][2] - scores[0][1] - 3) < 1e-10);
  });

  it("refuses what does not fit together, and log-weights that are not normalised", () => {
    assert.throws(() => fitWordReward([0], [1], { slots: 0, words: 2 }), /slots to be an integer ≥ 1, got 0/);
    assert.throws(() => fitWordReward([0, 0], [1, 1], { slots: 2, words: 2 }), /make 4 answers, got 2/);
    assert.throws(() => fitWordReward([0, 0, 0, 0], [1, 1, 1, 1], { slots: 2, words: 2 }), /sum to 1, got a sum of 4/);
  });
});
