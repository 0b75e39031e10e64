import assert from "node:assert/strict";
import { minutesIn } from "../../src/book/chapter";
import { loadHighlighter, numberedLines } from "../../src/book/highlight";
import { IdRegister, jsonForScript } from "../../src/book/html";
import { loadMarkdown, type RenderMarkdown } from "../../src/book/markdown";
import { extractFormulas, loadFormulaRenderer, restoreFormulas } from "../../src/book/maths";
import { linkKind } from "../../src/book/sanitise";
import { resultsTable } from "../../src/book/results-table";
import { terminalTextToHtml } from "../../src/book/terminal-text";

const texOf = (markdown: string) => extractFormulas(markdown).formulas.map(({ tex, display }) => [tex, display]);

describe("book: formulas in markdown", () => {
  it("reads the four pairs of marks, and bare environments", () => {
    assert.deepEqual(texOf("a $x_1$ b $$y$$ c \\(z\\) d \\[w\\] e \\begin{align*}u\\end{align*}"), [
      ["x_1", false],
      ["y", true],
      ["z", false],
      ["w", true],
      ["\\begin{align*}u\\end{align*}", true],
    ]);
    assert.deepEqual(texOf("doubled, as Jupyter wants them: \\\\(z\\\\) and \\\\[w\\\\]"), [
      ["z", false],
      ["w", true],
    ]);
  });

  it("leaves prices, escaped dollars and code alone", () => {
    for (const text of [
      "It costs $5 and $6.",
      "US$5, or US$6",
      "\\$x\\$",
      "`$x$` and ``a ` $y$``",
      "```\n$x$\n```\n",
      "~~~ts\n$x$\n~~~",
      "> ```\n> $x$\n> ```",
      "a $x\n\ny$ b",
    ]) {
      assert.deepEqual(texOf(text), [], text);
    }
    assert.deepEqual(texOf("`code` $x$ ``` $y$"), [
      ["x", false],
      ["y", false],
    ]);
  });

  it("takes a display formula whole, over blank lines and out of a quotation", () => {
    assert.deepEqual(texOf("$$\na\n\n- b\n$$"), [["a\n\n- b", true]]);
    assert.deepEqual(texOf("> $$\n> a\n> b\n> $$"), [["a\nb", true]]);
    assert.deepEqual(texOf("$$\na\n> b\n$$"), [["a\n> b", true]]);
  });

  it("gives every character back where text is literal", () => {
    const source = "a $x$ `$y$` $$z$$ \\(w\\) \\$";
    const { text, formulas } = extractFormulas(source);
    assert.notEqual(text, source);
    assert.equal(restoreFormulas(text, formulas), source);
  });
});

