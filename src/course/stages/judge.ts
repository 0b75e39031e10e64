import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { loadPolicy, saveModel } from "../../models/checkpoint";
import type { Policy } from "../../models/policy";
import { checkWholeNumber, type TrainingRecord } from "../../models/training";
import { judgeComparisons, judgedPairs, type JudgedComparison } from "../../rewards/ai-feedback";
import { judgeFromPolicy, trainJudge } from "../../rewards/judge-model";
import { CONSTITUTION, principle } from "../../world/constitution";
import { judgeVocabulary } from "../../world/judge";
import { judgeCurriculum } from "../../world/judge-lessons";
import { codeVersion } from "../code-version";
import type { Course, Labels } from "../course";
import { stage, type Stage } from "../stage";

export interface JudgeStageOptions {
  /**
   * How often the right answer stands first in the judge's lessons. Default 0.65: collections of multiple-choice questions
   * are seldom balanced, and this is where a judge's liking for a place comes from.
   */
  firstShare?: number;
}

/** The AI judge: the SFT model, taught to answer multiple-choice questions by the sixteen principles. */
export function judgeStage(
  models: Course,
  { firstShare = 0.65 }: JudgeStageOptions = {},
): Stage<TrainingRecord, Policy> {
  const { steps, batchSize } = models.sizes.judge;
  return models.once(`judge ${firstShare}`, () => {
    const sft = models.sft();
    return stage<TrainingRecord, Policy>({
      name: "judge",
      what: "the AI judge: the SFT model, taught multiple-choice questions by sixteen principles",
      options: {
        seed: models.seed,
        steps,
        batchSize,
        firstShare,
        lessons: codeVersion("src/world/judge-lessons.ts"),
      },
      inputs: [sft],
      code: "src/rewards/judge-model.ts",
      save: (judge, folder) => saveModel(folder, judge, judgeVocabulary()),
      load: async (folder) => (await loadPolicy(folder)).policy,
      async *run({ workFolder, signal }) {
        const rng = models.rng.child("judge");
        const judge = await judgeFromPolicy(await sft.result(), models.vocabulary, rng.child("new words"));
        yield* trainJudge({
          judge,
          lesson: (step, stream) => judgeCurriculum({ progress: step / steps, rng: stream, firstShare }),
          batchSize,
          steps,
          learningRate: 3e-3,
          warmUp: Math.min(40, Math.ceil(steps / 5)),
          schedule: "cosine",
          weightDecay: 0.01,
          rng: rng.child("training"),
          checkpointFolder: workFolder,
          signal,
        });
        return judge;
      },
    });
  });
}

/** How the AI judge labels pairs. */
export interface AiFeedback extends JudgeStageOptions {
  /** Ids of the constitution's principles, one drawn for each pair; all sixteen when left out. */
  principles?: readonly string[];
  /** Ask with `a` as option (A) only, or in both orders, averaged; default "both". */
  orders?: "one" | "both";
  /**
   * How many pairs it labels: the first of `answerPairs` that differ, without those kept for measuring. Default: the scale's
   * for a reward model.
   */
  pairs?: number;
}

/** The judge's answers about the course's answer pairs, in both orders. */
export function judgingStage(
  models: Course,
  { principles = CONSTITUTION.map(({ id }) => id), firstShare, pairs }: Omit<AiFeedback, "orders"> = {},
): Stage<{ step: number; judged: number }, JudgedComparison[]> {
  const count = pairs ?? models.sizes.rewardPairs;
  checkWholeNumber("judgingStage", "pairs", count, 1);
  if (principles.length === 0) {
    throw new RangeError("judgingStage: expected at least one principle, got none; leave them out to ask by all");
  }
  const asked = principles.map(principle);
  return models.once(`judging ${count} ${principles} ${firstShare}`, () => {
    const [judge, source] = [judgeStage(models, { firstShare }), models.answerPairs()];
    return stage<{ step: number; judged: number }, JudgedComparison[]>({
      name: "judging",
      what: `the AI judge's answers about ${count} pairs of answers, by ${principles.length} principles`,
      options: { seed: models.seed, principles, count },
      inputs: [judge, source],
      code: "src/rewards/ai-feedback.ts",
      async *run() {
        const policy = await judge.result();
        // As in `Course.preferences`: the last of those that differ are kept for measuring.
        const training = (await source.result()).filter(({ a, b }) => a !== b).slice(0, -models.sizes.validation);
        if (training.length < count) {
          throw new RangeError(
            `judgingStage: there are ${training.length} pairs to label beside those kept for measuring, and ${count} ` +
              `were asked for; ask for fewer`,
          );
        }
        const comparisons = training.slice(0, count);
        const rng = models.rng.child("AI judge");
        const judged: JudgedComparison[] = [];
        const chunk = 256;
        for (let start = 0; start < comparisons.length; start += chunk) {
          const some = comparisons.slice(start, start + chunk);
          const stream = rng.child(`comparisons from ${start}`);
          judged.push(
            ...(await judgeComparisons({ judge: policy, comparisons: some, principles: asked, rng: stream })),
          );
          yield { step: start / chunk, judged: judged.length };
        }
        return judged;
      },
      save: (judged, folder) => writeFile(path.join(folder, "judged.json"), JSON.stringify(judged)),
      load: async (folder) =>
        JSON.parse(await readFile(path.join(folder, "judged.json"), "utf8")) as JudgedComparison[],
    });
  });
}

/** The judge's labels in place of the annotators': for `Course.rewardModel` and `Course.aligned` (RLAIF). */
export function aiLabels(models: Course, { orders = "both", ...asked }: AiFeedback = {}): Labels {
  const judging = judgingStage(models, asked);
  return {
    what: `the AI judge's by ${asked.principles?.join(", ") ?? "all principles"}, order of options: ${orders}`,
    asked: { orders },
    inputs: [judging],
    async pairs(count) {
      const judged = await judging.result();
      if (judged.length < count) {
        throw new RangeError(
          `aiLabels: the judge labelled ${judged.length} pairs, and ${count} are asked for: aiLabels(…, { pairs: ${count} })`,
        );
      }
      return judgedPairs(judged, orders);
    },
  };
}
