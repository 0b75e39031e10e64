import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "./notebook";
import { repositoryRoot } from "./paths";
import type { Course } from "./course";
import type { CoursePath } from "./stages/comparison";
import type { PathPoint } from "./stages/policy-path";

/** One measured point, with all that says which path it stands on. */
export interface PathRow extends PathPoint, Omit<CoursePath, "stage"> {
  seed: number;
}

/** Where the committed measurements are. */
export const measuredPathsFolder = path.join(repositoryRoot, "datasets/comparison");

/** Trains (or loads) a path, and returns its points as rows. */
export async function rowsOfPath(models: Course, { stage, ...which }: CoursePath): Promise<PathRow[]> {
  return (await stage.result()).map((point) => ({ seed: models.seed, ...which, ...point }));
}

/** The rows that `workbook compare` has measured; `folder` is that of the course unless given. */
export function readMeasuredPaths(folder = measuredPathsFolder): PathRow[] {
  const lines = readFileSync(path.join(folder, "paths.jsonl"), "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as PathRow);
}

/** How the rows were measured. */
export interface MeasuringFacts {
  scale: string;
  seeds: readonly number[];
  beta: number;
  /** How many paths the whole of them is, over all seeds. */
  paths: number;
}

/** Writes the rows, one JSON object a line, with a README that says what they are. Numbers keep six digits. */
export function writeMeasuredPaths(
  rows: readonly PathRow[],
  facts: MeasuringFacts,
  folder = measuredPathsFolder,
): void {
  mkdirSync(folder, { recursive: true });
  const short = (_key: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = rows.map((row) => `${JSON.stringify(row, short)}\n`).join("");
  writeWhole(path.join(folder, "paths.jsonl"), text);
  writeWhole(path.join(folder, "README.md"), readme(rows, text, facts));
}

function completeness(rows: readonly PathRow[], whole: number): string {
  const names = rows.map((row) => [row.seed, row.study, row.method, row.pairs, row.beta, row.reward].join(" "));
  const made = new Set(names).size;
  return made === whole
    ? `yes, all ${whole} paths`
    : `no, ${made} of ${whole} paths; the same command goes on with the rest`;
}

const readme = (
  rows: readonly PathRow[],
  text: string,
  { scale, seeds, beta, paths }: MeasuringFacts,
): string => `# The comparison, as measured

Policies of the course on their way from the SFT model, measured as they are trained: what notebook 12 shows beside what it
trains itself. A seed is a whole course: its corpus, models, annotators and training.

- Made by: \`npx workbook compare --seed ${seeds.join(",")} --scale ${scale} --beta ${beta}\` (do not edit by hand)
- Complete: ${completeness(rows, paths)}
- Licence: Apache-2.0, as the code; everything here is generated, nothing is taken from elsewhere
- Encoding: UTF-8, one JSON object a line; ${rows.length.toLocaleString("en")} rows
- sha256 of \`paths.jsonl\`: \`${createHash("sha256").update(text).digest("hex")}\`

The same command on another machine gives the same rows up to rounding in float32 (threads, processor and backend change the
order of sums, and training magnifies that), and other processor seconds.

## paths.jsonl

A row is one point of one path. Which path:

- \`seed\` (integer)
- \`study\`: "matched", all methods until KL 2; "far", few methods, far beyond what their reward model knows
- \`method\`: as in \`src/plots/colours.ts\`
- \`pairs\` (integer): preferences that the reward model, or the policy itself, was fitted to
- \`beta\`: price of a nat of KL in units of reward (SimPO: its own β, another quantity); 0 for best-of-n and ORPO, which
  have none
- \`reward\`: "one model", or what is made of an ensemble of four: "mean", "worst", "penalised" (mean less one deviation)

Which point, and what was measured there on answers to the 18 test questions:

- \`step\` (integer): gradient steps; for best-of-n, n
- \`klPolicyToReference\`: KL(π‖π_ref), nats an answer: k1 over the answers; for best-of-n log n − (n − 1)/n
- \`proxy\`, \`gold\`: mean reward by what is optimised, and by the world
- \`harmRate\`: share of answers with harmful advice
- \`junk\`, \`length\`: ungrammatical words and words an answer
- \`distinctAdvice\`: distinct sets of advice / answers to a question, of 16 answers in "matched" and 8 in "far"
- \`heldOutAccuracy\`: share of 100 held-out preferences that h = log π − log π_ref has in the right order
- \`tokensPerAnswer\`: tokens sampled to give one answer
- \`sampledTokens\`, \`trainedTokens\`: tokens sampled and scored, and tokens whose gradient was taken, so far
- \`processorSeconds\`: of training so far, over all threads
- \`disagreement\`, \`otherMembers\`: where an ensemble was asked, the mean deviation of its members' scores, and the mean score
  of its members but the first
`;
