import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { bestOfN, klDivergence, normalise } from "../../../src/evaluation/exact";
import { Policy, sequenceLogProbs } from "../../../src/models/policy";
import {
  distilBestOfN,
  expectedBestOfN,
  pickBest,
  sampleBestOfN,
  type BestOfNDistillationOptions,
} from "../../../src/objectives/reward-maximisation/best-of-n";
import type { Reward } from "../../../src/rewards/reward";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import type { Example } from "../../../src/text/dialogue";
import { BOT, EOS, USER } from "../../../src/text/vocabulary";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { allResponses, temporaryFolder, tinyGpt } from "../../models/tiny";
import { assertClose } from "../tabular";

// Answers of at most two words out of 4, 5, 6, and the <eos> that the horizon decrees: 13 responses to a prompt.
const horizon = 3;
const responses = allResponses([4, 5, 6], horizon);
const prompt = [USER, 4, BOT];
const examples = responses.map((response): Example => ({ prompt, response }));
const config = { vocabularySize: 7, context: 6, width: 8, layers: 1, heads: 2 };

// Fives are good and sixes bad; five levels of reward among 13 responses, so most tie.
const rewardOf = ({ response }: Example): number =>
  response.reduce((sum, token) => sum + (token === 5 ? 1 : token === 6 ? -1 : 0), 0);
const reward: Reward = async (asked) => asked.map(rewardOf);
const rewards = examples.map(rewardOf);

describe("the expected best of n from N samples", () => {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

  it("is the mean over all subsets of n, ties picked at random", () => {
    const rng = Random.fromSeed(1);
    for (let round = 0; round < 5; round++) {
      const N = 7;
      const proxies = Array.from({ length: N }, () => rng.integer(4));
      const golds = Array.from({ length: N }, () => rng.normal());
      const found = expectedBestOfN(proxies, golds);
      for (let n = 1; n <= N; n++) {
        const bests: number[] = [];
        for (let subset = 0; subset < 2 ** N; subset++) {
          const members = [...Array(N).keys()].filter((i) => (subset >> i) & 1);
          if (members.length !== n) continue;
          const highest = Math.max(...members.map((i) => proxies[i]));
          bests.push(mean(members.filter((i) => proxies[i] === highest).map((i) => golds[i])));
        }
        assertClose(found[n - 1], mean(bests), 1e-12, `n ${n}`, 1);
      }
    }
  });

  it("is unbiased for every n: over all tuples of N draws its mean is the exact value under pi_n", () => {
    const rng = Random.fromSeed(2);
    const logReference = normalise([0.3, -0.5, 0.8, 0.1]);
    const proxies = [1, 2, 2, 0]; // the best two tie
    const golds = Array.from({ length: 4 }, () => rng.normal());
    const N = 4;
    const expected = new Float64Array(N);
    for (let tuple = 0; tuple < 4 ** N; tuple++) {
      const drawn = Array.from({ length: N }, (_, i) => Math.floor(tuple / 4 ** i) % 4);
      const weight = Math.exp(drawn.reduce((sum, y) => sum + logReference[y], 0));
      const estimate = expectedBestOfN(
        drawn.map((y) => proxies[y]),
        drawn.map((y) => golds[y]),
      );
      estimate.forEach((value, i) => (expected[i] += weight * value));
    }
    for (let n = 1; n <= N; n++) {
      const truth = bestOfN(logReference, proxies, n).reduce((sum, l, y) => sum + Math.exp(l) * golds[y], 0);
      assertClose(expected[n - 1], truth, 1e-12, `n ${n}`, 1);
    }
  });

  it("is the plain mean at n = 1, the best at n = N, and keeps its digits for many samples", () => {
    const rng = Random.fromSeed(3);
    const values = Array.from({ length: 512 }, () => rng.normal());
    const found = expectedBestOfN(values, values);
    assertClose(found[0], mean(values), 1e-12, "n = 1", 1);
    assertClose(found[511], Math.max(...values), 1e-12, "n = N", 1);
    for (let i = 1; i < 512; i++) assert.ok(found[i] >= found[i - 1], "the proxy itself can only rise with n");
    assertClose(
      expectedBestOfN(values, new Array<number>(512).fill(1)),
      new Array<number>(512).fill(1),
      1e-12,
      "weights",
    );
  });

  it("says what is wrong with its arguments", () => {
    assert.throws(() => expectedBestOfN([], []), /at least one sample/);
    assert.throws(() => expectedBestOfN([1, 2], [1]), /expected 2 values, one a sample, got 1/);
    assert.throws(() => expectedBestOfN([1, NaN], [1, 1]), /reward 1 is NaN/);
    assert.throws(() => expectedBestOfN([1, 2], [Infinity, 1]), /value 0 is Infinity/);
  });
});

