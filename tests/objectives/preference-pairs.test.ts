import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import type * as z from "zod";
import { responseLogProbs } from "../../src/evaluation/exact";
import type { GptConfig } from "../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../src/models/policy";
import { drawBatch, type TrainingOptions, type TrainingRecord } from "../../src/models/training";
import { trainCdpo } from "../../src/objectives/contrastive/cdpo";
import { dpoLoss, trainDpo, type DpoOptions } from "../../src/objectives/contrastive/dpo";
import { trainIpo } from "../../src/objectives/contrastive/ipo";
import { markedExamples, mismatched, trainKto, type KtoOptions } from "../../src/objectives/contrastive/kto";
import { trainOrpo } from "../../src/objectives/contrastive/orpo";
import type { pairTrainingOptions } from "../../src/objectives/preference-pairs";
import { trainRobustDpo } from "../../src/objectives/contrastive/robust-dpo";
import { trainSimpo } from "../../src/objectives/contrastive/simpo";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import type { Example } from "../../src/text/dialogue";
import { BOT, PAD, USER } from "../../src/text/vocabulary";
import { referenceLogits, referenceLogProb } from "../models/reference-gpt";
import { assertResumes, trained, type Trainee } from "../models/resume";
import { allResponses, temporaryFolder, tinyGpt, weightsOf } from "../models/tiny";
import { batchAt, largest, randomCase, sigmoid, size, space } from "./pairs";
import { assertClose, asTensor } from "./tabular";

// Answers of at most two words out of 4, 5, 6, and the <eos> that the horizon decrees: 13 responses to a prompt.
const horizon = 3;
const responses = allResponses([4, 5, 6], horizon);
const prompts = [
  [USER, 4, BOT],
  [USER, BOT],
];
const config: GptConfig = { vocabularySize: 7, context: 6, width: 4, layers: 1, heads: 1 };
const policyOf = (seed: number): Policy => new Policy(tinyGpt(seed, config), horizon);
const example = (prompt: number, response: number): Example => ({
  prompt: prompts[prompt],
  response: responses[response],
});
const pairs = Array.from({ length: 10 }, (_, i) => ({
  chosen: example(i % 2, i),
  rejected: example(i % 2, (3 * i + 5) % responses.length),
}));

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