describe("book: markdown to HTML", () => {
  let render: (source: string) => ReturnType<RenderMarkdown>;
  let warnings: string[];
  let html: (source: string) => string;

  before(async () => {
    const { renderMarkdown, renderHtml } = await loadMarkdown(await loadHighlighter(), await loadFormulaRenderer());
    const targets = {
      ids: true,
      link: (href: string) => (linkKind(href) === "web" ? href : undefined),
      image: () => undefined,
    };
    const warn = (message: string) => void warnings.push(message);
    render = (source) => renderMarkdown(source, { ids: new IdRegister(), targets, warn });
    html = (source) => renderHtml(source, { targets: { ...targets, ids: false }, warn });
  });
  beforeEach(() => (warnings = []));

  it("keeps a bar inside maths out of a table's columns", () => {
    const { html } = render("| a | b |\n|---|---|\n| $p(y|x)$ | 2 |\n");
    assert.equal(html.match(/<td>/g)?.length, 2);
    assert.match(html, /<annotation encoding="application\/x-tex">p\(y\|x\)<\/annotation>/);
  });

  it("shows maths in code, titles and descriptions as it was written", () => {
    const { html } = render('`$x$`\n\n    $indented$\n\n<a href="https://example.org" title="$t$">l</a>');
    assert.match(html, /<code>\$x\$<\/code>/);
    assert.match(html, /\$indented\$/);
    assert.match(html, /title="\$t\$"/);
    assert.doesNotMatch(html, /katex/);
  });

  it("reports wrong maths once and shows it as it was written", () => {
    const { html } = render("See $\\frac{1}{$ here.");
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(warnings[0], /maths: KaTeX parse error.*\\frac\{1\}\{/);
    assert.match(html, /<code class="maths-error">\$\\frac\{1\}\{\$<\/code>/);
  });

  it("does not follow TeX's own links and HTML", () => {
    const { html } = render("$\\href{javascript:alert(1)}{x}$ and $\\htmlData{a=b}{x}$");
    assert.doesNotMatch(html, /href="javascript|data-a/);
    assert.notEqual(warnings.length, 0);
  });

  it("gives headings anchors that differ, and finds the first paragraph", () => {
    const { headings, firstParagraph } = render("# A $\\beta$ & b\n\nFirst *one*.\n\n## Twice\n\n## Twice\n");
    assert.deepEqual(
      headings.map(({ level, id, text }) => [level, id, text]),
      [
        [1, "a-beta-b", "A $\\beta$ & b"],
        [2, "twice", "Twice"],
        [2, "twice-2", "Twice"],
      ],
    );
    assert.equal(firstParagraph, "First <em>one</em>.");
  });

  it("cannot be led by forged placeholders", () => {
    const { html } = render("\uE0000\uE001 and \uE0020\uE003 $x$");
    assert.match(html, /^<p>0 and 0 <span class="katex">/);
  });

  // Each line is a way to run a script that some sanitiser has let through; what may be left is text.
  for (const attack of [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><g/></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    "<a href='jav&#x0A;ascript:alert(1)'>x</a>",
    "<a href=' \u0001javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<a href='//example.org'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data='javascript:alert(1)'></object><embed src='javascript:alert(1)'>",
    "<form action='javascript:alert(1)'><button formaction='javascript:alert(1)'>x</button></form>",
    "<template><script>alert(1)</script></template>",
    "<p style='background:url(https://example.org/x);position:fixed'>x</p>",
    "<p style='color:red;background:u\\72l(https://example.org/x)'>x</p>",
    "<base href='https://example.org/'><link rel=stylesheet href='https://example.org/x'><meta http-equiv=refresh content='0;url=https://example.org'>",
    "<video src=x onerror=alert(1)></video><audio src=x></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'></textarea>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<x onclick=alert(1) tabindex=1 style='animation-name:a'>x</x>",
    "<p is=x title='--><img src=x onerror=alert(1)>'>x</p>",
  ]) {
    it(`makes harmless: ${attack.slice(0, 60).replace(/[\n\u0001]/g, "·")}`, () => {
      for (const made of [html(attack), render(attack).html]) {
        const tags = made.match(/<[^>]*>/g) ?? [];
        for (const tag of tags) {
          assert.match(tag, /^<\/?(?:a|p|details|div|br)\b/, made);
          assert.doesNotMatch(tag, /\son\w+\s*=|javascript:|url\(|position|animation|data:|example\.org/i, made);
        }
      }
    });
  }

  it("takes away the text of scripts and styles with them", () => {
    assert.equal(html("a<script>b</script><style>c</style><svg><title>d</title></svg><iframe>e</iframe>f"), "af");
    assert.equal(warnings.length, 4);
  });

  it("keeps what a table and a hint need", () => {
    const table =
      '<table><thead><tr><th scope="col" style="text-align: right; color: rgb(1, 2, 3)">a</th></tr></thead><tbody><tr><td colspan="2">1 &lt; 2</td></tr></tbody></table>';
    assert.equal(html(table), `<div class="table" tabindex="0">${table}</div>`);
    assert.equal(html("<details><summary>Hint</summary><b>x</b></details>").includes("<summary>Hint</summary>"), true);
    assert.deepEqual(warnings, []);
  });
});

describe("book: small parts", () => {
  it("shows terminal colours, drops other sequences, and lets a carriage return overwrite", () => {
    assert.equal(
      terminalTextToHtml("\u001b[1;31mred\u001b[22m thin\u001b[0m <b>\u001b[2K\u001b]0;title\u0007"),
      '<span class="ansi-bold ansi-fg-red">red</span><span class="ansi-fg-red"> thin</span> &lt;b&gt;',
    );
    assert.equal(terminalTextToHtml("10%\r50%\r100%\r\nnext"), "100%\nnext");
    assert.equal(terminalTextToHtml("\u001b[38;5;196mx\u001b[38;2;1;31;4my"), "xy");
    assert.equal(terminalTextToHtml("\u001b[4:3mx\u001b[?25ly\u001b[>4mz"), "xyz");
    assert.equal(
      terminalTextToHtml("\u001b[1;1;102mx\u001b[0;38;5;1my\u001b[38;5;196mz\u001b[m."),
      '<span class="ansi-bg-green ansi-bold">x</span><span class="ansi-fg-red">y</span>z.',
    );
  });

  it("closes and reopens the highlighter's spans at the end of each line", async () => {
    const highlight = await loadHighlighter();
    const html = numberedLines(highlight("/* a\n b */ let x = `c\nd`;\n", "ts"));
    const lines = html.split("\n");
    assert.equal(lines.length, 3);
    for (const line of lines) {
      assert.equal(line.match(/<span/g)?.length, line.match(/<\/span>/g)?.length, line);
    }
    assert.match(lines[1], /^<span class="line" id="L2"><span class="hljs-comment"> b/);
  });

  it("highlights by a language's name, alias or ending, and escapes what it does not know", async () => {
    const highlight = await loadHighlighter();
    for (const language of ["json", "jsonl", "ts", "TypeScript", "sh", "console", "py", "yml", "md"])
      assert.match(highlight('# "a"\n$ b: 1', language), /<span class="hljs-/, language);
    assert.equal(highlight("let <a>", "unheard"), "let &lt;a&gt;");
  });

  it("leaves no way out of a script element", () => {
    const text = jsonForScript({ a: "</script><!--<script>\u2028" });
    assert.doesNotMatch(text, /<|\u2028/);
    assert.deepEqual(JSON.parse(text), { a: "</script><!--<script>\u2028" });
  });

  it("reads minutes as introductions state them", () => {
    assert.deepEqual(minutesIn("*25 minutes to read, 2–4 minutes to run here.*"), { read: "25", run: "2–4" });
    assert.deepEqual(minutesIn("Reading: 20 min. Running here: 1.5 minutes."), { read: "20", run: "1.5" });
    assert.deepEqual(minutesIn("Takes 5 minutes. At least 3 minimal steps to read."), {});
  });

  it("shows results with four digits, all of them in the tooltip, and escapes their text", () => {
    const html = resultsTable({ gold: 0.8231234, runs: [1, 2.5], by: { "0.1": 3 }, text: "<b>", none: null });
    assert.match(html, /<span title="0.8231234">0.8231<\/span>/);
    assert.match(html, /<td>1, 2.5<\/td>/);
    assert.match(html, /<th scope="row">0.1<\/th><td>3<\/td>/);
    assert.match(html, /&lt;b&gt;/);
  });
});