describe("best-of-n", () => {
  const folder = temporaryFolder();
  let source: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    source = new Policy(tinyGpt(5, config), horizon);
  });
  afterEach(() => {
    source.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  it("decides ties evenly, and never takes less than the best", () => {
    const rng = Random.fromSeed(4);
    const counts = [0, 0, 0, 0];
    const draws = 6_000;
    for (let i = 0; i < draws; i++) counts[pickBest([1, 3, 3, 3], rng)]++;
    assert.equal(counts[0], 0);
    // 4 standard errors of a share of ⅓.
    for (const count of counts.slice(1)) {
      assert.ok(Math.abs(count / draws - 1 / 3) < 4 * Math.sqrt(2 / 9 / draws), `${counts}`);
    }
    assert.equal(pickBest(Float64Array.of(-2, -1), rng), 1);
  });

  it("check 27: draws from pi_n, as the exact pmf has it", async () => {
    const logReference = await sequenceLogProbs(source, examples);
    const draws = 3_000;
    for (const n of [1, 3]) {
      const drawn = await sampleBestOfN(
        { source, reward, n },
        new Array<number[]>(draws).fill(prompt),
        Random.fromSeed(5),
      );
      assert.deepEqual(
        drawn.map((one) => one.reward),
        drawn.map(rewardOf),
      );
      assert.ok(drawn.every((one) => one.meanReward <= one.reward && one.sampledTokens >= n));
      const expected = bestOfN(logReference, rewards, n).map(Math.exp);
      // Pearson's statistic over the cells with at least 5 expected draws: its mean is the cells' number less 1.
      const cells = responses
        .map((response, y) => ({
          found: drawn.filter((one) => String(one.response) === String(response)).length,
          expected: expected[y] * draws,
        }))
        .filter((cell) => cell.expected >= 5);
      const statistic = cells.reduce((sum, cell) => sum + (cell.found - cell.expected) ** 2 / cell.expected, 0);
      const degrees = cells.length - 1;
      assert.ok(degrees >= 6, "the test must see enough of the distribution");
      assert.ok(statistic < degrees + 4 * Math.sqrt(2 * degrees), `n ${n}: χ² ${statistic} of ${degrees} degrees`);
    }
  });

  it("decides the ties of each prompt by itself, and reports what all of its n were worth", async () => {
    let asked: Example[] = [];
    const draw = (worth: (one: Example) => number) => {
      const noting: Reward = async (all) => (asked = [...all]).map(worth);
      return sampleBestOfN({ source, reward: noting, n: 2 }, new Array<number[]>(60).fill(prompt), Random.fromSeed(8));
    };
    const tied = await draw(() => 1);
    const places = tied.flatMap(({ response }, i) => {
      const [first, second] = [asked[2 * i], asked[2 * i + 1]].map((one) => String(one.response));
      return first === second ? [] : [String(response) === first ? 0 : 1];
    });
    const seconds = places.reduce((sum, place) => sum + place, 0);
    // 4 standard errors of a half.
    assert.ok(Math.abs(seconds - places.length / 2) < 2 * Math.sqrt(places.length), `${seconds} of ${places.length}`);
    const best = await draw(rewardOf);
    best.forEach(({ meanReward, sampledTokens }, i) => {
      const two = asked.slice(2 * i, 2 * i + 2);
      assert.equal(meanReward, (rewardOf(two[0]) + rewardOf(two[1])) / 2);
      assert.equal(sampledTokens, two[0].response.length + two[1].response.length);
    });
  });

  const options = (change: Partial<BestOfNDistillationOptions> = {}): BestOfNDistillationOptions => ({
    policy: source, // a copy, wherever it is trained
    source,
    reward,
    n: 4,
    prompts: [prompt],
    steps: 4,
    learningRate: 0.01,
    rng: Random.fromSeed(6),
    ...change,
  });

  it("distilled comes to pi_n: one draw is worth n", async () => {
    const policy = source.clone();
    const run = options({ policy, steps: 80, learningRate: 0.02, schedule: "cosine", promptsPerStep: 48 });
    for await (const record of distilBestOfN(run)) assert.ok(record.reward >= record.rewardOfSource);
    const logReference = normalise(await sequenceLogProbs(source, examples));
    const target = bestOfN(logReference, rewards, 4);
    const reached = normalise(await sequenceLogProbs(policy, examples));
    const [start, end] = [klDivergence(target, logReference), klDivergence(target, reached)];
    assert.ok(start > 0.4 && end < 0.02, `KL(pi_n‖π) from ${start} to ${end}`);
    policy.dispose();
  });

  const trainee =
    (change: Partial<BestOfNDistillationOptions> = {}) =>
    (): Trainee => {
      const policy = source.clone();
      return {
        parameters: policy.gpt.parameters,
        train: (more) => distilBestOfN(options({ ...change, policy, ...more })),
        dispose: () => policy.dispose(),
      };
    };

  it("resumes bit for bit", () => assertResumes(trainee(), 1, folder.path("resume")));

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    for (const change of [
      { n: 5 },
      { promptsPerStep: 9 },
      { prompts: [[USER, BOT]] },
      { reward: (async (asked) => asked.map((example) => -rewardOf(example))) as Reward },
    ]) {
      const other = await trained(trainee(change));
      assert.notDeepEqual(other.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    assert.deepEqual(await trained(trainee({ promptsPerStep: 8 })), base, "the default is as documented");
    const measured = await trained(trainee({ measure: (samples) => ({ kept: samples.length }) }));
    assert.equal(measured.records[0].kept, 8);
  });

  it("refuses, at the call, what cannot be run", () => {
    const policy = source.clone();
    const calling = (change: Partial<BestOfNDistillationOptions>) => () =>
      distilBestOfN(options({ policy, ...change }));
    assert.throws(calling({ n: 0 }), /distilBestOfN: expected n to be an integer ≥ 1, got 0/);
    assert.throws(calling({ promptsPerStep: 0 }), /promptsPerStep to be an integer ≥ 1/);
    assert.throws(calling({ prompts: [] }), /prompts to be a list of at least one prompt/);
    assert.throws(calling({ policy: source }), /share their weights/);
    policy.dispose();
  });

  it("counts every token it has drawn", async () => {
    const [one] = await sampleBestOfN({ source, reward, n: 1 }, [prompt], Random.fromSeed(7));
    assert.equal(one.sampledTokens, one.response.length);
    assert.equal(one.response[one.response.length - 1], EOS);
  });
});
