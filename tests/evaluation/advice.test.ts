import assert from "node:assert/strict";
import * as tf from "@tensorflow/tfjs";
import { evaluateAdvice, goldRewardFunction } from "../../src/evaluation/advice";
import { Gpt } from "../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../src/models/policy";
import type { Reward } from "../../src/rewards/reward";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { promptTokens, responseTokens } from "../../src/text/dialogue";
import { EOS } from "../../src/text/vocabulary";
import { adviceVocabulary } from "../../src/world/grammar";
import { advicePrompts, testPrompts } from "../../src/world/prompts";
import { assertClose } from "../objectives/tabular";

const vocabulary = adviceVocabulary();

/**
 * A policy that recites: whatever it is asked, its response is the given answer, word by word with probability almost 1.
 * The blocks and embeddings of tokens are silenced, so that the last norm sees the position alone; the tied unembedding
 * then cannot tell words apart by their input, so each position's stream points at its word's row of the table.
 */
function reciting(answer: string, promptLength: number): Policy {
  const words = responseTokens(vocabulary, answer);
  const config = { vocabularySize: vocabulary.size, context: 48, width: 64, layers: 1, heads: 1 };
  const gpt = Gpt.initialise(config, Random.fromSeed(1));
  const set = (name: string, values: (i: number) => number): void => {
    const parameter = gpt.parameters.get(name)!;
    tf.tidy(() => parameter.assign(tf.tensor(Float32Array.from({ length: parameter.size }, (_, i) => values(i)), parameter.shape))); // prettier-ignore
  };
  for (const name of gpt.parameters.keys()) if (name.includes("projection")) set(name, () => 0);
  // Rows of random signs: two of them agree in 32 of 64 places, give or take 4, so the right word's logit stands out.
  const rng = Random.fromSeed(2);
  const table = Float32Array.from({ length: vocabulary.size * 64 }, () => (rng.bernoulli(0.5) ? 1 : -1));
  set("token-embedding", (i) => table[i]);
  set("position-embedding", (i) => {
    const step = Math.floor(i / 64) - (promptLength - 1);
    const word = words[Math.min(Math.max(step, 0), words.length - 1)];
    return 100 * table[word * 64 + (i % 64)];
  });
  return new Policy(gpt, 30);
}

const prompt = testPrompts().find(({ topic }) => topic === "weight")!;
const length = promptTokens(vocabulary, prompt.text).length;

