import type * as z from "zod";
import type { Feedback } from "../../objectives/method";
import type { Reward } from "../../rewards/reward";
import type { Inputs } from "../stage";

/** How the advice world gives methods one kind of what they learn from; of a recipe and other stages' results. */
export interface FeedbackKind<F extends keyof Feedback, Recipe extends object, I extends Inputs> {
  recipe: z.ZodType<Recipe>;
  /** The module that does it. */
  code: string;
  /**
   * What the method's trainer is handed. A reward, where there is one, is asked through `watch`, so that somebody may count
   * what it scores, or put another in its place.
   */
  open(recipe: Recipe, inputs: I, watch: (reward: Reward) => Reward): Promise<Feedback[F]>;
}
