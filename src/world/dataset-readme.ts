/** A field of a record. */
export interface FieldDescription {
  name: string;
  type: string;
  meaning: string;
}

/** A file of records: JSON Lines, or CSV with a header. */
export interface RecordFile {
  name: string;
  /** One sentence: what a record is. */
  summary: string;
  fields: FieldDescription[];
  /** Records in the file. */
  records: number;
  /** Its content, UTF-8 with a newline after each line. */
  text: string;
}

/** What the README of the data set is made from. */
export interface ReadmeContent {
  seed: number;
  /** The command that makes these files. */
  command: string;
  records: readonly RecordFile[];
  checksums: readonly { name: string; sha256: string }[];
}

/** The README of `datasets/advice`: what the files are, each one's schema with an example, licence, seed, checksums. */
export function datasetReadme({ seed, command, records, checksums }: ReadmeContent): string {
  return (
    [
      "# The advice world, as records",
      "Questions, documents, demonstrations and preferences of the course's synthetic world (`src/world/`), for exploring and for the formats. Training does not read these files: it generates its data with the same functions, its own seed and larger sizes.",
      [
        `- Made by: \`${command}\` (\`npx workbook data --check\` verifies the bytes; do not edit by hand)`,
        `- Seed: ${seed}`,
        "- Licence: Apache-2.0, as the code; everything here is generated, nothing is taken from elsewhere",
        "- Encoding: UTF-8; `.jsonl` holds one JSON object a line, `.csv` a header and comma-separated rows without quotes",
      ].join("\n"),
      ...bySchema(records).map(schemaSection),
      "## Checksums",
      "`manifest.json` holds the seed, and records, bytes and SHA-256 of each file. In the format of `sha256sum --check`:",
      fenced(checksums.map(({ name, sha256 }) => `${sha256}  ${name}`).join("\n")),
    ].join("\n\n") + "\n"
  );
}

/** Files side by side that share one list of fields. */
function bySchema(records: readonly RecordFile[]): RecordFile[][] {
  const groups: RecordFile[][] = [];
  for (const file of records) {
    const last = groups.at(-1);
    if (last?.[0].fields === file.fields) last.push(file);
    else groups.push([file]);
  }
  return groups;
}

function schemaSection(files: readonly RecordFile[]): string {
  const [{ name, fields, text }] = files;
  const lines = text.split("\n");
  const example = name.endsWith(".csv") ? lines.slice(0, 2).join("\n") : lines[0];
  return [
    `## ${files.map((file) => file.name).join(", ")}`,
    files.map((file) => `${files.length > 1 ? `- \`${file.name}\`: ` : ""}${describe(file)}`).join("\n"),
    fields.map((field) => `- \`${field.name}\` (${field.type}): ${field.meaning}`).join("\n"),
    fenced(example),
  ].join("\n\n");
}

function describe({ summary, records }: RecordFile): string {
  return `${summary} ${records.toLocaleString("en-US")} records.`;
}

function fenced(text: string): string {
  return "```text\n" + text + "\n```";
}
