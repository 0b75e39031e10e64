/** A student's function as the checks call it, with the calls of the running check on record. */
export interface GuardedCalls {
  call: (...args: never[]) => unknown;
  /** Whether any call has thrown `UnfilledExercise`. */
  readonly unfilled: boolean;
  /** Drops the record: a new check begins. */
  forget(): void;
  /** Whether another function gives, on every recorded call, the value that this one gave. False without calls. */
  agreesWith(other: (...args: never[]) => unknown): Promise<boolean>;
}

interface Call {
  /** As snapshots, like what came back: a check's tensors are gone by the time that calls are repeated. */
  args: unknown[];
  /** Absent when it threw, or has not settled. */
  result?: { value: unknown };
}

/** Calls kept a check: enough to tell mistakes apart, and few enough to repeat. */
const callsKept = 20;

/** Wraps a function so that it gets copies of plain arguments and its calls are on record. */
export function guard(yours: (...args: never[]) => unknown): GuardedCalls {
  let calls: Call[] = [];
  let unfilled = false;
  const note = (error: unknown): void => {
    if ((error as Error | undefined)?.name === "UnfilledExercise") unfilled = true;
  };
  return {
    call(...args: never[]) {
      const call: Call = { args: args.map(snapshot) };
      if (calls.length < callsKept) calls.push(call);
      let value: unknown;
      try {
        value = yours(...(args.map(copy) as never[]));
      } catch (error) {
        note(error);
        throw error;
      }
      if (!isPromise(value)) {
        call.result = { value: snapshot(value) };
        return value;
      }
      return value.then(
        (settled) => {
          call.result = { value: snapshot(settled) };
          return settled;
        },
        (error: unknown) => {
          note(error);
          throw error;
        },
      );
    },
    get unfilled() {
      return unfilled;
    },
    forget() {
      calls = [];
    },
    async agreesWith(other) {
      for (const { args, result } of calls) {
        try {
          if (result === undefined) return false;
          if (!alike(result.value, snapshot(await other(...(args.map(restored) as never[]))))) return false;
        } catch {
          return false;
        }
      }
      return calls.length > 0;
    },
  };
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Promise<unknown> | undefined)?.then === "function";
}

/** A tensor's shape, type and values, which outlive it. */
class TensorSnapshot {
  constructor(
    readonly shape: number[],
    readonly dtype: string,
    readonly values: unknown,
  ) {}
}

interface TensorLike {
  shape: number[];
  dtype: string;
  isDisposedInternal: boolean;
  dataSync(): ArrayLike<number>;
}

function isTensor(value: unknown): value is TensorLike {
  return typeof (value as Partial<TensorLike> | null)?.dataSync === "function";
}

/** A deep copy of arrays, typed arrays and plain objects; anything else (tensors, functions, streams) is itself. */
function copy(value: unknown): unknown {
  return mapped(value, (leaf) => leaf);
}

/** The same, with snapshots in place of tensors. */
function snapshot(value: unknown): unknown {
  return mapped(value, (leaf) => {
    if (!isTensor(leaf)) return leaf;
    const { shape, dtype } = leaf;
    return new TensorSnapshot(shape, dtype, leaf.isDisposedInternal ? undefined : Array.from(leaf.dataSync()));
  });
}

/** The same, with new tensors in place of snapshots. tfjs keeps its one engine on the global object. */
function restored(value: unknown): unknown {
  return mapped(value, (leaf) => {
    if (!(leaf instanceof TensorSnapshot)) return leaf;
    const { _tfengine: engine } = globalThis as { _tfengine?: { makeTensor(...of: unknown[]): unknown } };
    const kind = { int32: Int32Array, bool: Uint8Array }[leaf.dtype] ?? Float32Array;
    return engine!.makeTensor(kind.from(leaf.values as number[]), leaf.shape, leaf.dtype);
  });
}

/** A deep copy of arrays, typed arrays and plain objects, with something else for each of their leaves. */
function mapped(value: unknown, ofLeaf: (leaf: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => mapped(item, ofLeaf));
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return (value as Float64Array).slice();
  if (typeof value !== "object" || value === null) return ofLeaf(value);
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return ofLeaf(value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapped(item, ofLeaf)]));
}

/** Equal data, numbers to a relative 1e-4, which single precision always reaches; tensors by their shape and values. */
function alike(a: unknown, b: unknown): boolean {
  if (typeof a === "number" && typeof b === "number") {
    // An infinity is like itself only: as a scale for the tolerance it would be like everything.
    const scale = Math.max(Math.abs(a), Math.abs(b));
    return Object.is(a, b) || (scale < Infinity && Math.abs(a - b) <= 1e-6 + 1e-4 * scale);
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  const [left, right] = [a, b] as Record<string, unknown>[];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => key in right && alike(left[key], right[key]));
}
