import type { Message } from "./dialogue";

/**
 * A preference: of two responses to one prompt, which one a judge chose. The unit of every reward model and of every
 * method that learns from pairs. Field by field the same whatever file it came from.
 */
export interface PreferenceRecord {
  /** What was said before, the last message mostly the user's. */
  prompt: Message[];
  /** The response that was preferred. It may be empty; it differs from `rejected`. */
  chosen: string;
  rejected: string;
  /** By how much chosen is better, ≥ 0, in the judge's own unit (say, the difference of two scores). */
  margin?: number;
  provenance?: {
    /** Who judged: "human", a model, "simulated annotator". */
    judge: string;
    /** The principle that an AI judge was given. */
    principle?: string;
    /** How sure the judge was, in the source's own unit. */
    confidence?: number;
    /** Data set and row. */
    source?: string;
  };
}
