import * as z from "zod";
import { bestOfNKlBound } from "../../evaluation/exact/best-of-n";
import type { ScalarModel } from "../../models/scalar-head";
import { expectedBestOfN } from "../../objectives/reward-maximisation/best-of-n";
import { rewardsOf, type Reward } from "../../rewards/reward";
import { modelReward } from "../../rewards/reward-model";
import { wholeNumber } from "../../tensors/options";
import { mean } from "../../tensors/statistics";
import { answerText, promptTokens, type Example } from "../../text/dialogue";
import { goldReward } from "../../world/gold-reward";
import { adviceVocabulary } from "../../world/grammar";
import { adviceSet } from "../../world/parse";
import { testPrompts } from "../../world/prompts";
import { jsonFile } from "../json-file";
import type { PathPoint } from "../path-point";
import type { Made, StageKind } from "../stage";

const recipe = z.strictObject({
  /** Answers whose diversity is counted. */
  answers: wholeNumber(1),
});
export type BestOfNPathRecipe = z.output<typeof recipe>;

/**
 * Best-of-n as a path: further from the reference with every doubling of n, up to half the pool, without any training. Means
 * are unbiased over all ways to draw n from the pool (`expectedBestOfN`); `distinctAdvice` counts among `answers` best of
 * disjoint groups, while there are so many. `klPolicyToReference` is log n − (n − 1)/n: an upper bound, and nearly attained
 * since hardly two answers have one score. `step` is n; nothing is trained, and what is sampled is paid anew with every answer.
 */
export const bestOfNPath: StageKind<
  BestOfNPathRecipe,
  { pool: Made<number[][][]>; rewardModel: Made<ScalarModel> },
  { step: number },
  PathPoint[]
> = {
  name: "best-of-n-path",
  recipe,
  code: ["course/stages/best-of-n-path.ts"],
  what: () => "best-of-n by a reward model, for every n",
  async *run({ answers }, { pool, rewardModel }) {
    const reward = modelReward(await rewardModel.result());
    const points = bestOfNPoints(await assessedPool(await pool.result(), reward), answers);
    for (const { step } of points) yield { step };
    return points;
  },
  ...jsonFile("path.json"),
};

/** What is asked of an answer. */
export interface AssessedAnswer extends Pick<PathPoint, "proxy" | "gold" | "junk" | "length"> {
  harmful: boolean;
  /** The advice in it, as a set has no order. */
  advice: string;
  /** `<eos>` included. */
  tokens: number;
}

/** The path's points from the pool's answers, [questions][size]: see `bestOfNPath`. */
export function bestOfNPoints(judged: readonly (readonly AssessedAnswer[])[], answers: number): PathPoint[] {
  const [{ length: size }] = judged;
  /** Of the answer chosen, for every n: [n − 1]. */
  const expected = (of: (answer: AssessedAnswer) => number): number[] => {
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

/** A pool of answers to the test questions, [questions][size], as a reward and the world have them. */
export async function assessedPool(pool: number[][][], reward: Reward): Promise<AssessedAnswer[][]> {
  const vocabulary = adviceVocabulary();
  const prompts = testPrompts();
  const judged: AssessedAnswer[][] = [];
  for (const [i, responses] of pool.entries()) {
    const prompt = promptTokens(vocabulary, prompts[i].text);
    const examples = responses.map((response): Example => ({ prompt, response }));
    const rewards = await rewardsOf(reward, examples);
    judged.push(
      responses.map((response, j) => {
        const text = answerText(vocabulary, response);
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
function bestOfGroups(answers: readonly AssessedAnswer[], n: number, count: number): AssessedAnswer[] {
  return Array.from({ length: count }, (_, i) =>
    answers.slice(i * n, (i + 1) * n).reduce((best, one) => (one.proxy > best.proxy ? one : best)),
  );
}
