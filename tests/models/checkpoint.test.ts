import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as tf from "@tensorflow/tfjs";
import { loadPolicy, loadScalarModel, saveModel } from "../../src/models/checkpoint";
import { Gpt } from "../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../src/models/policy";
import { ScalarModel } from "../../src/models/scalar-head";
import { Random } from "../../src/tensors/random";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../../src/tensors/safetensors";
import { BytePairEncoding } from "../../src/text/byte-pair-encoding";
import { Vocabulary } from "../../src/text/vocabulary";
import { onEveryBackend } from "../objectives/tabular";
import { tinyPolicy, tinyPrompts, weightsOf, temporaryFolder } from "./tiny";

const vocabulary = Vocabulary.words(["eat", "less", "sugar"]);
const examples = tinyPrompts.map((prompt) => ({ prompt, response: [5, 4, 1] }));

describe("checkpoint", () => {
  const folder = temporaryFolder();

  onEveryBackend(() => {
    it("keeps a policy: weights, sizes, horizon, vocabulary", async () => {
      const policy = tinyPolicy(1);
      const place = folder.path("policy");
      await saveModel(place, policy, vocabulary);
      assert.deepEqual(readdirSync(place).sort(), ["config.json", "model.safetensors", "vocabulary.json"]);
      const loaded = await loadPolicy(place);
      assert.deepEqual(weightsOf(loaded.policy.gpt.parameters), weightsOf(policy.gpt.parameters));
      assert.deepEqual(loaded.policy.gpt.config, policy.gpt.config);
      assert.equal(loaded.policy.responseLimit, policy.responseLimit);
      assert.deepEqual(loaded.vocabulary.tokens, vocabulary.tokens);
      assert.deepEqual(await sequenceLogProbs(loaded.policy, examples), await sequenceLogProbs(policy, examples));
      for (const each of [policy, loaded.policy]) each.dispose();
    });

    it("keeps a vocabulary learnt from text", async () => {
      const learnt = BytePairEncoding.learn(["eat less sugar, eat less", "less"], { size: 264 });
      const config = { vocabularySize: learnt.size, context: 8, width: 4, layers: 1, heads: 1 };
      const policy = new Policy(Gpt.initialise(config, Random.fromSeed(3)), 4);
      const place = folder.path("learnt");
      await saveModel(place, policy, learnt);
      const loaded = await loadPolicy(place);
      assert.deepEqual(loaded.vocabulary.toJSON(), learnt.toJSON());
      assert.deepEqual(loaded.vocabulary.encode("eat less salt"), learnt.encode("eat less salt"));
      for (const each of [policy, loaded.policy]) each.dispose();
    });

    it("keeps a scalar model with its head", async () => {
      const policy = tinyPolicy(2);
      const model = ScalarModel.fromTrunk(policy.gpt, Random.fromSeed(1));
      tf.tidy(() => model.bias.assign(tf.tensor1d([0.7])));
      const place = folder.path("scalar");
      await saveModel(place, model, vocabulary);
      const loaded = await loadScalarModel(place);
      assert.deepEqual(weightsOf(loaded.model.parameters), weightsOf(model.parameters));
      assert.deepEqual(await loaded.model.score(examples), await model.score(examples));
      for (const each of [policy, model, loaded.model]) each.dispose();
    });
  });

  describe("is refused, naming file and weight:", () => {
    let policy: Policy;
    before(async () => {
      policy = tinyPolicy(1);
      const model = ScalarModel.fromTrunk(policy.gpt, Random.fromSeed(1));
      await saveModel(folder.path("good", "policy"), policy, vocabulary);
      await saveModel(folder.path("good", "scalar"), model, vocabulary);
      model.dispose();
    });
    after(() => policy.dispose());

    type Kind = "policy" | "scalar";
    const editJson = (place: string, name: string, change: (data: Record<string, unknown>) => void): void => {
      const file = path.join(place, name);
      const data = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
      change(data);
      writeFileSync(file, JSON.stringify(data));
    };
    const editWeights = async (place: string, change: (tensors: Map<string, StoredTensor>) => void): Promise<void> => {
      const file = path.join(place, "model.safetensors");
      const { tensors } = await readSafetensors(file);
      change(tensors);
      await writeSafetensors(file, tensors);
    };
    const weight = (shape: number[]): StoredTensor => ({
      shape,
      values: new Float32Array(shape.reduce((a, b) => a * b, 1)),
    });
    const cases: [string, Kind, (place: string) => void | Promise<void>, RegExp][] = [
      [
        "a weight is missing",
        "policy",
        (place) => editWeights(place, (t) => t.delete("norm.gain")),
        /model\.safetensors: .*missing \[norm\.gain\]/,
      ],
      [
        "a weight is extra",
        "policy",
        (place) => editWeights(place, (t) => t.set("rotary", weight([2]))),
        /model\.safetensors: .*unexpected \[rotary\]/,
      ],
      [
        "a weight has another shape",
        "policy",
        (place) => editWeights(place, (t) => t.set("position-embedding", weight([9, 8]))),
        /model\.safetensors: weight "position-embedding": expected shape \[8,8\], got \[9,8\]/,
      ],
      [
        "the head is missing",
        "scalar",
        (place) => editWeights(place, (t) => t.delete("head.weight")),
        /model\.safetensors: weight "head\.weight" is missing/,
      ],
      [
        "the head has another shape",
        "scalar",
        (place) => editWeights(place, (t) => t.set("head.weight", weight([8, 2]))),
        /model\.safetensors: weight "head\.weight": expected shape \[8,1\], got \[8,2\]/,
      ],
      [
        "the trunk of a scalar model lacks a weight",
        "scalar",
        (place) => editWeights(place, (t) => t.delete("norm.gain")),
        /model\.safetensors: .*missing \[norm\.gain\]/,
      ],
      [
        "the file is cut off",
        "policy",
        (place) => {
          const file = path.join(place, "model.safetensors");
          writeFileSync(file, readFileSync(file).subarray(0, -4));
        },
        /model\.safetensors: .*"norm\.bias".*cut off/,
      ],
      [
        "the weights are of another dtype",
        "policy",
        (place) => {
          const file = path.join(place, "model.safetensors");
          writeFileSync(file, Buffer.from(readFileSync(file).toString("latin1").replace('"F32"', '"I32"'), "latin1"));
        },
        /model\.safetensors: .*"token-embedding" has the dtype "I32"/,
      ],
      [
        "the vocabulary is of another size",
        "policy",
        (place) =>
          writeFileSync(
            path.join(place, "vocabulary.json"),
            JSON.stringify(Vocabulary.words(["eat", "less"]).toJSON()),
          ),
        /vocabulary\.json: has 6 tokens, the model 7 .*config\.json/,
      ],
      [
        "the vocabulary is another of the same size",
        "scalar",
        (place) =>
          writeFileSync(
            path.join(place, "vocabulary.json"),
            JSON.stringify(Vocabulary.words(["eat", "less", "salt"]).toJSON()),
          ),
        /vocabulary\.json: is not the vocabulary that the weights in model\.safetensors were saved with/,
      ],
      [
        "the vocabulary is no vocabulary",
        "policy",
        (place) => writeFileSync(path.join(place, "vocabulary.json"), "[]"),
        /vocabulary\.json: /,
      ],
      [
        "the config is no JSON",
        "policy",
        (place) => writeFileSync(path.join(place, "config.json"), "{"),
        /config\.json: /,
      ],
      [
        "the config has an unknown key",
        "policy",
        (place) => editJson(place, "config.json", (c) => (c.dropout = 0.1)),
        /config\.json: [^]*dropout/,
      ],
      [
        "the config lacks a size",
        "policy",
        (place) => editJson(place, "config.json", (c) => delete c.heads),
        /config\.json: [^]*heads/,
      ],
      [
        "the config lacks the horizon",
        "policy",
        (place) => editJson(place, "config.json", (c) => delete c.responseLimit),
        /config\.json: a policy needs a responseLimit/,
      ],
      [
        "the config does not fit the weights",
        "policy",
        (place) => editJson(place, "config.json", (c) => (c.layers = 3)),
        /model\.safetensors: .*missing \[block\.2\.attention\.norm\.gain/,
      ],
      [
        "the horizon does not fit the context",
        "policy",
        (place) => editJson(place, "config.json", (c) => (c.responseLimit = 8)),
        /config\.json: Policy: a responseLimit of 8/,
      ],
      ["a file is missing", "policy", (place) => rmSync(path.join(place, "vocabulary.json")), /vocabulary\.json/],
    ];
    for (const [name, kind, damage, message] of cases) {
      it(name, async () => {
        const place = folder.path("bad");
        cpSync(folder.path("good", kind), place, { recursive: true });
        await damage(place);
        const tensors = tf.memory().numTensors;
        await assert.rejects(
          async () => void (await (kind === "policy" ? loadPolicy(place) : loadScalarModel(place))),
          message,
        );
        assert.equal(tf.memory().numTensors, tensors, "tensors were left behind");
        rmSync(place, { recursive: true });
      });
    }

    it("but not weights from before there was a checksum, nor a vocabulary that is laid out otherwise", async () => {
      const place = folder.path("old");
      cpSync(folder.path("good", "policy"), place, { recursive: true });
      writeFileSync(path.join(place, "vocabulary.json"), JSON.stringify(vocabulary.toJSON()));
      (await loadPolicy(place)).policy.dispose();
      const weights = path.join(place, "model.safetensors");
      const { tensors } = await readSafetensors(weights);
      await writeSafetensors(weights, tensors, { format: "alignment" });
      (await loadPolicy(place)).policy.dispose();
    });

    it("a model of the other kind", async () => {
      await assert.rejects(
        loadPolicy(folder.path("good", "scalar")),
        /config\.json: expected a policy model, found a scalar model; use loadScalarModel/,
      );
      await assert.rejects(loadScalarModel(folder.path("good", "policy")), /found a policy model; use loadPolicy/);
    });

    it("a vocabulary that is not the model's, before anything is written", async () => {
      const place = folder.path("never");
      await assert.rejects(
        saveModel(place, policy, Vocabulary.words(["eat"])),
        /the vocabulary has 5 tokens, the model 7/,
      );
      assert.throws(() => readdirSync(place));
    });
  });
});
