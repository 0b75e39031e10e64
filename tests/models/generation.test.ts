import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { PlainDecoder } from "../../src/models/plain-decoder";
import { startDecoder } from "../../src/models/start-decoder";
import { sample, type Sample, type SamplingOptions } from "../../src/models/generation";
import { parameterShapes, type GptConfig } from "../../src/models/gpt";
import { HeapDecoder } from "../../src/models/heap-decoder";
import { Policy } from "../../src/models/policy";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { kernelHeap, registerWasmKernels } from "../../src/tensors/wasm-kernels";
import { BOT, EOS, USER } from "../../src/text/vocabulary";
import { assertClose } from "../objectives/tabular";
import { onEachBuild } from "../tensors/fused";
import { referenceLogits } from "./reference-gpt";
import { tinyConfig, tinyGpt, weightsOf } from "./tiny";

// Widths, heads, head sizes and vocabularies that are no multiples of a vector (4) or a tile (8), and some that are.
const shapes: GptConfig[] = [
  tinyConfig,
  { vocabularySize: 5, context: 12, width: 1, layers: 1, heads: 1 },
  { vocabularySize: 9, context: 20, width: 6, layers: 2, heads: 2 },
  { vocabularySize: 33, context: 40, width: 15, layers: 3, heads: 5 },
  { vocabularySize: 64, context: 24, width: 20, layers: 1, heads: 4 },
  { vocabularySize: 71, context: 50, width: 39, layers: 2, heads: 3 },
  { vocabularySize: 40, context: 30, width: 44, layers: 2, heads: 1 },
];
const world: GptConfig = { vocabularySize: 242, context: 48, width: 64, layers: 2, heads: 4 };

/** Between <user> and <bot>, so many random words. */
function promptOf(rng: Random, { vocabularySize }: GptConfig, words: number): number[] {
  return [USER, ...Array.from({ length: words }, () => 4 + rng.integer(vocabularySize - 4)), BOT];
}

function promptsOf(rng: Random, config: GptConfig, rows: number, longest: number): number[][] {
  return Array.from({ length: rows }, () => promptOf(rng, config, rng.integer(longest - 1)));
}

async function withPolicy<T>(policy: Policy, use: (policy: Policy) => Promise<T>): Promise<T> {
  try {
    return await use(policy);
  } finally {
    policy.dispose();
  }
}

/** The same samples by tfjs' own kernels and tf operations. */
async function samplePlainly(policy: Policy, prompts: number[][], options: SamplingOptions): Promise<Sample[]> {
  const build = /fused multiply-add/.test(registerWasmKernels()) ? "relaxed" : "simd";
  registerWasmKernels({ build: "stock" });
  try {
    assert.equal(kernelHeap(), undefined);
    return await sample(policy, prompts, options);
  } finally {
    registerWasmKernels({ build });
  }
}

function assertSame(actual: Sample[], expected: Sample[], what: string): void {
  assert.deepEqual(
    actual.map(({ prompt, response }) => ({ prompt, response })),
    expected.map(({ prompt, response }) => ({ prompt, response })),
    what,
  );
  // Sums of float32 in another order, in logits of magnitude up to about 10.
  actual.forEach(({ logProbs }, row) => assertClose(logProbs, expected[row].logProbs, 1e-5, `${what}, row ${row}`, 1));
}

/** Counts what is allocated on the heap and not given back, while a test runs. */
async function outstanding(test: () => Promise<void>): Promise<number> {
  const heap = kernelHeap()!;
  const { allocate, free } = heap;
  const held = new Set<number>();
  heap.allocate = (bytes) => {
    const address = allocate(bytes);
    held.add(address);
    return address;
  };
  heap.free = (address) => {
    assert.ok(held.delete(address), "freed what was not allocated, or twice");
    free(address);
  };
  try {
    await test();
  } finally {
    Object.assign(heap, { allocate, free });
  }
  return held.size;
}

const heapBytes = (): number => kernelHeap()!.floats(0, 0).buffer.byteLength;

