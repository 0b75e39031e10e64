import * as tf from "@tensorflow/tfjs";
import { chooseBackend, type BackendName } from "../../../src/tensors/backend";
import { compareOperations, type Computed } from "./operations";
import { stages, type StageReport } from "./stages";

/** What the child process answers: a native library that crashes takes it along, and not the tests. */
export type Answer =
  | { started: false; reason: string }
  | {
      started: true;
      device: string;
      gpu: boolean;
      operations: Computed[];
      /** What a stage did, or the error it ended with. */
      stages: Record<string, StageReport | string>;
      /** What `dataSync` gives of values that were just computed. */
      dataSync: number[][];
      /** What reading says after a command that the GPU cannot obey. */
      refused: string;
    };

async function main(name: BackendName): Promise<Answer> {
  let device: string;
  let gpu: boolean;
  try {
    ({ device, gpu } = await chooseBackend({ backend: name }));
  } catch (error) {
    return { started: false, reason: error instanceof Error ? error.message : String(error) };
  }
  const reports: Record<string, StageReport | string> = {};
  for (const [stage, run] of Object.entries(stages)) {
    reports[stage] = await run().catch((error: Error) => error.stack ?? String(error));
  }
  const operations = await compareOperations(name);
  const dataSync = readAtOnce();
  const refused = name === "webgpu" ? await refusal() : "";
  return { started: true, device, gpu, operations, stages: reports, dataSync, refused };
}

/** Sums and products of whole numbers, so exact: floats, integers, truths; many values, and one after the other. */
function readAtOnce(): number[][] {
  return tf.tidy(() => {
    const ones = tf.ones([300, 700]);
    const product = tf.matMul(ones, ones, false, true); // 300 × 300 of 700
    const counted = product.toInt().add(tf.range(0, 300, 1, "int32"));
    const results = [
      product.sum(0),
      counted.slice([7, 290]),
      counted.greater(tf.scalar(998, "int32")).slice([0, 296], [1, 4]),
    ];
    return results.map((tensor) => Array.from(tensor.flatten().dataSync()).slice(0, 10));
  });
}

async function refusal(): Promise<string> {
  const { device } = tf.backend() as unknown as { device: { createBuffer(descriptor: object): unknown } };
  const [mapRead, storage] = [1, 128];
  device.createBuffer({ size: 16, usage: mapRead | storage }); // the two exclude each other
  const read = (): Promise<string> =>
    tf
      .matMul(tf.ones([40, 40]), tf.ones([40, 40]))
      .data()
      .then(
        ([first]) => String(first),
        (error: Error) => error.message,
      );
  const first = await read();
  const second = await read();
  return second === "40" ? first : `and then: ${second}`; // told once, then forgotten
}

if (process.send) {
  void main(process.argv[2] as BackendName).then((answer) => process.send!(answer, () => process.exit(0)));
}
