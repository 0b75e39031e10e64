import { platform } from "../platform";
import { Random } from "../tensors/random";
import { annotate, toPreferenceRecord, type Comparison } from "./annotators";
import { datasetReadme, type FieldDescription, type RecordFile } from "./dataset-readme";
import { demonstrationAnswer, demonstrations, type Demonstration } from "./demonstrations";
import { pretrainingDocuments } from "./documents";
import { goldReward } from "./gold-reward";
import {
  MINI_ANSWERS,
  MINI_SLOT_NAMES,
  miniDemonstrationProbabilities,
  miniPair,
  miniReward,
  miniText,
} from "./mini-world";
import { advicePrompts, trainPrompts } from "./prompts";

/**
 * The records under `datasets/advice`: the advice world as files, to explore and to learn the formats from. Training does
 * not read them; it calls the same functions with its own seeds and larger sizes.
 */

/** The seed of the committed records. */
export const DATASET_SEED = 0;

const DOCUMENTS = 3000;
/** Demonstrations at each rate of harm; the reference rate has as many as SFT uses. */
const DEMONSTRATIONS = [
  { harmRate: 0, count: 500 },
  { harmRate: 0.05, count: 500 },
  { harmRate: 0.15, count: 2000 },
  { harmRate: 0.3, count: 500 },
];
const PAIRS = 1000;
const PAIR_HARM_RATE = 0.15;
const PAIR_TEMPERATURE = 0.5;

/** A file with its content. */
export interface DatasetFile {
  name: string;
  text: string;
}

/** Every file of the data set for a seed: the records, `manifest.json` and `README.md`. The same seed gives the same bytes. */
export function adviceDataset({ seed = DATASET_SEED }: { seed?: number } = {}): DatasetFile[] {
  const rng = Random.fromSeed(seed).child("datasets/advice");
  const records = [
    promptRecords(),
    documentRecords(rng.child("documents")),
    ...DEMONSTRATIONS.map((mix) => demonstrationRecords({ ...mix, rng: rng.child("demonstrations") })),
    preferenceRecords(rng.child("preferences")),
    miniWorldRecords(),
  ];
  const files = records.map(({ name, records, text }) => {
    return { name, records, bytes: new TextEncoder().encode(text).length, sha256: platform.sha256(text) };
  });
  const manifest = { name: "advice", licence: "Apache-2.0", seed, command: datasetCommand(seed), files };
  return [
    ...records.map(({ name, text }) => ({ name, text })),
    { name: "manifest.json", text: JSON.stringify(manifest, null, 2) + "\n" },
    { name: "README.md", text: datasetReadme({ seed, command: manifest.command, records, checksums: files }) },
  ];
}

function datasetCommand(seed: number): string {
  return seed === DATASET_SEED ? "npx workbook data" : `npx workbook data --seed ${seed}`;
}

function promptRecords(): RecordFile {
  const fields = [
    { name: "id", type: "integer", meaning: "number of the prompt, 0 … 71" },
    { name: "topic", type: "string", meaning: "one of weight, sleep, money, study, cooking, travel" },
    { name: "goal", type: "string", meaning: "what the user wants" },
    { name: "template", type: "string", meaning: "how it is asked; `{g}` stands for the goal" },
    { name: "text", type: "string", meaning: "the question" },
    { name: "split", type: "string", meaning: '"train" (54) or "test" (18)' },
  ];
  return jsonLines({ name: "prompts.jsonl", summary: "All questions of the advice world.", fields }, advicePrompts());
}

function documentRecords(rng: Random): RecordFile {
  const fields = [
    { name: "text", type: "string", meaning: "a document: words and punctuation separated by one space" },
  ];
  const documents = pretrainingDocuments({ count: DOCUMENTS, rng });
  return jsonLines(
    { name: "documents.jsonl", summary: "Pre-training documents, with 3% token noise.", fields },
    documents.map((text) => ({ text })),
  );
}

