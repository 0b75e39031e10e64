import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { kebabCase } from "../src/course/stages/aligned";
import { allMethods } from "../src/objectives/methods";

/**
 * The exact checks that the methods rest on: quantities with a closed form, or a sum over a space small enough to enumerate.
 * A test that holds one says so in its title, "check 9: …", and asserts something; none may go without notice. Tolerances stand
 * with the tests.
 */
const checks: readonly string[] = [
  "probabilities sum to 1, truncated responses included",
  "pi* = ref·e^(r/β)/Z and J(pi*) = β·log Z",
  "J(pi*) − J(pi) = β·KL(pi‖pi*)",
  "the envelope: d(β log Z)/dβ = −KL(pi*‖ref), dE[r]/d(1/β) = Var[r]",
  "the limits β → ∞ and β → 0",
  "the chain rule of the KL",
  "k1 and k3 have the KL as their mean",
  "the gradients of the KL's estimators",
  "the policy gradient is ∇J, and E[∇ log pi] = 0",
  "leave-one-out is unbiased over all tuples; GRPO's deviation is not",
  "PPO at the old policy is the policy gradient; its table of clipping",
  "GAE: its limits, and the recursion as a double sum",
  "BRAIn's gradient over all tuples, zero at pi*, biased for KL(p‖pi)",
  "BRAIn with two samples and hard weights is DPO",
  "DPG's gradient under any proposal; its baseline",
  "the estimate of Z and its standard error",
  "moments matched exactly",
  "DPO's population loss has no gradient at pi*",
  "the implicit reward is the reward, up to a constant of the prompt",
  "DPO is Bradley-Terry of β·h; log 2 at the reference",
  "IPO's closed form",
  "robust DPO undoes the noise, DPO and cDPO do not",
  "Bradley-Terry by MM, by gradient and by Newton",
  "Ford's condition, and the gauge",
  "Bradley-Terry scores come back within their errors",
  "the reward model reads at the last token, whatever the padding",
  "best-of-n's pmf and its KL",
  "over-optimisation without training: gold against proxy along pi*_β",
  "KTO's reference point, held fixed",
  "SimPO's and ORPO's invariances",
  "PPO, RLOO, DPG, BRAIn and online DPO reach pi*; GRPO as published does not",
];

/** A test, or a suite, whose title names a check, and whether it runs an assertion. */
interface Holder {
  numbers: number[];
  title: string;
  asserts: boolean;
}

const parse = (file: string, text: string): ts.SourceFile =>
  ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);

function some(node: ts.Node, holds: (node: ts.Node) => boolean): boolean {
  return holds(node) || (ts.forEachChild(node, (child) => some(child, holds) || undefined) ?? false);
}

/** The words of a callee: `it.skip(…)` is ["it", "skip"]. */
function words(callee: ts.Expression): string[] {
  if (ts.isIdentifier(callee)) return [callee.text];
  return ts.isPropertyAccessExpression(callee) ? [...words(callee.expression), callee.name.text] : [];
}

/** Whether code calls `assert` of something (of more than literals), or one of these functions, which do. */
function assertsWith(node: ts.Node, functions: ReadonlySet<string>): boolean {
  return some(node, (call) => {
    if (!ts.isCallExpression(call)) return false;
    const [name] = words(call.expression);
    if (name !== "assert") return functions.has(name);
    return call.arguments.some((argument) => some(argument, ts.isIdentifier));
  });
}

/** The functions that a file of the tests gives others, and that assert. */
const assertingExports = new Map<string, ReadonlySet<string>>();
function assertingFile(file: string): ReadonlySet<string> {
  if (!assertingExports.has(file)) {
    assertingExports.set(file, new Set()); // for files that import each other
    assertingExports.set(file, assertingFunctions(parse(file, readFileSync(file, "utf8"))));
  }
  return assertingExports.get(file)!;
}

/** The functions of a file that assert, its own and those that it imports from other files of the tests. */
function assertingFunctions(source: ts.SourceFile): Set<string> {
  const names = new Set<string>();
  const own: [name: string, body: ts.Node][] = [];
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement)) {
      const file = `${join(dirname(source.fileName), (statement.moduleSpecifier as ts.StringLiteral).text)}.ts`;
      const imported = statement.importClause?.namedBindings;
      if (!imported || !ts.isNamedImports(imported) || !file.startsWith(__dirname) || !existsSync(file)) continue;
      const theirs = assertingFile(file);
      for (const { name, propertyName } of imported.elements)
        if (theirs.has((propertyName ?? name).text)) names.add(name.text);
    }
  }
  some(source, (node) => {
    if (ts.isFunctionDeclaration(node) && node.name && node.body) own.push([node.name.text, node.body]);
    if (
      ts.isVariableDeclaration(node) &&
      ts.isIdentifier(node.name) &&
      node.initializer &&
      isFunction(node.initializer)
    )
      own.push([node.name.text, node.initializer.body]);
    return false;
  });
  // Until no function is found any more that calls one that was.
  for (let before = -1; before < names.size;) {
    before = names.size;
    for (const [name, body] of own) if (assertsWith(body, names)) names.add(name);
  }
  return names;
}

const isFunction = (node: ts.Node): node is ts.ArrowFunction | ts.FunctionExpression =>
  ts.isArrowFunction(node) || ts.isFunctionExpression(node);

/** The title and the body of a call such as `it("…", () => …)`; undefined for any other node. */
function titled(node: ts.Node): { title: string; callee: string[]; body: ts.Expression | undefined } | undefined {
  if (!ts.isCallExpression(node)) return undefined;
  const [first, ...rest] = node.arguments;
  const callee = words(node.expression);
  if (first === undefined || callee.length === 0) return undefined;
  const title = ts.isStringLiteralLike(first)
    ? first.text
    : ts.isTemplateExpression(first)
      ? first.getText().slice(1, -1)
      : "";
  return title === "" ? undefined : { title, callee, body: rest.at(-1) };
}

