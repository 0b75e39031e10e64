import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { Gpt } from "../../src/models/gpt";
import { Policy } from "../../src/models/policy";
import type { TrainingRecord } from "../../src/models/training";
import { nextTokenLoss, pretrain, trainSft } from "../../src/objectives/maximum-likelihood";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, PAD, USER } from "../../src/text/vocabulary";
import { referenceGradient, referenceLogits, referenceLogProb } from "../models/reference-gpt";
import { assertResumes, trained, type Trainee } from "../models/resume";
import { temporaryFolder, tinyConfig, tinyGpt, tinyPolicy, weightsOf } from "../models/tiny";
import { assertClose, onEveryBackend } from "./tabular";

const demonstrations: Example[] = [
  { prompt: [USER, 4, BOT], response: [5, EOS] },
  { prompt: [USER, 5, 5, BOT], response: [6, 4, EOS] },
  { prompt: [USER, BOT], response: [4, 4, 4, EOS] }, // of full length: the horizon decrees its <eos>
];

/** Documents over the words 4, 5, 6 that leave something to learn: 4 is followed by 5, 5 by 6, 6 by <eos> or 4. */
const corpus = new Int32Array(200);
const coin = Random.fromSeed(1);
for (let i = 0, token = EOS; i < corpus.length; i++) {
  token = token === EOS ? 4 : token === 4 ? 5 : token === 5 ? 6 : coin.bernoulli(0.5) ? EOS : 4;
  corpus[i] = token;
}