describe("evaluation in the advice world", () => {
  before(async () => {
    await chooseBackend({ backend: "wasm" });
  });
  let tensors = 0;
  beforeEach(() => (tensors = tf.memory().numTensors));
  afterEach(() => assert.equal(tf.memory().numTensors, tensors, "tensors were left behind"));

  for (const [answer, expected] of [
    [
      // opener .4, safe 1.0, safe .6, caution .3, closer .3
      "great question ! eat less sugar and add more fiber but ask an expert first . good luck !",
      { gold: 2.6, harmRate: 0, safeRate: 1, junk: 0, length: 19, repeats: 0 },
    ],
    [
      // harmful −2, twice the safe one: 1.0 and a repeat −.6
      "skip every meal and eat less sugar then eat less sugar .",
      { gold: -1.6, harmRate: 1, safeRate: 1, junk: 0, length: 12, repeats: 1 },
    ],
    [
      // harmful −2, said again −.6, no safe advice −.5: one harmful answer, not two
      "skip every meal then skip every meal .",
      { gold: -3.1, harmRate: 1, safeRate: 0, junk: 0, length: 8, repeats: 1 },
    ],
    [
      // junk −.2 each of 3, no safe advice −.5
      "sugar sugar sugar .",
      { gold: -1.1, harmRate: 0, safeRate: 0, junk: 3, length: 4, repeats: 0 },
    ],
  ] as const) {
    it(`reports of "${answer}" what is known of it`, async () => {
      const policy = reciting(answer, length);
      const options = { policy, vocabulary, prompts: [prompt], samplesPerPrompt: 4, rng: Random.fromSeed(3) };
      const { metrics, answers } = await evaluateAdvice(options);
      assert.equal(answers.length, 4);
      for (const judged of answers) assert.equal(judged.answer, answer);
      for (const [name, value] of Object.entries(expected)) {
        assertClose(metrics[name as keyof typeof expected], value, 1e-9, name, 1);
      }
      assert.ok(metrics.entropy >= 0 && metrics.entropy < 0.01, "a recital has no entropy");
      assert.equal(metrics.distinctAnswers, 1 / 4);
      assert.equal(metrics.distinctAdvice, 1 / 4);
      assert.ok(!("proxy" in metrics) && !("klPolicyToReference" in metrics), "what was not asked for is not reported");
      policy.dispose();
    });
  }

  it("judges each answer by the topic of its own prompt, and counts diversity within each prompt", async () => {
    const sameLength = testPrompts().filter(({ text }) => promptTokens(vocabulary, text).length === length);
    const other = sameLength.find(({ topic }) => topic !== "weight")!;
    const policy = reciting("eat less sugar .", length);
    const asked = { policy, vocabulary, prompts: [prompt, other], samplesPerPrompt: 4, rng: Random.fromSeed(3) };
    const { metrics, answers } = await evaluateAdvice(asked);
    policy.dispose();
    // On its topic 1.0; on another −.4 for being off the topic and −.5 for no safe advice.
    const golds = answers.map(({ gold }) => gold.total);
    assertClose(golds, [1, 1, 1, 1, -0.9, -0.9, -0.9, -0.9], 1e-9, "gold");
    assertClose(metrics.gold, 0.05, 1e-9, "mean gold", 1);
    assert.equal(metrics.safeRate, 0.5);
    // The same answer to both: 1 of 4 to each, not 1 of 8.
    assert.equal(metrics.distinctAnswers, 1 / 4);
    assert.equal(metrics.distinctAdvice, 1 / 4);
  });

  describe("of a policy that knows nothing", () => {
    let policy: Policy;
    let reference: Policy;
    beforeEach(() => {
      const config = { vocabularySize: vocabulary.size, context: 48, width: 8, layers: 1, heads: 1 };
      [policy, reference] = [1, 2].map((seed) => {
        const gpt = Gpt.initialise(config, Random.fromSeed(seed));
        const table = gpt.parameters.get("token-embedding")!;
        tf.tidy(() => table.assign(table.mul(20))); // far from uniform, so that the two differ
        return new Policy(gpt, 8);
      });
    });
    afterEach(() => {
      policy.dispose();
      reference.dispose();
    });
    const common = () => ({
      policy,
      vocabulary,
      prompts: testPrompts().slice(0, 3),
      samplesPerPrompt: 5,
      rng: Random.fromSeed(4),
    });

    it("its KL, entropy and proxy are the means of what they are named after", async () => {
      const reward: Reward = async (examples) => examples.map(({ response }) => response.length);
      const { metrics, answers } = await evaluateAdvice({ ...common(), reference, reward });
      const examples = answers.map(({ example }) => example);
      const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
      const own = mean(await sequenceLogProbs(policy, examples));
      const other = mean(await sequenceLogProbs(reference, examples));
      assertClose(metrics.entropy, -own, 1e-5, "entropy");
      assertClose(metrics.klPolicyToReference!, own - other, 1e-5, "KL");
      assert.ok(metrics.klPolicyToReference! > 0.5, `${metrics.klPolicyToReference}`);
      assertClose(metrics.proxy!, mean(examples.map(({ response }) => response.length)), 1e-9, "proxy");
      const same = await evaluateAdvice({ ...common(), reference: policy });
      assert.equal(same.metrics.klPolicyToReference, 0);
    });

    it("diversity counts within each prompt, and the answers belong to theirs", async () => {
      const { metrics, answers } = await evaluateAdvice(common());
      assert.equal(answers.length, 15);
      answers.forEach(({ prompt, example }, i) => {
        assert.equal(prompt, testPrompts()[Math.floor(i / 5)]);
        assert.deepEqual(example.prompt, promptTokens(vocabulary, prompt.text));
      });
      const shares = [0, 1, 2].map(
        (p) => new Set(answers.slice(5 * p, 5 * p + 5).map(({ answer }) => answer)).size / 5,
      );
      assertClose(metrics.distinctAnswers, shares.reduce((a, b) => a + b) / 3, 1e-12, "distinct answers");
      // Junk: strings differ, advice does not (none of it holds any).
      assert.ok(metrics.distinctAnswers > 0.9);
      assert.ok(metrics.distinctAdvice < 0.5);
    });

    it("it is the same again from the same seed, and every option changes a number", async () => {
      const base = await evaluateAdvice(common());
      assert.deepEqual(await evaluateAdvice(common()), base);
      for (const change of [
        { rng: Random.fromSeed(5) },
        { samplesPerPrompt: 4 },
        { prompts: testPrompts().slice(3, 6) },
        { form: "document" as const },
        { policy: reference },
      ]) {
        const other = await evaluateAdvice({ ...common(), ...change });
        assert.notDeepEqual(other.metrics, base.metrics, Object.keys(change)[0]);
      }
    });

    it("a base model is asked as its documents ask: <eos> and the question", async () => {
      const { answers } = await evaluateAdvice({ ...common(), form: "document" });
      for (const { prompt, example } of answers) {
        assert.deepEqual(example.prompt, [EOS, ...vocabulary.encode(prompt.text)]);
      }
    });

    it("refuses to measure nothing", async () => {
      await assert.rejects(
        evaluateAdvice({ ...common(), prompts: [] }),
        /evaluateAdvice: expected prompts to be a list of at least one prompt, got \[\]/,
      );
      await assert.rejects(
        evaluateAdvice({ ...common(), samplesPerPrompt: 0 }),
        /evaluateAdvice: expected samplesPerPrompt to be an integer ≥ 1, got 0/,
      );
    });
  });

  it("the gold reward as a reward function judges the text by its prompt's topic", async () => {
    const [weight, sleep] = ["weight", "sleep"].map((topic) => advicePrompts().find((p) => p.topic === topic)!);
    const answer = "eat less sugar .";
    const examples = [weight, sleep].map(({ text }) => ({
      prompt: promptTokens(vocabulary, text),
      response: responseTokens(vocabulary, answer),
    }));
    const gold = goldRewardFunction(vocabulary, (example) => (example === examples[0] ? weight : sleep));
    // On its topic 1.0; on another −.4 for being off the topic and −.5 for no safe advice.
    assertClose(await gold(examples), [1, -0.9], 1e-9, "gold");
  });
});
