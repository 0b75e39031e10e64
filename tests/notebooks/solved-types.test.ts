import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import { cellsOf, readPercent } from "../../src/notebooks/percent";
import { repositoryRoot, workspaceAt } from "../../src/course/paths";
import { withSolutions } from "../../src/notebooks/solved";

const workspace = workspaceAt();

/** The code of every text twin, by its path, its stubs filled in with the reference solutions. */
async function solvedTwins(): Promise<Map<string, string>> {
  const twins = new Map<string, string>();
  for (const name of readdirSync(workspace.text).filter((file) => file.endsWith(".ts"))) {
    const file = path.join(workspace.text, name);
    const cells = cellsOf(readPercent(readFileSync(file, "utf8"), name), (_, index) => `cell-${index}`);
    const solved = await withSolutions({ metadata: {}, cells }, workspace.exercises);
    twins.set(
      file,
      solved.cells
        .filter(({ cell_type }) => cell_type === "code")
        .map(({ source }) => source)
        .join("\n"),
    );
  }
  return twins;
}

/** What the compiler says of files that stand nowhere but here, in one program with all that they import. */
function diagnostics(files: ReadonlyMap<string, string>): string[] {
  const config = ts.readConfigFile(path.join(repositoryRoot, "tsconfig.json"), ts.sys.readFile).config as object;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repositoryRoot);
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (file) => files.get(path.resolve(file)) ?? readFile(file);
  host.fileExists = (file) => files.has(path.resolve(file)) || fileExists(file);
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files.keys()].flatMap((file) => {
    const source = program.getSourceFile(file)!;
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText, start = 0 }) => {
        const { line } = ts.getLineAndCharacterOfPosition(source, start);
        const message = ts.flattenDiagnosticMessageText(messageText, " ");
        return `${path.basename(file)}: ${message} In: ${source.text.split("\n")[line].trim()}`;
      },
    );
  });
}

// A solution that names a type which the notebook does not import, or takes what the stub does not, passes its checks in
// its own file and fails in the reader's cell. Nothing but the compiler sees it, so the compiler is asked, once for all.
describe("the reference solutions in the place of the notebooks' stubs", () => {
  it("compile, and are seen not to where what they name is not imported", async () => {
    const twins = await solvedTwins();
    for (const [file, code] of twins) assert.doesNotMatch(code, /\bunfilled\(/, `${file}: a stub is left`);
    const dpo = twins.get(path.join(workspace.text, "09-dpo.ts"))!;
    const without = dpo.replace('import * as tf from "@tensorflow/tfjs";\n', "");
    const found = diagnostics(new Map([...twins, [path.join(workspace.text, "without.ts"), without]]));
    assert.deepEqual(
      found.filter((fault) => !fault.startsWith("without.ts: ")),
      [],
    );
    assert.ok(
      found.some((fault) => /^without\.ts: Cannot find n\S+ 'tf'/.test(fault)),
      found.join("\n"),
    );
  });
});
