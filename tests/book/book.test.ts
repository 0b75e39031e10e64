import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { JSDOM } from "jsdom";
import { register } from "../../src/cli/book";
import { buildBook, type Book } from "../../src/book/book";
import { fixtureRepository, firstNotebook, secondNotebook } from "./book-fixture";

let root: string;
let out: string;
let book: Book;

describe("book", () => {
  before(async () => {
    root = fixtureRepository();
    out = join(root, "out");
    book = await buildBook({ root, out });
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const pageText = (name: string) => readFileSync(join(out, name), "utf8");
  const page = (name: string) => new JSDOM(pageText(name)).window.document;
  const cell = (document: Document, id: string) => {
    const element = document.getElementById(id);
    assert.ok(element, `no cell ${id}`);
    return element;
  };

  function filesUnder(folder: string, below = ""): string[] {
    return readdirSync(join(folder, below), { withFileTypes: true })
      .flatMap((entry) => {
        const path = below === "" ? entry.name : `${below}/${entry.name}`;
        return entry.isDirectory() ? filesUnder(folder, path) : [path];
      })
      .sort();
  }

  const htmlFiles = () => filesUnder(out).filter((name) => name.endsWith(".html"));

  describe("the site", () => {
    it("lists the chapters with what they show, minutes, exercises and figures", () => {
      assert.deepEqual(
        [book.index, ...book.pages].map((path) => basename(path)),
        ["index.html", "01-stages.html", "02-policy-state-action.html"],
      );
      const items = [...page("index.html").querySelectorAll(".chapters li")];
      assert.equal(items.length, 2);
      assert.equal(items[0].querySelector("h2 a")?.getAttribute("href"), "01-stages.html");
      assert.equal(items[0].querySelector("h2")?.textContent, '01 Stages & "objectives" <of> training');
      assert.match(items[0].querySelector("p")?.textContent ?? "", /^Watch the objective/);
      assert.equal(
        items[0].querySelector(".facts")?.textContent,
        "25 min to read · 2–4 min to run · 1 exercise · 1 interactive figure",
      );
      assert.equal(items[1].querySelector("h2")?.textContent, "02 Policy, state, action");
      assert.equal(items[1].querySelector("p")?.textContent, "One generation, drawn step by step.");
      assert.equal(
        items[1].querySelector(".facts")?.textContent,
        "20 min to read · 1 min to run · 1 interactive figure",
      );
    });

    it("leads from page to page, and to the page's own headings", () => {
      const document = page("01-stages.html");
      assert.equal(document.querySelector("[rel=next]")?.getAttribute("href"), "02-policy-state-action.html");
      assert.equal(document.querySelector("[rel=prev]"), null);
      assert.equal(
        page("02-policy-state-action.html").querySelector("[rel=prev]")?.getAttribute("href"),
        "01-stages.html",
      );
      assert.match(document.querySelector("#contents [aria-current=page]")?.textContent ?? "", /^01 Stages/);
      const headings = [...document.querySelectorAll("#contents ul a")].map((link) => link.getAttribute("href"));
      assert.deepEqual(headings, ["#the-objective", "#a-table-with-p-y-mid-x"]);
      for (const address of headings) assert.ok(document.querySelector(address!), `${address} leads nowhere`);
    });

    it("rewrites links to notebooks, cells and source files, and reports those that lead nowhere", () => {
      const document = page("01-stages.html");
      const links = [...cell(document, "derivation").querySelectorAll("a:not(.permalink, .cell-link)")];
      assert.deepEqual(
        links.map((link) => link.getAttribute("href")),
        ["02-policy-state-action.html#heart", "#the-objective", "https://example.org/paper"],
      );
      assert.equal(links[2].getAttribute("rel"), "noopener noreferrer");
      const source = cell(document, "intro").querySelector("p a")?.getAttribute("href");
      assert.equal(source, "source/src/loss.ts.html#L2");
      const shown = page("source/src/loss.ts.html");
      assert.equal(shown.querySelector("#L2")?.textContent, "    <what> */");
      assert.equal(shown.querySelector(".home")?.getAttribute("href"), "../../index.html");
      assert.ok(book.warnings.some((warning) => /cell wrong: the link to 99-missing.ipynb/.test(warning)));
    });

    it("shows no file outside the shown folders, not through a link nor through a symbolic link", async () => {
      const notebook = secondNotebook() as { cells: { source: string }[] };
      notebook.cells[1].source =
        "[a](../../../../../../etc/passwd) [b](../secret.ts) [c](../src/../secret.ts) [d](/etc/passwd) <a href='file:///etc/passwd'>e</a> [h](../src/link.ts) ![f](../../../../etc/passwd.png) [g](#nowhere)";
      writeFileSync(join(root, "secret.ts"), "secret");
      symlinkSync(join(root, "secret.ts"), join(root, "src/link.ts"));
      const path = join(root, "attack.ipynb");
      writeFileSync(path, JSON.stringify(notebook));
      const attacked = await buildBook({ root, notebooks: [path], out: join(root, "attack") });
      const files = filesUnder(join(root, "attack")).filter((name) => !name.startsWith("assets/"));
      assert.deepEqual(files, ["attack.html", "book.json", "index.html"]);
      assert.equal(attacked.warnings.length, 8, attacked.warnings.join("\n"));
    });

    it("gives the same bytes for the same notebooks", async () => {
      const again = join(root, "again");
      await buildBook({ root, out: again });
      assert.deepEqual(filesUnder(again), filesUnder(out));
      for (const name of filesUnder(out)) {
        assert.ok(readFileSync(join(again, name)).equals(readFileSync(join(out, name))), `${name} differs`);
      }
    });

    it("removes the pages of a notebook that is gone, and spares a folder that is no book", async () => {
      const folder = join(root, "shrinking");
      await buildBook({ root, out: folder });
      await buildBook({ root, out: folder, notebooks: [join(root, "notebooks/02-policy-state-action.ipynb")] });
      assert.deepEqual(
        filesUnder(folder).filter((name) => name.endsWith(".html") || name.startsWith("figures/")),
        ["02-policy-state-action.html", "index.html"],
      );
      await assert.rejects(buildBook({ root, out: join(root, "notebooks") }), /holds files that are not a book's/);
      assert.equal(readdirSync(join(root, "notebooks")).length, 2);
    });

    it("says what is wrong with what it is given", async () => {
      await assert.rejects(
        buildBook({ root: join(root, "src"), out: join(root, "x") }),
        /found none; run `workbook run`/,
      );
      const twice = [join(root, "notebooks/01-stages.ipynb"), join(root, "copy/01-stages.ipynb")];
      await assert.rejects(buildBook({ root, notebooks: twice }), /both become 01-stages.html/);
      await assert.rejects(buildBook({ root, notebooks: [join(root, "src/loss.ts")] }), /loss\.ts is not JSON/);
      const fresh = firstNotebook() as { cells: { execution_count?: null; outputs?: unknown[] }[] };
      for (const entry of fresh.cells) if (entry.outputs) Object.assign(entry, { execution_count: null, outputs: [] });
      writeFileSync(join(root, "fresh.ipynb"), JSON.stringify(fresh));
      const { warnings } = await buildBook({ root, notebooks: [join(root, "fresh.ipynb")], out: join(root, "fresh") });
      assert.ok(warnings.includes("fresh: the notebook has not been executed; run it first (workbook run fresh)"));
    });
  });

  describe("the pages", () => {
    it("are well-formed, with one id for one place and every inner link alive", () => {
      for (const name of htmlFiles()) {
        assertBalanced(pageText(name), name);
        const document = page(name);
        const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
        assert.equal(new Set(ids).size, ids.length, `${name} has an id twice`);
        assert.equal(document.documentElement.lang, "en");
        assert.equal(document.querySelectorAll("main").length, 1);
        for (const link of document.querySelectorAll("a[href]")) {
          const address = link.getAttribute("href")!;
          if (/^https?:/.test(address)) continue;
          const [file, fragment] = address.split("#");
          const target = file === "" ? name : join(dirname(name), decodeURIComponent(file));
          const there = new JSDOM(pageText(target)).window.document;
          if (fragment !== undefined) assert.ok(there.getElementById(fragment), `${name}: ${address} leads nowhere`);
          assert.notEqual((link.getAttribute("aria-label") ?? link.textContent)?.trim(), "", `${name}: empty link`);
        }
      }
    });

    it("load nothing from anywhere but the book", () => {
      for (const name of htmlFiles()) {
        const document = page(name);
        const loaded = [...document.querySelectorAll("[src], link[href], [srcset], [poster], [data]")];
        assert.ok(loaded.length > 0);
        for (const element of loaded) {
          assert.equal(element.hasAttribute("srcset"), false);
          const address = element.getAttribute("src") ?? element.getAttribute("href") ?? "";
          if (address.startsWith("data:image/")) continue;
          assert.doesNotMatch(address, /^[a-z]+:|^\/\//i, `${name}: ${address}`);
          assert.ok(readFileSync(resolve(out, dirname(name), decodeURIComponent(address))).length > 0);
        }
        assert.match(
          document.querySelector("meta[http-equiv=Content-Security-Policy]")?.getAttribute("content") ?? "",
          /^default-src 'none'/,
        );
      }
      for (const name of ["assets/book.css", "assets/katex.min.css"]) {
        for (const [, address] of pageText(name).matchAll(/url\(([^)]*)\)/g)) {
          assert.ok(readFileSync(join(out, "assets", address)).length > 0, `${name}: ${address}`);
        }
        assert.doesNotMatch(pageText(name), /@import|https?:/);
      }
    });

    it("run no script but the book's own", () => {
      for (const name of htmlFiles()) {
        const document = page(name);
        for (const script of document.querySelectorAll("script")) {
          const own = script.getAttribute("src")?.endsWith("assets/book.js") ?? false;
          assert.ok(own || script.getAttribute("type") === "application/json", `${name}: ${script.outerHTML}`);
        }
        assert.equal(document.querySelectorAll("iframe, object, embed, main style, form").length, 0);
        for (const element of document.querySelectorAll("*")) {
          for (const { name: attribute, value } of element.attributes) {
            assert.doesNotMatch(attribute, /^on/i);
            assert.doesNotMatch(value.replace(/[\u0000-\u0020]/g, ""), /^javascript:/i);
          }
        }
      }
      assert.match(cell(page("01-stages.html"), "train").textContent, /<script>alert\(1\)<\/script> stays text/);
    });

    it("render maths, tables, hints, code and the marks of special cells", () => {
      const document = page("01-stages.html");
      const derivation = cell(document, "derivation");
      assert.equal(derivation.querySelectorAll(".katex-display").length, 2);
      assert.equal(derivation.querySelectorAll("td .katex").length, 2);
      assert.equal(derivation.querySelectorAll("tbody tr")[0].children.length, 3);
      assert.match(derivation.querySelector("pre")?.textContent ?? "", /\$not maths\$/);
      assert.ok(derivation.querySelector("pre .hljs-keyword"));
      assert.ok(cell(document, "hint").querySelector("details > summary"));
      assert.ok(cell(document, "hint").querySelector("details .katex"));
      assert.equal(cell(document, "masked-loss").querySelector(".badge")?.textContent, "Exercise");
      assert.equal(cell(document, "guess").querySelector(".badge")?.textContent, "Predict");
      assert.equal(cell(document, "injected").querySelector(".badge")?.textContent, "Parameters of this run");
      assert.equal(book.warnings.filter((warning) => /cell wrong: maths/.test(warning)).length, 2);
    });

    it("show every kind of output", () => {
      const document = page("01-stages.html");
      const train = cell(document, "train");
      const streams = [...train.querySelectorAll(".outputs pre")].map((pre) => pre.textContent);
      assert.deepEqual(streams, ["step 1: loss 1.00\n100%\n<script>alert(1)</script> stays text", "a warning"]);
      assert.equal(train.querySelector(".ansi-fg-red")?.textContent, "1.00");
      assert.equal(cell(document, "table").querySelectorAll("tbody tr").length, 2);
      assert.match(cell(document, "fails").querySelector(".error p")?.textContent ?? "", /^RangeError: bad <beta>$/);
      assert.match(cell(document, "fails").querySelector(".error pre")?.textContent ?? "", /at cell fails, line 1/);
      const results = [...cell(document, "results").querySelectorAll(".results > table > tbody > tr > th")];
      assert.deepEqual(
        results.map(({ textContent }) => textContent),
        ["gold", "harmRate", "frontier", "text", "done"],
      );
      assert.match(cell(document, "results").querySelector(".results")!.textContent, /<b>not bold<\/b>/);
      assert.equal(cell(document, "picture").querySelector("img")?.getAttribute("alt"), "A teal bar");
      assert.match(cell(document, "masked-loss").textContent, /not filled in yet/);
      assert.ok(book.warnings.some((warning) => /cell unknown: .*application\/x-unheard/.test(warning)));
    });

    it("hold each figure's data, its picture and its description", () => {
      const figure = cell(page("01-stages.html"), "figure").querySelector("figure.plot")!;
      const { layout, frames } = JSON.parse(figure.querySelector("script")!.textContent) as {
        layout: { height: number };
        frames: unknown[];
      };
      assert.equal(layout.height, 420);
      assert.equal(frames.length, 4);
      const image = figure.querySelector("img")!;
      assert.match(image.alt, /^Reward by step for four values/);
      assert.deepEqual([image.getAttribute("width"), image.getAttribute("height")], ["700", "420"]);
      assert.equal(figure.querySelector(".plot-live")?.getAttribute("aria-label"), image.alt);
      const bare = cell(page("02-policy-state-action.html"), "late").querySelector("figure.plot")!;
      assert.match(bare.querySelector("p")?.textContent ?? "", /^Reward by step.*no static picture/);
      const assets = filesUnder(out).filter((name) => name.endsWith("plotly.min.js"));
      assert.deepEqual(assets, ["assets/plotly.min.js"]);
    });
  });

  describe("workbook book", () => {
    it("prints index, pages and warnings as JSON, and fails on warnings when asked to", async () => {
      const printed: string[] = [];
      const { log } = console;
      const before = process.exitCode;
      console.log = (text: string) => void printed.push(text);
      try {
        const program = new Command();
        register(program);
        const path = join(root, "notebooks/02-policy-state-action.ipynb");
        await program.parseAsync(["node", "workbook", "book", path, "--out", join(root, "cli"), "--json", "--strict"]);
      } finally {
        console.log = log;
      }
      assert.deepEqual(JSON.parse(printed.join("\n")), {
        index: join(root, "cli/index.html"),
        pages: [join(root, "cli/02-policy-state-action.html")],
        warnings: [],
      });
      assert.equal(process.exitCode, before);
    });
  });

  describe("in a browser (chromium)", function () {
    before(function () {
      if (spawnSync("chromium", ["--version"]).status === 0) return;
      console.log("    SKIPPED: no chromium here, so no page was opened (apt-get install chromium)");
      this.skip();
    });

    it("draws the figure that is in view, with its slider, and logs nothing", async () => {
      const { document, log } = await open("01-stages.html", [1300, 3000]);
      const figure = document.querySelector("#figure-1")!;
      assert.deepEqual(log, []);
      assert.ok(figure.classList.contains("drawn"), "the figure was not drawn");
      assert.ok(figure.querySelector("svg.main-svg .scatterlayer path.js-line"), "no curve in the figure");
      assert.equal(figure.querySelectorAll(".slider-label").length > 0, true, "no slider");
      assert.equal(figure.querySelector('[data-title*="Share"]'), null, "a button that needs the network");
      assert.ok(document.querySelector("#derivation .katex-display .katex-html .mfrac"), "no fraction in the formula");
    });

    it("moves from frame to frame", async () => {
      const copy = join(root, "animated");
      cpSync(out, copy, { recursive: true });
      const script = `addEventListener("load", async () => {
      const live = document.querySelector("#figure-1 .plot-live");
      while (!live.closest(".drawn")) await new Promise((next) => setTimeout(next, 50));
      await Plotly.animate(live, ["1"], { mode: "immediate", frame: { duration: 0 }, transition: { duration: 0 } });
      document.body.dataset.last = live.data[0].y.at(-1);
    });`;
      writeFileSync(join(copy, "assets/book.js"), `${pageText("assets/book.js")}\n${script}`);
      const { document, log } = await open("01-stages.html", [1300, 3000], copy);
      assert.deepEqual(log, []);
      // The last point of the fixture's curve at beta = 1, where the figure opens at beta = 0.1.
      const last = (1 - Math.exp(-39 / 12)) / 1.3;
      assert.ok(
        Math.abs(Number(document.body.dataset.last) - last) < 1e-12,
        `the last point is ${document.body.dataset.last}`,
      );
    });

    it("leaves a figure far below undrawn until it is near", async () => {
      const far = await open("02-policy-state-action.html", [1300, 700]);
      assert.equal(far.document.querySelectorAll("svg.main-svg").length, 0);
      assert.equal(far.document.querySelector("script[src*=plotly]"), null, "plotly was loaded without need");
      const near = await open("02-policy-state-action.html", [1300, 9000]);
      assert.ok(near.document.querySelector("#figure-1.drawn svg.main-svg"));
    });

    it("puts a long title above the plot on a narrow screen and never scrolls the page sideways", async () => {
      const copy = join(root, "narrow");
      cpSync(out, copy, { recursive: true });
      const script = `addEventListener("load", async () => {
      while (!document.querySelector(".drawn")) await new Promise((next) => setTimeout(next, 50));
      document.body.dataset.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    });`;
      writeFileSync(join(copy, "assets/book.js"), `${pageText("assets/book.js")}\n${script}`);
      // 500 pixels is the narrowest window that headless chromium opens.
      const { document, log } = await open("01-stages.html", [500, 4000], copy);
      assert.deepEqual(log, []);
      const caption = document.querySelector("#figure-1 figcaption")?.textContent;
      assert.equal(caption, "The reward rises, and the smaller beta is, the further it goes from the reference");
      assert.equal(document.body.dataset.overflow, "0");
    });

    it("opens every page without a message in the console", async () => {
      for (const name of ["index.html", "02-policy-state-action.html", "source/src/loss.ts.html"]) {
        const { document, log } = await open(name, [1000, 800]);
        assert.deepEqual(log, [], name);
        assert.ok(document.querySelector("main h1"), name);
      }
    });
  });
});

/** Opens a page of the book from its file in headless chromium: the document as it stands after its scripts, and what it logged. */
async function open(
  name: string,
  [width, height]: [number, number],
  folder = out,
): Promise<{ document: Document; log: string[] }> {
  const profile = mkdtempSync(join(tmpdir(), "alignment-chromium-"));
  try {
    const browser = spawn(
      "chromium",
      [
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking",
        "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=15000",
        `--window-size=${width},${height} --dump-dom`,
      ]
        .flatMap((flags) => flags.split(" "))
        .concat(`--user-data-dir=${profile}`, pathToFileURL(join(folder, name)).href),
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const [text, messages] = ["", ""].map(() => [] as Buffer[]);
    browser.stdout.on("data", (part: Buffer) => text.push(part));
    browser.stderr.on("data", (part: Buffer) => messages.push(part));
    const code = await new Promise<number | null>((done, fail) => browser.on("error", fail).on("close", done));
    const log = Buffer.concat(messages).toString().split("\n");
    assert.equal(code, 0, log.join("\n"));
    return {
      document: new JSDOM(Buffer.concat(text).toString()).window.document,
      log: log.filter((line) => /:CONSOLE\b/.test(line)),
    };
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Every element that must be closed is closed, in the right order; the parser of a browser would mend it silently. */
function assertBalanced(html: string, name: string): void {
  const withoutScripts = html.replace(/(<script[^>]*>)[\s\S]*?<\/script>/g, "$1</script>");
  const empty = new Set(["meta", "link", "img", "br", "hr", "col", "wbr"]);
  const open: string[] = [];
  for (const [tag, slash, element, selfClosed] of withoutScripts.matchAll(
    /<(\/?)([a-zA-Z][\w-]*)(?:"[^"]*"|'[^']*'|[^'">])*?(\/?)>/g,
  )) {
    if (slash === "/") assert.equal(open.pop(), element, `${name}: ${tag} closes the wrong element`);
    else if (!empty.has(element) && selfClosed === "") open.push(element);
  }
  assert.deepEqual(open, [], `${name}: not closed`);
  assert.doesNotMatch(withoutScripts.replace(/<!doctype html>/, ""), /<(?![/a-zA-Z])/, `${name}: a bare <`);
}
