import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import type { Parameters } from "../tensors/adamw";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../tensors/safetensors";
import { Vocabulary } from "../text/vocabulary";
import { Gpt } from "./gpt";
import { Policy } from "./policy";
import { ScalarModel } from "./scalar-head";

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
 * `vocabulary.json` (its tokens).
 */
export async function saveModel(folder: string, model: Policy | ScalarModel, vocabulary: Vocabulary): Promise<void> {
  const gpt = model instanceof Policy ? model.gpt : model.trunk;
  const parameters = model instanceof Policy ? model.gpt.parameters : model.parameters;
  const config: StoredConfig =
    model instanceof Policy
      ? { kind: "policy", ...gpt.config, responseLimit: model.responseLimit }
      : { kind: "scalar", ...gpt.config };
  await mkdir(folder, { recursive: true });
  await writeSafetensors(path.join(folder, "model.safetensors"), await download(parameters), { format: "alignment" });
  await writeFile(path.join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  await writeFile(path.join(folder, "vocabulary.json"), `${JSON.stringify(vocabulary.toJSON(), null, 1)}\n`);
}

/** Loads a policy saved by `saveModel`; missing, extra or misshapen weights are errors. */
export async function loadPolicy(folder: string): Promise<{ policy: Policy; vocabulary: Vocabulary }> {
  const { config, tensors, vocabulary } = await load(folder, "policy");
  if (config.responseLimit === undefined) throw new Error(`${folder}/config.json: a policy needs a responseLimit`);
  return { policy: new Policy(Gpt.fromWeights(sizes(config), tensors), config.responseLimit), vocabulary };
}

/** Loads a scalar model (reward model, value function) saved by `saveModel`. */
export async function loadScalarModel(folder: string): Promise<{ model: ScalarModel; vocabulary: Vocabulary }> {
  const { config, tensors, vocabulary } = await load(folder, "scalar");
  const weight = tensors.get("head.weight");
  const bias = tensors.get("head.bias");
  if (!weight || !bias)
    throw new Error(`${folder}: the weights head.weight and head.bias are missing; it is no scalar model`);
  if (String(weight.shape) !== String([config.width, 1]) || String(bias.shape) !== "1") {
    throw new Error(
      `${folder}: expected head shapes [${config.width}, 1] and [1], got [${weight.shape}] and [${bias.shape}]`,
    );
  }
  tensors.delete("head.weight");
  tensors.delete("head.bias");
  const trunk = Gpt.fromWeights(sizes(config), tensors);
  return { model: ScalarModel.fromHead(trunk, weight.values, bias.values[0]), vocabulary };
}

/** The current values of parameters, as plain data. */
export async function download(parameters: Parameters): Promise<Map<string, StoredTensor>> {
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
): Promise<{ config: StoredConfig; tensors: Map<string, StoredTensor>; vocabulary: Vocabulary }> {
  const file = path.join(folder, "config.json");
  const parsed = configSchema.safeParse(JSON.parse(await readFile(file, "utf8")));
  if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
  if (parsed.data.kind !== kind)
    throw new Error(`${file}: expected a ${kind} model, found a ${parsed.data.kind} model`);
  const { tensors } = await readSafetensors(path.join(folder, "model.safetensors"));
  const vocabulary = Vocabulary.fromJSON(JSON.parse(await readFile(path.join(folder, "vocabulary.json"), "utf8")));
  if (vocabulary.size !== parsed.data.vocabularySize) {
    throw new Error(`${folder}: the vocabulary has ${vocabulary.size} tokens, the model ${parsed.data.vocabularySize}`);
  }
  return { config: parsed.data, tensors, vocabulary };
}

function sizes({ vocabularySize, context, width, layers, heads }: StoredConfig): Gpt["config"] {
  return { vocabularySize, context, width, layers, heads };
}
