/**
 * Uses a method that was added to a copy of the repository, in that copy: trains it as a stage, measures its path in the
 * comparison, draws both. Prints what came of it as JSON.
 */
import path from "node:path";
import { pathToFileURL } from "node:url";

const [root, name] = process.argv.slice(2);
const load = (module: string) => require(path.join(root, module)); // eslint-disable-line @typescript-eslint/no-require-imports

async function main(): Promise<void> {
  const { chooseBackend } = load("src/tensors/backend") as typeof import("../../../src/tensors/backend");
  await chooseBackend({ backend: "wasm" });
  const { Course } = load("src/course/course") as typeof import("../../../src/course/course");
  const { comparedPaths } = load("src/course/comparison") as typeof import("../../../src/course/comparison");
  const { smallCourse } = load("tests/course/small-course") as typeof import("../../course/small-course");
  const { trainingFigure, frontier } = load("src/plots/figures") as typeof import("../../../src/plots/figures");
  const exported = load("src/index") as Record<string, unknown>;
  const models = new Course(1, smallCourse);
  const records = [];
  const stage = models.aligned(name as "dpo", { beta: 0.1 });
  for await (const record of stage) records.push(record);
  const compared = comparedPaths(models, { beta: 0.1 }).find(({ method }) => method === name);
  const points = (await compared?.stage.result()) ?? [];
  const training = trainingFigure(records, {
    title: "t",
    metrics: [{ key: "margin", title: "m" }],
    method: name as "dpo",
  });
  const kl = points.map(({ klPolicyToReference }) => klPolicyToReference);
  const series = [{ name, kl, reward: points.map(({ gold }) => gold), method: name as "dpo" }];
  const colours = [training, frontier({ title: "t", series })].map(({ data }) =>
    JSON.stringify(data).includes("#3B2F2F"),
  );
  const exports = ["slicLoss", "trainSlic"].map((one) => typeof exported[one]);
  console.log(JSON.stringify({ steps: records.length, points: points.length, colours, exports, hash: stage.hash }));
}

if (process.argv[1] && pathToFileURL(process.argv[1]).href === pathToFileURL(__filename).href) {
  main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
