import createDOMPurify, { type WindowLike } from "dompurify";
import type { Warn } from "./html";

/** Elements that stay; everything else is unwrapped (its children stay) unless it is in `dropped`. */
const kept = (
  "a abbr b bdi bdo blockquote br caption center cite code col colgroup dd del details dfn div dl dt em figcaption figure " +
  "h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strike strong sub summary sup table " +
  "tbody td tfoot th thead time tr tt u ul var wbr"
).split(" ");

/** Elements that go with all that is in them: they run, load or embed something, or switch the parser's language. */
const dropped = (
  "applet audio base button canvas dialog embed fencedframe form frame frameset head iframe input link marquee math meta noembed " +
  "noframes noscript object option plaintext portal script select source style svg template textarea title track video xmp"
).split(" ");

const attributes = new Set(
  "abbr align alt cite colspan datetime dir headers height lang open reversed rowspan scope span start title type valign value width".split(
    " ",
  ),
);

const styleProperty =
  /^(?:text-align|vertical-align|color|background(?:-color)?|font-(?:weight|style|size|family)|text-decoration|white-space|(?:max-|min-)?(?:width|height)|(?:margin|padding|border)(?:-(?:top|right|bottom|left|color|style|width|collapse|radius|spacing))*)$/;
const styleFunctions = /\b(?:rgba?|hsla?|linear-gradient|calc)\(/g;

/** What a fragment's links and pictures become; `undefined` takes the link or the picture away and leaves its text. */
export interface Targets {
  link(href: string): string | undefined;
  image(src: string): string | undefined;
  /** Whether `id` attributes may stay (a page's own markdown) or not (a cell's output, which could take a heading's). */
  ids: boolean;
}

/** Takes from `root`'s descendants, in place, what may not be in the book, and reports what it dropped. */
export type Sanitise = (root: DocumentFragment, targets: Targets, warn: Warn) => void;

/**
 * Makes HTML that was written into a notebook harmless: only the elements, attributes and style properties on the lists
 * above stay, links go to http(s), mail or places inside the book, pictures come from the book or a data URL. The lists
 * name what is allowed, so that what nobody thought of is gone. The book's Content-Security-Policy stands behind this.
 */
export function loadSanitiser(window: WindowLike): Sanitise {
  const purify = createDOMPurify(window);
  let targets: Targets;
  let warn: Warn;
  purify.addHook("uponSanitizeElement", (node, { tagName }) => {
    if (dropped.includes(tagName)) warn(`<${tagName}> is not shown in the book`);
  });
  purify.addHook("uponSanitizeAttribute", (element, data) => {
    const value = cleanValue(element.localName, data.attrName, data.attrValue, targets, warn);
    data.keepAttr = data.forceKeepAttr = value !== undefined;
    if (value !== undefined) element.setAttribute(data.attrName, value);
  });
  purify.addHook("afterSanitizeAttributes", (element) => {
    if (/^https?:/i.test(element.getAttribute("href") ?? "")) element.setAttribute("rel", "noopener noreferrer");
  });
  purify.setConfig({
    ALLOWED_TAGS: [...kept, "#text", "#document-fragment"],
    FORBID_CONTENTS: dropped,
    IN_PLACE: true,
  });
  return (root, ...context) => {
    [targets, warn] = context;
    purify.sanitize(root);
    for (const image of root.querySelectorAll("img:not([src])")) image.replaceWith(image.getAttribute("alt") ?? "");
    // A link that leads nowhere any more is shown as its text.
    for (const link of root.querySelectorAll("a:not([href], [id])")) link.replaceWith(...link.childNodes);
  };
}

/** What an attribute may be; undefined: nothing. */
function cleanValue(tag: string, name: string, value: string, targets: Targets, warn: Warn): string | undefined {
  if (name === "href" && tag === "a") return targets.link(value);
  if (name === "src" && tag === "img") return targets.image(value);
  if (name === "style") return cleanStyle(value) || undefined;
  if (name === "id") return targets.ids && /^[\w-]+$/.test(value) ? value : undefined;
  if (name.startsWith("on")) warn(`the event handler ${name} of <${tag}> is not kept in the book`);
  return attributes.has(name) ? value : undefined;
}

function cleanStyle(style: string): string {
  return style
    .split(";")
    .map((declaration) => {
      const colon = declaration.indexOf(":");
      return [declaration.slice(0, colon).trim().toLowerCase(), declaration.slice(colon + 1).trim()];
    })
    .filter(([property, value]) => {
      if (!styleProperty.test(property) || !/^[-\w\s.,%#()'"!+*/]+$/.test(value) || value.includes("/*")) return false;
      return !value.replace(styleFunctions, "").includes("(");
    })
    .map(([property, value]) => `${property}: ${value}`)
    .join("; ");
}

/**
 * The kind of place a link names. White space and control characters are taken out first, as browsers do, so that
 * `java\nscript:` is seen for what it is.
 */
export function linkKind(href: string): "web" | "mail" | "fragment" | "relative" | "other" {
  const plain = href.replace(/[\u0000-\u0020\u007f-\u009f]/g, "");
  if (plain.startsWith("#")) return "fragment";
  if (plain.startsWith("//") || plain.startsWith("\\")) return "other";
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(plain);
  if (scheme === null) return plain.startsWith("/") ? "other" : "relative";
  if (/^https?$/i.test(scheme[1])) return "web";
  return /^mailto$/i.test(scheme[1]) ? "mail" : "other";
}