describe("training on preference pairs", () => {
  const folder = temporaryFolder();
  let policy: Policy;
  let reference: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    policy = policyOf(1);
    reference = policyOf(2);
  });
  afterEach(() => {
    policy.dispose();
    reference.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  type PairTrainingOptions = z.input<typeof pairTrainingOptions>;
  type More = Partial<PairTrainingOptions>;
  const shared = (change: More = {}): PairTrainingOptions => ({
    policy,
    reference,
    pairs,
    batchSize: 3,
    steps: 4,
    learningRate: 0.01,
    rng: Random.fromSeed(1),
    ...change,
  });
  const kto = ({ pairs, ...change }: More & Partial<KtoOptions> = {}) => {
    const { pairs: usual, ...options } = shared(change);
    return trainKto({ beta: 0.5, ...options, examples: markedExamples(pairs ?? usual), ...change });
  };
  const trainers: Record<string, (change?: More) => AsyncGenerator<TrainingRecord>> = {
    DPO: (change) => trainDpo({ beta: 0.5, ...shared(change) }),
    cDPO: (change) => trainCdpo({ beta: 0.5, assumedFlipRate: 0.1, ...shared(change) }),
    "robust DPO": (change) => trainRobustDpo({ beta: 0.5, assumedFlipRate: 0.1, ...shared(change) }),
    IPO: (change) => trainIpo({ beta: 0.5, ...shared(change) }),
    SimPO: (change) => trainSimpo({ beta: 2, gamma: 0.5, ...shared(change) }),
    ORPO: (change) => trainOrpo({ lambda: 0.5, ...shared(change) }),
    KTO: kto,
  };
  /** Trains a copy of the policy of seed 1, always the same. */
  const trainee =
    (train: (change: More & Pick<TrainingOptions, "checkpointFolder" | "signal">) => AsyncIterable<TrainingRecord>) =>
    (): Trainee => {
      const learner = policyOf(1);
      return {
        parameters: learner.gpt.parameters,
        train: (more) => train({ ...more, policy: learner }),
        dispose: () => learner.dispose(),
      };
    };
  async function first(records: AsyncGenerator<TrainingRecord>): Promise<TrainingRecord> {
    for await (const record of records) return record;
    throw new Error("no record");
  }

  for (const [name, train] of Object.entries(trainers)) {
    it(`${name} resumes bit for bit and leaves no tensor`, () =>
      assertResumes(trainee(train), 1, folder.path(name.replace(" ", "-"))));
  }

  it("leaves the reference as it is", async () => {
    const before = weightsOf(reference.gpt.parameters);
    for (const train of Object.values(trainers)) for await (const _record of train());
    assert.deepEqual(weightsOf(reference.gpt.parameters), before);
  });

  it("reports its metrics by their formulas: sums with <eos>, without the prompt", async () => {
    // log π(y | x) in float64, from the weights: <eos> counts unless the horizon decrees it.
    const exact = (of: Policy, { prompt, response }: Example): number => {
      const logits = referenceLogits(config, weightsOf(of.gpt.parameters), [...prompt, ...response].slice(0, -1));
      const own = response.length === horizon ? response.slice(0, -1) : response;
      return own.reduce(
        (sum, token, t) => sum + referenceLogProb(logits[prompt.length - 1 + t], token, [PAD, USER, BOT]),
        0,
      );
    };
    const drawn = drawBatch([...pairs.keys()], 3, Random.fromSeed(1).child("step 0")).map((i) => pairs[i]);
    const h = (which: "chosen" | "rejected") =>
      drawn.map((pair) => exact(policy, pair[which]) - exact(reference, pair[which]));
    const [chosen, rejected] = [h("chosen"), h("rejected")];
    const record = await first(trainDpo({ beta: 0.5, ...shared() }));
    assertClose(record.chosenLogProbChange, mean(chosen), 1e-5, "change of the chosen", 1);
    assertClose(record.rejectedLogProbChange, mean(rejected), 1e-5, "change of the rejected", 1);
    const ahead = chosen.map((value, i) => value - rejected[i]);
    assert.equal(record.implicitAccuracy, Math.fround(mean(ahead.map((m) => (Math.sign(m) + 1) / 2))));
    assertClose(record.margin, 0.5 * mean(ahead), 1e-5, "margin", 1);
    assertClose(record.loss, mean(ahead.map((m) => Math.log1p(Math.exp(-0.5 * m)))), 1e-5, "loss", 1);
    const longest = Math.max(
      ...drawn.flatMap(({ chosen, rejected }) => [chosen, rejected].map((e) => e.prompt.length + e.response.length)),
    );
    assert.equal(record.tokens, 6 * longest);
  });

  it("check 30: a longer neighbour in the batch, and so more padding, changes no loss", async () => {
    const [short, long] = [
      { chosen: example(1, 0), rejected: example(1, 1) },
      { chosen: example(0, 5), rejected: example(0, 12) },
    ];
    assert.ok(short.rejected.response.length < long.rejected.response.length);
    for (const [name, train] of Object.entries(trainers)) {
      if (name === "KTO") continue; // its batch sets z
      const alone = async (pair: typeof short) => {
        const learner = policyOf(1);
        const record = await first(train({ policy: learner, pairs: [pair], batchSize: 1 }));
        learner.dispose();
        return record.loss;
      };
      const learner = policyOf(1);
      // A stream whose first batch has one of each.
      const seed = Array.from({ length: 50 }, (_, i) => i).find(
        (i) => new Set(drawBatch([0, 1], 2, Random.fromSeed(i).child("step 0"))).size === 2,
      )!;
      const together = await first(
        train({ policy: learner, pairs: [short, long], batchSize: 2, rng: Random.fromSeed(seed) }),
      );
      learner.dispose();
      assertClose(together.loss, ((await alone(short)) + (await alone(long))) / 2, 1e-6, name, 1);
    }
  });

  it("check 29: KTO's z is that of the batch's mismatched responses, clamped at 0", async () => {
    const marked = markedExamples(pairs);
    let positive = 0;
    for (let seed = 0; seed < 6; seed++) {
      const learner = policyOf(1);
      const rng = Random.fromSeed(seed);
      const drawn = drawBatch([...marked.keys()], 4, rng.child("step 0")).map((i) => marked[i]);
      const others = mismatched(drawn.map(({ example }) => example));
      const [of, to] = [await sequenceLogProbs(learner, others), await sequenceLogProbs(reference, others)];
      const z = Math.max(0, mean(of.map((value, i) => value - to[i])));
      const record = await first(kto({ policy: learner, batchSize: 4, rng }));
      assertClose(record.referencePoint, z, 1e-5, `z of seed ${seed}`, 1);
      if (z > 0) positive++;
      const examples = drawn.map(({ example }) => example);
      const [own, fixed] = [await sequenceLogProbs(policy, examples), await sequenceLogProbs(reference, examples)];
      const losses = drawn.map(({ desirable }, i) => sigmoid(0.5 * (desirable ? -1 : 1) * (own[i] - fixed[i] - z)));
      assertClose(record.loss, mean(losses), 1e-5, `loss of seed ${seed}`, 1);
      learner.dispose();
    }
    assert.ok(positive > 0 && positive < 6, `z was positive ${positive} times of 6: both cases must be met`);
  });

  it("check 18, trained: β·h is the reward up to a constant", () => {
    const it = randomCase(8);
    const beta = 0.5;
    // Rewards log k: Bradley-Terry odds k_a : k_b, so that k_a and k_b copies of a pair are its population.
    const k = Array.from({ length: size }, (_, i) => 1 + (i % 3));
    const population = k.flatMap((_, a) =>
      k
        .slice(0, a)
        .flatMap((_, b) => [
          ...new Array<{ chosen: number; rejected: number }>(k[a]).fill({ chosen: a, rejected: b }),
          ...new Array<{ chosen: number; rejected: number }>(k[b]).fill({ chosen: b, rejected: a }),
        ]),
    );
    const logits = tf.tidy(() => tf.variable(asTensor(space, it.referenceLogits)));
    for (const learningRate of [0.1, 0.01]) {
      const adam = tf.train.adam(learningRate);
      for (let step = 0; step < 60; step++) {
        adam.minimize(
          () => dpoLoss({ ...batchAt(logits as unknown as tf.Tensor2D, { ...it, pairs: population }), beta }).loss,
        );
      }
      adam.dispose();
    }
    const learnt = responseLogProbs(space, Float64Array.from(logits.dataSync()));
    logits.dispose();
    const offsets = Array.from(learnt, (value, i) => beta * (value - it.reference[i]) - Math.log(k[i]));
    const middle = (Math.max(...offsets) + Math.min(...offsets)) / 2;
    const spread = largest(offsets.map((offset) => offset - middle));
    assert.ok(spread < 1e-3, `max |β·h − r − c| = ${spread}`);
  });

  it("DPO's trainer finds π* of a language model: β·h follows the reward", async () => {
    const start = new Policy(tinyGpt(3, { ...config, width: 16, heads: 2 }, 0.15), horizon);
    const learner = start.clone();
    const beta = 0.5;
    // log k again; all ordered pairs of 13 responses.
    const k = responses.map((_, i) => 1 + (i % 3));
    const all = k.flatMap((_, a) =>
      k.slice(0, a).flatMap((_, b) => {
        const of = (chosen: number, rejected: number) => ({
          chosen: example(0, chosen),
          rejected: example(0, rejected),
        });
        return [...new Array(k[a]).fill(of(a, b)), ...new Array(k[b]).fill(of(b, a))] as typeof pairs;
      }),
    );
    const run = shared({
      policy: learner,
      reference: start,
      pairs: all,
      batchSize: 64,
      steps: 100,
      learningRate: 0.01,
      schedule: "cosine",
    });
    for await (const _record of trainDpo({ ...run, beta }));
    const examples = responses.map((_, i) => example(0, i));
    const [after, before] = [await sequenceLogProbs(learner, examples), await sequenceLogProbs(start, examples)];
    start.dispose();
    learner.dispose();
    const offsets = Array.from(after, (value, i) => beta * (value - before[i]) - Math.log(k[i]));
    const deviation = Math.sqrt(mean(offsets.map((offset) => (offset - mean(offsets)) ** 2)));
    const rewards = k.map(Math.log);
    const spread = Math.sqrt(mean(rewards.map((reward) => (reward - mean(rewards)) ** 2)));
    // D of oracles.md: a short training in batches of 64 comes to 0.26; untrained it is 1, and the wrong way more.
    assert.ok(deviation < 0.4 * spread, `β·h − r varies by ${deviation}, r by ${spread}`);
  });

  it("has no option that does nothing, and the defaults that are documented", async () => {
    const differs = async (one: Parameters<typeof trainee>[0], other: Parameters<typeof trainee>[0], what: string) => {
      const [a, b] = [await trained(trainee(one)), await trained(trainee(other))];
      assert.notDeepEqual(a.weights, b.weights, `${what} changed nothing`);
    };
    const dpo = (change: Partial<DpoOptions>) => trainDpo({ beta: 0.5, ...shared(change), ...change });
    for (const change of [{ beta: 1 }, { batchSize: 4 }, { pairs: pairs.slice(0, 5) }, { reference: policy }]) {
      await differs(dpo, (more) => dpo({ ...more, ...change }), Object.keys(change)[0]);
    }
    await differs(
      (more) => trainCdpo({ beta: 0.5, assumedFlipRate: 0.1, ...shared(more) }),
      (more) => trainCdpo({ beta: 0.5, assumedFlipRate: 0.2, ...shared(more) }),
      "assumedFlipRate",
    );
    await differs(
      (more) => trainRobustDpo({ beta: 0.5, assumedFlipRate: 0.1, ...shared(more) }),
      (more) => trainRobustDpo({ beta: 0.5, assumedFlipRate: 0.2, ...shared(more) }),
      "assumedFlipRate",
    );
    await differs(
      (more) => trainIpo({ beta: 0.5, ...shared(more) }),
      (more) => trainIpo({ beta: 0.5, lengthNormalised: true, ...shared(more) }),
      "lengthNormalised",
    );
    await differs(
      (more) => trainSimpo({ beta: 2, gamma: 0.5, ...shared(more) }),
      (more) => trainSimpo({ beta: 2, gamma: 0, ...shared(more) }),
      "gamma",
    );
    await differs(
      (more) => trainOrpo({ lambda: 0.5, ...shared(more) }),
      (more) => trainOrpo({ lambda: 0, ...shared(more) }),
      "lambda",
    );
    for (const change of [{ beta: 1 }, { desirableWeight: 2 }, { undesirableWeight: 2 }, { batchSize: 4 }]) {
      await differs(kto, (more) => kto({ ...more, ...change }), `KTO's ${Object.keys(change)[0]}`);
    }
    const { batchSize: _pairs, ...unsaid } = shared();
    const usual = await trained(trainee((more) => trainDpo({ beta: 0.5, ...unsaid, ...more })));
    assert.deepEqual(usual, await trained(trainee((more) => dpo({ ...more, batchSize: 16 }))), "16 pairs a step");
    const { pairs: _all, ...single } = unsaid;
    const examples = markedExamples(pairs);
    const plain = await trained(trainee((more) => trainKto({ beta: 0.5, examples, ...single, ...more })));
    const named = { batchSize: 32, desirableWeight: 1, undesirableWeight: 1 };
    assert.deepEqual(plain, await trained(trainee((more) => kto({ ...more, ...named }))), "32 examples, weights 1");
  });

  it("SimPO and ORPO train the same whatever the reference, which they only report against", async () => {
    const other = policyOf(3);
    for (const name of ["SimPO", "ORPO"]) {
      const [one, two] = [
        await trained(trainee(trainers[name])),
        await trained(trainee((more) => trainers[name]({ ...more, reference: other }))),
      ];
      assert.deepEqual(one.weights, two.weights, name);
      assert.notEqual(one.records[0].chosenLogProbChange, two.records[0].chosenLogProbChange);
    }
    other.dispose();
  });

  it("refuses, at the call, what cannot be run", () => {
    for (const [name, train] of Object.entries(trainers)) {
      assert.throws(() => train({ reference: policy }), /share their weights; train a clone/, name);
      assert.throws(() => train({ batchSize: 0 }), /expected batchSize to be an integer ≥ [12], got 0/, name);
      assert.throws(
        () => train({ pairs: [] }),
        /a list of at least one (preference pair|marked example), got \[\]/,
        name,
      );
    }
    assert.throws(() => kto({ batchSize: 1 }), /trainKto: expected batchSize to be an integer ≥ 2, got 1/);
    const two = [{ chosen: example(0, 1), rejected: example(1, 2) }];
    assert.throws(() => trainers.DPO({ pairs: two }), /DPO: pair 0 answers two prompts, \[2,4,3\] and \[2,3\]/);
    assert.throws(() => trainDpo({ beta: 0, ...shared() }), /trainDpo: expected beta to be a finite number > 0, got 0/);
    assert.throws(
      () => trainCdpo({ beta: 1, assumedFlipRate: 0.5, ...shared() }),
      /trainCdpo: expected assumedFlipRate to be a number in \[0, 0.5\), got 0.5/,
    );
    assert.throws(
      () => trainRobustDpo({ beta: 1, assumedFlipRate: 0.6, ...shared() }),
      /trainRobustDpo: expected assumedFlipRate to be a number in \[0, 0.5\), got 0.6/,
    );
    assert.throws(
      () => trainIpo({ beta: -1, ...shared() }),
      /trainIpo: expected beta to be a finite number > 0, got -1/,
    );
    assert.throws(
      () => trainSimpo({ beta: 2, gamma: NaN, ...shared() }),
      /trainSimpo: expected gamma to be a finite number ≥ 0, got NaN/,
    );
    assert.throws(
      () => trainOrpo({ lambda: Infinity, ...shared() }),
      /trainOrpo: expected lambda to be a finite number ≥ 0, got Infinity/,
    );
    assert.throws(
      () => kto({ undesirableWeight: -1 }),
      /trainKto: expected undesirableWeight to be a finite number ≥ 0, got -1/,
    );
  });
});