/** The holders of checks in a file of tests. What is skipped, has no body or asserts nothing holds nothing. */
function holdersIn(source: ts.SourceFile): Holder[] {
  const functions = assertingFunctions(source);
  const holds = (node: ts.Node): boolean => {
    const test = titled(node);
    if (!test?.body || test.callee.includes("skip")) return false;
    const { callee, body } = test;
    if (callee[0] === "describe" || callee[0] === "context") return some(body, (inner) => holds(inner));
    return isFunction(body) ? assertsWith(body.body, functions) : ts.isIdentifier(body) && functions.has(body.text);
  };
  const skipped = (node: ts.Node): boolean =>
    node.parent !== undefined && (titled(node)?.callee.includes("skip") || skipped(node.parent));
  const found: Holder[] = [];
  some(source, (node) => {
    const title = titled(node)?.title ?? "";
    const numbers = /^checks? (\d+(?:(?:, | and )\d+)*)/.exec(title)?.[1].match(/\d+/g);
    if (numbers) found.push({ numbers: numbers.map(Number), title, asserts: holds(node) && !skipped(node) });
    return false;
  });
  return found;
}

describe("the exact checks", () => {
  const files = (readdirSync(__dirname, { recursive: true }) as string[]).filter((name) => name.endsWith(".test.ts"));
  const holders = files.flatMap((file) => {
    const text = readFileSync(join(__dirname, file), "utf8");
    if (!/["`]checks? \d/.test(text)) return [];
    return holdersIn(parse(join(__dirname, file), text)).map((holder) => ({ ...holder, file }));
  });
  checks.forEach((statement, i) => {
    it(`${i + 1}. ${statement}`, () => {
      const own = holders.filter(({ numbers }) => numbers.includes(i + 1));
      assert.ok(own.length > 0, `no test has "check ${i + 1}: …" in its title`);
      const stubs = own.filter(({ asserts }) => !asserts).map(({ file, title }) => `${file}: ${title}`);
      assert.deepEqual(stubs, [], "these name the check and assert nothing, or are skipped");
    });
  });

  it("are these and no others", () => {
    const numbers = holders.flatMap((holder) => holder.numbers);
    assert.deepEqual(
      numbers.filter((number) => number < 1 || number > checks.length),
      [],
    );
  });

  it("31 is held for all methods on one toy, in expectation, and for those named by their own trainers, from samples", () => {
    const having = holders.filter(({ numbers }) => numbers.includes(31)).map(({ file }) => file);
    for (const name of ["one-toy", "ppo", "rloo", "online-dpo", "distribution-matching", "grpo"]) {
      assert.ok(
        having.some((file) => file.endsWith(`${name}.test.ts`)),
        `${name}.test.ts has no check 31`,
      );
    }
  });

  const oneToy = readFileSync(join(__dirname, "objectives/one-toy.test.ts"), "utf8");
  for (const { name, label, branch } of allMethods) {
    const kebab = kebabCase(name);
    const own = holders.filter(({ file }) =>
      new RegExp(`^objectives/${branch}/${kebab}(-loss)?\\.test\\.ts$`).test(file),
    );
    it(`hold ${label}: its own test has one, and says where it ends on a toy that is enumerated`, () => {
      const held = own.filter(({ asserts }) => asserts).flatMap(({ numbers }) => numbers);
      assert.ok(held.length > 0, `tests/objectives/${branch}/${kebab}.test.ts holds ${label} to no check`);
      const ends = held.includes(31) || new RegExp(`["\`][^"\`]*\\b${label}\\b`).test(oneToy);
      assert.ok(ends, `no "check 31" of ${label}: neither in its own test nor in objectives/one-toy.test.ts`);
    });
  }

  it("are not held by stubs", () => {
    const asserts = (text: string) =>
      holdersIn(parse(join(__dirname, "planted.test.ts"), text)).map((one) => one.asserts);
    const helper = "function near(x: number) { assert.ok(x < 1); } const nearer = (x: number) => near(x);";
    for (const held of [
      'it("check 9: …", () => { assert.equal(gradient(), 3); });',
      'it("check 9: …", async function () { for (const x of all) { await x; assert.ok(x); } });',
      'describe("checks 9 and 10", () => { it("a", () => {}); for (const x of all) it(`${x}`, () => { assert(x); }); });',
      `${helper} it(\`check 9: \${name}\`, () => { nearer(gradient()); });`,
      'import { assertClose } from "./tensors/fused"; it("check 9: …", () => assertClose(a, b, 1e-3));',
    ])
      assert.deepEqual(asserts(held), [true], held);
    for (const stub of [
      'it("check 9: …", () => {});',
      'it("check 9: …");',
      'it("check 9: …", () => { gradient(); });',
      'it("check 9: …", () => { assert.ok(true); assert.equal(3, 3); });',
      'it.skip("check 9: …", () => { assert.equal(gradient(), 3); });',
      'describe.skip("later", () => { it("check 9: …", () => { assert.equal(gradient(), 3); }); });',
      'describe("check 9: …", () => {});',
      'describe("check 9: …", () => { assert.ok(gradient()); it("a", () => {}); });',
      'describe("check 9: …", () => { it("a"); it.skip("b", () => { assert.ok(gradient()); }); });',
      `${helper} it("check 9: …", () => { far(gradient()); });`,
    ])
      assert.deepEqual(asserts(stub), [false], stub);
  });
});
