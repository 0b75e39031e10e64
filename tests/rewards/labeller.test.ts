import assert from "node:assert/strict";
import {
  preferByBradleyTerry,
  preferHigher,
  verdictsOf,
  type Candidates,
  type Labeller,
} from "../../src/rewards/labeller";
import { lengthReward } from "../../src/rewards/reward";
import { Random } from "../../src/tensors/random";

const example = (length: number) => ({ prompt: [1], response: new Array<number>(length).fill(5) });
const pair = (a: number, b: number): Candidates => ({ first: example(a), second: example(b) });
// Lengths of 3 are best: rewards are 0 at 3, −1 at 2 and 4, −2 at 1 and 5.
const reward = lengthReward(3);
const rng = () => Random.fromSeed(3);

describe("labellers", () => {
  it("by the higher reward: without fail, and equal rewards tie", async () => {
    const verdicts = await preferHigher(reward)([pair(3, 1), pair(2, 3), pair(2, 4), pair(3, 3)], rng());
    assert.deepEqual(verdicts, ["first", "second", "tie", "tie"]);
  });

  it("by Bradley-Terry: the first with probability σ(difference/temperature)", async () => {
    const draws = 4_000;
    for (const temperature of [0.5, 1, 4]) {
      const labeller = preferByBradleyTerry(reward, temperature);
      for (const [a, b] of [
        [3, 1],
        [1, 3],
        [2, 4],
      ]) {
        const verdicts = await labeller(new Array<Candidates>(draws).fill(pair(a, b)), rng());
        const difference = Math.abs(b - 3) - Math.abs(a - 3);
        const expected = 1 / (1 + Math.exp(-difference / temperature));
        const found = verdicts.filter((verdict) => verdict === "first").length / draws;
        const error = Math.sqrt((expected * (1 - expected)) / draws);
        assert.ok(Math.abs(found - expected) < 4 * error + 1e-9, `${a} against ${b}: ${found}, expected ${expected}`);
      }
    }
    for (const temperature of [0, -1, NaN, Infinity]) {
      const refused = new RegExp(`temperature to be a finite number > 0, got ${temperature}`);
      assert.throws(() => preferByBradleyTerry(reward, temperature), refused);
    }
    assert.deepEqual(
      await preferByBradleyTerry(reward)([pair(3, 2), pair(3, 3)], rng()),
      await preferByBradleyTerry(reward, 1)([pair(3, 2), pair(3, 3)], rng()),
      "temperature 1 is the default, and a stream gives the same verdicts",
    );
  });

  it("are held to one verdict a pair", async () => {
    await assert.rejects(
      verdictsOf(async () => ["first"], [pair(1, 2), pair(1, 3)], rng()),
      /1 verdicts on 2 pairs/,
    );
    await assert.rejects(
      verdictsOf(async () => ["first", "tie"], [pair(1, 2)], rng()),
      /2 verdicts on 1 pairs; give one each/,
    );
    const fine: Labeller = async () => ["first", "second", "tie"];
    assert.deepEqual(await verdictsOf(fine, [pair(1, 2), pair(1, 3), pair(1, 4)], rng()), ["first", "second", "tie"]);
    const odd: Labeller = async () => ["first", "better" as never];
    await assert.rejects(verdictsOf(odd, [pair(1, 2), pair(1, 3)], rng()), /"better" of pair 1/);
  });
});
