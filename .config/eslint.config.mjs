import path from "node:path";
import tseslint from "typescript-eslint";

const repositoryRoot = path.resolve(import.meta.dirname, "..");

export default tseslint.config(
  { ignores: ["**/node_modules/", "**/.cache/", "coverage/", "book/", "dist/", "**/*.as.ts"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-restricted-properties": [
        "error",
        {
          object: "Math",
          property: "random",
          message: "Randomness is an argument: take a Random (src/tensors/random).",
        },
      ],
    },
  },
  // A promise that nobody waits for loses its error, and what it does happens at some other time.
  {
    files: ["src/**/*.ts", "tests/**/*.ts", "notebooks/text/**/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: repositoryRoot } },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
    },
  },
  { files: ["**/*.cjs", "src/stand-ins/**"], rules: { "@typescript-eslint/no-require-imports": "off" } },
  // A notebook's last expression is its output, and a cell's `let` may be set again by a parameters cell.
  {
    files: ["notebooks/text/**"],
    rules: {
      "@typescript-eslint/no-unused-expressions": "off",
      "@typescript-eslint/no-unused-vars": "off",
      "prefer-const": "off",
      // tslab does not find an earlier cell's variable in a shorthand property.
      "object-shorthand": ["error", "never"],
    },
  },
);
