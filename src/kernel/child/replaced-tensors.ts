/**
 * Tensors that a notebook's variables held until a cell ran again. tfjs frees a tensor's memory only when it is disposed,
 * so each run of `const weights = tf.variable(…)` or `const x = tf.tensor(…)` would leave one behind.
 *
 * They are disposed once nothing can reach them any more: JavaScript's garbage collector says when. So a tensor that an
 * array, a closure, another variable, a model or an optimizer still holds stays as it is, which no look at the
 * notebook's variables alone could tell.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isTensor, type TensorLike } from "./display-tensor";

/** What tfjs needs to know of a tensor to dispose of it: all but the tensor. */
interface Remains {
  id: number;
  dataId: object;
  dtype: string;
  size: number;
  shape: number[];
  isDisposed: boolean;
}

/** tfjs keeps its engine here, so that several copies of it share one. */
type WithEngine = { _tfengine?: { disposeTensor(tensor: object): void } };

/** Looked through in arrays and plain objects that a variable held. */
const most = { depth: 3, values: 10_000 };
/** Bytes of replaced tensors that are worth a garbage collection of their own. */
const worthCollecting = 16 * 2 ** 20;

export class ReplacedTensors {
  private readonly known = new WeakSet<object>();
  private bytes = 0;
  private readonly unreachable = new FinalizationRegistry<Remains>((remains) => {
    if (remains.isDisposed) return;
    (globalThis as WithEngine)._tfengine?.disposeTensor(remains);
  });

  /** Notes what a variable held that has just got another value. */
  replaced(old: unknown): void {
    if ((globalThis as WithEngine)._tfengine === undefined) return;
    const budget = { left: most.values };
    for (const tensor of tensorsIn(old, most.depth, budget)) this.note(tensor);
  }

  /** After a cell: collects garbage when much has been replaced. */
  settle(): void {
    if (this.bytes < worthCollecting) return;
    this.bytes = 0;
    collectGarbage();
  }

  private note(tensor: TensorLike): void {
    // A variable belongs to its optimizer and to tfjs's list of variables; tfjs itself keeps it reachable.
    if (tensor.isDisposed || this.known.has(tensor) || "trainable" in tensor) return;
    this.known.add(tensor);
    const { id, dataId, dtype, size, shape } = tensor;
    const remains: Remains = { id, dataId, dtype, size, shape, isDisposed: false };
    // Whether the program disposes of it itself meanwhile is known only from the tensor, which is then gone.
    Object.defineProperty(tensor, "isDisposedInternal", {
      configurable: true,
      get: () => remains.isDisposed,
      set: (value: boolean) => void (remains.isDisposed = value),
    });
    this.bytes += size * 4;
    this.unreachable.register(tensor, remains);
  }
}

function* tensorsIn(value: unknown, depth: number, budget: { left: number }): Generator<TensorLike> {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || --budget.left < 0) return;
  if (isTensor(value)) yield value;
  else if (depth > 0 && Array.isArray(value)) for (const each of value) yield* tensorsIn(each, depth - 1, budget);
  else if (depth > 0 && Object.getPrototypeOf(value) === Object.prototype)
    for (const { value: each } of Object.values(Object.getOwnPropertyDescriptors(value)))
      yield* tensorsIn(each, depth - 1, budget);
}

let collect: (() => void) | undefined;

/** A full garbage collection now, whether or not Node was started with `--expose-gc`. */
export function collectGarbage(): void {
  if (!collect) {
    setFlagsFromString("--expose-gc");
    collect = (globalThis as { gc?: () => void }).gc ?? (runInNewContext("gc") as () => void);
  }
  collect();
}
