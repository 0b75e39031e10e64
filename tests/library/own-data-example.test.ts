import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import * as tf from "@tensorflow/tfjs";
import * as a from "../../src/index";
import { temporaryFolder } from "../models/tiny";

const root = resolve(__dirname, "../..");
const example = readFileSync(join(__dirname, "own-data-example.ts"), "utf8");
const dataset = (name: string) => join(root, "datasets/advice", name);

describe("the library's example on data of one's own", () => {
  const folder = temporaryFolder();

  it("has 30 lines and takes everything of the project from alignment", () => {
    assert.ok(example.split("\n").filter((line) => line.trim() !== "").length <= 30);
    assert.deepEqual(
      [...example.matchAll(/from "(.*)"/g)].map(([, from]) => from),
      ["node:fs/promises", "alignment"],
    );
  });

  it("runs: pre-training, SFT, reward model, DPO, policy gradient, save, load, sample", async () => {
    const documents = readFileSync(dataset("documents.jsonl"), "utf8").trim().split("\n").slice(0, 600);
    const text = documents.map((line) => (JSON.parse(line) as { text: string }).text).join("\n\n");
    const here = folder.path("example");
    mkdirSync(here);
    writeFileSync(join(here, "package.json"), '{ "type": "module" }');
    writeFileSync(join(here, "text.txt"), text);
    // An ES module sees no names in what entry.cjs exports, so this one reads the sources themselves.
    const index = join(root, "src/index.ts");
    writeFileSync(join(here, "example.ts"), example.replace('from "alignment"', `from ${JSON.stringify(index)}`));
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(root, "node_modules/tsx/dist/cli.mjs"), "example.ts", "text.txt", dataset("preferences.jsonl"), "saved"],
      { cwd: here, env: { ...process.env, WORKBOOK_BACKEND: "wasm" } },
    );
    assert.match(stdout, /records: 1000,\s+pairs: 1000,/);
    const lossesOf = (stage: string) =>
      [...stdout.matchAll(new RegExp(`^${stage} \\d+ (\\S+)$`, "gm"))].map(([, loss]) => Number(loss));
    for (const stage of ["pre-training", "SFT", "reward model", "DPO"]) {
      const losses = lossesOf(stage);
      assert.equal(losses.length, 5, stage);
      assert.ok(losses[4] < losses[0], `${stage}: ${losses}`);
    }
    assert.equal(lossesOf("policy gradient").length, 2);
    const { policy, vocabulary } = await a.loadPolicy(join(here, "saved"));
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
