import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { klDivergence, normalise, optimalPolicy } from "../../../src/evaluation/exact";
import { Policy, sequenceLogProbs } from "../../../src/models/policy";
import type { TrainingRecord } from "../../../src/models/training";
import { drawLabelledPairs, labelledPairsTokens, lossOnPairs } from "../../../src/objectives/labelled-pairs";
import { trainIterativeDpo, type IterativeDpoOptions } from "../../../src/objectives/contrastive/iterative-dpo";
import { trainOnlineDpo } from "../../../src/objectives/contrastive/online-dpo";
import { bradleyTerryProbability } from "../../../src/rewards/bradley-terry";
import { preferByBradleyTerry, preferHigher } from "../../../src/rewards/labeller";
import { chooseBackend } from "../../../src/tensors/backend";
import { Random } from "../../../src/tensors/random";
import { BOT, USER } from "../../../src/text/vocabulary";
import { assertResumes, trained, type Trainee } from "../../models/resume";
import { temporaryFolder } from "../../models/tiny";
import { toy } from "../enumerable-toy";
import { assertClose } from "../tabular";

const world = toy();
const { prompt, examples, rewards, reward, worth } = world;

/** The slope of log π − log π_ref in r, least squares with the weights of π: 1/β of the policy, were it a pi*. */
function inverseBeta(logPolicy: Float64Array, logReference: Float64Array): number {
  const weights = logPolicy.map(Math.exp);
  const mean = (of: (y: number) => number): number => weights.reduce((sum, w, y) => sum + w * of(y), 0);
  const [r, h] = [mean((y) => rewards[y]), mean((y) => logPolicy[y] - logReference[y])];
  const covariance = mean((y) => (rewards[y] - r) * (logPolicy[y] - logReference[y] - h));
  return covariance / mean((y) => (rewards[y] - r) ** 2);
}

