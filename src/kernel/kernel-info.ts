import { readFileSync } from "node:fs";
import path from "node:path";
import { protocolVersion } from "./wire";

/** Name and version of this project, as its package.json has them. */
function implementation(): { name: string; version: string } {
  const file = path.join(__dirname, "../../package.json");
  const { name, version } = JSON.parse(readFileSync(file, "utf8"));
  return { name, version };
}

/** The content of `kernel_info_reply`, as soon as the child has told what language it speaks. */
export async function describeKernel(
  ready: Promise<{ languageVersion: string; tslabVersion: string }>,
): Promise<Record<string, unknown>> {
  // Without a child the cells say what is wrong; a client must still be able to connect to read that.
  const { languageVersion, tslabVersion } = await ready.catch(() => ({
    languageVersion: "unknown",
    tslabVersion: "unknown",
  }));
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