const DEMONSTRATION_FIELDS: FieldDescription[] = [
  { name: "promptId", type: "integer", meaning: "`id` in prompts.jsonl, always of the train split" },
  { name: "prompt", type: "string", meaning: "the question" },
  { name: "answer", type: "string", meaning: "the demonstrated answer" },
  { name: "harmful", type: "boolean", meaning: "whether the answer holds a harmful fragment" },
  { name: "gold", type: "number", meaning: "the answer's gold reward" },
];

function demonstrationRecords(mix: { harmRate: number; count: number; rng: Random }): RecordFile {
  const rate = mix.harmRate.toFixed(2);
  return jsonLines(
    {
      name: `demonstrations-${rate}.jsonl`,
      summary: `Demonstrations for supervised fine-tuning, harmful with probability ${rate}.`,
      fields: DEMONSTRATION_FIELDS,
    },
    demonstrations(mix).map((demonstration) => ({ ...demonstration, gold: goldOf(demonstration) })),
  );
}

function goldOf({ promptId, answer }: Demonstration): number {
  return goldReward(advicePrompts()[promptId].topic, answer).total;
}

function preferenceRecords(rng: Random): RecordFile {
  const prompts = trainPrompts();
  const comparisons: Comparison[] = Array.from({ length: PAIRS }, (_, i) => {
    const stream = rng.child(`pair ${i}`);
    const { id, topic } = stream.choose(prompts);
    const answer = (): string => demonstrationAnswer(topic, stream.bernoulli(PAIR_HARM_RATE), stream);
    return { promptId: id, a: answer(), b: answer() };
  });
  const { pairs } = annotate({ comparisons, rng: rng.child("labels"), temperature: PAIR_TEMPERATURE });
  const provenance = {
    judge: `simulated annotator, temperature ${PAIR_TEMPERATURE}`,
    source: `demonstration grammar, harm rate ${PAIR_HARM_RATE}`,
  };
  const fields = [
    { name: "prompt", type: "string", meaning: "the question" },
    { name: "chosen", type: "string", meaning: "the answer that was preferred" },
    { name: "rejected", type: "string", meaning: "the other answer" },
    {
      name: "provenance",
      type: "object",
      meaning:
        "`judge` who chose; `confidence` the judge's probability of this choice; `source` where the answers come from",
    },
  ];
  return jsonLines(
    {
      name: "preferences.jsonl",
      summary:
        "Pairs of answers with a simulated annotator's choice, in the `{prompt, chosen, rejected}` format of strings. " +
        "There is no model yet where these are made, so the answers are drawn from the demonstration grammar; in the " +
        "notebooks they are sampled from the fine-tuned model.",
      fields,
    },
    pairs.map((pair) => ({ ...toPreferenceRecord(pair, provenance), prompt: pair.prompt })),
  );
}

function miniWorldRecords(): RecordFile {
  const probabilities = miniDemonstrationProbabilities();
  const fields = [
    { name: "answer", type: "integer", meaning: "number of the answer, 0 … 4095" },
    ...MINI_SLOT_NAMES.map((name, slot) => ({ name, type: "string", meaning: `word ${slot + 1} of the answer` })),
    { name: "pair", type: "string", meaning: "whether verb and object make good advice, bad advice or other" },
    { name: "reward", type: "number", meaning: "gold reward" },
    { name: "demonstrated", type: "number", meaning: "probability among the demonstrations, to 10 digits" },
  ];
  const rows = Array.from({ length: MINI_ANSWERS }, (_, answer) => {
    const words = miniText(answer).split(" ");
    return [answer, ...words, miniPair(answer), miniReward(answer), probabilities[answer].toPrecision(10)].join(",");
  });
  return {
    name: "mini-world.csv",
    summary: "Every answer of the mini world, one prompt and four words from slots of eight.",
    fields,
    records: rows.length,
    text: [fields.map(({ name }) => name).join(","), ...rows].join("\n") + "\n",
  };
}

function jsonLines(about: Pick<RecordFile, "name" | "summary" | "fields">, rows: readonly object[]): RecordFile {
  return { ...about, records: rows.length, text: rows.map((row) => JSON.stringify(row) + "\n").join("") };
}
