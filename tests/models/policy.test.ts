import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { KvCache } from "../../src/models/kv-cache";
import { draw, sample } from "../../src/models/generation";
import { Policy, responseLogProbs, sequenceLogProbs } from "../../src/models/policy";
import { Random } from "../../src/tensors/random";
import type { Example } from "../../src/text/dialogue";
import { BOT, EOS, PAD, USER } from "../../src/text/vocabulary";
import { chooseBackend } from "../../src/tensors/backend";
import { assertClose, onEveryBackend } from "../objectives/tabular";
import { referenceLogits, referenceLogProb } from "./reference-gpt";
import { allResponses, tinyConfig, tinyGpt, tinyPolicy, tinyPrompts, weightsOf } from "./tiny";

const words = [4, 5, 6];
const responses = allResponses(words, 4);

/** log π(y | x) by the float64 forward pass; the last token of a full-length response is decreed. */
function referenceScore(policy: Policy, { prompt, response }: Example): number {
  const logits = referenceLogits(tinyConfig, weightsOf(policy.gpt.parameters), [...prompt, ...response].slice(0, -1));
  const chosen = response.length === policy.responseLimit ? response.slice(0, -1) : response;
  return chosen.reduce(
    (sum, token, t) => sum + referenceLogProb(logits[prompt.length - 1 + t], token, [PAD, USER, BOT]),
    0,
  );
}

async function withPolicy(seed: number, test: (policy: Policy) => Promise<void>, deviation?: number): Promise<void> {
  const policy = tinyPolicy(seed, deviation);
  try {
    await test(policy);
  } finally {
    policy.dispose();
  }
}

