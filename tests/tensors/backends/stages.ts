import * as tf from "@tensorflow/tfjs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { EnumeratedPolicy } from "../../../src/models/enumerated-policy";
import { sample, type Sample } from "../../../src/models/generation";
import type { GptConfig } from "../../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../../src/models/policy";
import { ScalarModel } from "../../../src/models/scalar-head";
import type { TrainingRecord } from "../../../src/models/training";
import { fitEnumerated, maximiseEnumerated } from "../../../src/objectives/enumerated";
import { pretrain, trainSft } from "../../../src/objectives/maximum-likelihood";
import { trainPolicyGradient } from "../../../src/objectives/reward-maximisation/policy-gradient";
import { trainRewardModel } from "../../../src/rewards/reward-model";
import { Random } from "../../../src/tensors/random";
import type { Example } from "../../../src/text/dialogue";
import { BOT, EOS, USER } from "../../../src/text/vocabulary";
import { tinyGpt } from "../../models/tiny";

/** What a stage did on a backend, as plain data that can be compared with what it did on another. */
export interface StageReport {
  /** Lists of numbers by name: each metric over the steps, and what the trained model computes afterwards. */
  numbers: Record<string, number[]>;
  /** How often values were read back from the backend, for each step (for generation: in all). */
  readBacks: number[];
  /** How often that may be: the one report a step, the logits of each position, the other models' scores. */
  allowed: number[];
  /** Tensors that the stage left behind. */
  leaked: number;
}

// Three heads of width 8, batches of 5: nothing is a multiple of what a kernel may be blocked by.
const config: GptConfig = { vocabularySize: 23, context: 14, width: 24, layers: 2, heads: 3 };
const limit = 6;
const steps = 3;
const common = { steps, learningRate: 5e-3, warmUp: 1, weightDecay: 0.1 };
const words = Array.from({ length: config.vocabularySize - 4 }, (_, i) => i + 4);

function answer(rng: Random): number[] {
  return [...Array.from({ length: rng.integer(limit - 1) }, () => rng.choose(words)), EOS];
}

function question(rng: Random): number[] {
  return [USER, ...Array.from({ length: 1 + rng.integer(4) }, () => rng.choose(words)), BOT];
}

const draws = Random.fromSeed(31);
const examples = Array.from({ length: 12 }, (): Example => ({ prompt: question(draws), response: answer(draws) }));
const prompts = examples.slice(0, 7).map(({ prompt }) => prompt);
const corpus = Int32Array.from({ length: 90 }, () => draws.choose([EOS, ...words]));
const policyOf = (seed: number): Policy => new Policy(tinyGpt(seed, config, 0.2), limit);

/** Every training stage of the course and generation, at a size that a software GPU computes in seconds. */
export const stages: Readonly<Record<string, () => Promise<StageReport>>> = {
  "pre-training": () =>
    withPolicy(5, async (policy) => {
      const rng = Random.fromSeed(41);
      return trained(pretrain({ gpt: policy.gpt, corpus, batchSize: 5, windowLength: 11, rng, ...common }), {
        logProbs: () => sequenceLogProbs(policy, examples),
      });
    }),

  "pre-training, stopped and taken up again": () =>
    withPolicy(5, async (policy) => {
      const checkpointFolder = mkdtempSync(path.join(tmpdir(), "backends-"));
      const options = { gpt: policy.gpt, corpus, batchSize: 5, windowLength: 11, ...common, checkpointFolder };
      try {
        for await (const { step } of pretrain({ ...options, rng: Random.fromSeed(41) })) if (step === 0) break;
        return await trained(pretrain({ ...options, rng: Random.fromSeed(41) }), {
          logProbs: () => sequenceLogProbs(policy, examples),
        });
      } finally {
        rmSync(checkpointFolder, { recursive: true });
      }
    }),

  "supervised fine-tuning": () =>
    withPolicy(6, async (policy) => {
      const rng = Random.fromSeed(42);
      return trained(trainSft({ policy, demonstrations: examples, batchSize: 5, rng, ...common }), {
        logProbs: () => sequenceLogProbs(policy, examples),
      });
    }),

  "reward model": () =>
    withPolicy(7, async (policy) => {
      const model = ScalarModel.fromTrunk(policy.gpt, Random.fromSeed(8));
      const pairs = Array.from({ length: 6 }, (_, i) => {
        const { prompt, response } = examples[i];
        return {
          chosen: { prompt, response },
          rejected: { prompt, response: examples[i + 6].response },
          margin: i / 10,
        };
      });
      try {
        const rng = Random.fromSeed(43);
        const options = { model, pairs, batchSize: 5, assumedFlipRate: 0.1, centring: 0.01, rng, ...common };
        return await trained(trainRewardModel(options), { scores: () => model.score(examples) });
      } finally {
        model.dispose();
      }
    }),

  "policy gradient": () =>
    withPolicy(9, async (policy) => {
      const reference = policyOf(10);
      const positions: number[] = [];
      try {
        const records = trainPolicyGradient({
          policy,
          reference,
          prompts,
          beta: 0.1,
          promptsPerStep: 3,
          samplesPerPrompt: 2,
          reward: async (asked) => asked.map(({ response }) => response.filter((token) => token % 2 === 0).length),
          measure: (samples) => {
            positions.push(positionsOf(samples));
            return { last: samples.reduce((sum, { response }) => sum + response[0], 0) };
          },
          rng: Random.fromSeed(44),
          ...common,
        });
        const report = await trained(records, { logProbs: () => sequenceLogProbs(policy, examples) });
        // The logits of each position, the reference's log-probabilities, the report.
        return { ...report, allowed: positions.map((count) => count + 2) };
      } finally {
        reference.dispose();
      }
    }),

  "enumerated policy, maximum likelihood": () =>
    withEnumerated(async (policy) => {
      const demonstrations = [3, 17, 17, 40, 63];
      const rng = Random.fromSeed(45);
      return trained(fitEnumerated({ policy, demonstrations, batchSize: 8, rng, ...common }), {
        logProbs: () => policy.logProbabilities(),
      });
    }),

  "enumerated policy, exact gradient": () => maximised(undefined, 1),
  // The probabilities to draw from are read, then the report.
  "enumerated policy, sampled gradient": () => maximised(6, 2),

  generation: () =>
    withPolicy(11, async (policy) => {
      const count = countReadBacks();
      const samples = await sample(policy, prompts, { rng: Random.fromSeed(46) });
      const readBacks = [count.stop()];
      const greedy = await sample(policy, prompts, { rng: Random.fromSeed(47), temperature: 0 });
      const nucleus = await sample(policy, prompts, { rng: Random.fromSeed(48), temperature: 1.5, topK: 9, topP: 0.8 });
      const scores = await sequenceLogProbs(policy, samples);
      return {
        numbers: {
          tokens: [...samples, ...greedy, ...nucleus].flatMap(({ response }) => response),
          logProbs: [...samples, ...nucleus].flatMap(({ logProbs }) => logProbs),
          // Sampling and scoring go different ways through the model.
          scores: [...scores],
          sums: samples.map(({ logProbs }) => logProbs.reduce((a, b) => a + b, 0)),
        },
        readBacks,
        allowed: [positionsOf(samples)],
      };
    }),
};

