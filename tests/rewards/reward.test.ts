import assert from "node:assert/strict";
import { lengthReward, rewardsOf, tokenReward, type Reward } from "../../src/rewards/reward";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";

const prompt = [USER, 5, BOT];
const examples: Example[] = [
  { prompt, response: [EOS] },
  { prompt, response: [5, 4, 5, EOS] },
  { prompt, response: [5, 5] }, // not ended
];

describe("reward", () => {
  it("of length is minus the distance from the target, <eos> not counted where there is one", async () => {
    assert.deepEqual([...(await rewardsOf(lengthReward(2), examples))], [-2, -1, -0]);
    assert.deepEqual([...(await rewardsOf(lengthReward(0), examples))], [-0, -3, -2]);
  });

  it("of a token counts it in the response and not in the prompt", async () => {
    assert.deepEqual([...(await rewardsOf(tokenReward(5), examples))], [0, 2, 2]);
    assert.deepEqual([...(await rewardsOf(tokenReward(EOS), examples))], [1, 1, 0]);
  });

  it("is one finite number a response, or an error that shows which", async () => {
    const returning =
      (values: number[]): Reward =>
      async () =>
        values;
    assert.deepEqual([...(await rewardsOf(async () => Float32Array.of(1, 2, 3), examples))], [1, 2, 3]);
    assert.deepEqual([...(await rewardsOf(returning([]), []))], []);
    await assert.rejects(rewardsOf(returning([1, 2]), examples), /returned 2 numbers for 3 responses; return one each/);
    await assert.rejects(rewardsOf(returning([1, NaN, 2]), examples), /response 1 is NaN.*tokens \[5,4,5,1\]/);
    await assert.rejects(rewardsOf(returning([1, 2, -Infinity]), examples), /response 2 is -Infinity/);
    const lacking = (async () => [1, undefined, 2]) as unknown as Reward;
    await assert.rejects(rewardsOf(lacking, examples), /response 1 is undefined/);
  });
});