describe("models/generation", () => {
  let tensorsBefore = 0;
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  beforeEach(() => {
    tensorsBefore = tf.memory().numTensors;
  });
  afterEach(() => assert.equal(tf.memory().numTensors, tensorsBefore, "tensors were left behind"));

  onEachBuild(() => {
    it("reads as the float64 forward pass does, at any shape, whichever rows go on", async () => {
      for (const [seed, config] of [...shapes.entries()]) {
        const rng = Random.fromSeed(seed);
        await withPolicy(new Policy(tinyGpt(seed, config, 0.3), 3), async (policy) => {
          const weights = weightsOf(policy.gpt.parameters);
          const texts = promptsOf(rng, config, 1 + rng.integer(5), config.context - 6);
          const decoders = [HeapDecoder.start(policy, texts, config.context)!, await PlainDecoder.start(policy, texts)];
          let rows = texts.map((_, row) => row);
          const longest = Math.max(...texts.map((text) => text.length));
          for (let step = 0; rows.length > 0; step++) {
            for (const row of rows) {
              const logits = referenceLogits(config, weights, texts[row]);
              const expected = logits[texts[row].length - 1];
              const size = Math.max(1, ...expected.map(Math.abs));
              for (const decoder of decoders) {
                const actual = decoder.logits(row);
                assert.equal(actual.length, config.vocabularySize);
                // float32 through up to three layers; actions only
                for (let v = 4; v < actual.length; v++) {
                  assertClose(actual[v], expected[v], 2e-5 * size, `${decoder.constructor.name}, row ${row}`, 1);
                }
                assert.ok(actual[0] < -9e8 && actual[USER] < -9e8 && actual[BOT] < -9e8 && actual[EOS] > -1e3);
              }
            }
            if (longest + step === config.context) break;
            rows = rows.filter(() => step === 0 || rng.bernoulli(0.8));
            const tokens = rows.map(() => 4 + rng.integer(config.vocabularySize - 4));
            rows.forEach((row, i) => texts[row].push(tokens[i]));
            if (rows.length > 0) for (const decoder of decoders) await decoder.read(rows, tokens);
          }
          for (const decoder of decoders) decoder.dispose();
        });
      }
    });

    it("draws what the plain path draws, at any shape and with any option", async () => {
      let tokens = 0;
      for (let trial = 0; trial < 60; trial++) {
        const rng = Random.fromSeed(trial);
        const config = shapes[trial % shapes.length];
        const horizon = 1 + rng.integer(Math.floor(config.context / 2));
        await withPolicy(new Policy(tinyGpt(trial, config, 0.3), horizon), async (policy) => {
          const prompts = promptsOf(rng, config, rng.choose([1, 2, 7, 20]), config.context - horizon + 1);
          const options = {
            rng: rng.child("draws"),
            temperature: rng.choose([undefined, 0, 0.7, 1.5, 1e6]),
            topK: rng.choose([undefined, undefined, 1, 3]),
            topP: rng.choose([undefined, undefined, 0.8]),
            batchSize: rng.choose([undefined, 3]),
          };
          const samples = await sample(policy, prompts, options);
          assertSame(samples, await samplePlainly(policy, prompts, options), `trial ${trial}`);
          tokens += samples.reduce((sum, { response }) => sum + response.length, 0);
        });
      }
      assert.ok(tokens > 1000, `${tokens} tokens compared`);
    });

    it("draws what the plain path draws in the size of the advice world, seed by seed", async () => {
      await withPolicy(new Policy(tinyGpt(8, world, 0.05), 30), async (policy) => {
        const ends = new Set<number>();
        for (let seed = 0; seed < 8; seed++) {
          const rng = Random.fromSeed(seed);
          const prompts = promptsOf(rng, world, 32, 19);
          const options = { rng: rng.child("draws") };
          const samples = await sample(policy, prompts, options);
          assertSame(samples, await samplePlainly(policy, prompts, options), `seed ${seed}`);
          for (const { response } of samples) ends.add(response.length);
        }
        assert.ok(ends.has(30) && ends.size > 5, `lengths ${[...ends].sort((a, b) => a - b)}`);
      });
    });

    it("ends with all rows at once, at the first token", async () => {
      await withPolicy(new Policy(tinyGpt(1), 4), async (policy) => {
        // The last norm gives the same vector everywhere, along <eos>'s embedding, which is by far the longest.
        const { width, vocabularySize: V } = tinyConfig;
        const at = (name: string) => policy.gpt.parameters.get(name)!;
        const table = (at("token-embedding").dataSync() as Float32Array).map((x, i) =>
          Math.floor(i / width) === EOS ? 10 * x : x,
        );
        tf.tidy(() => {
          at("token-embedding").assign(tf.tensor2d(table, [V, width]));
          at("norm.gain").assign(tf.zeros([width]));
          at("norm.bias").assign(tf.tensor1d(table.slice(EOS * width, (EOS + 1) * width)).mul(10));
        });
        const samples = await sample(policy, [[USER, BOT], [USER, 4, 5, BOT]], { rng: Random.fromSeed(1) }); // prettier-ignore
        assert.deepEqual(
          samples.map(({ response }) => response),
          [[EOS], [EOS]],
        );
      });
    });

    it("gives a row the same bits alone and in any company", async () => {
      for (const config of [shapes[3], shapes[5], world]) {
        await withPolicy(new Policy(tinyGpt(3, config, 0.2), 4), async (policy) => {
          const rng = Random.fromSeed(2);
          const texts = promptsOf(rng, config, 23, 15);
          const together = HeapDecoder.start(policy, texts, 20)!;
          const picked = [0, 9, 22];
          const alone = picked.map((row) => HeapDecoder.start(policy, [texts[row]], 40)!);
          const check = (): void =>
            picked.forEach((row, i) => assert.deepEqual(alone[i].logits(0), together.logits(row), `row ${row}`));
          check();
          for (const decoder of alone) await decoder.read([0], [4]);
          await together.read([0, 1, 2, 3, 9, 11, 22], [4, 5, 6, 7, 4, 8, 4]);
          check();
          for (const decoder of alone) await decoder.read([0], [6]);
          await together.read(picked, [6, 6, 6]);
          check();
          for (const decoder of alone) decoder.dispose();
          together.dispose();
        });
      }
    });

    it("gives the same bits in pieces, done in any order, and on two threads", async () => {
      for (const config of [shapes[3], shapes[6], world]) {
        await withPolicy(new Policy(tinyGpt(3, config, 0.2), 9), async (policy) => {
          const prompts = promptsOf(Random.fromSeed(2), config, 50, 15);
          const together = await sample(policy, prompts, { rng: Random.fromSeed(4) });
          const heap = kernelHeap()!;
          const { run, pieces } = heap;
          let most = 0;
          try {
            for (const count of [2, 7, 1000]) {
              heap.pieces = () => count;
              // A row that was cut in two would miss its own earlier keys and values.
              heap.run = (calls, scratchBytes) => {
                most = Math.max(most, calls.length);
                for (const call of [...calls].reverse()) run([call], scratchBytes);
              };
              assert.deepEqual(await sample(policy, prompts, { rng: Random.fromSeed(4) }), together, `${count} pieces`);
              heap.run = run;
              assert.deepEqual(await sample(policy, prompts, { rng: Random.fromSeed(4) }), together, `${count} pieces`);
            }
          } finally {
            Object.assign(heap, { run, pieces });
          }
          assert.ok(most >= 7, `${most} pieces`);
        });
      }
    });

    it("reads prompts that are longer, all together or one alone, than what is computed at once", async () => {
      const config = { ...tinyConfig, context: 300 };
      await withPolicy(new Policy(tinyGpt(5, config, 0.1), 3), async (policy) => {
        const rng = Random.fromSeed(4);
        for (const prompts of [[promptOf(rng, config, 290)], promptsOf(rng, config, 70, 12)]) {
          const options = { rng: rng.child("draws") };
          assertSame(
            await sample(policy, prompts, options),
            await samplePlainly(policy, prompts, options),
            `${prompts.length} prompts`,
          );
        }
      });
    });
  });

  it("computes no token twice, and none of a row that has ended", async () => {
    await withPolicy(new Policy(tinyGpt(8, world, 0.3), 30), async (policy) => {
      const heap = kernelHeap()!;
      const { run } = heap;
      let read = 0;
      heap.run = (calls, scratchBytes) => {
        for (const [name, , , count] of calls) if (name === "decodeStep") read += count;
        run(calls, scratchBytes);
      };
      try {
        const samples = await sample(policy, promptsOf(Random.fromSeed(1), world, 150, 19), {
          rng: Random.fromSeed(1),
        });
        // The last token of a response is not read, nor the one before a decreed <eos>.
        const expected = samples.reduce(
          (sum, { prompt, response }) => sum + prompt.length + response.length - (response.length === 30 ? 2 : 1),
          0,
        );
        assert.equal(read, expected);
        assert.ok(samples.some(({ response }) => response.length < 15));
      } finally {
        heap.run = run;
      }
    });
  });

  it("takes the kernels where they are, and tf operations elsewhere", async () => {
    await withPolicy(new Policy(tinyGpt(1), 4), async (policy) => {
      const kind = async (): Promise<string> => {
        const decoder = await startDecoder(policy, [[USER, BOT]], 4);
        decoder.dispose();
        return decoder.constructor.name;
      };
      assert.equal(await kind(), "HeapDecoder");
      registerWasmKernels({ build: "stock" });
      assert.equal(await kind(), "PlainDecoder");
      registerWasmKernels();
      await tf.setBackend("cpu");
      assert.equal(await kind(), "PlainDecoder");
      await tf.setBackend("wasm");
      assert.equal(await kind(), "HeapDecoder");
    });
  });

  it("is not disturbed by what happens to the policy and to the heap between two tokens", async () => {
    const policy = new Policy(tinyGpt(6, world, 0.1), 30);
    const prompts = promptsOf(Random.fromSeed(3), world, 10, 12);
    const [quiet, disturbed] = [0, 1].map(() => HeapDecoder.start(policy, prompts, 20)!);
    const before = disturbed.logits(3).slice();
    await quiet.read([3, 7], [5, 6]);
    policy.dispose();
    // What the policy's memory is used for next, and more than there is room for.
    const bytes = heapBytes();
    const others = [...parameterShapes(world).values(), [bytes / 4]].map((shape) => tf.fill(shape, 9));
    assert.ok(heapBytes() > bytes, "the heap has grown");
    assert.deepEqual(disturbed.logits(3), before);
    await disturbed.read([3, 7], [5, 6]);
    for (const row of [3, 7]) assert.deepEqual(disturbed.logits(row), quiet.logits(row));
    for (const tensor of others) tensor.dispose();
    for (const decoder of [quiet, disturbed]) decoder.dispose();
  });

  it("gives all its memory back, after errors too", async () => {
    await withPolicy(new Policy(tinyGpt(2, world, 0.1), 10), async (policy) => {
      const prompts = promptsOf(Random.fromSeed(5), world, 20, 12);
      const options = { rng: Random.fromSeed(6) };
      await sample(policy, prompts, options);
      const bytes = heapBytes();
      // A call takes over a megabyte: a tenth of these would show.
      const left = await outstanding(async () => {
        for (let i = 0; i < 300; i++) await sample(policy, prompts.slice(0, 1 + (i % 20)), options);
        const spoilt = policy.clone();
        const bias = spoilt.gpt.parameters.get("norm.bias")!;
        tf.tidy(() => bias.assign(tf.fill([world.width], NaN)));
        for (let i = 0; i < 100; i++) {
          await assert.rejects(sample(spoilt, prompts, options), /logit of token \d+ is not a number/);
          assert.throws(
            () => HeapDecoder.start(policy, prompts, 5),
            /has read 0 tokens, and has no room for \d+ more: its capacity is 5/,
          );
        }
        spoilt.dispose();
      });
      assert.equal(left, 0);
      assert.equal(heapBytes(), bytes);
      // A batch that no heap holds fails without taking anything.
      const samples = outstanding(async () => {
        const heap = kernelHeap()!;
        const { allocate } = heap;
        for (const bytes of [2 ** 31, 2 ** 32 + 64]) {
          heap.allocate = () => allocate(bytes);
          await assert.rejects(sample(policy, prompts, options), /the heap has no room .* use a smaller batch/);
        }
      });
      assert.equal(await samples, 0);
    });
  });

  it("has no room beyond its capacity", async () => {
    await withPolicy(new Policy(tinyGpt(1), 4), async (policy) => {
      const decoder = HeapDecoder.start(policy, [[USER, BOT], [USER, 4, 4, BOT]], 5)!; // prettier-ignore
      await decoder.read([0, 1], [4, 4]);
      await assert.rejects(
        decoder.read([0, 1], [4, 4]),
        /row 1 of the batch has read 5 tokens, and has no room for 1 more/,
      );
      decoder.dispose();
    });
  });

  it("copies every parameter a model has", () => {
    // A parameter of a new kind must be given its place in heap-decoder.ts; this fails until somebody has looked.
    const kinds = new Set([...parameterShapes(world).keys()].map((name) => name.replace(/^block\.\d+\./, "")));
    assert.equal(kinds.size, 2 + 12 + 2);
  });
});
