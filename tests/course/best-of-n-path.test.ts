import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { Course } from "../../src/course/course";
import {
  measuredPathsFolder,
  readMeasuredPaths,
  rowsOfPath,
  writeMeasuredPaths,
} from "../../src/course/measured-paths";
import { comparedMethods, comparedPaths, farPaths } from "../../src/course/comparison";
import type { PathPoint } from "../../src/course/path-point";
import { assessedPool, bestOfNPoints } from "../../src/course/stages/best-of-n-path";
import { methods } from "../../src/objectives/methods";
import { goldReward } from "../../src/world/gold-reward";
import { adviceSet } from "../../src/world/parse";
import { testPrompts } from "../../src/world/prompts";
import { answerText, promptTokens, responseTokens } from "../../src/text/dialogue";
import { inOwnStore, smallCourse } from "./small-course";

const sizes = {
  ...smallCourse,
  rewardModels: [
    { pairs: 10, steps: 1 },
    { pairs: 20, steps: 2 },
  ],
};

describe("best-of-n's path, and the rows of paths", () => {
  const store = inOwnStore("best-of-n-path");

  it("is, at n = 1 and 2, what all ways to draw from the pool give", async () => {
    const models = new Course(2, sizes);
    const points = await models.bestOfNPath({ answers: 2, pool: 8, pairs: 10 }).result();
    assert.deepEqual(
      points.map(({ step }) => step),
      [1, 2, 4],
    );
    const pool = await models.answerPool(8).result();
    let [one, two, junk, length] = [0, 0, 0, 0];
    for (const [i, { text, topic }] of testPrompts().entries()) {
      const prompt = promptTokens(models.vocabulary, text);
      const scores = Array.from(await models.proxy({ pairs: 10 })(pool[i].map((response) => ({ prompt, response }))));
      const parsed = pool[i].map((response) => goldReward(topic, answerText(models.vocabulary, response)));
      const gold = parsed.map(({ total }) => total);
      junk += parsed.reduce((sum, { counts }) => sum + counts.junk, 0) / 8 / 18;
      length += parsed.reduce((sum, { words }) => sum + words, 0) / 8 / 18;
      one += gold.reduce((sum, value) => sum + value, 0) / 8 / 18;
      // All 28 pairs; of two equal scores, either.
      for (let a = 0; a < 8; a++) {
        for (let b = 0; b < a; b++) {
          const best = scores[a] === scores[b] ? (gold[a] + gold[b]) / 2 : scores[a] > scores[b] ? gold[a] : gold[b];
          two += best / 28 / 18;
        }
      }
    }
    // Sums of a few hundred numbers of size one, in double precision.
    assert.ok(Math.abs(points[0].gold - one) < 1e-10, `n = 1: ${points[0].gold}, not ${one}`);
    assert.ok(Math.abs(points[1].gold - two) < 1e-10, `n = 2: ${points[1].gold}, not ${two}`);
    assert.ok(Math.abs(points[0].junk - junk) < 1e-10 && Math.abs(points[0].length - length) < 1e-10, "words, n = 1");
    const alike = pool[0].filter(([first], i) => first === pool[1][i][0]).length;
    assert.ok(alike < 5, `each question has a stream of its own: ${alike} of 8 answers begin alike`);
    assert.equal(points[0].klPolicyToReference, 0);
    assert.ok(Math.abs(points[1].klPolicyToReference - (Math.log(2) - 0.5)) < 1e-12);
    points.slice(1).forEach((point, i) => assert.ok(point.proxy >= points[i].proxy, "more draws, a higher proxy"));
    const tokens = pool.flat().reduce((sum, response) => sum + response.length, 0) / (18 * 8);
    assert.ok(Math.abs(points[2].tokensPerAnswer - 4 * tokens) < 1e-9, "four answers are drawn to give one");
  });

  it("is, of a pool worked by hand, what the best of n says, does and costs", () => {
    const answer = (proxy: number, gold: number, advice: string, harmful = false) => ({
      ...{ proxy, gold, advice, harmful, junk: 10 * proxy, length: 5 - proxy, tokens: 6 - proxy },
    });
    const pool = [
      [answer(0, 4, "x"), answer(3, -2, "y", true), answer(1, 1, "x"), answer(2, 0, "y")],
      [answer(2, 0, "z"), answer(0, 1, "z"), answer(3, 5, "z"), answer(1, 2, "")],
    ];
    const [one, two, ...rest] = bestOfNPoints(pool, 2);
    assert.deepEqual(rest, []);
    // Of four answers with the scores 0 … 3, the six pairs have the best 3, 3, 3, 2, 2, 1.
    const pairs = ([, first, second, third]: number[]): number => (3 * third + 2 * second + first) / 6;
    const expected = { ...one, ...two, step: 2, klPolicyToReference: Math.log(2) - 1 / 2 };
    Object.assign(expected, {
      ...{ proxy: pairs([0, 1, 2, 3]), gold: (pairs([4, 1, 0, -2]) + pairs([1, 2, 0, 5])) / 2 },
      ...{ harmRate: pairs([0, 0, 0, 1]) / 2, junk: 10 * pairs([0, 1, 2, 3]), length: 5 - pairs([0, 1, 2, 3]) },
      // Of two disjoint pairs each: y and y, z and z.
      ...{ distinctAdvice: 1 / 2, tokensPerAnswer: 2 * 4.5 },
    });
    for (const [name, value] of Object.entries(expected)) {
      const found = two[name as keyof PathPoint]!;
      assert.ok(Math.abs(found - value) < 1e-12, `${name}: ${found}, not ${value}`);
    }
    assert.deepEqual(one, {
      ...{ step: 1, klPolicyToReference: 0, proxy: 1.5, gold: (3 / 4 + 2) / 2, harmRate: 1 / 8, junk: 15, length: 3.5 },
      // x and y; z and z.
      ...{ distinctAdvice: 3 / 4, tokensPerAnswer: 4.5, sampledTokens: 0, trainedTokens: 0, processorSeconds: 0 },
    });
    const three = bestOfNPoints(pool, 3);
    assert.deepEqual(
      three.map(({ distinctAdvice }) => distinctAdvice),
      // x, y, x; z, z, z. Three pairs are more than the pool has.
      [(2 / 3 + 1 / 3) / 2, undefined],
    );
  });

  it("asks of an answer what the world and the reward model say of it", async () => {
    const models = new Course(2, sizes);
    const { text, topic } = testPrompts()[0];
    const answers = [
      "and eat less sugar",
      "skip every meal but ask an expert first .",
      "eat less sugar and skip every meal",
    ];
    const tokens = answers.map((answer) => responseTokens(models.vocabulary, answer));
    const [judged, ...rest] = await assessedPool([tokens], models.proxy({ pairs: 10 }));
    assert.deepEqual(rest, []);
    const prompt = promptTokens(models.vocabulary, text);
    const scores = await models.proxy({ pairs: 10 })(tokens.map((response) => ({ prompt, response })));
    answers.forEach((answer, i) => {
      const { total, counts, words } = goldReward(topic, answer);
      const { advice, ...numbers } = judged[i];
      assert.deepEqual(numbers, {
        ...{ proxy: scores[i], gold: total, harmful: i > 0, junk: counts.junk, length: words },
        tokens: answer.split(" ").length + 1, // <eos>
      });
      assert.equal(advice, [...adviceSet(answer)].join(" + "));
    });
  });

  it("has a row of the taxonomy for every method compared, each with its own stage", () => {
    const models = new Course(2, sizes);
    const paths = comparedPaths(models, { beta: 0.2 });
    assert.deepEqual(
      paths.map(({ method }) => method),
      comparedMethods,
    );
    const own: Record<string, number> = { simpo: 2, orpo: 0, bestOfN: 0 };
    for (const { method, beta } of paths) assert.equal(beta, own[method] ?? 0.2, `${method}'s β`);
    const hashes = [...paths, ...farPaths(models)].map(({ stage }) => stage.hash);
    assert.equal(new Set(hashes).size, hashes.length, "two paths are the same artifact");
    assert.deepEqual([...new Set(farPaths(models).map(({ pairs }) => pairs))].sort(), [10, 20]);
  });

  it("are written and read again, with what they were made with", async () => {
    const models = new Course(2, sizes);
    const one = comparedPaths(models, { beta: 0.2 }).find(({ method }) => method === "bestOfN")!;
    const rows = await rowsOfPath(models, one);
    assert.ok(rows.every((row) => row.seed === 2 && row.method === "bestOfN" && row.study === "matched"));
    const facts = { scale: "quick", seeds: [2], beta: 0.2 } as const;
    writeMeasuredPaths(rows, { ...facts, pathsPerSeed: 1 }, store.folder);
    assert.match(readFileSync(path.join(store.folder, "README.md"), "utf8"), /Complete: yes, all 1 paths/);
    writeMeasuredPaths(rows, { ...facts, pathsPerSeed: 2 }, store.folder);
    assert.match(readFileSync(path.join(store.folder, "README.md"), "utf8"), /Complete: no, 1 of 2 paths/);
    // Of another seed that was asked for nothing is there yet.
    writeMeasuredPaths(rows, { ...facts, seeds: [3, 1], pathsPerSeed: 1 }, store.folder);
    const readme = readFileSync(path.join(store.folder, "README.md"), "utf8");
    assert.match(readme, /compare --seed 1,2,3 --scale quick --beta 0.2`/);
    assert.match(readme, /Complete: no, 1 of 3 paths/);
    assert.match(readme, /of 2 answers in "matched" and 1 in "far"\n.*share of 30 held-out/);
    const read = readMeasuredPaths(store.folder);
    assert.equal(read.length, rows.length);
    assert.ok(!("stage" in read[0]));
    rows.forEach(({ gold, step }, i) => {
      assert.equal(read[i].step, step);
      assert.ok(Math.abs(read[i].gold - gold) <= 1e-5 * Math.abs(gold), "six digits");
    });
  });
});

describe("the committed measurements", () => {
  it("are those that their README names, and say what notebook 12 needs of every path", () => {
    const readme = readFileSync(path.join(measuredPathsFolder, "README.md"), "utf8");
    const text = readFileSync(path.join(measuredPathsFolder, "paths.jsonl"));
    assert.ok(readme.includes(createHash("sha256").update(text).digest("hex")), "paths.jsonl has been changed by hand");
    const rows = readMeasuredPaths();
    for (const { seed, study, method, pairs } of rows) {
      assert.ok(Number.isInteger(seed) && ["matched", "far"].includes(study) && method in methods && pairs > 0);
    }
    for (const row of rows.filter(({ step, method }) => step === 0 && method !== "bestOfN")) {
      assert.equal(row.klPolicyToReference, 0, "a path begins at the reference");
    }
  });
});