/** Positions at which some row of a batch still had a token to choose. */
function positionsOf(samples: readonly Sample[]): number {
  return Math.min(limit - 1, Math.max(...samples.map(({ response }) => response.length)));
}

type Counted = Omit<StageReport, "leaked">;

async function withPolicy(seed: number, stage: (policy: Policy) => Promise<Counted>): Promise<StageReport> {
  const before = tf.memory().numTensors;
  const policy = policyOf(seed);
  const report = await stage(policy).finally(() => policy.dispose());
  return { ...report, leaked: tf.memory().numTensors - before };
}

async function withEnumerated(stage: (policy: EnumeratedPolicy) => Promise<Counted>): Promise<StageReport> {
  const before = tf.memory().numTensors;
  const slots = [0, 1, 2].map((slot) => [4, 5, 6, 7].map((word) => word + 4 * slot));
  const policy = EnumeratedPolicy.initialise({ vocabularySize: 17, slots, width: 12, heads: 3 }, Random.fromSeed(12));
  const report = await stage(policy).finally(() => policy.dispose());
  return { ...report, leaked: tf.memory().numTensors - before };
}

function maximised(samples: number | undefined, reads: number): Promise<StageReport> {
  return withEnumerated(async (policy) => {
    const logReference = (await policy.logProbabilities()).map((x, y) => x + 0.1 * Math.sin(y));
    const rewards = Float64Array.from({ length: policy.size }, (_, y) => Math.cos(y));
    const rng = Random.fromSeed(49);
    const records = maximiseEnumerated({ policy, logReference, rewards, beta: 0.2, samples, rng, ...common });
    const report = await trained(records, { logProbs: () => policy.logProbabilities() });
    return { ...report, allowed: report.allowed.map(() => reads) };
  });
}

/** Runs a trainer to its end: its records by metric, what is asked of the model afterwards, the read-backs of each step. */
async function trained(
  records: AsyncGenerator<TrainingRecord>,
  afterwards: Record<string, () => Promise<ArrayLike<number>>>,
): Promise<Counted> {
  const numbers: Record<string, number[]> = {};
  const readBacks: number[] = [];
  for (;;) {
    const count = countReadBacks();
    const { value, done } = await records.next();
    const times = count.stop();
    if (done) break;
    readBacks.push(times);
    for (const [name, number] of Object.entries(value as TrainingRecord)) (numbers[name] ??= []).push(number);
  }
  for (const [name, values] of Object.entries(afterwards)) numbers[`${name} afterwards`] = Array.from(await values());
  return { numbers, readBacks, allowed: readBacks.map(() => 1) };
}

/** Counts what is read from the backend, by whomever: a tensor's `data`, or a kernel that computes on the processor. */
export function countReadBacks(): { stop(): number } {
  const backend = tf.backend() as unknown as Record<"read" | "readSync", (id: object) => unknown>;
  const before = { read: backend.read, readSync: backend.readSync };
  let count = 0;
  let depth = 0; // some backends' `read` is their `readSync`
  for (const name of ["read", "readSync"] as const) {
    backend[name] = (id) => {
      if (depth === 0) count += 1;
      depth += 1;
      try {
        return before[name].call(backend, id);
      } finally {
        depth -= 1;
      }
    };
  }
  return {
    stop() {
      Object.assign(backend, before);
      return count;
    },
  };
}
