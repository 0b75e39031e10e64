import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { repositoryRoot } from "../../src/course/paths";
import * as a from "../../src/index";
import { installedPackage, type InstalledPackage } from "./installed";

const example = readFileSync(join(__dirname, "own-data-example.ts"), "utf8").replace(
  'from "alignment"',
  'from "alignment-workbook"',
);
const dataset = (name: string) => join(repositoryRoot, "datasets/advice", name);

describe("the library's example on data of one's own", () => {
  let installed: InstalledPackage;
  before(async function () {
    this.timeout(300_000); // the build, and packages from the registry
    installed = await installedPackage();
  });

  it("has 30 lines and takes everything of the project from the package", () => {
    assert.ok(example.split("\n").filter((line) => line.trim() !== "").length <= 30);
    assert.deepEqual(
      [...example.matchAll(/from "(.*)"/g)].map(([, from]) => from),
      ["node:fs/promises", "alignment-workbook"],
    );
  });

  it("stands in README", () => {
    const readme = readFileSync(join(repositoryRoot, "README.md"), "utf8");
    assert.ok(readme.includes(`\`\`\`ts\n${example}\`\`\`\n`), "README has another example than own-data-example.ts");
  });

  it("has the types that it needs, where nothing but the package is installed", async () => {
    const { project } = installed;
    const compilerOptions = {
      target: "es2022",
      lib: ["es2022", "dom"],
      module: "nodenext",
      strict: true,
      skipLibCheck: false,
      types: ["node"],
      typeRoots: [join(repositoryRoot, "node_modules/@types")],
    };
    writeFileSync(join(project, "example.ts"), example);
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["example.ts"] }));
    const tsc = join(repositoryRoot, "node_modules/typescript/bin/tsc");
    const compiled = await promisify(execFile)(process.execPath, [tsc], { cwd: project }).catch(
      (error: { stdout: string }) => error,
    );
    // Of a library's declarations, those of TensorFlow.js have faults; ours, and the example, have none.
    const faults = compiled.stdout
      .split("\n")
      .filter((line) => /error TS/.test(line) && !/@tensorflow\/tfjs-/.test(line));
    assert.deepEqual(faults, []);
  });

  it("runs: pre-training, SFT, reward model, DPO, policy gradient, save, load, sample", async () => {
    const { project, node } = installed;
    const documents = readFileSync(dataset("documents.jsonl"), "utf8").trim().split("\n").slice(0, 600);
    const text = documents.map((line) => (JSON.parse(line) as { text: string }).text).join("\n\n");
    writeFileSync(join(project, "text.txt"), text);
    const records = (await a.readPreferences(dataset("preferences.jsonl"))).records;
    const pairs = records.map(({ prompt: [{ content }], chosen, rejected }) => ({ prompt: content, chosen, rejected }));
    writeFileSync(join(project, "pairs.jsonl"), pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
    const stdout = await node(["example.js", "text.txt", "pairs.jsonl", "saved"], { WORKBOOK_BACKEND: "wasm" });
    assert.match(stdout, /records: 1000,\s+pairs: 1000,/);
    const lossesOf = (stage: string) =>
      [...stdout.matchAll(new RegExp(`^${stage} \\d+ (\\S+)$`, "gm"))].map(([, loss]) => Number(loss));
    for (const stage of ["pre-training", "SFT", "reward model", "DPO"]) {
      const losses = lossesOf(stage);
      assert.equal(losses.length, 5, stage);
      assert.ok(losses[4] < losses[0], `${stage}: ${losses}`);
    }
    assert.equal(lossesOf("policy gradient").length, 2);
    const { policy, vocabulary } = await a.loadPolicy(join(project, "saved"));
    assert.equal(vocabulary.size, policy.gpt.config.vocabularySize);
    policy.dispose();
  });
});

/** As somebody outside would: the likelihood of the chosen answer against that of the rejected, with a weight of their own. */
function trainUnlikelihood(
  options: a.TrainingOptions & { policy: a.Policy; pairs: a.TokenisedPreferences["pairs"]; weight: number },
): AsyncGenerator<a.TrainingRecord> {
  const { policy, pairs, weight } = options;
  const sides = (batch: typeof pairs) => [...batch.map((pair) => pair.chosen), ...batch.map((pair) => pair.rejected)];
  return a.train<typeof pairs>(
    {
      name: "unlikelihood",
      parameters: policy.gpt.parameters,
      batch: async (_step, rng) => a.drawBatch(pairs, 4, rng),
      loss(batch) {
        const [chosen, rejected] = tf.split(a.responseLogProbs(policy, sides(batch)).logProbs.sum(1), 2);
        return { loss: rejected.mul(weight).sub(chosen).mean(), metrics: { margin: chosen.sub(rejected).mean() } };
      },
      measure: (batch) => ({ tokens: a.paddedTokens(sides(batch)) }),
    },
    options,
  );
}

describe("a trainer written outside the library", () => {
  it("trains on a file's pairs with what alignment exports", async () => {
    await a.chooseBackend({ backend: "wasm" });
    const rng = a.Random.fromSeed(1);
    const records = (await a.readPreferences(dataset("preferences.jsonl"))).records.slice(0, 20);
    const tokenizer = a.BytePairEncoding.learn(a.preferenceTexts(records), { size: 300 });
    const room = { context: 160, responseLimit: 96 };
    const { pairs } = a.tokenisePreferences(tokenizer, records, room);
    const config = { vocabularySize: tokenizer.size, context: room.context, width: 16, layers: 1, heads: 2 };
    const policy = new a.Policy(a.Gpt.initialise(config, rng.child("weights")), room.responseLimit);
    const ahead = async (): Promise<number> => {
      const chosen = await a.sequenceLogProbs(
        policy,
        pairs.map((pair) => pair.chosen),
      );
      const rejected = await a.sequenceLogProbs(
        policy,
        pairs.map((pair) => pair.rejected),
      );
      return chosen.reduce((sum, logProb, i) => sum + logProb - rejected[i], 0) / pairs.length;
    };
    const before = await ahead();
    const training = { steps: 20, learningRate: 5e-3, rng: rng.child("training") };
    let steps = 0;
    for await (const { margin } of trainUnlikelihood({ policy, pairs, weight: 0.5, ...training })) {
      assert.ok(Number.isFinite(margin));
      steps++;
    }
    assert.equal(steps, 20);
    assert.ok((await ahead()) > before, "the chosen answers are further ahead than they were");
    policy.dispose();
  });
});
