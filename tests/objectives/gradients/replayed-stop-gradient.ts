/**
 * What a loss holds fixed must stay as it is while finite differences move its inputs, or they would differentiate what
 * the loss does not. So `stopGradient` notes its values the first time a loss is evaluated, and gives them again, in turn,
 * at the moved inputs. To be imported before the losses, which then use this one.
 */
import * as tf from "@tensorflow/tfjs";
import { createRequire } from "node:module";

type StopGradient = typeof import("../../../src/tensors/stop-gradient");

const load = createRequire(__filename);
const file = load.resolve("../../../src/tensors/stop-gradient.ts");
const { stopGradient } = load(file) as StopGradient;

let noted: ArrayLike<number>[] = [];
let next = 0;
let replaying = false;

function replayed<T extends tf.Tensor>(x: T): T {
  if (!replaying) {
    const held = stopGradient(x);
    noted.push(held.dataSync());
    return held;
  }
  const held = noted[next++];
  if (held === undefined) throw new Error("stopGradient is called more often at moved inputs than at first");
  return tf.tensor(Array.from(held), x.shape) as T;
}

load.cache[file]!.exports = { stopGradient: replayed } satisfies StopGradient;

/** From here on values are noted. */
export function note(): void {
  noted = [];
  replaying = false;
}

/** From here on, and from the first again, the noted values are given. */
export function replay(): void {
  next = 0;
  replaying = true;
}
