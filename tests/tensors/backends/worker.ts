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
      /** What `dataSync` says where values cannot be read at once. */
      dataSync: string;
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
  const square = tf.tidy(() => tf.matMul(tf.ones([40, 40]), tf.ones([40, 40])));
  let dataSync: string;
  try {
    dataSync = String(square.dataSync()[0]);
  } catch (error) {
    dataSync = (error as Error).message;
  }
  const refused = name === "webgpu" ? await refusal() : "";
  return { started: true, device, gpu, operations, stages: reports, dataSync, refused };
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
