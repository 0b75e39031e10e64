/**
 * The Jupyter notebook format 4.5 as JSON schema (draft 7), stated from its specification: what a notebook must hold,
 * may hold, and may not. `metadata` objects are open by the specification; what we write into them is narrower.
 */
const text = { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] };
const count = { type: ["integer", "null"], minimum: 0 };
const bundle = {
  type: "object",
  // A JSON type may hold any value; every other type holds text.
  patternProperties: { "^application/(.*\\+)?json$": {} },
  additionalProperties: text,
};

function closed(required: Record<string, unknown>, optional: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: "object",
    required: Object.keys(required),
    properties: { ...required, ...optional },
    additionalProperties: false,
  };
}

const cellMetadata = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1 },
    tags: { type: "array", uniqueItems: true, items: { type: "string", pattern: "^[^,]+$" } },
    jupyter: {
      type: "object",
      properties: { source_hidden: { type: "boolean" }, outputs_hidden: { type: "boolean" } },
    },
  },
};
const id = { type: "string", pattern: "^[a-zA-Z0-9_-]{1,64}$" };

function cell(type: string, more: Record<string, unknown>, optional: Record<string, unknown> = {}) {
  return closed({ id, cell_type: { const: type }, metadata: cellMetadata, source: text, ...more }, optional);
}

function output(type: string, more: Record<string, unknown>) {
  return closed({ output_type: { const: type }, ...more });
}

const outputs = {
  stream: output("stream", { name: { type: "string" }, text }),
  display_data: output("display_data", { data: bundle, metadata: { type: "object" } }),
  execute_result: output("execute_result", { data: bundle, metadata: { type: "object" }, execution_count: count }),
  error: output("error", {
    ename: { type: "string" },
    evalue: { type: "string" },
    traceback: { type: "array", items: { type: "string" } },
  }),
};
const attachments = { type: "object", additionalProperties: bundle };
const cells = {
  markdown: cell("markdown", {}, { attachments }),
  raw: cell("raw", {}, { attachments }),
  code: cell("code", { execution_count: count, outputs: { type: "array", items: oneOf("output_type", outputs) } }),
};

/** One of several shapes, chosen by the value of one property, so that an error names the fault and not every shape. */
function oneOf(property: string, shapes: Record<string, unknown>): Record<string, unknown> {
  return {
    type: "object",
    required: [property],
    properties: { [property]: { enum: Object.keys(shapes) } },
    allOf: Object.entries(shapes).map(([value, then]) => ({
      if: { properties: { [property]: { const: value } }, required: [property] },
      then,
    })),
  };
}

export const nbformatSchema = closed({
  nbformat: { const: 4 },
  nbformat_minor: { type: "integer", minimum: 5 },
  metadata: {
    type: "object",
    properties: {
      kernelspec: {
        type: "object",
        required: ["name", "display_name"],
        properties: { name: { type: "string" }, display_name: { type: "string" } },
      },
      language_info: { type: "object", required: ["name"], properties: { name: { type: "string" } } },
      title: { type: "string" },
      authors: { type: "array" },
    },
  },
  cells: { type: "array", items: oneOf("cell_type", cells) },
});
