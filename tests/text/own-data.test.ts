import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { loadPolicy, loadScalarModel, saveModel } from "../../src/models/checkpoint";
import { sample } from "../../src/models/generation";
import { Gpt } from "../../src/models/gpt";
import { Policy, sequenceLogProbs } from "../../src/models/policy";
import { ScalarModel } from "../../src/models/scalar-head";
import type { TrainingRecord } from "../../src/models/training";
import { trainDpo } from "../../src/objectives/contrastive/dpo";
import { pretrain, trainSft } from "../../src/objectives/maximum-likelihood";
import { trainPolicyGradient } from "../../src/objectives/reward-maximisation/policy-gradient";
import { modelReward, scoreDifferences, trainRewardModel } from "../../src/rewards/reward-model";
import { chooseBackend } from "../../src/tensors/backend";
import { Random } from "../../src/tensors/random";
import { padExamples } from "../../src/text/batches";
import { BytePairEncoding } from "../../src/text/byte-pair-encoding";
import { documentStream } from "../../src/text/corpus";
import { answerText, type Example } from "../../src/text/dialogue";
import { preferenceTexts, tokenisePreferences, type TokenisedPreferences } from "../../src/text/preference-tokens";
import { readPreferences, type PreferenceRecord } from "../../src/text/preferences";
import { EOS, PAD } from "../../src/text/vocabulary";
import { temporaryFolder, weightsOf } from "../models/tiny";

const hhRlhf = resolve(__dirname, "../../../shared/data/hh-rlhf/harmless-base-test.jsonl.gz");
const room = { context: 128, responseLimit: 48 };

