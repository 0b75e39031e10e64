import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { evaluateAdvice } from "../../src/evaluation/advice";
import { sequenceLogProbs } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import { Course, type PathAsked } from "../../src/course/course";
import type { Stage } from "../../src/course/stage";
import type { PathPoint } from "../../src/course/path-point";
import { testPrompts } from "../../src/world/prompts";
import { inOwnStore, smallCourse } from "./small-course";

const sizes = smallCourse;
const course = (): Course => new Course(1, sizes);
const short = { steps: 5, learningRate: 1e-3 };

describe("a method's path", () => {
  const store = inOwnStore("policy-path");

  it("begins at the reference, measures as it goes and at the end, and counts what it spends", async () => {
    const models = course();
    const stage = models.path("policyGradient", { beta: 0.1, ...short }, { every: 2, answers: 2 });
    const points = await stage.result();
    assert.deepEqual(
      points.map(({ step }) => step),
      [0, 2, 4, 5],
    );
    const [first, ...rest] = points;
    // The policy is a copy of the reference: the same float32 numbers, so the same log-probabilities.
    assert.equal(first.klPolicyToReference, 0);
    assert.equal(first.heldOutAccuracy, 0.5);
    assert.equal(first.sampledTokens + first.trainedTokens + first.processorSeconds, 0);
    // The trainer's own records tell the length of the responses it drew: as many tokens were sampled.
    const perStep = sizes.online.promptsPerStep * sizes.online.samplesPerPrompt;
    const records: TrainingRecord[] = [];
    for await (const record of stage) records.push(record);
    rest.forEach((point) => {
      const sampled = records.slice(0, point.step).reduce((sum, { length }) => sum + perStep * length, 0);
      assert.ok(Math.abs(point.sampledTokens - sampled) < 1e-6, `${point.sampledTokens}, not ${sampled}`);
      assert.equal(point.trainedTokens, records[point.step - 1].tokens);
      assert.ok(point.processorSeconds > 0);
    });
    assert.notEqual(rest[0].klPolicyToReference, 0);
  });

  it("is the training of the method's own stage, reward and all", async () => {
    const models = course();
    const measured: TrainingRecord[] = [];
    for await (const record of models.path("policyGradient", { beta: 0.1, ...short }, { every: 5, answers: 1 }))
      measured.push(record);
    const plain: TrainingRecord[] = [];
    for await (const record of models.aligned("policyGradient", { beta: 0.1, ...short })) plain.push(record);
    assert.deepEqual(measured, plain, "measuring changes nothing of the training");
  });

  it("measures the policy as it then is: its answers, and on held-out pairs what it has raised", async () => {
    const models = course();
    const asked = { beta: 0.1, steps: 3, learningRate: 0.01, pairs: 10 };
    const points = await models.path("policyGradient", asked, { every: 3, answers: 2 }).result();
    const end = points[points.length - 1];
    const [reference, policy] = [await models.sft().result(), await models.aligned("policyGradient", asked).result()];
    const { metrics, answers } = await evaluateAdvice({
      ...{ policy, reference, reward: models.proxy({ pairs: 10 }), vocabulary: models.vocabulary },
      ...{ prompts: testPrompts(), samplesPerPrompt: 2, rng: models.rng.child("path") },
    });
    for (const name of [
      "klPolicyToReference",
      "proxy",
      "gold",
      "harmRate",
      "junk",
      "length",
      "distinctAdvice",
    ] as const) {
      assert.equal(end[name], metrics[name], name);
    }
    const tokens = answers.reduce((sum, { example }) => sum + example.response.length, 0);
    assert.ok(Math.abs(end.tokensPerAnswer - tokens / answers.length) < 1e-12, "<eos> is a token that is sampled");
    let right = 0;
    const { validation } = await models.preferences().result();
    for (const pair of validation) {
      const sides = Object.values(models.preferencePair(pair)); // chosen, rejected
      const [now, before] = [await sequenceLogProbs(policy, sides), await sequenceLogProbs(reference, sides)];
      const [chosen, rejected] = [now[0] - before[0], now[1] - before[1]];
      right += chosen > rejected ? 1 : chosen < rejected ? 0 : 0.5;
    }
    assert.equal(validation.length, sizes.validation);
    assert.ok(Math.abs(end.heldOutAccuracy! - right / validation.length) < 1e-12);
    assert.notEqual(end.heldOutAccuracy, 0.5, "the case must tell chosen from rejected");
  });

  it("gives a method that learns from pairs as many of them as it was asked for", async () => {
    const dpo = { beta: 0.1, steps: 2, batchSize: 5, learningRate: 1e-3 };
    const records = async (stage: AsyncIterable<TrainingRecord>): Promise<TrainingRecord[]> => {
      const all: TrainingRecord[] = [];
      for await (const record of stage) all.push(record);
      return all;
    };
    const few = await records(course().path("dpo", { ...dpo, pairs: 6 }, { every: 2, answers: 1 }));
    assert.deepEqual(few, await records(new Course(1, { ...sizes, rewardPairs: 6 }).aligned("dpo", dpo)));
    assert.notDeepEqual(few, await records(course().path("dpo", dpo, { every: 2, answers: 1 })));
  });

  it("stops at the KL it was asked for", async () => {
    const models = course();
    const whole = await models.path("policyGradient", { beta: 0, ...short }, { every: 1, answers: 2 }).result();
    const target = Math.max(...whole.slice(0, 4).map(({ klPolicyToReference }) => klPolicyToReference)) / 2;
    const crossing = whole.findIndex(({ klPolicyToReference }) => klPolicyToReference >= target);
    const part = await models
      .path("policyGradient", { beta: 0, ...short }, { every: 1, until: target, answers: 2 })
      .result();
    const what = (points: PathPoint[]) => points.map(({ processorSeconds: _, ...rest }) => rest);
    assert.deepEqual(what(part), what(whole.slice(0, crossing + 1)));
  });

  // PPO takes four steps on a batch here, and draws it again when it was stopped among them: from step 4 on.
  const ppo = { beta: 0.1, steps: 7, epochs: 2, minibatches: 2 };
  type Path = Stage<TrainingRecord, PathPoint[]>;
  const cases: [string, (asked: PathAsked) => Path, number, number[]][] = [
    ["policy gradient", (asked) => course().path("policyGradient", { beta: 0.1, ...short }, asked), 2, [1, 2]],
    ["PPO", (asked) => course().path("ppo", ppo, asked), 3, [5]],
  ];
  for (const [method, make, every, stops] of cases) {
    it(`goes on where it was stopped, with the same numbers: ${method}`, async () => {
      const again = (): Path => make({ every, answers: 2, members: 2 });
      const whole = await again().result();
      const artifact = `${again().name}-${again().hash.slice(0, 16)}`;
      const work = path.join(store.folder, "work", artifact, "trainer");
      rmSync(path.join(store.folder, artifact), { recursive: true });
      for (const stop of stops) {
        for await (const { step } of again()) if (step === stop) break;
        assert.ok(existsSync(path.join(work, "training.safetensors")), "it must go on, and not begin anew");
      }
      const counted = readFileSync(path.join(work, "counts.jsonl"), "utf8").trim().split("\n");
      const { processorSeconds } = JSON.parse(counted[counted.length - 1]) as PathPoint;
      const resumed = await again().result();
      const what = (points: PathPoint[]) => points.map(({ processorSeconds: _, ...rest }) => rest);
      assert.deepEqual(what(resumed), what(whole));
      if (method !== "PPO") assert.ok(resumed[2].processorSeconds > processorSeconds, "the third step is paid for too");
    });
  }

  it("goes on from an older checkpoint, as after a process that was killed", async () => {
    const again = (): Stage<TrainingRecord, PathPoint[]> =>
      course().path("policyGradient", { beta: 0.3, ...short }, { every: 1, answers: 2 });
    const whole = await again().result();
    const artifact = `${again().name}-${again().hash.slice(0, 16)}`;
    const checkpoint = path.join(store.folder, "work", artifact, "trainer", "training.safetensors");
    rmSync(path.join(store.folder, artifact), { recursive: true });
    for await (const { step } of again()) if (step === 1) break;
    const older = readFileSync(checkpoint);
    for await (const { step } of again()) if (step === 3) break;
    writeFileSync(checkpoint, older);
    const resumed = await again().result();
    const what = (points: PathPoint[]) => points.map(({ processorSeconds: _, ...rest }) => rest);
    assert.deepEqual(what(resumed), what(whole), "what was measured beyond the checkpoint is measured again");
  });

  it("asks an ensemble, which optimises what it is told to", async () => {
    const models = course();
    const path = (rule?: "worst" | "penalised") =>
      models
        .path("policyGradient", { beta: 0, ...short }, { every: 5, answers: 2, members: 3, ...(rule && { rule }) })
        .result();
    const [first, worst, penalised] = [await path(), await path("worst"), await path("penalised")];
    // One policy, the reference, asked the same.
    assert.equal(first[0].disagreement, worst[0].disagreement);
    assert.equal(first[0].otherMembers, worst[0].otherMembers);
    assert.ok(worst[0].proxy < first[0].proxy);
    const mean = (first[0].proxy + 2 * first[0].otherMembers!) / 3;
    // Float32 scores of size one, averaged in double precision.
    assert.ok(Math.abs(penalised[0].proxy - (mean - first[0].disagreement!)) < 1e-5, "mean − 1 · deviation");
    assert.notEqual(worst[1].klPolicyToReference, first[1].klPolicyToReference, "another reward, another policy");
  });

  it("refuses what makes no sense, and leaves no tensors behind", async () => {
    const models = course();
    assert.throws(() => models.path("sft" as never, {} as never, { every: 1 }), /no method is called "sft"/);
    assert.throws(
      () => models.path("policyGradient", { beta: 0, ...short }, { every: 0 }),
      /every to be an integer ≥ 1, got 0/,
    );
    assert.throws(
      () => models.path("policyGradient", { beta: 0, ...short }, { every: 1, until: 0 }),
      /path: expected until to be a number > 0, or Infinity, got 0/,
    );
    assert.throws(
      () => models.path("policyGradient", { beta: 0, ...short }, { every: 1, members: 1, rule: "mean" }),
      /at least two members/,
    );
    await models.sft().result();
    await models.rewardModel().result();
    const tensors = tf.memory().numTensors;
    await models.path("policyGradient", { beta: 0.2, ...short }, { every: 3, answers: 1 }).result();
    assert.equal(tf.memory().numTensors, tensors);
  });
});
