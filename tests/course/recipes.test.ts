import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import ts from "typescript";
import { artifactHash, type ArtifactKey } from "../../src/course/artifacts";
import { codeVersion, reachedCode, sourceRoot } from "../../src/course/code-version";
import { comparedPaths, farPaths } from "../../src/course/comparison";
import { Course } from "../../src/course/course";
import { repositoryRoot } from "../../src/course/paths";
import { scales, type Sizes } from "../../src/course/scales";
import type { Stage } from "../../src/course/stage";
import { allMethods } from "../../src/objectives/methods";
import { inOwnStore } from "./small-course";

type AnyStage = Stage<{ step: number }, unknown>;

/** The modules that make stages, or a copy of them. */
interface Makers {
  Course: typeof Course;
  comparedPaths: typeof comparedPaths;
  farPaths: typeof farPaths;
}

/** Every stage of a course: each kind, every method's model, and every path of the comparison. */
function stagesOf({ Course, comparedPaths, farPaths }: Makers, sizes: Sizes): Record<string, AnyStage> {
  const models = new Course(0, sizes);
  const stages: Record<string, AnyStage> = {
    pretrained: models.pretrained(),
    sft: models.sft(),
    "answer pairs": models.answerPairs(),
    preferences: models.preferences(),
    "reward model": models.rewardModel(),
    judge: models.judge(),
    judging: models.judging(),
    "AI preferences": models.aiPreferences(),
    "answer pool": models.answerPool(4),
    "best-of-n's path": models.bestOfNPath(),
  };
  stages["reward model, 77"] = models.rewardModel({ pairs: 77 }); // a number that the scale has no steps for
  for (const { pairs } of models.sizes.rewardModels) stages[`reward model, ${pairs}`] = models.rewardModel({ pairs });
  for (const { name, options } of allMethods) {
    // What a method cannot do without; everything else is the course's own.
    const needed = { beta: 0.1, gamma: 0.5, lambda: 0.5, assumedFlipRate: 0.1 };
    const asked = Object.fromEntries(Object.entries(needed).filter(([key]) => key in options.shape));
    stages[name] = models.aligned(name, asked as never);
  }
  for (const { stage, ...path } of [...comparedPaths(models, { beta: 0.1 }), ...farPaths(models)]) {
    stages[`path ${JSON.stringify(path)}`] = stage;
  }
  return stages;
}

/** What a stage's hash is made of. */
const keyOf = (stage: AnyStage): ArtifactKey => (stage as unknown as { key(): ArtifactKey }).key();

/** The places of all leaves in plain data. */
function leavesOf(value: unknown, place: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [place];
  return Object.entries(value).flatMap(([key, item]) => leavesOf(item, [...place, key]));
}

function changed(value: unknown, [key, ...rest]: (string | number)[]): unknown {
  if (key === undefined) {
    if (typeof value === "number") return value === Infinity ? 1 : value + 1;
    return typeof value === "boolean" ? !value : `${String(value)}, changed`;
  }
  const copy: Record<string, unknown> = Array.isArray(value) ? ([...value] as never) : { ...(value as object) };
  copy[key] = changed(copy[key], rest);
  return copy;
}

