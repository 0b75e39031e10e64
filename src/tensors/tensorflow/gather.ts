import * as tf from "@tensorflow/tfjs";

interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

interface TensorflowBackend {
  binding: { TF_ATTR_INT: number; TF_ATTR_TYPE: number; TF_FLOAT: number; TF_INT32: number; TF_BOOL: number };
  executeSingleOutput(operation: string, attributes: Attribute[], inputs: tf.TensorInfo[]): tf.TensorInfo;
}

/**
 * Makes `tf.gather` leave its indices on the device: the kernel of tfjs-node 4.22 reads them back to check them, at every
 * lookup. TensorFlow checks them itself, with an error on the CPU; on a GPU an index out of range gives zeros.
 * The current backend must be `tensorflow`.
 */
export function mendTensorflowGather(): void {
  if (mended.has(tf.backend())) return;
  mended.add(tf.backend());
  const usual = tf.getKernel("GatherV2", "tensorflow")!;
  const kernelFunc: tf.KernelFunc = (call) => {
    const { x, indices } = call.inputs as { x: tf.Tensor; indices: tf.Tensor };
    const { axis, batchDims } = call.attrs as unknown as { axis: number; batchDims: number };
    const backend = call.backend as unknown as TensorflowBackend;
    const { TF_ATTR_INT, TF_ATTR_TYPE, TF_FLOAT, TF_INT32, TF_BOOL } = backend.binding;
    const types: Record<string, number> = { float32: TF_FLOAT, int32: TF_INT32, bool: TF_BOOL };
    if (!(x.dtype in types) || indices.dtype !== "int32") return usual.kernelFunc(call);
    tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, batchDims);
    const along = tf.scalar(axis, "int32");
    const attributes = [
      { name: "batch_dims", type: TF_ATTR_INT, value: batchDims },
      { name: "Tparams", type: TF_ATTR_TYPE, value: types[x.dtype] },
      { name: "Tindices", type: TF_ATTR_TYPE, value: TF_INT32 },
      { name: "Taxis", type: TF_ATTR_TYPE, value: TF_INT32 },
    ];
    const rows = backend.executeSingleOutput("GatherV2", attributes, [x, indices, along]);
    along.dispose();
    return rows;
  };
  tf.unregisterKernel("GatherV2", "tensorflow");
  tf.registerKernel({ ...usual, kernelFunc });
}

const mended = new WeakSet<object>();
