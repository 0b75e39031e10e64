import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import path from "node:path";
import * as tf from "@tensorflow/tfjs";
import { download } from "../../src/models/checkpoint";
import { sample } from "../../src/models/generation";
import type { Gpt, GptConfig } from "../../src/models/gpt";
import { Policy, responseLogProbs, scoringTensors } from "../../src/models/policy";
import { ScalarModel } from "../../src/models/scalar-head";
import { train } from "../../src/models/training";
import { nextTokenLoss } from "../../src/objectives/maximum-likelihood";
import { klShapedReturns, leaveOneOutAdvantages } from "../../src/objectives/returns";
import { policyGradientLoss } from "../../src/objectives/reward-maximisation/policy-gradient";
import { bradleyTerryLoss } from "../../src/rewards/bradley-terry";
import type { Parameters } from "../../src/tensors/adamw";
import { chooseBackend } from "../../src/tensors/backend";
import type { Loss } from "../../src/tensors/loss";
import { Random } from "../../src/tensors/random";
import { readSafetensors, writeSafetensors } from "../../src/tensors/safetensors";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { repositoryRoot } from "../../src/course/paths";
import { temporaryFolder, tinyGpt } from "../models/tiny";

/**
 * The benchmark's PyTorch contender computes what ours does: same weights and tokens, same loss, gradient, optimiser and
 * greedy answers. Without it a ratio of times would say nothing.
 */

const python = process.env.WORKBOOK_PYTHON || "python3";
const config: GptConfig = { vocabularySize: 23, context: 16, width: 16, layers: 2, heads: 4 };
const limit = 7;
const training = { learningRate: 1e-2, weightDecay: 0.1, steps: 4 };