/** The numeric literals of a source file: where each stands, and what it is. */
function numericLiterals(text: string): { start: number; end: number; text: string }[] {
  const found: { start: number; end: number; text: string }[] = [];
  const source = ts.createSourceFile("module.ts", text, ts.ScriptTarget.ES2022, true);
  const visit = (node: ts.Node): void => {
    // A literal type is gone when compiled.
    if (ts.isNumericLiteral(node) && !ts.isLiteralTypeNode(node.parent) && !isBound(node)) {
      found.push({ start: node.getStart(source), end: node.end, text: node.text });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Of what may be asked, as in `wholeNumber(1)` or `count < 2`: another bound refuses other things and makes nothing other. */
function isBound({ parent }: ts.NumericLiteral): boolean {
  if (ts.isCallExpression(parent)) return parent.expression.getText() === "wholeNumber";
  return ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.LessThanToken;
}

const edited = (text: string, { start, end, text: number }: { start: number; end: number; text: string }): string =>
  `${text.slice(0, start)}${Number(number) + 1}${text.slice(end)}`;

describe("what an artifact depends on", () => {
  inOwnStore("recipes");
  let folder: string;
  let root: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "recipes-copy-"));
    root = path.join(folder, "src");
    cpSync(sourceRoot, root, { recursive: true });
    symlinkSync(path.join(repositoryRoot, "node_modules"), path.join(folder, "node_modules"));
  });
  after(() => rmSync(folder, { recursive: true }));
  const copyOf = (file: string): string => path.join(root, path.relative(sourceRoot, file));

  it("is every leaf of its recipe, for every stage of the course", () => {
    let leaves = 0;
    for (const [name, stage] of Object.entries(stagesOf({ Course, comparedPaths, farPaths }, scales.laptop))) {
      const key = keyOf(stage);
      assert.equal(artifactHash(key), stage.hash);
      assert.ok("seed" in Object(key.recipe) || Object.keys(key.inputs).length > 0, `${name} has no seed and no input`);
      for (const place of leavesOf(key.recipe)) {
        const other = artifactHash({ ...key, recipe: changed(key.recipe, place) });
        assert.notEqual(other, stage.hash, `${name}: another ${place.join(".")} is the same artifact`);
        leaves++;
      }
      for (const place of leavesOf(key.inputs)) {
        const other = artifactHash({ ...key, inputs: changed(key.inputs, place) as ArtifactKey["inputs"] });
        assert.notEqual(other, stage.hash, `${name}: made from another ${place.join(".")} it is the same artifact`);
      }
    }
    assert.ok(leaves > 700, `only ${leaves} leaves: is the course whole?`);
  });

  it("is every number in the code that it reaches", function () {
    this.timeout(300_000);
    // Stages of one code change together, so one of them speaks for all.
    const codes = new Map<string, { name: string; code: readonly string[]; version: string; files: Set<string> }>();
    for (const [name, { code }] of Object.entries(stagesOf({ Course, comparedPaths, farPaths }, scales.laptop))) {
      const files = new Set([...reachedCode(code).files.keys()].filter((file) => file.endsWith(".ts")));
      if (!codes.has(String(code))) codes.set(String(code), { name, code, version: codeVersion(code), files });
    }
    for (const { name, code, version } of codes.values()) assert.equal(codeVersion(code, root), version, name);
    const all = new Set([...codes.values()].flatMap(({ files }) => [...files]));
    const trainers = [...all].filter((file) =>
      /\/(course|objectives|rewards|evaluation)\/|models\/training/.test(file),
    );
    let literals = 0;
    for (const file of trainers) {
      const reaching = [...codes.values()].filter(({ files }) => files.has(file));
      const text = readFileSync(file, "utf8");
      numericLiterals(text).forEach((literal, i) => {
        writeFileSync(copyOf(file), edited(text, literal));
        // Every stage that reaches the file by its first number; by the others one, since a file counts as a whole.
        for (const { name, code, version } of i === 0 ? reaching : reaching.slice(0, 1)) {
          const place = `${path.relative(sourceRoot, file)}: ${text.slice(literal.start - 30, literal.end)}`;
          assert.notEqual(
            codeVersion(code, root),
            version,
            `${name} is the same artifact with another number in ${place}`,
          );
        }
        literals++;
      });
      writeFileSync(copyOf(file), text);
    }
    assert.ok(trainers.length > 40 && literals > 400, `only ${literals} numbers in ${trainers.length} files`);
  });

  it("is every number of the course's modules that no stage's code reaches: its recipes and sizes", function () {
    this.timeout(300_000);
    const entry = (name: string): string => path.join(root, "course", `${name}.ts`);
    /** What the course's stages are made of, at all scales, as the copy now has it. */
    const identities = (): string[] => {
      for (const file of Object.keys(require.cache))
        if (file.startsWith(path.join(root, "course"))) delete require.cache[file];
      const load = <T>(name: string): T => require(entry(name)) as T; // eslint-disable-line @typescript-eslint/no-require-imports
      const { scales } = load<typeof import("../../src/course/scales")>("scales");
      const modules = {
        ...load<typeof import("../../src/course/course")>("course"),
        ...load<typeof import("../../src/course/comparison")>("comparison"),
      };
      return Object.values(scales).flatMap((sizes) => [
        `${sizes.answersPerPrompt} answers to each question`, // for notebooks, which say so in their results
        ...Object.entries(stagesOf(modules, sizes)).map(([name, { identity }]) => `${name} ${identity}`),
      ]);
    };
    const usual = identities().join("\n");
    const reached = new Set(
      Object.values(stagesOf({ Course, comparedPaths, farPaths }, scales.laptop)).flatMap(({ code }) => [
        ...reachedCode(code).files.keys(),
      ]),
    );
    // What keeps results, finds and reports them has no part in what they are.
    const keepers = ["artifacts", "code-version", "lock", "measured-paths", "paths", "progress", "records", "stage"];
    const modules = readdirSync(path.join(sourceRoot, "course"), { recursive: true, encoding: "utf8" })
      .map((file) => path.join(sourceRoot, "course", file))
      .filter((file) => file.endsWith(".ts") && !reached.has(file) && !keepers.includes(path.basename(file, ".ts")));
    const settings = modules.filter((file) => numericLiterals(readFileSync(file, "utf8")).length > 0);
    assert.deepEqual(settings.map((file) => path.basename(file)).sort(), [
      "comparison.ts",
      "course.ts",
      "recipes.ts",
      "scales.ts",
    ]);
    const without: string[] = [];
    for (const file of settings) {
      const text = readFileSync(file, "utf8");
      for (const literal of numericLiterals(text)) {
        writeFileSync(copyOf(file), edited(text, literal));
        let now: string;
        try {
          now = identities().join("\n");
        } catch {
          continue; // refused, which is not the same artifact either
        }
        if (now === usual) without.push(`${path.basename(file)}: ${text.slice(literal.start - 40, literal.end + 20)}`);
      }
      writeFileSync(copyOf(file), text);
    }
    assert.deepEqual(without, [], "with another number here no stage is another");
  });
});
