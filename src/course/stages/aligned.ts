import * as z from "zod";
import type { Policy } from "../../models/policy";
import type { TrainingRecord } from "../../models/training";
import type { Feedback, Method, Task } from "../../objectives/method";
import type { Reward } from "../../rewards/reward";
import { type Settings, settingsSchema } from "../../tensors/options";
import { Random } from "../../tensors/random";
import type { FeedbackKind } from "../feedback/feedback";
import { policyFiles } from "../policy-files";
import type { Inputs, Made, RunContext, StageKind } from "../stage";

/** What an aligned model depends on beside its inputs. */
export interface AlignedRecipe {
  seed: number;
  method: string;
  /** The method's child stream of the seed's. */
  stream: string;
  /** Everything the method's trainer takes that is plain data. */
  settings: Settings<z.ZodObject>;
  /** What it learns from. */
  feedback: object;
}

export type AlignedInputs = Inputs & { reference: Made<Policy> };

/** A method with the world's feedback of its kind. */
export interface Alignment {
  method: Method;
  feedback: FeedbackKind<keyof Feedback, object, Inputs>;
}

/** The schema of an aligned model's recipe. */
export const alignedRecipe = ({ method, feedback }: Alignment): z.ZodType<AlignedRecipe> =>
  z.strictObject({
    seed: z.int(),
    method: z.literal(method.name),
    stream: z.literal(method.stream),
    settings: settingsSchema(method.options),
    feedback: feedback.recipe,
  }) as unknown as z.ZodType<AlignedRecipe>;

/** The modules that align a policy by a method: its own, its feedback's and this one. */
export const alignedCode = ({ method, feedback }: Alignment): string[] => [
  "course/stages/aligned.ts",
  feedback.code,
  `objectives/${method.branch}/${kebabCase(method.name)}.ts`,
];

/**
 * Trains a policy in place by a method, the reference staying what it is; yields the trainer's records. `watch` is asked
 * for the reward to use in place of the feedback's.
 */
export async function* align(
  { method, feedback }: Alignment,
  { seed, settings, feedback: asked }: AlignedRecipe,
  { reference, ...inputs }: AlignedInputs,
  { policy, watch = (reward) => reward }: { policy: Policy; watch?: (reward: Reward) => Reward },
  { workFolder, signal }: RunContext,
): AsyncGenerator<TrainingRecord> {
  const task = { policy, reference: await reference.result(), ...(await feedback.open(asked, inputs, watch)) };
  const rng = Random.fromSeed(seed).child(method.stream);
  yield* method.train(task as Task<keyof Feedback>, settings, { rng, checkpointFolder: workFolder, signal });
}

/** For manifests: the method, the price of a nat of KL where it has one, and how long it was trained. */
export function alignedInWords({ method }: Alignment, { settings }: AlignedRecipe): string {
  const { beta, steps } = settings as { beta?: number; steps: number };
  return `aligned by ${method.label}${beta === undefined ? "" : ` at β ${beta}`} for ${steps} steps`;
}

/** A model aligned by a method: a copy of the SFT model, which stays behind as the reference. */
export const aligned = (alignment: Alignment): StageKind<AlignedRecipe, AlignedInputs, TrainingRecord, Policy> => ({
  name: kebabCase(alignment.method.name),
  recipe: alignedRecipe(alignment),
  code: alignedCode(alignment),
  what: (recipe) => `the SFT model ${alignedInWords(alignment, recipe)}`,
  async *run(recipe, inputs, context) {
    const policy = (await inputs.reference.result()).clone();
    yield* align(alignment, recipe, inputs, { policy }, context);
    return policy;
  },
  ...policyFiles,
});

export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
