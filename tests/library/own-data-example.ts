import { readFile } from "node:fs/promises";
import * as a from "alignment";

const [textFile, preferenceFile, folder] = process.argv.slice(2); // a text, a JSONL of { prompt, chosen, rejected }, where to save
await a.chooseBackend();
const rng = a.Random.fromSeed(0);
const room = { context: 128, responseLimit: 32 }; // in tokens: a prompt with its response, and a response
async function run(name: string, training: AsyncIterable<a.TrainingRecord>) {
  for await (const { step, loss } of training) if (step % 20 === 0) console.log(name, step, loss.toFixed(3));
}

const documents = (await readFile(textFile, "utf8")).split(/\n{2,}/);
const { records } = await a.readPreferences(preferenceFile);
const tokenizer = a.BytePairEncoding.learn([...documents, ...a.preferenceTexts(records)], { size: 512 });
const { pairs, prompts, counts } = a.tokenisePreferences(tokenizer, records, { ...room, tooLong: "shorten" });
console.log(counts); // what was shortened and what was left out

const model = { vocabularySize: tokenizer.size, context: room.context, width: 64, layers: 2, heads: 4 };
const policy = new a.Policy(a.Gpt.initialise(model, rng.child("weights")), room.responseLimit);
const how = { batchSize: 16, steps: 100, learningRate: 2e-3, rng: rng.child("training") };
const corpus = a.documentStream(tokenizer, documents);
await run("pre-training", a.pretrain({ gpt: policy.gpt, corpus, windowLength: 64, ...how }));
await run("SFT", a.trainSft({ policy, demonstrations: pairs.map(({ chosen }) => chosen), ...how }));
const scorer = a.ScalarModel.fromTrunk(policy.gpt, rng.child("head"));
await run("reward model", a.trainRewardModel({ model: scorer, pairs, ...how }));
const [byPairs, byReward] = [policy.clone(), policy.clone()];
await run("DPO", a.trainDpo({ policy: byPairs, reference: policy, pairs, ...how, learningRate: 5e-4, beta: 0.1 }));
const online = { policy: byReward, reference: policy, reward: a.modelReward(scorer), prompts, beta: 0.05 };
await run("policy gradient", a.trainPolicyGradient({ ...online, steps: 40, learningRate: 1e-3, rng }));
await a.saveModel(folder, byReward, tokenizer);

const loaded = await a.loadPolicy(folder);
const [{ response }] = await a.sample(loaded.policy, [a.promptTokens(loaded.vocabulary, "How do I sleep?")], { rng });
console.log(a.answerText(loaded.vocabulary, response));
