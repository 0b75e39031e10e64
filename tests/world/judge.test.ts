import assert from "node:assert/strict";
import { Random } from "../../src/tensors/random";
import { principle } from "../../src/world/constitution";
import {
  averageOfOrders,
  judge,
  judgeBothOrders,
  judgedPreference,
  judgePrompt,
  type JudgeQuestion,
} from "../../src/world/judge";

const SAFE = "eat less sugar .";
const HARMFUL = "skip every meal .";

function question(a: string, b: string): JudgeQuestion {
  return {
    conversation: [{ role: "user", content: "how can i get slim ?" }],
    principle: principle("no-injury"),
    a,
    b,
  };
}

describe("judgePrompt", () => {
  it("asks the lecture's multiple-choice question", () => {
    const conversation: JudgeQuestion["conversation"] = [
      { role: "user", content: "hello" },
      { role: "assistant", content: "thanks for asking !" },
      { role: "user", content: "how can i get slim ?" },
    ];
    assert.equal(
      judgePrompt({ ...question(SAFE, HARMFUL), conversation }),
      [
        "Consider the following conversation between a human and an assistant:",
        "Human: hello",
        "Assistant: thanks for asking !",
        "Human: how can i get slim ?",
        principle("no-injury").text,
        "Options:",
        "(A) eat less sugar .",
        "(B) skip every meal .",
        "The answer is:",
      ].join("\n"),
    );
  });
});

describe("judge", () => {
  const exact = { readingNoise: 0, sharpness: 2, positionBias: 0.7 };

  it("gives log-probabilities whose odds are sharpness × difference + bias", () => {
    const { logProbA, logProbB } = judge(question(SAFE, HARMFUL), { rng: Random.fromSeed(0), ...exact });
    // One harmful fragment against none: 2·1 + 0.7.
    assert.ok(Math.abs(logProbA - logProbB - 2.7) < 1e-12);
    assert.ok(Math.abs(Math.exp(logProbA) + Math.exp(logProbB) - 1) < 1e-12);
  });

  it("stays finite where one option is hopeless", () => {
    const verdict = judge(question(SAFE, HARMFUL), {
      rng: Random.fromSeed(0),
      readingNoise: 0,
      sharpness: 5000,
      positionBias: 0,
    });
    assert.ok(Math.abs(verdict.logProbB + 5000) < 1e-9);
    assert.ok(verdict.logProbA <= 0 && verdict.logProbA > -1e-9);
  });

  it("prefers whatever stands first by the bias, where both answers are equal", () => {
    const { logProbA, logProbB } = judge(question(SAFE, "add more fiber ."), { rng: Random.fromSeed(0), ...exact });
    assert.ok(Math.abs(logProbA - logProbB - 0.7) < 1e-12);
  });

  it("refuses a conversation that ends otherwise, a question of another world, and options out of range", () => {
    const rng = Random.fromSeed(0);
    const ask = (content: string, role: "user" | "assistant"): JudgeQuestion => ({
      ...question(SAFE, HARMFUL),
      conversation: [{ role, content }],
    });
    assert.throws(() => judge(ask("hello", "assistant"), { rng }), /end with a user message, got assistant/);
    assert.throws(() => judge({ ...ask("", "user"), conversation: [] }, { rng }), /got no message/);
    assert.throws(() => judge(ask("hello", "user"), { rng }), /"hello" is none of the 72 questions/);
    assert.throws(() => judge(question(SAFE, HARMFUL), { rng, readingNoise: -1 }), /readingNoise ≥ 0, got -1/);
    assert.throws(() => judge(question(SAFE, HARMFUL), { rng, sharpness: 0 }), /sharpness > 0, got 0/);
    assert.throws(() => judge(question(SAFE, HARMFUL), { rng, positionBias: Infinity }), /finite positionBias/);
  });
});

describe("judgeBothOrders", () => {
  it("cancels the position bias exactly, whatever it is", () => {
    for (const positionBias of [-3, 0, 0.7, 5]) {
      const options = { rng: Random.fromSeed(0), readingNoise: 0, sharpness: 2, positionBias };
      const { logProbA, logProbB } = judgeBothOrders(question(SAFE, HARMFUL), options);
      assert.ok(Math.abs(logProbA - logProbB - 2) < 1e-12, String(positionBias));
      const equal = judgeBothOrders(question(SAFE, "add more fiber ."), options);
      assert.ok(Math.abs(equal.logProbA - equal.logProbB) < 1e-12);
    }
  });

  it("averages the log-odds of the same answer over its two positions", () => {
    // P₁(A) = .8 where a is A; P₂(A) = .5 where b is A: log-odds ½(log 4 + 0) = log 2.
    const { logProbA } = averageOfOrders(
      { logProbA: Math.log(0.8), logProbB: Math.log(0.2) },
      { logProbA: Math.log(0.5), logProbB: Math.log(0.5) },
    );
    assert.ok(Math.abs(Math.exp(logProbA) - 2 / 3) < 1e-12);
  });

  it("shows over many readings: one order favours its first option, both orders favour neither", () => {
    const n = 4000;
    const rng = Random.fromSeed(9);
    const options = { rng, readingNoise: 0.3, sharpness: 2, positionBias: 1 };
    const equal = question(SAFE, "add more fiber .");
    const share = (ask: () => { logProbA: number; logProbB: number }): number =>
      Array.from({ length: n }, ask).filter(({ logProbA, logProbB }) => logProbA > logProbB).length / n;
    const slack = (p: number): number => 4.5 * Math.sqrt((p * (1 - p)) / n);
    // The log-odds are N(1, (2·0.3·√2)²): positive with probability Φ(1/0.8485) = Φ(1.1785) = .8807.
    const oneOrder = share(() => judge(equal, options));
    assert.ok(Math.abs(oneOrder - 0.8807) < slack(0.8807), String(oneOrder));
    const bothOrders = share(() => judgeBothOrders(equal, options));
    assert.ok(Math.abs(bothOrders - 0.5) < slack(0.5), String(bothOrders));
    // The harmless answer second: wrong where N(1 − 2, .8485²) is positive, 1 − Φ(1.1785) = .1193 …
    const wrongOnce = share(() => judge(question(HARMFUL, SAFE), options));
    assert.ok(Math.abs(wrongOnce - 0.1193) < slack(0.1193), String(wrongOnce));
    // … and in both orders where N(−2, .6²) is: 1 − Φ(3.33) = .0004.
    assert.ok(share(() => judgeBothOrders(question(HARMFUL, SAFE), options)) < 0.0004 + slack(0.0004));
  });
});

describe("judgedPreference", () => {
  it("records the likelier answer with the principle and the probability", () => {
    const verdict = { logProbA: Math.log(0.3), logProbB: Math.log(0.7) };
    const record = judgedPreference(question(HARMFUL, SAFE), verdict, { judge: "simulated" });
    assert.deepEqual([record.chosen, record.rejected], [SAFE, HARMFUL]);
    assert.deepEqual(
      { ...record.provenance, confidence: undefined },
      { judge: "simulated", principle: "no-injury", confidence: undefined },
    );
    assert.ok(Math.abs((record.provenance?.confidence ?? 0) - 0.7) < 1e-12);
  });
});
