import assert from "node:assert/strict";
import { expectation, klDivergence, normalise, optimalPolicy } from "../../src/evaluation/exact";
import { Random } from "../../src/tensors/random";

/**
 * Over-optimisation with nothing trained: pi* for a proxy at every beta, and what its answers are worth in gold. The proxy
 * errs as reward models do: a little everywhere, and by much where the reference hardly ever goes.
 */
const rng = Random.fromSeed(28);
const answers = 400;
const logReference = normalise(Array.from({ length: answers }, () => 1.5 * rng.normal()));
const gold = Array.from({ length: answers }, () => rng.normal());
const seldom = [...logReference.keys()].sort((a, b) => logReference[a] - logReference[b]).slice(0, answers / 10);
const proxy = gold.map((g, y) => (seldom.includes(y) ? 5 + g / 10 : g + 0.3 * rng.normal()));
seldom.forEach((y) => (gold[y] -= 2));
const betas = Array.from({ length: 60 }, (_, i) => 20 * 0.87 ** i); // from 20 to 0.005

const along = (reward: number[]) =>
  betas.map((beta) => {
    const policy = optimalPolicy(logReference, reward, beta);
    return {
      distance: Math.sqrt(klDivergence(policy, logReference)),
      reward: expectation(policy, reward),
      gold: expectation(policy, gold),
    };
  });
const rises = (values: number[]): boolean => values.every((value, i) => i === 0 || value >= values[i - 1] - 1e-12);

describe("over-optimisation, exactly", () => {
  it("check 28: along pi*_β of a proxy, gold rises to a maximum inside and falls, while the proxy rises", () => {
    const path = along(proxy);
    assert.ok(rises(path.map(({ distance }) => distance)), "a lower price leads further");
    assert.ok(rises(path.map(({ reward }) => reward)), "the proxy never falls");
    const golds = path.map((point) => point.gold);
    const best = golds.indexOf(Math.max(...golds));
    assert.ok(best > 5 && best < betas.length - 6, `the best is number ${best} of ${betas.length}: no maximum inside`);
    // A third of gold's deviation, which is 1, is a gain and a loss that no rounding makes.
    assert.ok(golds[best] > golds[0] + 0.33, `gold gains ${golds[best] - golds[0]} only`);
    assert.ok(golds[best] > golds[betas.length - 1] + 0.33, "gold does not fall again");
  });

  it("check 28: at β = Infinity gold is the reference's", () => {
    const far = expectation(optimalPolicy(logReference, proxy, Infinity), gold);
    assert.equal(far, expectation(logReference, gold));
    // To first order in 1/β gold moves by Cov_ref(gold, proxy)/β: about one at β = 1.
    const near = expectation(optimalPolicy(logReference, proxy, 1e6), gold);
    assert.ok(Math.abs(near - far) < 1e-5, `at β = 1e6 it is ${near}, not ${far}`);
  });

  it("check 28: of gold itself nothing is too much", () => assert.ok(rises(along(gold).map((point) => point.gold))));
});
