import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  formatNotebook,
  type Notebook,
  notebookFaults,
  parseNotebook,
  readNotebook,
  writeNotebook,
} from "../../src/notebooks/notebook";

const notebook: Notebook = {
  metadata: { workbook: { sourceHash: "abc" } },
  cells: [
    { cell_type: "markdown", id: "intro", metadata: {}, source: "# Title\n\ntext" },
    {
      cell_type: "code",
      id: "run-me",
      metadata: { tags: ["parameters"] },
      source: "let x = 1;\n",
      execution_count: 3,
      outputs: [
        { output_type: "stream", name: "stdout", text: "a\nb" },
        {
          output_type: "display_data",
          data: { "text/plain": "p\nq", "image/png": "aGVsbG8=", "application/x+json": { b: [1], a: null } },
          metadata: {},
        },
        { output_type: "execute_result", data: { "text/html": "<b>" }, metadata: {}, execution_count: 3 },
        { output_type: "error", ename: "E", evalue: "v", traceback: ["t"] },
      ],
    },
  ],
};

describe("notebooks/notebook", () => {
  it("writes sorted keys, text as lines, one space of indent, a newline at the end, and the kernel's name", () => {
    const text = formatNotebook(notebook);
    assert.match(text, /^\{\n "cells": \[\n {2}\{\n {3}"cell_type": "markdown",\n {3}"id": "intro",\n/);
    assert.ok(text.endsWith('\n "nbformat": 4,\n "nbformat_minor": 5\n}\n'));
    const data = JSON.parse(text);
    assert.deepEqual(data.cells[0].source, ["# Title\n", "\n", "text"]);
    assert.deepEqual(data.cells[1].outputs[0].text, ["a\n", "b"]);
    assert.deepEqual(data.cells[1].outputs[1].data["text/plain"], ["p\n", "q"]);
    assert.equal(data.cells[1].outputs[1].data["image/png"], "aGVsbG8=");
    assert.deepEqual(Object.keys(data.cells[1].outputs[1].data["application/x+json"]), ["a", "b"]);
    assert.deepEqual(data.metadata.kernelspec, { display_name: "TypeScript", language: "typescript", name: "tslab" });
    assert.equal(data.metadata.language_info.version, undefined);
  });

  it("reads back what it wrote, and writes the same bytes again", () => {
    const text = formatNotebook(notebook);
    assert.deepEqual(parseNotebook(text), notebook);
    assert.equal(formatNotebook(parseNotebook(text)), text);
  });

  it("drops what an editor adds: times, versions, collapsed cells, widgets", () => {
    const data = JSON.parse(formatNotebook(notebook));
    data.metadata.widgets = {};
    data.metadata.language_info.version = "3.7.2";
    data.cells[1].metadata.execution = { "iopub.status.busy": "2026-01-01T00:00:00Z" };
    data.cells[1].metadata.collapsed = true;
    assert.equal(formatNotebook(parseNotebook(JSON.stringify(data))), formatNotebook(notebook));
  });

  it("takes the id of a marker, which Jupytext puts into the metadata, for the cell's id", () => {
    const data = JSON.parse(formatNotebook(notebook));
    data.cells[0].metadata.id = "intro";
    data.cells[0].id = "1a2b3c4d";
    assert.equal(parseNotebook(JSON.stringify(data)).cells[0].id, "intro");
  });

  it("gives the cells of an older notebook ids", () => {
    const old = {
      nbformat: 4,
      nbformat_minor: 2,
      metadata: {},
      cells: [{ cell_type: "markdown", metadata: {}, source: "x" }],
    };
    assert.equal(parseNotebook(JSON.stringify(old)).cells[0].id, "cell-1");
  });

  // Each fault made in a valid notebook must be found, and named by its place.
  const faulty: [string, (data: never) => void, RegExp][] = [
    [
      "a code cell without outputs",
      (data: { cells: { outputs?: unknown }[] }) => delete data.cells[1].outputs,
      /\/cells\/1 .*outputs/,
    ],
    ["a cell without id", (data: { cells: { id?: string }[] }) => delete data.cells[0].id, /\/cells\/0 .*id/],
    ["an id with a space", (data: { cells: { id: string }[] }) => (data.cells[0].id = "a b"), /\/cells\/0\/id/],
    [
      "an id used twice",
      (data: { cells: { id: string }[] }) => (data.cells[0].id = "run-me"),
      /two cells have the id "run-me"/,
    ],
    [
      "a cell type that does not exist",
      (data: { cells: { cell_type: string }[] }) => (data.cells[0].cell_type = "md"),
      /cell_type/,
    ],
    [
      "outputs in a markdown cell",
      (data: { cells: { outputs: unknown }[] }) => (data.cells[0].outputs = []),
      /\/cells\/0 .*outputs/,
    ],
    [
      "another property of an output",
      (data: { cells: { outputs: object[] }[] }) => Object.assign(data.cells[1].outputs[0], { time: 1 }),
      /outputs\/0 .*time/,
    ],
    [
      "an image that is no text",
      (data: { cells: { outputs: { data: object }[] }[] }) =>
        Object.assign(data.cells[1].outputs[1].data, { "image/png": 3 }),
      /image~1png/,
    ],
    [
      "a tag with a comma",
      (data: { cells: { metadata: object }[] }) => (data.cells[1].metadata = { tags: ["a,b"] }),
      /tags\/0/,
    ],
    ["nbformat 3", (data: { nbformat: number }) => (data.nbformat = 3), /\/nbformat /],
  ];
  for (const [what, change, message] of faulty)
    it(`finds ${what}`, () => {
      const data = JSON.parse(formatNotebook(notebook)) as never;
      assert.deepEqual(notebookFaults(data), []);
      change(data);
      assert.match(notebookFaults(data).join("\n"), message);
    });

  it("never writes an invalid notebook, nor leaves a half-written file", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "workbook-notebook-"));
    try {
      const file = path.join(folder, "deeper", "a.ipynb");
      writeNotebook(file, notebook);
      assert.deepEqual(readNotebook(file), notebook);
      const bad = { ...notebook, cells: [...notebook.cells, notebook.cells[0]] };
      assert.throws(() => writeNotebook(file, bad), /two cells have the id/);
      assert.deepEqual(readNotebook(file), notebook);
      assert.deepEqual(readdirSync(path.dirname(file)), ["a.ipynb"]);
      assert.throws(() => readNotebook(path.join(folder, "none.ipynb")), /There is no notebook/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
