import { displayBundle } from "../plots/show";
import { escapeHtml } from "../plots/escape-html";
import { loadExercise, type AnyExercise, type CheckContext } from "./exercise";
import { asHtml, asText } from "./report";
import { runChecks } from "./run-checks";

/**
 * Checks a function against an exercise and shows what came of it: each check with ✓ or ✗, the likely mistake, points.
 *
 * It never throws for what the function does, so that the notebook goes on; an exercise that is still a stub says so.
 *
 * @param which the exercise's id ("01-perplexity"), or an exercise of your own
 * @param yours the function from the notebook
 * @param context the notebook's parameters, on which the checks' truths depend; a notebook without a `beta` has none to
 *   give, and 0.1 stands in. `timeout` in milliseconds a check
 */
export async function check(
  which: string | AnyExercise,
  yours: (...args: never[]) => unknown,
  context: Omit<CheckContext, "beta"> & { beta?: number; timeout?: number },
): Promise<void> {
  const exercise = typeof which === "string" ? loadExercise(which) : which;
  const [result] = await runChecks([{ exercise, yours }], { ...context, beta: context.beta ?? 0.1 });
  displayBundle({ "text/html": asHtml(result), "text/plain": asText(result) });
}

/** Shows an exercise's facts and its three hints, each folded inside the one before. */
export function hints(id: string): void {
  const { title, difficulty, minutes, points, hints } = loadExercise(id);
  const dots = "●".repeat(difficulty) + "○".repeat(5 - difficulty);
  const facts = `difficulty ${dots} · ${minutes} minutes · ${points} ${points === 1 ? "point" : "points"}`;
  const labels = ["A question", "The equation", "Nearly the code"];
  const folded = hints.reduceRight(
    (inner, hint, i) =>
      `<details><summary>Hint ${i + 1} of 3: ${labels[i]}</summary><p style="white-space:pre-wrap">${escapeHtml(hint)}</p>${inner}</details>`,
    "",
  );
  displayBundle({
    "text/html": `<p><b>Exercise ${escapeHtml(id)}: ${escapeHtml(title)}</b><br>${facts}</p>${folded}`,
    "text/plain": `Exercise ${id}: ${title} (${facts})`,
  });
}