describe("maximum likelihood", () => {
  onEveryBackend(() => {
    it("is the mean of −log p over the counted tokens, by hand", () => {
      const logits = [
        [
          [0, Math.log(3), 0], // probabilities 1/5, 3/5, 1/5
          [Math.log(2), 0, 0], // 1/2, 1/4, 1/4
        ],
        [
          [0, 0, 0], // thirds; the highest is the first
          [9, 0, 0], // not counted
        ],
      ];
      const { loss, metrics } = tf.tidy(() => {
        const made = nextTokenLoss(
          tf.tensor3d(logits),
          tf.tensor2d([1, 2, 0, 1], [2, 2], "int32"),
          tf.tensor2d([1, 1, 1, 0], [2, 2]),
        );
        return {
          loss: made.loss.dataSync()[0],
          metrics: Object.fromEntries(Object.entries(made.metrics).map(([key, m]) => [key, m.dataSync()[0]])),
        };
      });
      const expected = (Math.log(5 / 3) + Math.log(4) + Math.log(3)) / 3;
      assertClose(loss, expected, 1e-6, "loss");
      assert.deepEqual(Object.keys(metrics).sort(), ["accuracy", "perplexity"]);
      assertClose(metrics.perplexity, Math.exp(expected), 1e-6, "perplexity");
      assertClose(metrics.accuracy, 2 / 3, 1e-6, "accuracy");
    });

    it("refuses targets and masks of another shape, which would broadcast", () => {
      const call = (targets: [number, number], mask: [number, number]) => (): void =>
        tf.tidy(() => void nextTokenLoss(tf.zeros([2, 3, 4]), tf.zeros(targets, "int32"), tf.ones(mask)));
      call([2, 3], [2, 3])();
      assert.throws(call([2, 1], [2, 3]), /nextTokenLoss: targets: expected shape \[2, 3\], got \[2, 1\]/);
      assert.throws(call([2, 3], [2, 1]), /nextTokenLoss: mask: expected shape \[2, 3\], got \[2, 1\]/);
    });

    it("in instruction tuning counts the answer with its <eos> and not the prompt: a float64 loss and gradient", async () => {
      const small = { ...tinyConfig, width: 4, layers: 1, heads: 1 };
      const policy = new Policy(tinyGpt(1, small), 4);
      const weights = weightsOf(policy.gpt.parameters);
      // The counted tokens, by their places: of the third answer not the <eos> that the horizon decrees.
      const counted = [
        [0, 1],
        [0, 1, 2],
        [0, 1, 2],
      ];
      const lossOf = (w: ReadonlyMap<string, Float64Array>): number =>
        demonstrations.reduce((sum, { prompt, response }, i) => {
          const logits = referenceLogits(small, w, [...prompt, ...response].slice(0, -1));
          const each = counted[i].map((t) =>
            referenceLogProb(logits[prompt.length - 1 + t], response[t], [PAD, USER, BOT]),
          );
          return sum - each.reduce((a, b) => a + b) / 8;
        }, 0);
      const expected = referenceGradient(weights, lossOf);
      // One step of trainSft on exactly these demonstrations: draws with replacement until each came once.
      let seed = 0;
      const order = (s: number): number[] => {
        const rng = Random.fromSeed(s).child("step 0");
        return Array.from({ length: 3 }, () => rng.integer(3));
      };
      while (new Set(order(seed)).size < 3) seed += 1;
      const options = {
        policy,
        demonstrations,
        batchSize: 3,
        steps: 1,
        learningRate: 1e-9,
        rng: Random.fromSeed(seed),
      };
      let record: TrainingRecord | undefined;
      for await (record of trainSft(options));
      assertClose(record!.loss, lossOf(weights), 1e-5, "loss");
      const norm = Math.sqrt([...expected.values()].reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0));
      assertClose(record!.gradientNorm, norm, 1e-5, "gradient norm");
      assert.equal(record!.tokens, 3 * 7, "the longest demonstration has 7 tokens");
      policy.dispose();
    });

    it("gives the gradient of the loss for every logit: (p − 1[target])/N where counted, 0 elsewhere", () => {
      const rng = Random.fromSeed(2);
      const values = Float32Array.from({ length: 12 }, () => rng.normal());
      const targets = [2, 0, 1, 1];
      const mask = [1, 0, 1, 1];
      const gradient = tf.tidy(() =>
        tf
          .grad(
            (x) =>
              nextTokenLoss(x as tf.Tensor3D, tf.tensor2d(targets, [2, 2], "int32"), tf.tensor2d(mask, [2, 2])).loss,
          )(tf.tensor3d(values, [2, 2, 3]))
          .dataSync(),
      );
      const expected = targets.flatMap((target, i) => {
        const exps = Array.from(values.subarray(3 * i, 3 * i + 3), Math.exp);
        const total = exps.reduce((a, b) => a + b);
        return exps.map((e, v) => (mask[i] * (e / total - (v === target ? 1 : 0))) / 3);
      });
      assertClose(gradient, expected, 1e-6, "gradient");
    });
  });

  describe("training", () => {
    before(async () => {
      await chooseBackend({ backend: "wasm" });
    });
    const folder = temporaryFolder();
    const rng = Random.fromSeed(1);

    const pretraining =
      (change: object = {}) =>
      (): Trainee => {
        const gpt = tinyGpt(1, tinyConfig, 0.02);
        const options = { gpt, corpus, batchSize: 4, windowLength: 6, steps: 6, learningRate: 0.01, rng, ...change };
        return {
          parameters: gpt.parameters,
          train: (more) => pretrain({ ...options, ...more }),
          dispose: () => gpt.dispose(),
        };
      };
    const tuning =
      (change: object = {}) =>
      (): Trainee => {
        const policy = tinyPolicy(1, 0.02);
        const options = { policy, demonstrations, batchSize: 3, steps: 6, learningRate: 0.01, rng, ...change };
        return {
          parameters: policy.gpt.parameters,
          train: (more) => trainSft({ ...options, ...more }),
          dispose: () => policy.dispose(),
        };
      };

    it("pre-training resumes bit for bit", () => assertResumes(pretraining(), 2, folder.path("pretraining")));
    it("SFT resumes bit for bit", () => assertResumes(tuning(), 2, folder.path("sft")));

    it("pre-training counts every token of random windows", async () => {
      const { records } = await trained(pretraining());
      assert.deepEqual(
        records.map(({ tokens }) => tokens),
        [24, 48, 72, 96, 120, 144],
      );
      // The first loss again, from the windows that the seed draws.
      const gpt = tinyGpt(1, tinyConfig, 0.02);
      const draws = rng.child("step 0");
      let sum = 0;
      for (let row = 0; row < 4; row++) {
        const start = draws.integer(corpus.length - 6);
        const window = [...corpus.subarray(start, start + 7)];
        const logits = referenceLogits(tinyConfig, weightsOf(gpt.parameters), window.slice(0, -1));
        logits.forEach((row, t) => (sum -= referenceLogProb(row, window[t + 1])));
      }
      assertClose(records[0].loss, sum / 24, 1e-5, "first loss");
      gpt.dispose();
    });

    it("has no option that does nothing", async () => {
      const [base, tuned] = [await trained(pretraining()), await trained(tuning())];
      for (const change of [{ batchSize: 5 }, { windowLength: 5 }, { corpus: corpus.subarray(10) }]) {
        assert.notDeepEqual((await trained(pretraining(change))).weights, base.weights, Object.keys(change)[0]);
      }
      for (const change of [{ batchSize: 4 }, { demonstrations: demonstrations.slice(1) }]) {
        assert.notDeepEqual((await trained(tuning(change))).weights, tuned.weights, Object.keys(change)[0]);
      }
    });

    it("refuses the checkpoint of a run with another batch or other data", async () => {
      for (const [make, changes] of [
        [pretraining, [{ batchSize: 5 }, { windowLength: 5 }, { corpus: corpus.subarray(10) }]],
        [tuning, [{ batchSize: 4 }, { demonstrations: demonstrations.slice(1) }]],
      ] as const) {
        const checkpointFolder = folder.path(`other ${make === tuning}`);
        const first = make()();
        for await (const _record of first.train({ checkpointFolder })) break;
        first.dispose();
        for (const change of changes) {
          const other = make(change)();
          await assert.rejects(
            async () => {
              for await (const _record of other.train({ checkpointFolder }));
            },
            new RegExp(`belongs to another run: ${Object.keys(change)[0]} was`),
          );
          other.dispose();
        }
      }
    });

    it("finds the entropy of a corpus whose tokens are independent", async () => {
      // Three words with shares ½, ¼, ¼ and nothing to be known from context: at best entropy 1.5·log 2, plus nothing.
      const draws = Random.fromSeed(3);
      const independent = Int32Array.from({ length: 4000 }, () => [4, 5, 6][draws.weighted([2, 1, 1])]);
      const shares = [4, 5, 6].map((word) => independent.filter((token) => token === word).length / 4000);
      const entropy = -shares.reduce((sum, share) => sum + share * Math.log(share), 0);
      const gpt = Gpt.initialise({ ...tinyConfig, layers: 1 }, Random.fromSeed(4));
      const losses: number[] = [];
      for await (const { loss } of pretrain({
        gpt,
        corpus: independent,
        batchSize: 16,
        windowLength: 8,
        steps: 120,
        learningRate: 0.02,
        schedule: "cosine",
        rng,
      })) {
        losses.push(loss);
      }
      gpt.dispose();
      assertClose(losses[0], Math.log(7), 0.03, "at first nothing is known", 1);
      const last = losses.slice(-40).reduce((a, b) => a + b) / 40;
      // 40 batches of 128 tokens: −log p has deviation .35, so the mean .005; four of these, and .02 left to learn.
      assert.ok(last > entropy - 0.02 && last < entropy + 0.04, `${last}, entropy ${entropy}`);
    });

    it("learns demonstrations by heart where they say one thing each", async () => {
      const policy = new Policy(Gpt.initialise(tinyConfig, Random.fromSeed(5)), 4);
      const last: TrainingRecord[] = [];
      for await (const record of trainSft({
        policy,
        demonstrations,
        batchSize: 6,
        steps: 60,
        learningRate: 0.02,
        rng,
      })) {
        last[0] = record;
      }
      policy.dispose();
      assert.ok(last[0].loss < 0.05, `loss ${last[0].loss}`);
      assert.equal(last[0].accuracy, 1);
    });

    it("stops with the step when the learning rate is out of all bounds", async () => {
      const gpt = tinyGpt(1);
      const options = { gpt, corpus, batchSize: 2, windowLength: 4, steps: 20, learningRate: 1e30, rng };
      await assert.rejects(async () => {
        for await (const _record of pretrain(options));
      }, /pre-training: not finite at step [1-9]\d*: loss .*learning rate 1e\+30/);
      gpt.dispose();
    });

    it("refuses, at the call, data that cannot be trained on", () => {
      const gpt = tinyGpt(1);
      const policy = new Policy(gpt, 4);
      const common = { batchSize: 2, steps: 1, learningRate: 0.1, rng };
      const onCorpus =
        (tokens: number[], windowLength = 4) =>
        () =>
          pretrain({ ...common, gpt, corpus: Int32Array.from(tokens), windowLength });
      assert.throws(onCorpus([1, 2, 3, 4]), /corpus has 4 tokens, a window needs 5/);
      assert.throws(onCorpus([1, 2, 3, 4, 7]), /corpus: token 4 is 7/);
      assert.throws(onCorpus([1, 2, 3, 4, 0]), /corpus: token 4 is 0/);
      assert.throws(onCorpus([1, 2, 3, 4, 5], 0), /windowLength to be an integer ≥ 1, got 0/);
      assert.throws(
        () => pretrain({ ...common, gpt, corpus, windowLength: 4, batchSize: 0 }),
        /batchSize to be an integer ≥ 1/,
      );
      const onDemonstrations = (examples: Example[]) => () => trainSft({ ...common, policy, demonstrations: examples });
      assert.throws(onDemonstrations([]), /demonstrations to be a list of at least one demonstration/);
      const long = { prompt: [USER, BOT], response: [4, 4, 4, 4, EOS] };
      assert.throws(onDemonstrations([demonstrations[0], long]), /response 1 has 5 tokens/);
      gpt.dispose();
    });
  });
});
