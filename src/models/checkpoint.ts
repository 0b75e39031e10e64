import type * as tf from "@tensorflow/tfjs";
import * as z from "zod";
import { platform } from "../platform";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../tensors/safetensors";
import { tokenizerFromJSON, type Tokenizer } from "../text/tokenizer";
import { Gpt } from "./gpt";
import { Policy } from "./policy";
import { ScalarModel } from "./scalar-head";

const weightsFile = "model.safetensors";
const configFile = "config.json";
const vocabularyFile = "vocabulary.json";

const configSchema = z.strictObject({
  kind: z.enum(["policy", "scalar"]),
  vocabularySize: z.int().positive(),
  context: z.int().positive(),
  width: z.int().positive(),
  layers: z.int().positive(),
  heads: z.int().positive(),
  responseLimit: z.int().positive().optional(),
});
type StoredConfig = z.infer<typeof configSchema>;

/**
 * Saves a model as a folder other tools can read: `model.safetensors` (weights by name), `config.json` (its sizes),
 * `vocabulary.json` (its tokens, or the merges it learnt). The weights' file says by a checksum which vocabulary is its own.
 */
export async function saveModel(folder: string, model: Policy | ScalarModel, vocabulary: Tokenizer): Promise<void> {
  const gpt = model instanceof Policy ? model.gpt : model.trunk;
  if (vocabulary.size !== gpt.config.vocabularySize) {
    throw new RangeError(
      `saveModel: the vocabulary has ${vocabulary.size} tokens, the model ${gpt.config.vocabularySize}; pass its own`,
    );
  }
  const parameters = model instanceof Policy ? model.gpt.parameters : model.parameters;
  const config: StoredConfig =
    model instanceof Policy
      ? { kind: "policy", ...gpt.config, responseLimit: model.responseLimit }
      : { kind: "scalar", ...gpt.config };
  await writeSafetensors(`${folder}/${weightsFile}`, await download(parameters), {
    format: "alignment",
    vocabulary: checksum(vocabulary),
  });
  await writeText(`${folder}/${configFile}`, `${JSON.stringify(config, null, 2)}\n`);
  await writeText(`${folder}/${vocabularyFile}`, `${JSON.stringify(vocabulary.toJSON(), null, 1)}\n`);
}

/** Loads a policy saved by `saveModel`; missing, extra or misshapen weights are errors. */
export async function loadPolicy(folder: string): Promise<{ policy: Policy; vocabulary: Tokenizer }> {
  const { config, tensors, vocabulary } = await load(folder, "policy");
  const limit = config.responseLimit;
  if (limit === undefined) throw new Error(`${`${folder}/${configFile}`}: a policy needs a responseLimit, found none`);
  const gpt = inFile(`${folder}/${weightsFile}`, () => Gpt.fromWeights(sizes(config), tensors));
  try {
    return { policy: inFile(`${folder}/${configFile}`, () => new Policy(gpt, limit)), vocabulary };
  } catch (error) {
    gpt.dispose();
    throw error;
  }
}

/** Loads a scalar model (reward model, value function) saved by `saveModel`. */
export async function loadScalarModel(folder: string): Promise<{ model: ScalarModel; vocabulary: Tokenizer }> {
  const { config, tensors, vocabulary } = await load(folder, "scalar");
  return inFile(`${folder}/${weightsFile}`, () => {
    const take = (name: string, shape: number[]): Float32Array => {
      const found = tensors.get(name);
      if (!found) throw new Error(`weight "${name}" is missing; a scalar model has a head`);
      if (String(found.shape) !== String(shape)) {
        throw new Error(`weight "${name}": expected shape [${shape}], got [${found.shape}]`);
      }
      tensors.delete(name);
      return found.values;
    };
    const weight = take("head.weight", [config.width, 1]);
    const [bias] = take("head.bias", [1]);
    return { model: ScalarModel.fromHead(Gpt.fromWeights(sizes(config), tensors), weight, bias), vocabulary };
  });
}

/** The current values of parameters, as plain data. */
export async function download(parameters: ReadonlyMap<string, tf.Tensor>): Promise<Map<string, StoredTensor>> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, parameter] of parameters) {
    // A copy: on some backends `data` is a view of memory that the next operation may reuse.
    tensors.set(name, { shape: parameter.shape.slice(), values: Float32Array.from(await parameter.data()) });
  }
  return tensors;
}

async function load(
  folder: string,
  kind: StoredConfig["kind"],
): Promise<{ config: StoredConfig; tensors: Map<string, StoredTensor>; vocabulary: Tokenizer }> {
  const [file, words] = [configFile, vocabularyFile].map((name) => `${folder}/${name}`);
  const [configText, vocabularyText] = await Promise.all([file, words].map(readText));
  const parsed = configSchema.safeParse(inFile(file, () => JSON.parse(configText) as unknown));
  if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.kind !== kind) {
    const loader = parsed.data.kind === "policy" ? "loadPolicy" : "loadScalarModel";
    throw new Error(`${file}: expected a ${kind} model, found a ${parsed.data.kind} model; use ${loader}`);
  }
  const vocabulary = inFile(words, () => tokenizerFromJSON(JSON.parse(vocabularyText) as unknown));
  if (vocabulary.size !== parsed.data.vocabularySize) {
    throw new Error(`${words}: has ${vocabulary.size} tokens, the model ${parsed.data.vocabularySize} (${file})`);
  }
  const { tensors, metadata } = await readSafetensors(`${folder}/${weightsFile}`);
  // Weights saved before there was a checksum have none.
  if (metadata.vocabulary !== undefined && metadata.vocabulary !== checksum(vocabulary)) {
    throw new Error(
      `${words}: is not the vocabulary that the weights in ${weightsFile} were saved with, though it has as many tokens; ` +
        `put back the one of this model`,
    );
  }
  return { config: parsed.data, tensors, vocabulary };
}

/** Of what a vocabulary is, not of how its file is laid out. */
function checksum(vocabulary: Tokenizer): string {
  return platform.sha256(JSON.stringify(vocabulary.toJSON()));
}
const readText = async (file: string): Promise<string> => new TextDecoder().decode(await platform.files.read(file));

const writeText = (file: string, text: string): Promise<void> =>
  platform.files.write(file, [new TextEncoder().encode(text)]);

/** Runs something that reads a file's content, and names the file in what it throws. */
function inFile<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function sizes({ vocabularySize, context, width, layers, heads }: StoredConfig): Gpt["config"] {
  return { vocabularySize, context, width, layers, heads };
}
