import { escapeHtml } from "../plots/escape-html";
import { displayBundle } from "../plots/show";
import { predictionMime } from "./outputs";
import { formatValue, textTable } from "./table";

/** A number, a choice or a sentence; "up" and "down" (and "same") predict the sign of a change. */
export type PredictionAnswer = number | string;

/** A question put to the reader before the result is seen. */
export interface Prediction {
  id: string;
  question: string;
  /** Undefined: not answered. */
  answer: PredictionAnswer | undefined;
  /** When given, the answer must be one of them. */
  choices?: readonly string[];
}

/** How a prediction is compared with what came out. */
export interface ComparisonOptions {
  /** A number's allowed distance from the truth; the default is a tenth of the truth's size. */
  tolerance?: number;
  /** Why it came out so: shown beside both. */
  explain?: string;
}

interface Kept extends Prediction {
  truth?: PredictionAnswer;
  cameTrue?: boolean;
}

/**
 * A reader's predictions in one run of one notebook. The first cell makes them,
 *
 *     const { predict, compare, predictionSummary } = new Predictions();
 *
 * a cell tagged `predict` asks before each result, `compare` follows the result, and the last cell sums up. Running a
 * predict cell again replaces its prediction; running the first cell again forgets them all.
 */
export class Predictions {
  private readonly kept = new Map<string, Kept>();

  /** Records an answer, to be compared later. Leave `answer` undefined to go on without predicting. */
  readonly predict = (prediction: Prediction): void => {
    const { id, question, answer, choices } = prediction;
    if (answer !== undefined && choices !== undefined && !choices.includes(String(answer))) {
      throw new Error(`predict "${id}": expected one of ${choices.map((c) => `"${c}"`).join(", ")}, got "${answer}"`);
    }
    if (typeof answer === "number" && !Number.isFinite(answer)) {
      throw new Error(`predict "${id}": expected a finite number, a word, or undefined for no answer; got ${answer}`);
    }
    this.kept.set(id, { id, question, answer, choices });
    const said =
      answer === undefined ? `not answered yet: put your answer in place of \`undefined\`` : formatValue(answer);
    const offered = choices === undefined ? "" : ` (${choices.join(" / ")})`;
    displayBundle({
      [predictionMime]: { id, question, ...(answer === undefined ? {} : { answer }), ...(choices ? { choices } : {}) },
      "text/html": `<p>${escapeHtml(question + offered)}<br>Your prediction: <b>${escapeHtml(said)}</b></p>`,
      "text/plain": `${question}${offered}\nYour prediction: ${said}`,
    });
  };

  /**
   * Shows what came out beside what was predicted.
   *
   * A number came true when it lies within the tolerance of the truth; "up", "down" and "same" when the truth, given as
   * a number, is a change of that sign (within the tolerance, for "same"); anything else when it is equal.
   */
  readonly compare = (id: string, truth: PredictionAnswer, { tolerance, explain }: ComparisonOptions = {}): void => {
    const prediction = this.kept.get(id);
    if (prediction === undefined) {
      const known = [...this.kept.keys()].map((other) => `"${other}"`).join(", ") || "none";
      throw new Error(`compare: no prediction "${id}" is recorded (recorded: ${known}); run its predict cell first`);
    }
    const { answer } = prediction;
    prediction.truth = truth;
    prediction.cameTrue = answer === undefined ? undefined : cameTrue(answer, truth, tolerance);
    const verdict = verdictOf(prediction);
    const margin =
      typeof answer === "number" && typeof truth === "number" ? ` (± ${formatValue(marginOf(truth, tolerance))})` : "";
    const { html, text } = textTable(
      ["predicted", "came out", ""],
      [[answer === undefined ? "–" : formatValue(answer), formatValue(truth) + margin, verdict]],
    );
    displayBundle({
      [predictionMime]: { id, truth, ...(answer === undefined ? {} : { answer, cameTrue: prediction.cameTrue }) },
      "text/html": html + (explain === undefined ? "" : `<p>${escapeHtml(explain)}</p>`),
      "text/plain": text + (explain === undefined ? "" : `\n${explain}`),
    });
  };

  /** Shows all predictions of this run, and how many came true. */
  readonly predictionSummary = (): void => {
    const all = [...this.kept.values()];
    const answered = all.filter((prediction) => prediction.answer !== undefined);
    const right = answered.filter((prediction) => prediction.cameTrue);
    const count =
      `${right.length} of ${answered.length} predictions came true` +
      (answered.length < all.length
        ? `; ${all.length - answered.length} of ${all.length} questions were not answered`
        : "");
    const rows = all.map((one) => [
      one.question,
      one.answer === undefined ? "–" : formatValue(one.answer),
      one.truth === undefined ? "not compared" : formatValue(one.truth),
      one.truth === undefined ? "" : verdictOf(one),
    ]);
    const { html, text } = textTable(["question", "predicted", "came out", ""], rows);
    displayBundle({ "text/html": `<p>${escapeHtml(count)}</p>${html}`, "text/plain": `${count}\n${text}` });
  };
}

function verdictOf({ answer, cameTrue }: Kept): string {
  if (answer === undefined) return "no prediction";
  return cameTrue ? "✓ came true" : "✗ otherwise";
}

function marginOf(truth: number, tolerance: number | undefined): number {
  return tolerance ?? Math.abs(truth) / 10;
}

function cameTrue(answer: PredictionAnswer, truth: PredictionAnswer, tolerance: number | undefined): boolean {
  if (typeof truth === "string") return String(answer).trim().toLowerCase() === truth.trim().toLowerCase();
  if (typeof answer === "number") return Math.abs(answer - truth) <= marginOf(truth, tolerance);
  const still = tolerance ?? 0;
  if (answer === "up") return truth > still;
  if (answer === "down") return truth < -still;
  if (answer === "same") return Math.abs(truth) <= still;
  return false;
}
