import assert from "node:assert/strict";
import { ensembleReward, ensembleScores, type EnsembleRule } from "../../src/rewards/ensemble";
import { rewardsOf, type Reward } from "../../src/rewards/reward";
import { Random } from "../../src/tensors/random";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";

const examples: Example[] = [5, 6, 7].map((id) => ({ prompt: [USER, 5, BOT], response: [id, EOS] }));
const saying =
  (values: number[]): Reward =>
  async (asked) =>
    asked.map(({ response: [id] }) => values[id - 5]);
const close = (found: ArrayLike<number>, expected: number[]) => {
  assert.equal(found.length, expected.length);
  // Sums of three numbers of size one.
  expected.forEach((value, i) =>
    assert.ok(Math.abs(found[i] - value) < 1e-12, `${i}: expected ${value}, got ${found[i]}`),
  );
};
const members = [saying([1, 0, 4]), saying([3, 0, -2]), saying([2, 0, 1])];

describe("an ensemble of rewards", () => {
  it("gives mean, worst and mean less deviations, worked by hand", async () => {
    // Deviations: √(2/3) of 1 3 2; 0; √((9 + 9)/3) of 4 −2 1.
    const [a, b] = [Math.sqrt(2 / 3), Math.sqrt(6)];
    const scores = await ensembleScores(members, examples);
    close(scores.mean, [2, 0, 1]);
    close(scores.worst, [1, 0, -2]);
    close(scores.standardDeviation, [a, 0, b]);
    const by = async (rule: EnsembleRule) => rewardsOf(ensembleReward(members, rule), examples);
    close(await by("mean"), [2, 0, 1]);
    close(await by("worst"), [1, 0, -2]);
    close(await by({ penalty: 0.5 }), [2 - a / 2, 0, 1 - b / 2]);
    close(await by({ penalty: 0 }), [2, 0, 1]);
  });

  it("does not depend on the members' order, and follows scale and a common shift", async () => {
    const rng = Random.fromSeed(1);
    const values = Array.from({ length: 4 }, () => [0, 1, 2].map(() => rng.normal()));
    const rules: EnsembleRule[] = ["mean", "worst", { penalty: 1.3 }];
    for (const rule of rules) {
      const plain = await rewardsOf(ensembleReward(values.map(saying), rule), examples);
      close(await rewardsOf(ensembleReward([...values].reverse().map(saying), rule), examples), [...plain]);
      const moved = values.map((row) => saying(row.map((value) => 3 * value - 7)));
      close(
        await rewardsOf(ensembleReward(moved, rule), examples),
        [...plain].map((value) => 3 * value - 7),
      );
    }
  });

  it("of equals is any one of them, under every rule", async () => {
    const same = [saying([1, 2, 3]), saying([1, 2, 3])];
    const rules: EnsembleRule[] = ["mean", "worst", { penalty: 9 }];
    for (const rule of rules) close(await rewardsOf(ensembleReward(same, rule), examples), [1, 2, 3]);
  });

  it("lies in order: worst ≤ mean, and √(k − 1) deviations are always enough to reach the worst", async () => {
    const rng = Random.fromSeed(2);
    for (let trial = 0; trial < 50; trial++) {
      const k = 2 + (trial % 4);
      const values = Array.from({ length: k }, () => saying([rng.normal(), rng.normal(), rng.normal()]));
      const { mean, worst, standardDeviation } = await ensembleScores(values, examples);
      mean.forEach((value, i) => {
        assert.ok(worst[i] <= value);
        // Samuelson's inequality: no member is further from the mean.
        assert.ok(value - Math.sqrt(k - 1) * standardDeviation[i] <= worst[i] + 1e-12);
      });
    }
  });

  it("refuses one member, unknown rules, and says which member failed", async () => {
    assert.throws(() => ensembleReward([members[0]], "mean"), /ensembleReward: .* at least two members, got 1/);
    await assert.rejects(ensembleScores([members[0]], examples), /ensembleScores: .* at least two members, got 1/);
    assert.throws(
      () => ensembleReward(members, "median" as EnsembleRule),
      /"mean", "worst" or \{ penalty \}, got "median"/,
    );
    assert.throws(() => ensembleReward(members, { penalty: -1 }), /penalty to be a finite number ≥ 0, got -1/);
    assert.throws(() => ensembleReward(members, { penalty: NaN }), /got NaN/);
    assert.throws(() => ensembleReward(members, { penalty: Infinity }), /got Infinity/);
    for (const rule of [null, {}, undefined]) {
      const refused = `"mean", "worst" or { penalty }, got ${JSON.stringify(rule)}`;
      assert.throws(
        () => ensembleReward(members, rule as unknown as EnsembleRule),
        ({ message }: Error) => message.endsWith(refused),
      );
    }
    await assert.rejects(
      rewardsOf(ensembleReward([members[0], saying([1, NaN, 2])], "worst"), examples),
      /ensemble member 1: the reward of response 1 is NaN/,
    );
  });
});
