import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { orMissing } from "../platform/missing";
import { protocolVersion } from "./wire";

/** Name and version of this project, as its package.json has them. */
function implementation(): { name: string; version: string } {
  const file = path.join(__dirname, "../../package.json");
  const { name, version } = JSON.parse(readFileSync(file, "utf8"));
  return { name, version };
}

function versionIn(packageFile: string): string {
  return (JSON.parse(readFileSync(packageFile, "utf8")) as { version: string }).version;
}

/**
 * The content of `kernel_info_reply`. It is known before the child is there, whose compiler takes a second to load: a client
 * connects meanwhile, and its first cell waits. Should there never be a child, that cell says why.
 */
export function describeKernel(): Record<string, unknown> {
  const here = createRequire(__filename);
  const tslab = orMissing("tslab", "the kernel", () => here.resolve("tslab/package.json"));
  const tslabVersion = versionIn(tslab);
  // The compiler that tslab brings, which says of itself what its package does.
  const languageVersion = versionIn(createRequire(tslab).resolve("@tslab/typescript-for-tslab/package.json"));
  const { name, version } = implementation();
  return {
    status: "ok",
    protocol_version: protocolVersion,
    implementation: name,
    implementation_version: version,
    language_info: {
      name: "typescript",
      version: languageVersion,
      mimetype: "text/typescript",
      file_extension: ".ts",
      pygments_lexer: "typescript",
      // JupyterLab goes by `mode`, the classic notebook by `name` and `typescript`.
      codemirror_mode: { mode: "typescript", name: "javascript", typescript: true },
      nbconvert_exporter: "script",
    },
    banner: `TypeScript ${languageVersion} on Node ${process.versions.node} (${name} ${version}, tslab ${tslabVersion})`,
    help_links: [
      { text: "TypeScript", url: "https://www.typescriptlang.org/docs/" },
      { text: "TensorFlow.js", url: "https://js.tensorflow.org/api/latest/" },
      { text: "Plotly", url: "https://plotly.com/javascript/" },
      { text: "Node.js", url: "https://nodejs.org/api/" },
    ],
    debugger: false,
    supported_features: [],
  };
}