describe("iterative DPO", () => {
  const folder = temporaryFolder();
  let reference: Policy;
  let tensors = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensors = tf.memory().numTensors;
    reference = world.start();
  });
  afterEach(() => {
    reference.dispose();
    assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
  });

  const options = (change: Partial<IterativeDpoOptions> = {}): IterativeDpoOptions => ({
    policy: reference, // a copy, wherever it is trained
    reference,
    labeller: preferByBradleyTerry(reward),
    prompts: [prompt],
    beta: 1,
    steps: 6,
    rounds: 2,
    promptsPerRound: 12,
    batchSize: 8,
    learningRate: 0.01,
    rng: Random.fromSeed(1),
    ...change,
  });

  it("with a moving reference, R rounds at β are one at β/R: exactly, at the optimum of each", () => {
    const rng = Random.fromSeed(2);
    const logReference = normalise(Float64Array.from({ length: 30 }, () => rng.normal()));
    const worth = Float64Array.from({ length: 30 }, () => rng.normal());
    let policy = logReference;
    for (let rounds = 1; rounds <= 5; rounds++) {
      policy = optimalPolicy(policy, worth, 0.7);
      assertClose(policy, optimalPolicy(logReference, worth, 0.7 / rounds), 1e-12, `after ${rounds} rounds`, 1);
    }
  });

  it("has its second round's fixed point at ref·exp(2r/β) if the reference moves, and at ref·exp(r/β) if not", async () => {
    const policy = world.start(5, 0.4);
    const samples = examples.slice(1, 6).map((example) => ({ ...example, logProbs: [] })); // pairs say it, each by itself
    const logPolicy = await sequenceLogProbs(policy, samples);
    const worths = samples.map(worth);
    const beta = 0.8;
    // Where the policy is π_ref·exp(κ·r/β), π_ref is known up to a constant, and so is the policy after one round.
    const expectedGradient = (kappa: number, roundReference: "fixed" | "moving"): number => {
      const ofReference = Array.from(logPolicy, (logProb, y) => logProb - (kappa * worths[y]) / beta);
      const afterOneRound = ofReference.map((logProb, y) => logProb + worths[y] / beta);
      let sum: number[] = [];
      let size = 0;
      const ofRound = roundReference === "fixed" ? ofReference : afterOneRound;
      samples.forEach((_, i) =>
        samples.forEach((_, j) => {
          if (i === j) return;
          const weight = Math.exp(logPolicy[i] + logPolicy[j]) * bradleyTerryProbability(worths[i], worths[j]);
          const pairs = [{ chosen: i, rejected: j, tie: false }];
          const gradient = tf.tidy(() => {
            const { grads } = tf.variableGrads(
              () => lossOnPairs(policy, { samples, pairs }, ofRound, beta).loss,
              [...policy.gpt.parameters.values()],
            );
            return Object.values(grads).flatMap((g) => Array.from(g.dataSync()));
          });
          sum = gradient.map((g, at) => (sum[at] ?? 0) + weight * g);
          size += weight * Math.max(...gradient.map(Math.abs));
        }),
      );
      return Math.max(...sum.map(Math.abs)) / size;
    };
    // Float32 gradients that cancel, against the sum of their sizes (B of oracles.md).
    assert.ok(expectedGradient(2, "moving") < 1e-5, "moving: ref·exp(2r/β)");
    assert.ok(expectedGradient(1, "fixed") < 1e-5, "fixed: ref·exp(r/β)");
    assert.ok(expectedGradient(1, "moving") > 1e-2, "moving: ref·exp(r/β) is where the second round starts");
    assert.ok(expectedGradient(2, "fixed") > 1e-2, "fixed: it does not go on");
    policy.dispose();
  });

  it("check 31: trained in rounds, 1/β grows by 1/β a round if the reference moves, and stays if not", async () => {
    const logReference = normalise(await sequenceLogProbs(reference, examples));
    const beta = 1;
    const stepsPerRound = 50;
    const slopes: Record<string, number[]> = { fixed: [], moving: [] };
    for (const roundReference of ["fixed", "moving"] as const) {
      const policy = reference.clone();
      const run = options({
        policy,
        roundReference,
        beta,
        steps: 3 * stepsPerRound,
        rounds: 3,
        promptsPerRound: 256,
        samplesPerPrompt: 4,
        batchSize: 192,
        learningRate: 0.01,
      });
      for await (const { step } of trainIterativeDpo(run)) {
        if ((step + 1) % stepsPerRound > 0) continue;
        slopes[roundReference].push(inverseBeta(normalise(await sequenceLogProbs(policy, examples)), logReference));
      }
      policy.dispose();
    }
    // The labels of a round are 1,536 draws: its own slope has a standard error of about 0.1.
    for (const [round, slope] of slopes.fixed.entries()) {
      assert.ok(Math.abs(slope - 1) < 0.35, `fixed, round ${round}: 1/β ${slopes.fixed}`);
    }
    for (const [round, slope] of slopes.moving.entries()) {
      assert.ok(Math.abs(slope - (round + 1)) < 0.35 * (round + 1), `moving, round ${round}: 1/β ${slopes.moving}`);
    }
  });

  it("at one step a round and a fixed reference takes online DPO's steps", async () => {
    const labeller = preferHigher(reward);
    const results = [];
    for (const online of [false, true]) {
      const policy = reference.clone();
      const losses: TrainingRecord[] = [];
      const { rounds: _two, promptsPerRound, batchSize: _eight, ...common } = options({ labeller, policy, steps: 3 });
      const records = online
        ? trainOnlineDpo({ ...common, promptsPerStep: promptsPerRound })
        : trainIterativeDpo({ ...common, promptsPerRound, rounds: 3, batchSize: promptsPerRound });
      for await (const record of records) losses.push(record);
      results.push({ losses, logPolicy: await sequenceLogProbs(policy, examples) });
      policy.dispose();
    }
    const [iterative, online] = results;
    // All pairs in another order: sums in float32, 1e-5 after three steps.
    assertClose(iterative.logPolicy, online.logPolicy, 1e-5, "log π");
    iterative.losses.forEach((record, i) => {
      assertClose(record.loss, online.losses[i].loss, 1e-5, "loss");
      assertClose(record.klRoundStartToReference, online.losses[i].klPolicyToReference, 1e-5, "KL", 1);
      assert.equal(record.round, i);
    });
  });

  it("sees every pair of a round once before any twice", async () => {
    const policy = reference.clone();
    let asked = 0;
    const labeller = preferHigher(async (examples) => {
      asked += examples.length / 2;
      return examples.map(worth);
    });
    const records: TrainingRecord[] = [];
    const run = options({ policy, labeller, steps: 6, rounds: 2, promptsPerRound: 8, batchSize: 8 });
    for await (const record of trainIterativeDpo(run)) records.push(record);
    assert.equal(asked, records[0].labels + records[3].labels, "labels are asked once a round");
    assert.deepEqual(
      records.map(({ round }) => round),
      [0, 0, 0, 1, 1, 1],
    );
    const first = Math.LN2 * (1 - records[0].ties); // all 8 pairs in the first step, the policy at the reference
    assertClose(records[0].loss, first, 1e-5, "first step");
    policy.dispose();
  });

  it("divides the steps among the rounds, the last of which gets what is left", async () => {
    const policy = reference.clone();
    const rounds: number[] = [];
    for await (const { round } of trainIterativeDpo(options({ policy, steps: 5, rounds: 3 }))) rounds.push(round);
    assert.deepEqual(rounds, [0, 0, 1, 1, 2]);
    policy.dispose();
  });

  it("takes each step on pairs of its own: two halves of a round are the whole", async () => {
    const losses: number[][] = [];
    let tokens = 0;
    for (const parts of [1, 2]) {
      const policy = world.start(4, 0.4); // not the reference, so that pairs differ in their loss
      const halves = { steps: parts, rounds: 1, promptsPerRound: 8, batchSize: 8 / parts };
      const run = options({ policy, labeller: preferHigher(reward), ...halves, learningRate: 1e-12 });
      losses.push([]);
      for await (const record of trainIterativeDpo(run)) {
        losses[losses.length - 1].push(record.loss);
        tokens = record.tokens;
      }
      policy.dispose();
    }
    const [[whole], [first, second]] = losses;
    assertClose((first + second) / 2, whole, 1e-5, "mean of the halves"); // float32, the policy as good as unmoved
    assert.ok(Math.abs(first - second) > 1e-3, `${first}, ${second}`);
    // In an order of the round's own, and with as many tokens as its steps have on average.
    const policy = world.start(4, 0.4);
    const rng = Random.fromSeed(1).child("step 0");
    const { samples, pairs } = await drawLabelledPairs(options({ policy, labeller: preferHigher(reward) }), 8, rng);
    const order = rng.child("minibatches").shuffle(pairs);
    const halves = [order.slice(0, 4), order.slice(4)].map((some) => ({ samples, pairs: some }));
    const ofReference = await sequenceLogProbs(reference, samples);
    const expected = halves.map((half) => tf.tidy(() => lossOnPairs(policy, half, ofReference, 1).loss.dataSync()[0]));
    policy.dispose();
    assertClose([first, second], expected, 1e-5, "the halves");
    const [of0, of1] = halves.map(labelledPairsTokens);
    assert.notEqual(of0, of1);
    assert.equal(tokens, of0 + of1);
  });

  const trainee =
    (change: Partial<IterativeDpoOptions> = {}) =>
    (): Trainee => {
      const policy = reference.clone();
      return {
        parameters: policy.gpt.parameters,
        stepsPerBatch: 3,
        train: (more) => trainIterativeDpo(options({ ...change, policy, ...more })),
        dispose: () => policy.dispose(),
      };
    };

  it("resumes bit for bit, also from the midst of a round with a moving reference", async () => {
    await assertResumes(trainee(), 2, folder.path("end of round"));
    await assertResumes(trainee({ roundReference: "moving" }), 4, folder.path("midst of round"));
  });

  it("has no option that does nothing", async () => {
    const base = await trained(trainee());
    const other = world.start(4, 0.4);
    for (const change of [
      { beta: 1.2 },
      { rounds: 3 },
      { promptsPerRound: 13 },
      { batchSize: 7 },
      { samplesPerPrompt: 3 },
      { roundReference: "moving" as const },
      { prompts: [[USER, BOT]] },
      { labeller: preferHigher(reward) },
      { reference: other },
    ]) {
      const changed = await trained(trainee(change));
      assert.notDeepEqual(changed.weights, base.weights, `${Object.keys(change)} changed nothing`);
    }
    other.dispose();
    const usual = await trained(trainee({ rounds: undefined }));
    const named = { samplesPerPrompt: 2, roundReference: "fixed" as const, rounds: 3 };
    assert.deepEqual(await trained(trainee(named)), usual, "the defaults are those that the documentation names");
    const measured = await trained(trainee({ measure: (samples) => ({ drawn: samples.length }) }));
    assert.equal(measured.records[0].drawn, 24);
  });

  it("refuses, at the call, what cannot be run", () => {
    const policy = reference.clone();
    const calling = (change: Partial<IterativeDpoOptions>) => () => trainIterativeDpo(options({ policy, ...change }));
    assert.throws(calling({ beta: -1 }), /trainIterativeDpo: expected beta to be a finite number > 0, got -1/);
    assert.throws(calling({ batchSize: 13 }), /batchSize of at most the 12 pairs of a round, got 13/);
    assert.throws(
      calling({ roundReference: "reset" as never }),
      /roundReference to be one of "fixed", "moving", got "reset"/,
    );
    for (const name of ["rounds", "promptsPerRound", "batchSize"]) {
      assert.throws(calling({ [name]: 0 }), new RegExp(`${name} to be an integer ≥ 1, got 0`));
    }
    policy.dispose();
    assert.throws(calling({ policy: reference }), /share their weights/);
  });

  it("uses the pairs by their own KL of the round", async () => {
    // The reported KL is of the policy that drew the round's samples, to π_ref, however the round's reference moves.
    const policy = reference.clone();
    const starts: number[] = [];
    const reported: number[] = [];
    const logReference = normalise(await sequenceLogProbs(reference, examples));
    const run = options({
      policy,
      roundReference: "moving",
      promptsPerRound: 400,
      batchSize: 64,
      steps: 60,
      rounds: 3,
    });
    starts.push(0);
    for await (const record of trainIterativeDpo(run)) {
      if (record.step % 20 === 0) reported.push(record.klRoundStartToReference);
      if (record.step % 20 === 19)
        starts.push(klDivergence(normalise(await sequenceLogProbs(policy, examples)), logReference));
    }
    // 800 samples a round: four standard errors of a log-ratio whose deviation is about 1.
    reported.forEach((kl, i) => assert.ok(Math.abs(kl - starts[i]) < 0.15, `${reported} against ${starts}`));
    policy.dispose();
  });
});