/** The whole way, on real dialogues: each `it` is a step of it, and the next goes on from there. */
describe("from a file of preferences to a policy (../shared/data/hh-rlhf)", () => {
  const folder = temporaryFolder();
  const rng = Random.fromSeed(0);
  let records: PreferenceRecord[];
  let tokenizer: BytePairEncoding;
  let tokenised: TokenisedPreferences;
  let gpt: Gpt;
  let policy: Policy;
  let scorer: ScalarModel;
  let aligned: Policy;

  before(async function () {
    if (!existsSync(hhRlhf)) {
      console.log("    SKIPPED: no HH-RLHF pairs in ../shared/data/hh-rlhf, so no policy was trained on them");
      this.skip();
    }
    await chooseBackend({ backend: "wasm" });
    records = (await readPreferences(hhRlhf)).records.slice(0, 300);
  });
  after(() => {
    for (const model of [policy, scorer, aligned]) model?.dispose();
  });

  it("learns a vocabulary that gives every text back in fewer tokens than bytes", () => {
    tokenizer = BytePairEncoding.learn(preferenceTexts(records), { size: 512 });
    assert.equal(tokenizer.size, 512);
    let [tokens, bytes] = [0, 0];
    for (const text of preferenceTexts(records)) {
      const ids = tokenizer.encode(text);
      assert.equal(tokenizer.decode(ids), text);
      tokens += ids.length;
      bytes += Buffer.byteLength(text);
    }
    assert.ok(tokens < 0.5 * bytes, `${tokens} tokens of ${bytes} bytes`);
  });

  it("makes pairs of the records, whose mask marks the responses' text", () => {
    tokenised = tokenisePreferences(tokenizer, records, { ...room, tooLong: "shorten" });
    const { pairs, prompts, counts } = tokenised;
    assert.equal(counts.pairs + counts.droppedIdentical, 300);
    assert.ok(counts.promptsShortened > 0 && counts.responsesShortened > 0, JSON.stringify(counts));
    assert.equal(prompts.length, new Set(pairs.map(({ chosen }) => String(chosen.prompt))).size);
    let cut = 0;
    for (const { chosen, rejected, record } of pairs) {
      const { tokens, responseMask, columns } = padExamples([chosen, rejected]);
      for (const [row, text] of [records[record].chosen, records[record].rejected].entries()) {
        const marked = Array.from(tokens.subarray(row * columns, (row + 1) * columns)).filter(
          (_, t) => responseMask[row * columns + t] === 1,
        );
        assert.equal(marked.at(-1), EOS);
        assert.ok(!marked.includes(PAD));
        const whole = tokenizer.encode(text);
        if (whole.length + 1 > room.responseLimit) cut++;
        assert.deepEqual(marked.slice(0, -1), whole.slice(0, room.responseLimit - 1));
      }
    }
    assert.equal(cut, counts.responsesShortened);
  });

  it("pre-trains a model that predicts better than the frequencies of its tokens", async () => {
    const corpus = documentStream(tokenizer, preferenceTexts(records));
    const frequencies = new Float64Array(tokenizer.size);
    for (const token of corpus) frequencies[token] += 1 / corpus.length;
    const entropy = frequencies.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
    gpt = Gpt.initialise(
      { vocabularySize: tokenizer.size, context: room.context, width: 48, layers: 2, heads: 4 },
      rng.child("weights"),
    );
    const losses = await lossesOf(
      pretrain({
        gpt,
        corpus,
        batchSize: 8,
        windowLength: 64,
        steps: 300,
        learningRate: 4e-3,
        rng: rng.child("pretraining"),
      }),
    );
    assert.ok(Math.abs(losses[0] - Math.log(tokenizer.size)) < 0.1, `begins near log V, at ${losses[0]}`);
    assert.ok(mean(losses.slice(-20)) < entropy - 0.5, `${mean(losses.slice(-20))} nats a token, entropy ${entropy}`);
  });

  it("tunes it on the chosen answers, and scores them by sums of log-probabilities", async () => {
    policy = new Policy(gpt, room.responseLimit);
    const demonstrations = tokenised.pairs.map(({ chosen }) => chosen);
    const before = mean([...(await sequenceLogProbs(policy, demonstrations))]);
    await lossesOf(
      trainSft({ policy, demonstrations, batchSize: 8, steps: 60, learningRate: 1e-3, rng: rng.child("sft") }),
    );
    const after = await sequenceLogProbs(policy, demonstrations);
    assert.ok(mean([...after]) > before + 5, `${before} nats an answer before, ${mean([...after])} after`);
    const isCut = ({ response }: Example) => response.length === room.responseLimit;
    for (const some of [demonstrations.findIndex(isCut), demonstrations.findIndex((example) => !isCut(example))]) {
      const expected = logProbByHand(policy, demonstrations[some]);
      assert.ok(Math.abs(after[some] - expected) < 1e-3, `${after[some]}, by hand ${expected}`);
    }
  });

  it("fits a reward model to the pairs", async () => {
    scorer = ScalarModel.fromTrunk(policy.gpt, rng.child("head"));
    await lossesOf(
      trainRewardModel({
        model: scorer,
        pairs: tokenised.pairs,
        batchSize: 16,
        steps: 100,
        learningRate: 2e-3,
        rng: rng.child("reward model"),
      }),
    );
    const differences = await scoreDifferences(scorer, tokenised.pairs);
    const accuracy = mean([...differences].map((difference) => (difference > 0 ? 1 : 0)));
    const loss = mean([...differences].map((difference) => Math.log1p(Math.exp(-difference))));
    // On 300 pairs a coin's accuracy has a standard error of 0.03.
    assert.ok(accuracy > 0.8, `accuracy ${accuracy}`);
    assert.ok(loss < 0.7 * Math.LN2, `loss ${loss}`);
  });

  it("trains a policy on the pairs by DPO, and one by the policy gradient on the reward model", async () => {
    const { pairs, prompts } = tokenised;
    const weights = weightsOf(policy.gpt.parameters);
    const byPairs = policy.clone();
    const dpo = trainDpo({
      policy: byPairs,
      reference: policy,
      pairs,
      batchSize: 8,
      beta: 0.2,
      steps: 40,
      learningRate: 5e-4,
      rng: rng.child("dpo"),
    });
    const losses = await lossesOf(dpo);
    assert.ok(Math.abs(losses[0] - Math.LN2) < 1e-5, `at the reference the loss is log 2, got ${losses[0]}`);
    const ratio = async (side: "chosen" | "rejected") => {
      const examples = pairs.map((pair) => pair[side]);
      const [now, then] = [await sequenceLogProbs(byPairs, examples), await sequenceLogProbs(policy, examples)];
      return now.map((logProb, i) => logProb - then[i]);
    };
    const [chosen, rejected] = [await ratio("chosen"), await ratio("rejected")];
    const ordered = mean([...chosen].map((h, i) => (h > rejected[i] ? 1 : 0)));
    assert.ok(ordered > 0.65, `the implicit reward orders ${ordered} of the pairs`);

    aligned = policy.clone();
    const beta = 0.3;
    const online: TrainingRecord[] = [];
    for await (const record of trainPolicyGradient({
      policy: aligned,
      reference: policy,
      reward: modelReward(scorer),
      prompts,
      promptsPerStep: 4,
      beta,
      steps: 4,
      learningRate: 1e-3,
      rng: rng.child("policy gradient"),
    })) {
      online.push(record);
      const shaped = record.reward - beta * record.klPolicyToReference;
      assert.ok(Math.abs(record.return - shaped) < 1e-3, `return ${record.return}, r − β·KL ${shaped}`);
    }
    assert.ok(Math.abs(online[0].klPolicyToReference) < 1e-4 && Math.abs(online[3].klPolicyToReference) > 0.01);
    assert.deepEqual(weightsOf(policy.gpt.parameters), weights, "the reference stays as it is");
    byPairs.dispose();
  });

  it("saves policy, reward model and vocabulary, and goes on from them as if nothing had been", async () => {
    await saveModel(folder.path("policy"), aligned, tokenizer);
    await saveModel(folder.path("reward"), scorer, tokenizer);
    const loaded = await loadPolicy(folder.path("policy"));
    const reward = await loadScalarModel(folder.path("reward"));
    const prompts = tokenised.prompts.slice(0, 5);
    const drawn = await sample(aligned, prompts, { rng: Random.fromSeed(7) });
    assert.deepEqual(await sample(loaded.policy, prompts, { rng: Random.fromSeed(7) }), drawn);
    assert.deepEqual(await reward.model.score(drawn), await scorer.score(drawn));
    for (const { response } of drawn) {
      assert.equal(answerText(loaded.vocabulary, response), tokenizer.decode(response.slice(0, -1)));
    }
    assert.deepEqual(loaded.vocabulary.encode(records[0].chosen), tokenizer.encode(records[0].chosen));

    // Another file's vocabulary of the same size: nothing but its merges could tell.
    const other = BytePairEncoding.learn(preferenceTexts(records.slice(0, 100)), { size: 512 });
    assert.equal(other.size, tokenizer.size);
    const file = join(folder.path("policy"), "vocabulary.json");
    const own = readFileSync(file);
    writeFileSync(file, JSON.stringify(other));
    await assert.rejects(loadPolicy(folder.path("policy")), /vocabulary\.json: is not the vocabulary that the weights/);
    writeFileSync(file, own);
    for (const { gpt } of [loaded.policy, (await loadPolicy(folder.path("policy"))).policy]) gpt.dispose();
    reward.model.dispose();
  });
});

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

async function lossesOf(training: AsyncIterable<TrainingRecord>): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of training) losses.push(loss);
  return losses;
}

/** log π(y | x) by a softmax in double precision over the actions, token by token; the decreed <eos> has probability 1. */
function logProbByHand(policy: Policy, { prompt, response }: Example): number {
  const all = [...prompt, ...response];
  const logits = tf.tidy(() =>
    policy.gpt
      .logits(tf.tensor2d([all], undefined, "int32"))
      .squeeze([0])
      .arraySync(),
  );
  let sum = 0;
  response.forEach((token, t) => {
    if (t === policy.responseLimit - 1) return;
    const row = (logits as number[][])[prompt.length + t - 1].filter((_, id) => id === EOS || id > 3);
    const action = token === EOS ? 0 : token - 3;
    sum += row[action] - Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0));
  });
  return sum;
}