describe("the PyTorch peer", () => {
  const folder = temporaryFolder();
  let gpt: Gpt;

  before(async function () {
    const found = spawnSync(python, ["-c", "import torch"], { encoding: "utf8" });
    if (found.status !== 0) {
      const why = found.error?.message ?? found.stderr.trim().split("\n").pop();
      console.log(`      skipped: ${python} has no PyTorch (${why}); name one that has in WORKBOOK_PYTHON`);
      this.skip();
    }
    await chooseBackend({ backend: "wasm" });
    gpt = tinyGpt(3, config, 0.3);
    await store("weights", gpt.parameters);
  });
  after(() => gpt?.dispose());

  const store = async (name: string, parameters: Parameters): Promise<void> =>
    writeSafetensors(folder.path(name), await download(parameters));

  /** Both sides' loss, gradient, and losses of a few steps on the same data. */
  async function compare(
    parameters: Parameters,
    loss: () => Loss,
    request: { kind: string; weights?: string; [option: string]: unknown },
  ): Promise<void> {
    const theirs = peer({
      model: config,
      weights: folder.path("weights"),
      gradients: folder.path("gradients"),
      responseLimit: limit,
      ...training,
      ...request,
    }) as { loss: number; losses: number[] };
    const { value, grads } = tf.variableGrads(() => loss().loss, [...parameters.values()]);
    // Float32 on both sides, summed in other orders: some 1e-6 of the largest entry; 2e-5 leaves room for other processors.
    close(value.dataSync()[0], theirs.loss, 2e-5, "loss");
    const { tensors } = await readSafetensors(folder.path("gradients"));
    assert.deepEqual([...tensors.keys()].sort(), [...parameters.keys()].sort());
    let [worst, largest] = [0, 0];
    for (const [name, parameter] of parameters) {
      const [ours, { shape, values }] = [grads[parameter.name], tensors.get(name)!];
      assert.deepEqual(shape, ours.shape, name);
      ours.dataSync().forEach((one, i) => {
        worst = Math.max(worst, Math.abs(one - values[i]));
        largest = Math.max(largest, Math.abs(one));
      });
    }
    assert.ok(largest > 1e-3, `the gradient is ${largest}: nothing is compared`);
    assert.ok(worst < 2e-5 * largest, `gradients differ by ${worst} of ${largest}`);
    tf.dispose([value, ...Object.values(grads)]);
    const objective = {
      name: "the peer's",
      parameters,
      batch: async () => undefined,
      loss,
      measure: () => ({ tokens: 0 }),
    };
    const losses: number[] = [];
    for await (const record of train(objective, { ...training, rng: Random.fromSeed(1) })) losses.push(record.loss);
    // Adam divides by the gradient's size, so that rounding grows where a gradient is nearly 0: 1e-3 a step at most.
    losses.forEach((one, step) => close(one, theirs.losses[step], 2e-4, `loss at step ${step}`));
    assert.ok(Math.abs(losses[3] - losses[0]) > 0.02 * Math.abs(losses[0]), `no step was taken: ${losses}`);
  }

  it("has the loss, gradient and steps of pre-training", async () => {
    const rng = Random.fromSeed(1);
    const rows = (): number[][] =>
      Array.from({ length: 3 }, () => Array.from({ length: 9 }, () => 1 + rng.integer(config.vocabularySize - 1)));
    const [inputs, targets] = [rows(), rows()];
    const copy = gpt.clone();
    const loss = (): Loss =>
      nextTokenLoss(
        copy.logits(tf.tensor2d(inputs, undefined, "int32")),
        tf.tensor2d(targets, undefined, "int32"),
        tf.ones([3, 9]),
      );
    await compare(copy.parameters, loss, { kind: "pre-training", inputs, targets });
    copy.dispose();
  });

  const prompts = [
    [USER, 4, BOT],
    [USER, 9, 6, 7, BOT],
  ];
  // One beginning, one that ended itself, one ended by decree; two to each prompt.
  const examples: Example[] = [
    { prompt: prompts[0], response: [8, 5, EOS] },
    { prompt: prompts[0], response: [10, 11, 12, 13, 14, 15, EOS] },
    { prompt: prompts[1], response: [20] },
    { prompt: prompts[1], response: [21, 22, 4, 4, EOS] },
  ];

  it("has those of SFT", async () => {
    const policy = new Policy(gpt.clone(), limit);
    const loss = (): Loss => {
      const { inputs, targets, mask } = scoringTensors(policy, examples);
      return nextTokenLoss(policy.logits(inputs), targets, mask);
    };
    await compare(policy.gpt.parameters, loss, { kind: "SFT", examples });
    policy.dispose();
  });

  it("has those of the reward model", async () => {
    const model = ScalarModel.fromTrunk(gpt, Random.fromSeed(4));
    await store("scalar", model.parameters);
    const pairs = [0, 2].map((i) => ({ chosen: examples[i], rejected: examples[i + 1] }));
    const loss = (): Loss => {
      const scores = model.scores([...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]);
      return bradleyTerryLoss({ chosen: scores.slice(0, 2), rejected: scores.slice(2, 2) });
    };
    await compare(model.parameters, loss, { kind: "reward model", pairs, weights: folder.path("scalar") });
    model.dispose();
  });

  it("has those of the policy gradient", async () => {
    const policy = new Policy(gpt.clone(), limit);
    const reference = new Policy(tinyGpt(9, config, 0.3), limit);
    await store("reference", reference.gpt.parameters);
    const [rewards, beta, group] = [[1, -0.5, 0.25, 3], 0.3, 2];
    const loss = (): Loss => {
      const { logProbs, mask } = responseLogProbs(policy, examples);
      const referenceLogProbs = responseLogProbs(reference, examples).logProbs;
      const shaped = {
        rewards: tf.tensor1d(rewards),
        logProbs,
        referenceLogProbs,
        mask,
        beta,
        estimator: "k1" as const,
      };
      const advantages = leaveOneOutAdvantages(klShapedReturns(shaped), group);
      return policyGradientLoss({ logProbs, mask, advantages, normaliser: 10 * examples.length });
    };
    const request = { kind: "policy gradient", examples, rewards, beta, group, reference: folder.path("reference") };
    await compare(policy.gpt.parameters, loss, request);
    policy.dispose();
    reference.dispose();
  });

  it("writes the same greedy answers, to prompts of several lengths", async () => {
    const rng = Random.fromSeed(8);
    // Three words and <eos>: some answers end early.
    const model = { ...config, vocabularySize: 7 };
    const small = tinyGpt(8, model, 0.6);
    await store("small", small.parameters);
    const asked = Array.from({ length: 12 }, (_, i) => [
      USER,
      ...Array.from({ length: 1 + (i % 5) }, () => 4 + rng.integer(3)),
      BOT,
    ]);
    const ours = await sample(new Policy(small, limit), asked, { rng, temperature: 0 });
    const request = { kind: "generation", model, weights: folder.path("small"), prompts: asked, responseLimit: limit };
    const { responses } = peer(request) as { responses: number[][] };
    assert.deepEqual(
      responses,
      ours.map(({ response }) => response),
    );
    assert.ok(new Set(responses.map(String)).size > 4, `the answers are too alike: ${JSON.stringify(responses)}`);
    assert.ok(new Set(responses.map(({ length }) => length)).size > 1, "all answers are of one length");
    small.dispose();
  });
});

function peer(request: object): object {
  const program = path.join(repositoryRoot, "tests/peers/pytorch-bench.py");
  const input = `${JSON.stringify({ do: "check", ...request })}\n`;
  const { stdout, stderr } = spawnSync(python, [program], { input, encoding: "utf8" });
  assert.notEqual(stdout, "", stderr);
  const answer = JSON.parse(stdout) as { error?: string };
  assert.equal(answer.error, undefined);
  return answer;
}

function close(actual: number, expected: number, tolerance: number, what: string): void {
  const scale = Math.max(Math.abs(expected), 1e-2);
  assert.ok(Math.abs(actual - expected) <= tolerance * scale, `${what}: ${actual}, expected ${expected}`);
}
