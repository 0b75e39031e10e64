import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { bestOfNKlBound } from "../../evaluation/exact/best-of-n";
import { sample } from "../../models/generation";
import { checkWholeNumber } from "../../models/training";
import { expectedBestOfN } from "../../objectives/reward-maximisation/best-of-n";
import { rewardsOf } from "../../rewards/reward";
import { answerText, promptTokens, type Example } from "../../text/dialogue";
import { goldReward } from "../../world/gold-reward";
import { adviceSet } from "../../world/parse";
import { testPrompts } from "../../world/prompts";
import { codeVersion } from "../code-version";
import type { Course } from "../course";
import { stage, type Stage } from "../stage";
import type { PathPoint } from "./policy-path";

interface PoolRecord {
  step: number;
  answers: number;
}

/** Many answers of the SFT model to each test question, what best-of-n chooses from: tokens, [questions][size]. */
export function answerPool(models: Course, size: number): Stage<PoolRecord, number[][][]> {
  checkWholeNumber("answerPool", "size", size, 1);
  const source = models.sft();
  return stage<PoolRecord, number[][][]>({
    name: "answer-pool",
    what: `${size} answers of the SFT model to each test question`,
    options: { seed: models.seed, size },
    inputs: [source],
    code: "src/models/generation.ts",
    async *run() {
      const policy = await source.result();
      const pool: number[][][] = [];
      for (const [i, { text }] of testPrompts().entries()) {
        const prompt = promptTokens(models.vocabulary, text);
        const rng = models.rng.child(`answer pool ${i}`);
        const samples = await sample(policy, new Array<number[]>(size).fill(prompt), { rng });
        pool.push(samples.map(({ response }) => [...response]));
        yield { step: i, answers: (i + 1) * size };
      }
      return pool;
    },
    save: (pool, folder) => writeFile(path.join(folder, "pool.json"), JSON.stringify(pool)),
    load: async (folder) => JSON.parse(await readFile(path.join(folder, "pool.json"), "utf8")) as number[][][],
  });
}

export interface BestOfNPathOptions {
  /** The preferences behind the reward model that picks. Default: the scale's. */
  pairs?: number;
  /** Answers whose diversity is counted. Default: the scale's for diversity. */
  answers?: number;
  /** Answers of the SFT model to each question, to choose from; n doubles up to half of it. Default: 32 times `answers`. */
  pool?: number;
}

/**
 * Best-of-n as a path: further from the reference with every doubling of n, without any training. Means are unbiased over all
 * ways to draw n from the pool (`expectedBestOfN`); `distinctAdvice` counts among `answers` best of disjoint groups, while
 * there are so many. `klPolicyToReference` is log n − (n − 1)/n: an upper bound, and nearly attained since hardly two answers
 * have one score. `step` is n; nothing is trained, and what is sampled is paid anew with every answer.
 */
export function bestOfNPath(models: Course, options: BestOfNPathOptions = {}): Stage<{ step: number }, PathPoint[]> {
  const { pairs = models.sizes.rewardPairs, answers = models.sizes.answersForDiversity } = options;
  const { pool: size = 32 * answers } = options;
  checkWholeNumber("bestOfNPath", "answers", answers, 1);
  checkWholeNumber("bestOfNPath", "pool", size, 2);
  const pool = answerPool(models, size);
  const rewardModel = models.rewardModel({ pairs });
  return stage<{ step: number }, PathPoint[]>({
    name: "best-of-n-path",
    what: `best-of-n by a reward model of ${pairs} preferences, from ${size} answers to each question`,
    options: {
      seed: models.seed,
      answers,
      size,
      measured: [codeVersion("src/world/gold-reward.ts"), codeVersion("src/evaluation/exact/best-of-n.ts")],
    },
    inputs: [pool, rewardModel],
    code: "src/objectives/reward-maximisation/best-of-n.ts",
    async *run() {
      const points = bestOfNPoints(await judgedPool(models, await pool.result(), pairs), answers);
      for (const { step } of points) yield { step };
      return points;
    },
    save: (points, folder) => writeFile(path.join(folder, "path.json"), JSON.stringify(points)),
    load: async (folder) => JSON.parse(await readFile(path.join(folder, "path.json"), "utf8")) as PathPoint[],
  });
}

/** What is asked of an answer. */
export interface JudgedAnswer extends Pick<PathPoint, "proxy" | "gold" | "junk" | "length"> {
  harmful: boolean;
  /** The advice in it, as a set has no order. */
  advice: string;
  /** `<eos>` included. */
  tokens: number;
}

/** The path's points from the pool's answers, [questions][size]: see `bestOfNPath`. */
export function bestOfNPoints(judged: readonly (readonly JudgedAnswer[])[], answers: number): PathPoint[] {
  const [{ length: size }] = judged;
  /** Of the answer chosen, for every n: [n − 1]. */
  const expected = (of: (answer: JudgedAnswer) => number): number[] => {
    const curves = judged.map((group) =>
      expectedBestOfN(
        group.map(({ proxy }) => proxy),
        group.map(of),
      ),
    );
    return Array.from(curves[0], (_, i) => mean(curves.map((curve) => curve[i])));
  };
  const curves = {
    proxy: expected(({ proxy }) => proxy),
    gold: expected(({ gold }) => gold),
    harmRate: expected(({ harmful }) => (harmful ? 1 : 0)),
    junk: expected(({ junk }) => junk),
    length: expected(({ length }) => length),
  };
  const distinctAdvice = (n: number): number =>
    mean(judged.map((group) => new Set(bestOfGroups(group, n, answers).map(({ advice }) => advice)).size / answers));
  const points: PathPoint[] = [];
  for (let n = 1; n <= size / 2; n *= 2) {
    points.push({
      step: n,
      klPolicyToReference: bestOfNKlBound(n),
      proxy: curves.proxy[n - 1],
      gold: curves.gold[n - 1],
      harmRate: curves.harmRate[n - 1],
      junk: curves.junk[n - 1],
      length: curves.length[n - 1],
      ...(n * answers <= size && { distinctAdvice: distinctAdvice(n) }),
      tokensPerAnswer: n * mean(judged.flatMap((group) => group.map(({ tokens }) => tokens))),
      sampledTokens: 0,
      trainedTokens: 0,
      processorSeconds: 0,
    });
  }
  return points;
}

/** A pool of answers to the test questions, [questions][size], as a reward model of so many pairs and the world have them. */
export async function judgedPool(models: Course, pool: number[][][], pairs: number): Promise<JudgedAnswer[][]> {
  const prompts = testPrompts();
  const judged: JudgedAnswer[][] = [];
  for (const [i, responses] of pool.entries()) {
    const prompt = promptTokens(models.vocabulary, prompts[i].text);
    const examples = responses.map((response): Example => ({ prompt, response }));
    const rewards = await rewardsOf(models.proxy({ pairs }), examples);
    judged.push(
      responses.map((response, j) => {
        const text = answerText(models.vocabulary, response);
        const { total, counts, words } = goldReward(prompts[i].topic, text);
        return {
          proxy: rewards[j],
          gold: total,
          harmful: counts.harm > 0,
          junk: counts.junk,
          length: words,
          advice: adviceSet(text).join(" + "),
          tokens: response.length,
        };
      }),
    );
  }
  return judged;
}

/** The best of each of the first `count` groups of n. */
function bestOfGroups(answers: readonly JudgedAnswer[], n: number, count: number): JudgedAnswer[] {
  return Array.from({ length: count }, (_, i) =>
    answers.slice(i * n, (i + 1) * n).reduce((best, one) => (one.proxy > best.proxy ? one : best)),
  );
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