describe("policy", () => {
  onEveryBackend(() => {
    it("check 1: the probabilities of all responses to a prompt sum to 1, the decreed <eos> included", () =>
      withPolicy(1, async (policy) => {
        assert.equal(responses.length, 1 + 3 + 9 + 27);
        for (const prompt of tinyPrompts) {
          const scores = await sequenceLogProbs(
            policy,
            responses.map((response) => ({ prompt, response })),
          );
          const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
          assertClose(total, 1, 1e-5, "sum of probabilities"); // B of oracles.md: float32
        }
      }));

    it("scores responses as the float64 forward pass does", () =>
      withPolicy(2, async (policy) => {
        const examples = tinyPrompts.flatMap((prompt) => responses.map((response) => ({ prompt, response })));
        const expected = examples.map((example) => referenceScore(policy, example));
        assertClose(await sequenceLogProbs(policy, examples), expected, 1e-5, "log π(y | x)");
        assertClose(await sequenceLogProbs(policy, examples, 7), expected, 1e-5, "in batches of 7");
      }));

    it("puts each token's log-probability in its place, 0 elsewhere", () =>
      withPolicy(2, async (policy) => {
        const examples = [
          { prompt: [USER, 4, BOT], response: [5, EOS] },
          { prompt: [USER, BOT], response: [6, 6, 4, EOS] }, // full length: <eos> is decreed
          { prompt: [USER, 5, 5, BOT], response: [6] }, // a beginning
        ];
        const { logProbs, mask } = tf.tidy(() => {
          const scores = responseLogProbs(policy, examples);
          return { logProbs: scores.logProbs.arraySync(), mask: scores.mask.arraySync() };
        });
        assert.deepEqual(mask, [
          [0, 0, 1, 1, 0],
          [0, 1, 1, 1, 0],
          [0, 0, 0, 1, 0],
        ]);
        examples.forEach((example, row) => {
          const total = logProbs[row].reduce((a, b) => a + b, 0);
          assertClose(total, referenceScore(policy, example), 1e-5, `row ${row}`);
          logProbs[row].forEach((value, t) => assert.equal(value !== 0, mask[row][t] === 1, `row ${row}, entry ${t}`));
        });
      }));

    it("samples with the log-probabilities of scoring, token by token, prompts of different lengths together", () =>
      withPolicy(3, async (policy) => {
        const prompts = Array.from({ length: 40 }, (_, i) => tinyPrompts[i % 2]);
        const samples = await sample(policy, prompts, { rng: Random.fromSeed(1) });
        const scored = tf.tidy(() => responseLogProbs(policy, samples).logProbs.arraySync());
        samples.forEach(({ prompt, response, logProbs }, row) => {
          assert.deepEqual(prompt, prompts[row]);
          assert.equal(response.length, logProbs.length);
          const own = scored[row].slice(prompt.length - 1, prompt.length - 1 + response.length);
          assertClose(logProbs, own, 1e-5, `response ${row}`, 1);
        });
        assert.ok(samples.some(({ response }) => response.length === 4));
        assert.ok(samples.some(({ response }) => response.length < 4));
      }));

    it("ends every response with its one <eos>, within the horizon, and writes no other special token", () =>
      withPolicy(3, async (policy) => {
        const samples = await sample(policy, new Array<number[]>(200).fill(tinyPrompts[0]), {
          rng: Random.fromSeed(2),
          temperature: 1e9, // uniform: what is impossible must stay so
        });
        for (const { response, logProbs } of samples) {
          assert.equal(response.indexOf(EOS), response.length - 1);
          assert.ok(response.length <= 4);
          assert.ok(
            response.slice(0, -1).every((token) => words.includes(token)),
            `${response}`,
          );
          if (response.length === 4) assert.equal(logProbs[3], 0);
        }
      }));

    it("gives the same numbers with a cache of keys and values as by recomputing", () =>
      withPolicy(4, async ({ gpt }) => {
        const rows = [
          [PAD, PAD, 2, 4, 5, 3],
          [2, 4, 6, 6, 3, 5],
        ];
        const left = [2, 0];
        tf.tidy(() => {
          const padding = tf.tensor1d(left, "int32");
          const whole = gpt.hidden(tf.tensor2d(rows, undefined, "int32"), padding).arraySync();
          const cache = new KvCache(gpt.config.heads, padding);
          let position = 0;
          for (const count of [3, 1, 2]) {
            const input = rows.map((row) => row.slice(position, position + count));
            const positions = input.map((row, b) => row.map((_, i) => Math.max(0, position + i - left[b])));
            const stream = gpt
              .residualStream(
                tf.tensor2d(input, undefined, "int32"),
                tf.tensor2d(positions, undefined, "int32"),
                (qkv, layer) => cache.attend(qkv, layer),
              )
              .arraySync();
            stream.forEach((row, b) =>
              row.forEach((value, i) => {
                const at = position + i;
                if (at >= left[b]) assertClose(value, whole[b][at], 1e-5, `row ${b}, position ${at}`);
              }),
            );
            position += count;
          }
          cache.dispose();
        });
      }));

    it("draws the same from the same seed, whatever else is in the batch and however it is cut", () =>
      withPolicy(5, async (policy) => {
        const prompts = Array.from({ length: 12 }, (_, i) => tinyPrompts[i % 2]);
        const texts = async (seed: number, asked: number[][], batchSize?: number): Promise<number[][]> =>
          (await sample(policy, asked, { rng: Random.fromSeed(seed), batchSize })).map(({ response }) => response);
        const first = await texts(1, prompts);
        assert.deepEqual(await texts(1, prompts), first);
        assert.deepEqual(await texts(1, prompts, 5), first, "batches of 5");
        const others = prompts.map((prompt, i) => (i === 3 ? prompt : tinyPrompts[0]));
        assert.deepEqual((await texts(1, others))[3], first[3], "other companions");
        assert.notDeepEqual(await texts(2, prompts), first);
        assert.equal(new Set(first.map(String)).size > 3, true, "rows must not all draw alike");
      }));

    it("is copied with weights of its own", async () => {
      await withPolicy(1, async (policy) => {
        const copy = policy.clone();
        const examples = responses.map((response) => ({ prompt: tinyPrompts[0], response }));
        const before = await sequenceLogProbs(policy, examples);
        assert.deepEqual(await sequenceLogProbs(copy, examples), before);
        for (const parameter of copy.gpt.parameters.values()) tf.tidy(() => parameter.assign(parameter.mul(1.5)));
        assert.deepEqual(await sequenceLogProbs(policy, examples), before);
        assert.notDeepEqual(await sequenceLogProbs(copy, examples), before);
        copy.dispose();
      });
    });

    it("at temperature 0 takes the most probable token, whatever the seed", () =>
      withPolicy(6, async (policy) => {
        for (const prompt of tinyPrompts) {
          const expected: number[] = [];
          while (expected.length < 3 && expected[expected.length - 1] !== EOS) {
            const context = [...prompt, ...expected];
            const logits = referenceLogits(tinyConfig, weightsOf(policy.gpt.parameters), context);
            const last = logits[logits.length - 1];
            expected.push([EOS, ...words].reduce((a, b) => (last[b] > last[a] ? b : a)));
          }
          if (expected[expected.length - 1] !== EOS) expected.push(EOS);
          for (const seed of [1, 2]) {
            const [greedy] = await sample(policy, [prompt], { rng: Random.fromSeed(seed), temperature: 0 });
            assert.deepEqual(greedy.response, expected);
          }
        }
      }));
  });

  describe("in the long run", () => {
    before(async () => {
      await chooseBackend({ backend: "wasm" });
    });

    it("samples with the log-probabilities of scoring in the size of the advice world too", async () => {
      const world = { vocabularySize: 242, context: 48, width: 64, layers: 2, heads: 4 };
      const policy = new Policy(tinyGpt(8, world, 0.05), 30);
      const prompts = Array.from({ length: 24 }, (_, i) => [USER, ...new Array<number>(4 + (i % 7)).fill(20 + i), BOT]);
      const samples = await sample(policy, prompts, { rng: Random.fromSeed(6) });
      const scored = tf.tidy(() => responseLogProbs(policy, samples).logProbs.arraySync());
      samples.forEach(({ prompt, response, logProbs }, row) => {
        const own = scored[row].slice(prompt.length - 1, prompt.length - 1 + response.length);
        assertClose(logProbs, own, 1e-5, `response ${row}`, 1);
      });
      assert.ok(samples.some(({ response }) => response.length === 30));
      policy.dispose();
    });

    it("draws each response as often as its probability says", () =>
      withPolicy(
        7,
        async (policy) => {
          const n = 4000;
          const prompt = tinyPrompts[0];
          const scores = await sequenceLogProbs(
            policy,
            responses.map((response) => ({ prompt, response })),
          );
          const samples = await sample(policy, new Array<number[]>(n).fill(prompt), {
            rng: Random.fromSeed(3),
            batchSize: 1000,
          });
          const counts = new Map<string, number>();
          for (const { response } of samples) counts.set(String(response), (counts.get(String(response)) ?? 0) + 1);
          let chiSquare = 0;
          let drawn = 0;
          responses.forEach((response, i) => {
            const expected = n * Math.exp(scores[i]);
            const count = counts.get(String(response)) ?? 0;
            drawn += count;
            chiSquare += (count - expected) ** 2 / expected;
          });
          assert.equal(drawn, n, "nothing was drawn that was not enumerated");
          // Mean 39 and deviation √78 = 8.8 where the distribution is right: 39 + 4·8.8. A wrong one grows with n.
          assert.ok(chiSquare < 75, `χ² with 39 degrees of freedom: ${chiSquare}`);
          assert.ok(chiSquare > 10, `suspiciously good: ${chiSquare}`);
        },
        0.15, // no response so rare that its count is 0 or 1
      ));
  });

  describe("draw", () => {
    // Probabilities 8/15, 4/15, 2/15, 1/15 of tokens 2, 0, 3, 1.
    const logits = [4, 1, 8, 2].map(Math.log);
    const exactly = (options: { temperature?: number; topK?: number; topP?: number }): number[] => {
      const { temperature, topK, topP } = options;
      const rng = Random.fromSeed(4);
      const found = [0, 0, 0, 0];
      for (let i = 0; i < 400; i++) {
        const { token, logProb } = draw(logits, rng, temperature, topK, topP);
        if (found[token] !== 0) assert.equal(found[token], Math.exp(logProb));
        found[token] = Math.exp(logProb);
      }
      return found;
    };
    const fractions = (values: number[], of: number): number[] => values.map((value) => value / of);

    for (const [name, options, expected] of [
      ["as it is", {}, fractions([4, 1, 8, 2], 15)],
      [
        "temperature 2: square roots",
        { temperature: 2 },
        fractions([2, 1, Math.SQRT2 * 2, Math.SQRT2], 3 + 3 * Math.SQRT2),
      ],
      ["temperature ½: squares", { temperature: 0.5 }, fractions([16, 1, 64, 4], 85)],
      ["temperature 0: the best", { temperature: 0 }, [0, 0, 1, 0]],
      ["top 2", { topK: 2 }, fractions([4, 0, 8, 0], 12)],
      ["top 1", { topK: 1 }, [0, 0, 1, 0]],
      ["top 10 of 4", { topK: 10 }, fractions([4, 1, 8, 2], 15)],
      ["top p .5: the first holds .53", { topP: 0.5 }, [0, 0, 1, 0]],
      ["top p .6: the first two", { topP: 0.6 }, fractions([4, 0, 8, 0], 12)],
      ["top p .9: three", { topP: 0.9 }, fractions([4, 0, 8, 2], 14)],
      ["top p 1", { topP: 1 }, fractions([4, 1, 8, 2], 15)],
      ["top 3, of them top p .84 (8 + 4 of 14 hold .857)", { topK: 3, topP: 0.84 }, fractions([4, 0, 8, 0], 12)],
      ["temperature before top p (64 of 85 hold .75)", { temperature: 0.5, topP: 0.75 }, [0, 0, 1, 0]],
    ] as const) {
      it(`${name}`, () => assertClose(exactly(options), [...expected], 1e-12, name));
    }

    it("draws each token as often as its probability says", () => {
      const n = 20_000;
      for (const [options, expected] of [
        [[1], [4 / 15, 1 / 15, 8 / 15, 2 / 15]],
        [
          [2, 3],
          [2 / (2 + 3 * Math.SQRT2), 0, (2 * Math.SQRT2) / (2 + 3 * Math.SQRT2), Math.SQRT2 / (2 + 3 * Math.SQRT2)],
        ],
        [
          [1, undefined, 0.6],
          [1 / 3, 0, 2 / 3, 0],
        ],
      ] as [[number, number?, number?], number[]][]) {
        const rng = Random.fromSeed(5);
        const counts = [0, 0, 0, 0];
        for (let i = 0; i < n; i++) counts[draw(logits, rng, ...options).token] += 1;
        counts.forEach((count, token) => {
          const p = expected[token];
          const bound = 4 * Math.sqrt(n * p * (1 - p)); // four standard deviations of a binomial count
          assert.ok(Math.abs(count - n * p) <= bound, `${options}: token ${token} ${count} times, expected ${n * p}`);
        });
      }
    });

    it("breaks ties in favour of the first", () => {
      assert.equal(draw([0, 1, 1], Random.fromSeed(1), 0).token, 1);
      for (let seed = 0; seed < 20; seed++) assert.equal(draw([0, 1, 1, 1], Random.fromSeed(seed), 1, 1).token, 1);
    });

    it("refuses what is no number", () => {
      for (const temperature of [0, 1]) {
        assert.throws(() => draw([0, NaN], Random.fromSeed(1), temperature), /logit of token 1 is not a number/);
      }
    });
  });

  describe("refuses", () => {
    before(async () => {
      await chooseBackend({ backend: "cpu" });
    });
    const rng = Random.fromSeed(1);

    it("options out of range", () =>
      withPolicy(1, async (policy) => {
        const asking = (options: object) => sample(policy, tinyPrompts, { rng, ...options });
        await assert.rejects(asking({ temperature: -1 }), /temperature to be a finite number ≥ 0, got -1/);
        await assert.rejects(asking({ temperature: Infinity }), /temperature/);
        await assert.rejects(asking({ topK: 0 }), /topK to be an integer ≥ 1, got 0/);
        await assert.rejects(asking({ topP: 0 }), /topP to be a number in \(0, 1\], got 0/);
        await assert.rejects(asking({ topP: 1.1 }), /topP/);
        await assert.rejects(
          asking({ temprature: 0.5 }),
          /sample: no option is called "temprature"; there are rng, temp/,
        );
        await assert.rejects(asking({ batchSize: 0 }), /batchSize to be an integer ≥ 1, got 0/);
        assert.deepEqual(await sample(policy, [], { rng }), []);
      }));

    it("prompts that leave no room, are empty, or are of another vocabulary", () =>
      withPolicy(1, async (policy) => {
        // context 8, horizon 4: five tokens, and of four more only three are read.
        await sample(policy, [[2, 4, 4, 4, 3]], { rng });
        await assert.rejects(sample(policy, [[2, 4, 4, 4, 4, 3]], { rng }), /prompt 0 has 6 tokens, expected 1 … 5/);
        await assert.rejects(sample(policy, [[2, 3], []], { rng }), /prompt 1 has 0 tokens/);
        await assert.rejects(sample(policy, [[2, 7]], { rng }), /prompt 0: token 1 is 7/);
        await assert.rejects(sample(policy, [[0, 2]], { rng }), /prompt 0: token 0 is 0/);
      }));

    it("responses that the policy cannot write", () =>
      withPolicy(1, async (policy) => {
        const scoring = (response: number[], prompt = [2, 3]) => sequenceLogProbs(policy, [{ prompt, response }]);
        await assert.rejects(scoring([4, 4, 4, 4, EOS]), /response 0 has 5 tokens, the policy's responseLimit is 4/);
        await assert.rejects(scoring([4, 4, 4, 4]), /does not end with <eos>/);
        await assert.rejects(scoring([4, EOS, 4]), /goes on after <eos>/);
        await assert.rejects(scoring([4, BOT, EOS]), /contains <user> or <bot>/);
        await assert.rejects(scoring([4, 7, EOS]), /response 0: token 1 is 7/);
        await assert.rejects(scoring([4, EOS], []), /prompt 0 is empty/);
      }));

    it("horizons that are none, or leave no room for a prompt", () => {
      const gpt = tinyGpt(1);
      assert.throws(() => new Policy(gpt, 0), /positive integer responseLimit, got 0/);
      assert.throws(() => new Policy(gpt, 8), /responseLimit of 8 leaves no room for a prompt in a context of 8/);
      gpt.dispose();
    });
  });
});
