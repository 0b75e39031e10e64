import assert from "node:assert/strict";
import { generalisedAdvantages, klShapedTokenRewards, whitenedAdvantages } from "../../src/objectives/gae";
import { Random } from "../../src/tensors/random";
import { assertClose } from "./tabular";

// Sums of a few float64 numbers of size 1 (A of oracles.md).
const exact = 1e-12;

function randomEpisode(seed: number, length = 6) {
  const rng = Random.fromSeed(seed);
  const draw = () => Array.from({ length }, () => rng.normal());
  return { rewards: draw(), values: draw() };
}

/** A_t = Σ_{s ≥ t} (γλ)^{s−t}·δ_s, from the definition. */
function doubleSum(rewards: number[], values: number[], gamma: number, lambda: number): number[] {
  const delta = rewards.map((reward, t) => reward + gamma * (values[t + 1] ?? 0) - values[t]);
  return rewards.map((_, t) => delta.slice(t).reduce((sum, d, ahead) => sum + (gamma * lambda) ** ahead * d, 0));
}

describe("generalised advantages", () => {
  it("check 12: the backward recursion is the explicit double sum, for any γ and λ", () => {
    for (let seed = 0; seed < 5; seed++) {
      const { rewards, values } = randomEpisode(seed);
      for (const gamma of [0, 0.9, 1]) {
        for (const lambda of [0, 0.5, 0.95, 1]) {
          const found = generalisedAdvantages({ rewards, values, gamma, lambda });
          const expected = doubleSum(rewards, values, gamma, lambda);
          assertClose(found, expected, exact, `γ ${gamma}, λ ${lambda}`, 1);
        }
      }
    }
  });

  it("check 12: λ = γ = 1 is the sum of rewards to come less V, whatever the later values", () => {
    const { rewards, values } = randomEpisode(7);
    const toCome = rewards.map((_, t) => rewards.slice(t).reduce((a, b) => a + b, 0) - values[t]);
    assertClose(generalisedAdvantages({ rewards, values, lambda: 1 }), toCome, exact, "λ = 1", 1);
    const other = [...values.slice(0, 3), 100, -100, 5];
    const first = generalisedAdvantages({ rewards, values: other, lambda: 1 }).slice(0, 3);
    assertClose(first, toCome.slice(0, 3), 1e-10, "with other values later", 1);
  });

  it("check 12: λ = 0 is δ, one step ahead", () => {
    const { rewards, values } = randomEpisode(8);
    const delta = rewards.map((r, t) => r + 0.9 * (values[t + 1] ?? 0) - values[t]);
    assertClose(generalisedAdvantages({ rewards, values, gamma: 0.9, lambda: 0 }), delta, exact, "λ = 0", 1);
  });

  it("ends where the episode ends: nothing is bootstrapped behind the last token", () => {
    const over = generalisedAdvantages({ rewards: [0, 2], values: [0.5, 1], lambda: 0 });
    assert.deepEqual([...over], [0.5, 1]);
  });

  it("has a decreed <eos> pass the reward on: in full at λ = 1, through V of its state at λ = 0", () => {
    // Two chosen tokens, then the decree with reward 5; the value function thinks 4 of the state before it.
    const rewards = klShapedTokenRewards(5, [-1, -2, 0], [-1, -2, 0], 0.3);
    const values = [1, 2, 4];
    const at = (lambda: number) => [...generalisedAdvantages({ rewards, values, lambda })];
    assert.deepEqual(at(1), [4, 3, 1]); // r − V
    assert.deepEqual(at(0), [1, 2, 1]); // V of the next state − V; the last chosen token is not terminal
    // As if it had been paid on the last chosen token, which λ < 1 tells apart.
    const paidEarly = (lambda: number) => [...generalisedAdvantages({ rewards: [0, 5], values: [1, 2], lambda })];
    assert.deepEqual(paidEarly(1), at(1).slice(0, 2));
    assert.notDeepEqual(paidEarly(0), at(0).slice(0, 2));
  });

  it("has rewards that add up to r − β·Σ k1, the reward on the last token", () => {
    const rewards = klShapedTokenRewards(2, [-1, -0.5, -3], [-2, -0.25, -3], 0.5);
    assert.deepEqual([...rewards], [-0.5, 0.125, 2]);
  });

  it("whitens over the chosen tokens of all responses together", () => {
    const rows = [
      [1, 2, 100],
      [3, 6],
    ];
    const white = whitenedAdvantages(rows, [2, 2]);
    // Of 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9)/4.
    const deviation = Math.sqrt(14 / 4);
    assertClose(
      [...white[0], ...white[1]],
      [-2, -1, 0, 0, 3].map((a) => a / deviation),
      1e-7,
      "whitened",
      1,
    );
    assert.equal(rows[0][2], 100, "the argument is left alone");
    for (const a of whitenedAdvantages([[5, 5]], [2])[0]) assert.equal(a, 0, "equal advantages give 0, not 0/0");
  });

  it("says what is wrong with its arguments", () => {
    const { rewards, values } = randomEpisode(9);
    assert.throws(
      () => generalisedAdvantages({ rewards, values: values.slice(1), lambda: 1 }),
      /a value for each of the 6 rewards, got 5/,
    );
    assert.throws(
      () => generalisedAdvantages({ rewards, values, lambda: 1.1 }),
      /lambda to be a number in \[0, 1\], got 1.1/,
    );
    assert.throws(
      () => generalisedAdvantages({ rewards, values, lambda: 1, gamma: NaN }),
      /gamma to be a number in \[0, 1\], got NaN/,
    );
    assert.throws(() => klShapedTokenRewards(1, [-1], [], 1), /expected 1 reference/);
  });
});
