import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "../plots/write-whole";
import { repositoryRoot } from "./paths";
import type { Course } from "./course";
import { scales, type Scale } from "./scales";
import { answersAPoint, type CoursePath } from "./comparison";
import type { PathPoint } from "./path-point";
import { heldOutPairs } from "./recipes";

/** One measured point, with all that says which path it stands on. */
export interface PathRow extends PathPoint, Omit<CoursePath, "stage"> {
  seed: number;
}

/** Where the committed measurements are. */
export const measuredPathsFolder = path.join(repositoryRoot, "datasets/comparison");

/** Trains (or loads) a path, and returns its points as rows. */
export async function rowsOfPath({ seed }: Pick<Course, "seed">, { stage, ...which }: CoursePath): Promise<PathRow[]> {
  return (await stage.result()).map((point) => ({ seed, ...which, ...point }));
}

/** The rows that `workbook compare` has measured; `folder` is that of the course unless given. */
export function readMeasuredPaths(folder = measuredPathsFolder): PathRow[] {
  const file = path.join(folder, "paths.jsonl");
  if (!existsSync(file)) {
    throw new Error(`${file} is missing: npx workbook compare measures it, some 8 minutes a seed at scale laptop`);
  }
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.filter(Boolean).map((line, i) => {
    try {
      return JSON.parse(line) as PathRow;
    } catch (error) {
      throw new Error(`${file}, line ${i + 1}: expected a row as JSON, found ${line.slice(0, 60)}`, { cause: error });
    }
  });
}

/** How the rows were measured. */
export interface MeasuringFacts {
  scale: Scale;
  /** The seeds asked for; those of the rows are added to them. */
  seeds: readonly number[];
  beta: number;
  /** How many paths the comparison has, both studies together, for each seed. */
  pathsPerSeed: number;
}

/**
 * What the folder holds of earlier runs, for a run to go on from; nothing where nothing is there. Rows made otherwise, or
 * changed since, are an error: the run would mix them with its own, or replace what took somebody hours.
 */
export function rowsOfEarlierRuns(folder: string, { scale, beta }: Pick<MeasuringFacts, "scale" | "beta">): PathRow[] {
  const file = path.join(folder, "paths.jsonl");
  if (!existsSync(file)) return [];
  const about = path.join(folder, "README.md");
  const told = existsSync(about) ? readFileSync(about, "utf8") : "";
  const otherwise = `write elsewhere (--out), or remove the folder to measure it anew`;
  const [, itsScale, itsBeta] = /--scale (\S+) --beta (\S+)`/.exec(told) ?? [];
  if (itsScale === undefined || !told.includes(sha256(readFileSync(file, "utf8")))) {
    throw new Error(`${file} is not what ${about} says it is, so nothing can be added to it: ${otherwise}`);
  }
  if (itsScale !== scale || Number(itsBeta) !== beta) {
    const [its, asked] = [`scale ${itsScale} and β ${itsBeta}`, `scale ${scale} and β ${beta}`];
    throw new Error(`${file} was measured at ${its}, and asked for is ${asked}: ${otherwise}`);
  }
  return readMeasuredPaths(folder);
}

/** What tells paths apart. */
export const pathName = ({ seed, study, method, pairs, beta, reward }: Omit<PathRow, keyof PathPoint>): string =>
  `seed ${seed}, ${study}: ${method}, ${pairs} pairs, β ${beta}, ${reward}`;

/** The rows with those of one path in place of what it had before; a new path comes last. */
export function withPath(rows: readonly PathRow[], measured: readonly PathRow[]): PathRow[] {
  const name = pathName(measured[0]);
  const others = rows.filter((row) => pathName(row) !== name);
  const before = rows.findIndex((row) => pathName(row) === name);
  const place = before < 0 ? others.length : before;
  return [...others.slice(0, place), ...measured, ...others.slice(place)];
}

/** Writes the rows, one JSON object a line, with a README that says what they are. Numbers keep six digits. */
export function writeMeasuredPaths(
  rows: readonly PathRow[],
  facts: MeasuringFacts,
  folder = measuredPathsFolder,
): void {
  const short = (_key: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = rows.map((row) => `${JSON.stringify(row, short)}\n`).join("");
  const seeds = [...new Set([...rows.map(({ seed }) => seed), ...facts.seeds])].sort((a, b) => a - b);
  writeWhole(path.join(folder, "paths.jsonl"), text);
  writeWhole(path.join(folder, "README.md"), readme(rows, text, { ...facts, seeds }));
}

function completeness(rows: readonly PathRow[], whole: number): string {
  const made = new Set(rows.map(pathName)).size;
  return made === whole
    ? `yes, all ${whole} paths`
    : `no, ${made} of ${whole} paths; the same command goes on with the rest`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

const readme = (
  rows: readonly PathRow[],
  text: string,
  { scale, seeds, beta, pathsPerSeed }: MeasuringFacts,
): string => `# The comparison, as measured

Policies of the course on their way from the SFT model, measured as they are trained: what notebook 12 shows beside what it
trains itself. A seed is a whole course: its corpus, models, annotators and training.

- Made by: \`npx workbook compare --seed ${seeds.join(",")} --scale ${scale} --beta ${beta}\` (do not edit by hand)
- Complete: ${completeness(rows, pathsPerSeed * seeds.length)}
- Licence: Apache-2.0, as the code; everything here is generated, nothing is taken from elsewhere
- Encoding: UTF-8, one JSON object a line; ${rows.length.toLocaleString("en")} rows
- sha256 of \`paths.jsonl\`: \`${sha256(text)}\`

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
- \`distinctAdvice\`: distinct sets of advice / answers to a question, of ${answersAPoint("matched", scales[scale])} answers in "matched" and ${answersAPoint("far", scales[scale])} in "far"
- \`heldOutAccuracy\`: share of ${Math.min(heldOutPairs, scales[scale].validation)} held-out preferences that h = log π − log π_ref has in the right order
- \`tokensPerAnswer\`: tokens sampled to give one answer
- \`sampledTokens\`, \`trainedTokens\`: tokens sampled and scored, and tokens whose gradient was taken, so far
- \`processorSeconds\`: of training so far, over all threads
- \`disagreement\`, \`otherMembers\`: where an ensemble was asked, the mean deviation of its members' scores, and the mean score
  of its members but the first
`;
