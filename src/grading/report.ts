import { escapeHtml } from "../plots/escape-html";
import type { MadePrediction } from "./made-predictions";
import type { CheckResult, ExerciseResult } from "./run-checks";

/** "01-perplexity: 2 of 3 points". */
export function scoreLine({ id, points, of, unfilled }: ExerciseResult): string {
  return `${id}: ${unfilled ? "not filled in yet, " : ""}${points} of ${of} points`;
}

/** A result as lines for a terminal. */
export function asText(result: ExerciseResult): string {
  if (result.unfilled) return `${scoreLine(result)}. ${unfilledAdvice}`;
  const lines = byTier(result.checks).flatMap(([tier, checks]) => [
    `  ${tier}`,
    ...checks.flatMap(({ passed, title, reason }) => [
      `    ${passed ? "✓" : "✗"} ${title}`,
      ...(passed ? [] : reason.split("\n").map((line) => `        ${line}`)),
    ]),
  ]);
  const likely = result.likely ? [`  Likely mistake: ${result.likely.why}`] : [];
  return [`${scoreLine(result)} (${result.title})`, ...lines, ...likely].join("\n");
}

const unfilledAdvice = "The hints above the cell open one by one; the notebook goes on without it.";

/** The predictions of a notebook as lines for a terminal: a point for each that was made, and how the compared ones ended. */
export function predictionsAsText(predictions: readonly MadePrediction[]): string {
  const made = predictions.filter((one) => one.made);
  const compared = made.filter((one) => one.cameTrue !== undefined);
  const right = compared.filter((one) => one.cameTrue).length;
  const ending =
    made.length === 0
      ? ""
      : compared.length === 0
        ? "; run the notebook to see which come true"
        : `; ${right} of the ${compared.length} that were compared came true, which earns nothing`;
  const missing = predictions
    .filter((one) => !one.made)
    .map(({ id, question }) => `    ✗ ${id}: ${question === "" ? "no answer yet" : question}`);
  const count = `predictions: ${made.length} of ${predictions.length} made, a point each${ending}`;
  return [count, ...missing].join("\n");
}

/** A result as HTML for a notebook's output; legible on a light and a dark page. */
export function asHtml(result: ExerciseResult): string {
  const { id, title, points, of } = result;
  const score = `<b>${escapeHtml(`${id}: ${title}`)}</b> — ${points} of ${of} points`;
  if (result.unfilled) return `<p>${score}<br>Not filled in yet. ${unfilledAdvice}</p>`;
  const tiers = byTier(result.checks).map(([tier, checks]) => {
    const items = checks.map(({ passed, title, reason }) => {
      // Both colours have a contrast of more than 3:1 on white and on a dark page; the sign carries the meaning.
      const sign = passed ? `<span style="color:#2a8f5c">✓</span>` : `<span style="color:#d9534f">✗</span>`;
      const why = passed ? "" : `<br><span style="white-space:pre-wrap">${escapeHtml(reason)}</span>`;
      return `<li style="list-style:none">${sign} ${escapeHtml(title)}${why}</li>`;
    });
    return `<li style="list-style:none"><i>${escapeHtml(tier)}</i><ul style="margin:0">${items.join("")}</ul></li>`;
  });
  const likely = result.likely ? `<p><b>Likely mistake:</b> ${escapeHtml(result.likely.why)}</p>` : "";
  return `<div><p style="margin-bottom:0">${score}</p><ul style="margin-top:0">${tiers.join("")}</ul>${likely}</div>`;
}

function byTier(checks: readonly CheckResult[]): [tier: string, checks: CheckResult[]][] {
  const tiers = new Map<string, CheckResult[]>();
  for (const check of checks) tiers.set(check.tier, [...(tiers.get(check.tier) ?? []), check]);
  return [...tiers];
}
