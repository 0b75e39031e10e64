import type * as Alignment from "../../src/index";
import { loadPolicy, saveModel } from "../../src/models/checkpoint";
import { platform } from "../../src/platform";
import { registerWasmKernels, type KernelBuild } from "../../src/tensors/wasm-kernels";

/**
 * A small run through everything that Node and a page do differently, and the numbers that come out of it: training that
 * stops and goes on from its checkpoint, a model saved and loaded, generation, DPO, preferences written and read, a figure.
 *
 * @param library what notebooks import; in a page only a part of it is there
 * @param folder for files; it need not exist
 */
export async function scenario(
  library: typeof Alignment,
  { backend, build, folder }: { backend: "cpu" | "wasm"; build?: KernelBuild; folder: string },
): Promise<{ device: string; numbers: unknown }> {
  const { device } = await library.chooseBackend({ backend });
  const described = build ? registerWasmKernels({ build }) : device;
  const rng = library.Random.fromSeed(12);
  const vocabulary = library.adviceVocabulary();
  const gpt = library.Gpt.initialise(
    { vocabularySize: vocabulary.size, context: 64, width: 16, layers: 1, heads: 2 },
    rng.child("initial"),
  );

  const documents = library.pretrainingDocuments({ count: 40, rng: rng.child("documents") });
  const pretraining = () =>
    library.pretrain({
      gpt,
      corpus: library.documentStream(vocabulary, documents),
      batchSize: 4,
      windowLength: 24,
      steps: 6,
      learningRate: 1e-3,
      rng: rng.child("pre-training"),
      checkpointFolder: `${folder}/checkpoint`,
    });
  const records: Alignment.TrainingRecord[] = [];
  for await (const record of pretraining()) if (records.push(record) === 3) break;
  const kept = await platform.files.exists(`${folder}/checkpoint/training.safetensors`);
  for await (const record of pretraining()) records.push(record);

  const policy = new library.Policy(gpt, 32);
  await saveModel(`${folder}/model`, policy, vocabulary);
  const reference = (await loadPolicy(`${folder}/model`)).policy;
  const prompts = library.trainPrompts().slice(0, 4);
  const tokens = prompts.map(({ text }) => library.promptTokens(vocabulary, text));
  const samples = await library.sample(policy, tokens.slice(0, 2), { rng: rng.child("samples") });

  const answers = library.demonstrations({ count: 12, harmRate: 0.5, rng: rng.child("answers") });
  const comparisons = prompts.map(({ id }, at) => ({ promptId: id, a: answers[at].answer, b: answers[at + 4].answer }));
  const { pairs } = library.annotate({ comparisons, rng: rng.child("labels") });
  const file = `${folder}/pairs.jsonl.gz`;
  const provenance = { judge: "simulated annotator", source: "demonstrations" };
  const written = pairs.map((pair) => library.toPreferenceRecord(pair, provenance));
  await library.writePreferences(file, written, { format: "messages" });
  const read = await library.readPreferences(file);

  const example = (question: string, answer: string): Alignment.Example =>
    library.questionExample(vocabulary, question, answer);
  const dpo = library.trainDpo({
    policy,
    reference,
    pairs: pairs.map(({ prompt, chosen, rejected }) => ({
      chosen: example(prompt, chosen),
      rejected: example(prompt, rejected),
    })),
    beta: 0.1,
    batchSize: 4,
    steps: 3,
    learningRate: 1e-3,
    rng: rng.child("DPO"),
  });
  const tuned = await library.watch(dpo, (seen) =>
    library.trainingFigure(seen, { title: "DPO takes its first steps", metrics: ["loss"] }),
  );

  const figure = library.lines({
    title: "The loss falls",
    x: "step",
    y: { title: "loss", unit: "nats" },
    series: [{ name: "pre-training", x: records.map(({ step }) => step), y: records.map(({ loss }) => loss) }],
  });
  const numbers = { kept, records, samples, read, tuned, figure, hash: platform.sha256(JSON.stringify(figure)) };
  return { device: described, numbers };
}
