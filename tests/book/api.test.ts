import assert from "node:assert/strict";
import { apiPages } from "../../src/book/api";
import { repositoryRoot } from "../../src/course/paths";

describe("book: the API's pages", () => {
  let files: Map<string, Buffer>;
  let warnings: string[];
  const page = (name: string): string => {
    const content = files.get(`api/${name}.html`);
    assert.ok(content, `there is no api/${name}.html`);
    return content.toString();
  };
  const textOf = (html: string): string => html.replace(/<[^>]*>/g, "").replace(/\s+/g, " ");
  before(async () => ({ files, warnings } = await apiPages(repositoryRoot)));

  it("are made without a warning", () => assert.deepEqual(warnings, []));

  it("show the entries of the package, and the layers in the tree's order", () => {
    for (const entry of ["alignment-workbook", "alignment-workbook_kernel", "alignment-workbook_notebooks"]) {
      page(`modules/${entry}`);
    }
    const map = page("modules/alignment-workbook");
    assert.match(textOf(map), /Pre-training|pre-training/);
    const layers = [...map.matchAll(/<h2[^>]*>(.*?)<\/h2>/gs)].map(([, title]) => textOf(title).trim());
    const order = "tensors text world models rewards objectives evaluation plots course".split(" ");
    assert.deepEqual(
      layers.filter((layer) => order.includes(layer)),
      order,
    );
  });

  it("keep docstrings as they are written: shapes, and tokens' names", () => {
    const text = textOf(page("interfaces/alignment-workbook.ResponseLogProbs"));
    assert.match(text, /\[B, T−1\]: entry t scores token t\+1 of the padded row; .* where &lt;eos&gt; is decreed/);
    assert.match(textOf(page("functions/alignment-workbook.causalAttention")), /\[B, T, width\]: for each position t/);
  });

  it("need no network", () => {
    for (const [name, content] of files) {
      if (!name.endsWith(".html")) continue;
      assert.doesNotMatch(
        content.toString(),
        /(?:<script[^>]*|<img[^>]*|<link[^>]*)(?:src|href)="(?:https?:)?\/\//,
        name,
      );
    }
  });
});
